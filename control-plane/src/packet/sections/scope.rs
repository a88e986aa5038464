//! Scope: what the boxes watch, and what nobody should read into the packet.

use super::{super::document::Table, paragraph, title};
use crate::{
    bundle::{Stretch, StretchKind},
    packet::{document::Block, model::Model, readings::grouped},
};

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    vec![
        Block::Paragraph(format!(
            "This packet speaks of the appliances that the {} keeps in the clinic, and of what each of them is told to \
             watch. Each appliance signs what it saw and did; the list of what it watches is its own, or one that an \
             approver has signed.",
            model.differs().runner
        )),
        Block::Records(watching(model)),
        Block::Subsection("Not covered".into()),
        Block::Bullets(not_covered(model)),
        paragraph(
            "A record supports a paragraph of the Security Rule. Whether the clinic complies with it is for people to judge; \
             what the clinic must show itself is named under “Results per citation” as “not by this product”.",
        ),
    ]
}

fn watching(model: &Model<'_>) -> Table {
    let rows = model.newest.iter().map(|(appliance, beat)| {
        let watch: Vec<String> = beat.watch.iter().map(|(id, kind)| format!("{id} ({kind})")).collect();
        let watch = if watch.is_empty() { "only itself".to_owned() } else { watch.join(", ") };
        vec![model.facts.name_of(*appliance), watch]
    });
    let empty = "No heartbeat came in or before this period.";
    Table { widths: vec![25, 75], ..Table::new(&["Appliance", "Watches"], rows.collect(), empty) }
}

fn not_covered(model: &Model<'_>) -> Vec<String> {
    let mut lines = vec![
        "Computers that no appliance watches, and whatever is not in the table above.".to_owned(),
        "What happened before an appliance's first record.".into(),
        "Faults that people handled without an order, and orders that never reached an appliance.".into(),
        "Risk analysis, training, sanctions, what contracts with business associates say, doors and locks: the clinic's own \
         to show."
            .into(),
        "The contents of files and backups. Records hold no patient data; names of files never leave the clinic.".into(),
        format!("What the clinic and its appliances are called: the {}'s word.", model.differs().runner),
    ];
    if model.facts.witnesses.all.is_empty() {
        lines
            .push("Whether somebody was shown another log than this one: nobody outside has seen it.".into());
    }
    let is_unsure = |stretch: &&Stretch| stretch.kind == StretchKind::Unsynchronised;
    let unsure: u64 = model.stretches.iter().filter(is_unsure).map(|stretch| stretch.records).sum();
    if unsure > 0 {
        lines.push(format!(
            "How right some times are: records written by a clock that was not synchronised, {} in all; “{}” lists when.",
            grouped(unsure),
            title::GAPS
        ));
    }
    let unread =
        model.records.iter().filter(|fact| fact.record.body == proto::evidence::Body::Unknown).count();
    if unread > 0 {
        lines.push(format!(
            "Records of a newer version of the program, which this one cannot read: {unread}."
        ));
    }
    lines
}
