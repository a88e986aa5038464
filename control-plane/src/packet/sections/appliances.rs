//! The boxes: how well they were watched, what they watch, and what is missing.

use proto::ids::ApplianceId;

use super::super::{
    document::{Block, Table},
    model::Model,
    readings::{duration, grouped},
};
use crate::bundle::{Gap, minute};

/// All names, for the cover.
pub(super) fn names(model: &Model<'_>) -> String {
    let names: Vec<String> = model.facts.appliances().into_iter().map(|id| model.facts.name_of(id)).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    let mut blocks = vec![
        Block::Paragraph(
            "Each appliance signs a heartbeat on its own timer and puts it into the same chain as everything else, so \
             silence cannot be hidden. Time counts as watched when the next heartbeat came within two and a half times \
             what the one before it had promised."
                .into(),
        ),
        Block::Records(watched(model)),
        Block::Subsection("Gaps".into()),
        Block::Records(gaps(model)),
        Block::Subsection("What they watch".into()),
        Block::Records(watching(model)),
    ];
    blocks.push(Block::Subsection("Keys".into()));
    blocks.push(Block::Records(keys(model)));
    blocks
}

fn watched(model: &Model<'_>) -> Table {
    let rows = model.watches.iter().map(|watch| {
        let thousandths = if watch.span.is_zero() {
            0
        } else {
            (watch.span - watch.silent).as_millis() * 1000 / watch.span.as_millis().max(1)
        };
        vec![
            model.facts.name_of(watch.appliance),
            minute(watch.since),
            grouped(watch.heartbeats),
            duration(watch.silent),
            duration(watch.longest),
            format!("{}.{}%", thousandths / 10, thousandths % 10),
        ]
    });
    let columns =
        ["Appliance", "Watched from (UTC)", "Heartbeats", "Silent in all", "Longest silence", "Watched"];
    let empty = "No appliance wrote a record in this period.";
    Table { numbers: vec![2, 3, 4, 5], ..Table::new(&columns, rows.collect(), empty) }
}

fn gaps(model: &Model<'_>) -> Table {
    let time = |at: Option<proto::time::Millis>| at.map_or_else(|| "–".to_owned(), minute);
    let name = |gap: &Gap| {
        gap.appliance.map_or_else(|| "the log".to_owned(), |id: ApplianceId| model.facts.name_of(id))
    };
    let rows = model.gaps.iter().map(|gap| vec![name(gap), time(gap.from), time(gap.to), gap.what.clone()]);
    let columns = ["Appliance", "From (UTC)", "To (UTC)", "What is missing, and why"];
    Table::new(&columns, rows.collect(), "Nothing is missing.")
}

fn watching(model: &Model<'_>) -> Table {
    let rows = model.newest.iter().map(|(appliance, beat)| {
        let watch: Vec<String> = beat.watch.iter().map(|(id, kind)| format!("{id} ({kind})")).collect();
        let watch = if watch.is_empty() { "only itself".to_owned() } else { watch.join(", ") };
        let versions = format!(
            "program {}, catalogue {}, policy {}",
            beat.version, beat.catalogue_version, beat.policy_serial
        );
        vec![model.facts.name_of(*appliance), watch, versions]
    });
    Table::new(
        &["Appliance", "Watches", "Versions"],
        rows.collect(),
        "No heartbeat came in or before this period.",
    )
}

fn keys(model: &Model<'_>) -> Table {
    let rows = model.facts.executors.iter().map(|(incarnation, executor)| {
        vec![
            model.facts.name_of(executor.appliance),
            incarnation.to_string(),
            executor.evidence_key.hint(),
            executor.protection.to_string(),
        ]
    });
    let columns = ["Appliance", "Executor", "Evidence key", "Kept in"];
    Table { mono: vec![1, 2], ..Table::new(&columns, rows.collect(), "No appliance is enrolled.") }
}
