//! What redaction leaves, what it takes too much, and how fast it is; on templates that it was not built on.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use appliance::redact::redact_into;

use super::{
    Effort,
    report::{Row, in_turn, rate},
};
use crate::phi::{self, Sample};

/// Goals for templates that were held out: of all identifiers, of those of the worst class, and of what is removed.
const RECALL: f64 = 0.98;
const WORST: f64 = 0.9;
const PRECISION: f64 = 0.9;
/// Goal in MB a second, on one core.
const SPEED: f64 = 100.0;

pub(super) fn run(work: &Path, effort: &Effort) -> Result<Vec<Row>> {
    let corpus = work.join("phi.jsonl");
    phi::generate(&corpus, effort.samples)?;
    let samples = phi::read(&corpus)?;
    let figures = phi::measure(&samples, "held-out");
    let (class, worst) = figures.worst().context("the corpus has identifiers")?;
    let share = |what: String, ours: f64, goal: f64| Row {
        what,
        ours,
        unit: "share",
        against: "all there are; ratio = ours / theirs".to_owned(),
        theirs: 1.0,
        ratio: ours,
        goal,
    };
    let removed =
        "removals on held-out templates that met an identifier (the logger's own times not counted)";
    Ok(vec![
        share(
            format!("identifiers on held-out templates that are gone, of {}", figures.recall.of),
            figures.recall.fraction(),
            RECALL,
        ),
        share(format!("the same, of the worst class: {class}"), worst, WORST),
        share(removed.to_owned(), figures.precision.fraction(), PRECISION),
        share("the same by bytes".to_owned(), figures.bytes.fraction(), PRECISION),
        speed(&samples, effort)?,
    ])
}

/// Against what is asked; all text here is full of identifiers, so this is the worst of cases.
fn speed(samples: &[Sample], effort: &Effort) -> Result<Row> {
    let text = samples.iter().map(|sample| sample.text.as_str()).collect::<Vec<_>>().join("\n");
    let megabytes = text.len() as f64 / 1e6;
    let mut out = Vec::with_capacity(2 * text.len());
    let figures = in_turn(
        effort.rounds,
        || {
            let (times, ()) = rate(1, || {
                out.clear();
                redact_into(text.as_bytes(), &mut out);
                Ok(())
            })?;
            Ok((times * megabytes, ()))
        },
        |()| Ok(SPEED),
    )?;
    let what = format!(
        "MB of clinical log text redacted per second on one core ({megabytes:.1} MB, all of it full of identifiers)"
    );
    let row = Row::of_rates(what, "MB/s", "the goal", figures, 1.0);
    fs::write("/dev/null", &out)?;
    Ok(row)
}
