//! To be signed by whoever reviews it; and who acknowledged the packet before.

use proto::act::Through;

use super::{paragraph, row};
use crate::{
    bundle::minute,
    packet::{
        document::{Block, Table},
        model::Model,
        readings::grouped,
    },
};

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    let mut blocks = vec![
        Block::Paragraph(format!(
            "45 CFR 164.308(a)(1)(ii)(D) asks for a regular review of records of information system activity. \
             I have reviewed this packet for {}, the findings and the gaps in it, and what is to be done about them.",
            model.month.title()
        )),
        Block::Facts(
            ["Name", "Role", "Date", "Remarks", "Signature"]
                .map(|label| row(label, "\u{a0}\n\u{a0}".into()))
                .to_vec(),
            false,
        ),
        paragraph(
            "Whoever got this packet by mail can acknowledge it instead on the page behind the link in that mail. The next packet \
             says who did.",
        ),
    ];
    if let Some(previous) = &model.facts.previous {
        blocks.push(Block::Subsection(format!("The packet of {}", previous.month.title())));
        blocks.push(Block::Records(before(model)));
    }
    blocks
}

fn before(model: &Model<'_>) -> Table {
    let rows = model.acknowledged.iter().map(|acknowledged| {
        let how = match acknowledged.through {
            Through::Link => "on its page".to_owned(),
            Through::Operator => format!("told {}", acknowledged.fact.act.by),
        };
        vec![
            minute(acknowledged.fact.act.at),
            acknowledged.name.to_owned(),
            acknowledged.role.to_owned(),
            how,
            grouped(acknowledged.fact.index),
        ]
    });
    let columns = ["When (UTC)", "Acknowledged by", "Role", "How", "Record"];
    let empty = "Nobody had acknowledged it when this packet was made.";
    Table {
        numbers: vec![4],
        widths: vec![22, 30, 26, 22, 10],
        ..Table::new(&columns, rows.collect(), empty)
    }
}
