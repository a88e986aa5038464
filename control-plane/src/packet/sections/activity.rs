//! Activity: orders carried out, who asked and who approved; orders refused or held.

use std::collections::BTreeMap;

use proto::{act::Deed, time::Millis};

use super::{named, paragraph};
use crate::{
    bundle::minute,
    packet::{
        document::{Block, Table, Tone},
        model::{Action, Model},
        readings::{duration, grouped},
    },
};

const TONES: [(&str, Tone); 7] = [
    ("Restore proven", Tone::Good),
    ("Backed up", Tone::Good),
    ("Repaired", Tone::Good),
    ("Repaired, interrupted", Tone::Warn),
    ("Fault remains", Tone::Bad),
    ("Failed", Tone::Bad),
    ("Interrupted", Tone::Bad),
];

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    let mut blocks = vec![Block::Subsection("Orders carried out".into())];
    blocks.extend(done(model));
    blocks.push(Block::Subsection("Refused and held".into()));
    blocks.extend(refused(model));
    blocks.push(Block::Subsection("What operators and the control plane did".into()));
    blocks.extend(acts(model));
    blocks
}

/// Acts, in their own words; how incidents ended stands under incidents.
fn acts(model: &Model<'_>) -> Vec<Block> {
    let shown = model.acts.iter().filter(|fact| !matches!(fact.act.deed, Deed::Incident { .. }));
    let rows = shown.map(|fact| {
        let mut what = fact.act.deed.sentence();
        if let Some(appliance) = fact.act.deed.appliance() {
            what = what.replace(&appliance.to_string(), &model.facts.name_of(appliance));
        }
        vec![minute(fact.act.at), fact.act.by.to_string(), what, grouped(fact.index)]
    });
    let columns = ["When (UTC)", "Who", "What", "Record"];
    let empty = "No act of an operator or of the control plane was signed in this period.";
    vec![
        Block::Paragraph(format!(
            "The control plane signs what its operators did and what it did by itself, in a chain of its own beside the \
             appliances' records. It is the {}'s word, and shows that nothing was taken out afterwards.",
            model.differs().runner
        )),
        Block::Records(Table {
            numbers: vec![3],
            widths: vec![22, 22, 72, 10],
            ..Table::new(&columns, rows.collect(), empty)
        }),
    ]
}

/// Orders carried out: what happened, and who decided it.
fn done(model: &Model<'_>) -> Vec<Block> {
    let rows = alike(&model.actions).into_iter().map(|all| {
        let (first, last) = (all[0], all[all.len() - 1]);
        let more = |one: String, last: String| if all.len() == 1 { one } else { format!("{one}{last}") };
        vec![
            more(minute(first.at), format!("\nto {}", time(last.at))),
            model.facts.name_of(first.appliance),
            what(&all),
            first.result.to_owned(),
            first.hipaa.join("\n"),
            more(grouped(first.record), format!("\nand {} more", grouped(all.len() - 1))),
        ]
    });
    let columns = ["When (UTC)", "Appliance", "What was done", "Result", "45 CFR", "Record"];
    let empty = "No order was carried out in this period.";
    let mut blocks = vec![
        Block::Paragraph(
            "Each line is one order that an appliance accepted and carried out, or several alike of one day. The result is \
             what it measured afterwards, not what the procedure reported. The record is the number of the file in the \
             bundle's folder “evidence” that proves the line."
                .into(),
        ),
        Block::Records(Table {
            numbers: vec![5],
            widths: vec![22, 17, 41, 16, 24, 9],
            tones: TONES.to_vec(),
            ..Table::new(&columns, rows.collect(), empty)
        }),
    ];
    if !model.actions.is_empty() {
        blocks.push(Block::Subsection("Who asked and who approved".into()));
        blocks.push(Block::Records(decided(model)));
    }
    blocks
}

/// Orders of one day that did the same to the same with the same result, in the order of the first of each: nobody reads
/// a page of lines that differ in their minutes.
fn alike(actions: &[Action]) -> Vec<Vec<&Action>> {
    let mut places = BTreeMap::new();
    let mut all: Vec<Vec<&Action>> = Vec::new();
    for action in actions {
        let same = (
            day(action),
            action.appliance,
            &action.runbook,
            &action.target,
            action.result,
            &action.approvers,
        );
        let place = *places.entry(same).or_insert(all.len());
        match all.get_mut(place) {
            Some(others) => others.push(action),
            None => all.push(vec![action]),
        }
    }
    all
}

fn day(action: &Action) -> i64 {
    action.at.0.div_euclid(86_400_000)
}

