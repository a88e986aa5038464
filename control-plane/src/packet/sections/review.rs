//! To be signed by whoever reviews it.

use super::row;
use crate::packet::{document::Block, model::Model};

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    vec![
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
    ]
}
