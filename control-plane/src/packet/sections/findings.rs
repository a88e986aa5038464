//! Findings: what does not hold, since when, how bad it is and what is to be done; and how the controls stood day by day.

use baseline::{Baseline, Control, Repair};

use super::{count, named, paragraph, percent};
use crate::{
    bundle::{
        day,
        findings::{Drift, Ended},
        minute,
    },
    packet::{
        document::{Block, Chart, Drawing, Table, Tone},
        model::{Model, Share},
        readings::{duration, grouped},
    },
};

const TONES: [(&str, Tone); 3] = [("Open", Tone::Bad), ("Mended", Tone::Good), ("Excepted", Tone::Warn)];

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    let baseline = &Baseline::hipaa_v1().title;
    let mut blocks = vec![Block::Paragraph(format!(
        "Each appliance looks at its own live system and compares it with {baseline}. It signs what it found every day, and \
             whenever what has drifted changes. A control that could not be looked at is never counted as fine."
    ))];
    if model.shares.iter().any(|share| share.all() > 0) {
        blocks.push(Block::Chart(compliance(&model.shares)));
    }
    blocks.extend([
        Block::Subsection("Findings".into()),
        Block::Records(findings(model)),
        Block::Subsection("Plan of action and milestones".into()),
        paragraph(
            "For every finding that is open at the period's end: who puts it right, and by when work should be asked after. The \
             days are this product's proposal by how bad it is; no rule sets them.",
        ),
        Block::Records(plan(model)),
        Block::Subsection("Newest scan of each appliance".into()),
        Block::Records(newest(model)),
    ]);
    blocks
}

/// The chart: on each day, all controls of all boxes at their newest look of the day.
fn compliance(shares: &[Share]) -> Chart {
    let scanned: Vec<&Share> = shares.iter().filter(|share| share.all() > 0).collect();
    let part = |share: &Share| u128::from(share.compliant) * 1_000_000 / u128::from(share.all().max(1));
    let worst = scanned.iter().min_by_key(|share| part(share));
    let last = scanned.last();
    let mut words =
        format!("On {} of {} controls were looked at.", scanned.len(), count(shares.len(), "day"));
    if let (Some(worst), Some(last)) = (worst, last) {
        words.push_str(&format!(
            " The share that was as it must be was lowest on day {} with {}, and {} on day {}, the last.",
            worst.day,
            percent(worst.compliant, worst.all()),
            percent(last.compliant, last.all()),
            last.day
        ));
    }
    Chart {
        title: "Compliance with the baseline over the month".into(),
        words,
        drawing: Drawing::Days {
            kinds: ["Compliant", "Excepted", "Drifted", "Not evaluable"],
            days: shares
                .iter()
                .map(|share| (share.day, [share.compliant, share.excepted, share.drifted, share.blind]))
                .collect(),
        },
    }
}

fn control(drift: &Drift<'_>) -> Option<&'static Control> {
    Baseline::hipaa_v1().control(drift.control.to_string().parse().ok()?)
}

fn findings(model: &Model<'_>) -> Table {
    let rows = model.drifts.iter().map(|drift| {
        let found = control(drift);
        let (status, end) = match drift.ended {
            None => ("Open", model.period.to),
            Some((moment, Ended::Mended)) => ("Mended", moment.at),
            Some((moment, Ended::Excepted)) => ("Excepted", moment.at),
        };
        vec![
            drift.control.to_string(),
            found.map_or_else(|| "not of this baseline".to_owned(), |control| control.title.clone()),
            found.map_or_else(|| "–".to_owned(), |control| control.severity.to_string()),
            model.facts.name_of(drift.appliance),
            minute(drift.since.at),
            status.to_owned(),
            duration(end.since(drift.since.at)),
            named(&drift.scans),
        ]
    });
    let columns =
        ["Control", "What must be so", "Severity", "Appliance", "Since (UTC)", "Status", "Age", "Records"];
    let empty = "No scan of this period found a control drifted, and none was open before.";
    Table {
        numbers: vec![6],
        widths: vec![13, 28, 12, 17, 22, 13, 10, 16],
        tones: TONES.to_vec(),
        ..Table::new(&columns, rows.collect(), empty)
    }
}

fn plan(model: &Model<'_>) -> Table {
    let runner = model.differs().runner;
    let rows = model.open().map(|drift| {
        let found = control(drift);
        let (who, days) = match found {
            Some(control) => (who(control, runner), u32::from(days_for(control))),
            None => (format!("The {runner} finds out what it is."), 30),
        };
        let due = drift.since.at.plus(std::time::Duration::from_secs(u64::from(days) * 24 * 3600));
        let late = if due < model.period.to { " (past)" } else { "" };
        vec![
            format!("{} on {}", drift.control, model.facts.name_of(drift.appliance)),
            who,
            duration(model.period.to.since(drift.since.at)),
            format!("{}{late}", day(due)),
        ]
    });
    let columns = ["Finding", "What is to be done, and by whom", "Age", "Ask by"];
    let empty = "Nothing is open.";
    Table { numbers: vec![2], widths: vec![30, 60, 12, 26], ..Table::new(&columns, rows.collect(), empty) }
}

/// Who puts a control right.
pub(super) fn who(control: &Control, runner: &str) -> String {
    if let Repair::None { why } = &control.repair {
        return format!("A person puts it right. {why}");
    }
    let runbook = control.repair.runbook().unwrap_or("none");
    format!("Runbook {runbook} puts it right; why it has not yet, the {runner} finds out.")
}

/// After how many days an open finding is asked after.
fn days_for(control: &Control) -> u8 {
    use baseline::Severity::{Critical, High, Low, Medium};
    match control.severity {
        Critical => 1,
        High => 7,
        Medium => 30,
        Low => 90,
    }
}

/// Of each box: how its controls stood at the last day that looked.
fn newest(model: &Model<'_>) -> Table {
    use proto::evidence::{Body, Standing};
    let all: std::collections::BTreeMap<_, _> = model
        .records
        .iter()
        .filter_map(|fact| match &fact.record.body {
            Body::Scan(scan) => Some((fact.record.identity.appliance, (*fact, scan))),
            _ => None,
        })
        .collect();
    let rows = all.into_iter().map(|(appliance, (fact, scan))| {
        let of = |standing| grouped(scan.standing(standing).count());
        vec![
            model.facts.name_of(appliance),
            minute(fact.record.clock.at),
            of(Standing::Compliant),
            of(Standing::Drifted),
            of(Standing::Excepted),
            of(Standing::NotEvaluable),
            fact.index.to_string(),
        ]
    });
    let columns =
        ["Appliance", "Newest scan (UTC)", "Compliant", "Drifted", "Excepted", "Not evaluable", "Record"];
    let empty = "No scan of the baseline was signed in this period.";
    Table { numbers: vec![2, 3, 4, 5, 6], ..Table::new(&columns, rows.collect(), empty) }
}
