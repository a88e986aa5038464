//! Gaps: how well the boxes were watched, what is missing, and why.

use proto::ids::ApplianceId;

use super::{super::document::Table, count, named, paragraph};
use crate::{
    bundle::{Gap, minute},
    packet::{
        document::{Block, Chart, Drawing, Tone},
        model::{Model, Presence},
        readings::{duration, grouped},
    },
};

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    let mut blocks = vec![paragraph(
        "Each appliance signs a heartbeat on its own timer and puts it into the same chain as everything else, so silence \
         cannot be hidden. Time counts as watched when the next heartbeat came within two and a half times what the one before \
         it had promised. Between two heartbeats the executor marks its clocks every few minutes, and the next heartbeat \
         rolls that up: a long time without a mark counts as silent too.",
    )];
    if !model.availability.is_empty() {
        blocks.push(Block::Chart(calendar(model)));
    }
    blocks.push(Block::Records(watched(model)));
    blocks.push(Block::Subsection("What is missing, and why".into()));
    blocks.push(Block::Records(missing(model)));
    if !model.stretches.is_empty() {
        blocks.push(Block::Subsection("Not missing, and to be known".into()));
        blocks.push(Block::Records(stretches(model)));
    }
    blocks.extend(late(model));
    blocks
}

/// Records of before that came after last month's packet was made: no packet's tables have them.
fn late(model: &Model<'_>) -> Option<Block> {
    let previous = model.facts.previous.as_ref()?;
    let late: Vec<u64> = model
        .facts
        .records
        .iter()
        .filter(|fact| fact.index >= previous.size && fact.record.clock.at < model.period.from)
        .map(|fact| fact.index)
        .collect();
    (!late.is_empty()).then(|| {
        let text = format!(
            "{} of before this period came after the packet of {} was made, so no packet tells of them: {}. The bundle holds them.",
            count(late.len(), "record"),
            previous.month.title(),
            named(&late)
        );
        Block::Note("Late.".into(), text, Tone::Warn)
    })
}

fn calendar(model: &Model<'_>) -> Chart {
    let days = |wanted| {
        let all = model.availability.iter().flat_map(|row| &row.days);
        all.filter(|day| **day == wanted).count()
    };
    let (whole, partly, not) = (days(Presence::Whole), days(Presence::Partly), days(Presence::Not));
    let words = format!(
        "Of {} of all appliances together, {} watched whole, {} in part and {} not at all.",
        count(whole + partly + not, "day"),
        grouped(whole),
        grouped(partly),
        grouped(not)
    );
    let row = |row: &crate::packet::Availability| (model.facts.name_of(row.appliance), row.days.clone());
    Chart {
        title: "Was each appliance watched, day by day?".into(),
        words,
        drawing: Drawing::Calendar(model.availability.iter().map(row).collect()),
    }
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

fn missing(model: &Model<'_>) -> Table {
    let time = |at: Option<proto::time::Millis>| at.map_or_else(|| "–".to_owned(), minute);
    let name = |gap: &Gap| {
        gap.appliance.map_or_else(|| "the log".to_owned(), |id: ApplianceId| model.facts.name_of(id))
    };
    let rows = model.gaps.iter().map(|gap| {
        let cause = gap.cause.as_str().to_owned();
        vec![name(gap), time(gap.from), time(gap.to), cause, gap.what.clone()]
    });
    let columns = ["Appliance", "From (UTC)", "To (UTC)", "Cause", "What is missing, and why"];
    Table { widths: vec![18, 18, 18, 13, 47], ..Table::new(&columns, rows.collect(), "Nothing is missing.") }
}

/// Records that came late, and times by a clock that nobody kept in step.
fn stretches(model: &Model<'_>) -> Table {
    let rows = model.stretches.iter().map(|stretch| {
        vec![
            model.facts.name_of(stretch.appliance),
            minute(stretch.from),
            minute(stretch.to),
            grouped(stretch.records),
            stretch.kind.sentence().to_owned(),
        ]
    });
    let columns = ["Appliance", "First (UTC)", "Last (UTC)", "Records", "What"];
    Table { numbers: vec![3], widths: vec![18, 18, 18, 11, 49], ..Table::new(&columns, rows.collect(), "") }
}