fn time(at: Millis) -> String {
    let minute = minute(at);
    minute.split_once(' ').map_or(minute.clone(), |(_, time)| time.to_owned())
}

fn what(all: &[&Action]) -> String {
    let first = all[0];
    let about = if first.target.is_empty() { String::new() } else { format!(": {}", first.target) };
    let took = duration(all.iter().map(|action| action.took).sum());
    let did = match all.len() {
        1 => vec![first.change.clone(), format!("took {took}")],
        n => vec![format!("{} times", grouped(n)), format!("took {took} in all")],
    };
    let parts: Vec<String> = did.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{}{about}\n{}", first.title, parts.join("; "))
}

/// Who chose the runbook and why, and who approved; alike decisions in one line.
fn decided(model: &Model<'_>) -> Table {
    let mut alike: BTreeMap<[String; 4], Vec<u64>> = BTreeMap::new();
    for action in &model.actions {
        let approved =
            if action.approvers.is_empty() { "not needed".into() } else { action.approvers.join(", ") };
        let decision = [action.runbook.clone(), action.planner.clone(), action.reason.clone(), approved];
        alike.entry(decision).or_default().push(action.record);
    }
    let rows = alike.into_iter().map(|(decision, records)| {
        let count = grouped(records.len());
        decision.into_iter().chain([count, named(&records)]).collect()
    });
    let columns = ["Runbook", "Asked by", "Because", "Approved by", "Times", "Records"];
    Table {
        numbers: vec![4],
        widths: vec![20, 14, 34, 16, 8, 30],
        ..Table::new(&columns, rows.collect(), "")
    }
}

/// Orders that did not run.
fn refused(model: &Model<'_>) -> Vec<Block> {
    let rows = model.refused.iter().map(|refused| {
        let name = model.facts.name_of(refused.appliance);
        vec![
            minute(refused.at),
            name,
            refused.guardrail.clone(),
            refused.reason.clone(),
            grouped(refused.record),
        ]
    });
    let columns = ["When (UTC)", "Appliance", "By", "Why", "Record"];
    let table = Table::new(&columns, rows.collect(), "No order was refused or held.");
    let mut blocks = vec![
        paragraph(
            "An appliance refuses what is not signed, not meant for it, too old, seen before, not in the catalogue, or \
             outside its own limits. A refused order does nothing.",
        ),
        Block::Records(Table { numbers: vec![4], widths: vec![22, 19, 18, 50, 10], ..table }),
    ];
    if model.refused_counted > 0 {
        blocks.push(Block::Note(
            "Counted.".into(),
            format!(
                "{} further refusals came too fast to record each; the heartbeats count them.",
                grouped(model.refused_counted)
            ),
            Tone::Warn,
        ));
    }
    blocks
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::ids::ApplianceId;

    use super::*;

    fn action(record: u64, at: &str, target: &str, approver: Option<&str>) -> Action {
        Action {
            record,
            at: at.parse::<jiff::Timestamp>().map(|at| Millis(at.as_millisecond())).unwrap(),
            appliance: ApplianceId::new(Millis(0), [1; 10]),
            title: "Empty it".into(),
            runbook: "RB-DISK-002".into(),
            target: target.into(),
            change: "size: 2.0 MB → 1.0 MB".into(),
            result: "Repaired",
            good: true,
            hipaa: Vec::new(),
            planner: "rules".into(),
            approvers: approver.map(ToOwned::to_owned).into_iter().collect(),
            reason: String::new(),
            took: Duration::from_secs(40),
        }
    }

    #[test]
    fn what_is_alike_on_one_day_is_one_line_and_nothing_else_is() {
        let all = [
            action(1, "2026-11-03T00:00:00Z", "uploads", None),
            action(2, "2026-11-03T10:00:00Z", "scans", None),
            action(3, "2026-11-03T23:59:59.999Z", "uploads", None),
            action(4, "2026-11-03T12:00:00Z", "uploads", Some("ann")),
            action(5, "2026-11-04T00:00:00Z", "uploads", None),
        ];
        let lines = alike(&all);
        let records: Vec<Vec<u64>> =
            lines.iter().map(|line| line.iter().map(|action| action.record).collect()).collect();
        assert_eq!(records, [vec![1, 3], vec![2], vec![4], vec![5]]);
        assert_eq!(what(&lines[0]), "Empty it: uploads\n2 times; took 80 s in all");
        assert_eq!(what(&lines[1]), "Empty it: scans\nsize: 2.0 MB → 1.0 MB; took 40 s");
    }
}
