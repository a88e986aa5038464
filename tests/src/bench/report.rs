//! Rows of a bench: how they come to be, as a table, and as a file.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;
use serde::Serialize;

use crate::clock;

/// One comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What of ours was measured.
    pub what: String,
    /// Our figure.
    pub ours: f64,
    /// Its unit, and that of theirs.
    pub unit: &'static str,
    /// What it is held against, and how the ratio is made.
    pub against: String,
    /// The other figure.
    pub theirs: f64,
    /// Higher is better.
    pub ratio: f64,
    /// What the ratio should reach.
    pub goal: f64,
}

impl Row {
    /// Of two rates: ours by theirs.
    pub(super) fn of_rates(
        what: String,
        unit: &'static str,
        against: &str,
        (ours, theirs): (f64, f64),
        goal: f64,
    ) -> Self {
        let against = format!("{against}; ratio = ours / theirs");
        Self { what, ours, unit, against, theirs, ratio: ours / theirs, goal }
    }

    /// Of two times: theirs by ours.
    pub(super) fn of_times(
        what: String,
        unit: &'static str,
        against: &str,
        (ours, theirs): (f64, f64),
        goal: f64,
    ) -> Self {
        let against = format!("{against}; ratio = theirs / ours");
        Self { what, ours, unit, against, theirs, ratio: theirs / ours, goal }
    }
}

/// Runs ours, then theirs on what ours left for it, and so on; gives the median of each.
pub(super) fn in_turn<T>(
    rounds: usize,
    mut ours: impl FnMut() -> Result<(f64, T)>,
    mut theirs: impl FnMut(T) -> Result<f64>,
) -> Result<(f64, f64)> {
    let (mut our_figures, mut their_figures) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (figure, left) = ours()?;
        our_figures.push(figure);
        their_figures.push(theirs(left)?);
    }
    Ok((quantile(&mut our_figures, 0.5), quantile(&mut their_figures, 0.5)))
}

/// How many a second, when `count` are done by `work`.
pub(super) fn rate<T>(count: usize, work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let start = clock::instant();
    let done = work()?;
    Ok((per_second(count, clock::since(start)), done))
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
pub(super) fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "a figure to be printed")]
pub(super) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The value that a share of all is at most, by nearest rank.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank lies between 0 and the number of values"
)]
pub(super) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Prints the table, and under it what the rows are.
pub(super) fn print(rows: &[Row]) {
    println!("     {:>12} {:>12}  {:<14} {:>7} {:>6}", "ours", "theirs", "unit", "ratio", "goal");
    for (number, row) in (1..).zip(rows) {
        println!(
            "  {number}  {:>12.1} {:>12.1}  {:<14} {:>7.3} {:>6.2}",
            row.ours, row.theirs, row.unit, row.ratio, row.goal
        );
    }
    for (number, row) in (1..).zip(rows) {
        println!("  {number}  {}\n     against {}", row.what, row.against);
    }
}

#[derive(Serialize)]
struct Report<'a> {
    bench: &'a str,
    rows: &'a [Row],
}

/// Writes `NAME.json`.
pub(super) fn write(folder: &Path, name: &str, rows: &[Row]) -> Result<()> {
    let text = serde_json::to_string_pretty(&Report { bench: name, rows })?;
    Ok(fs::write(folder.join(format!("{name}.json")), text + "\n")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let found = [0.5, 0.99, 1.0].map(|share| quantile(&mut values, share));
        assert_eq!(found, [50.0, 99.0, 100.0]);
        assert_eq!([0.5, 0.99].map(|share| quantile(&mut [7.0], share)), [7.0, 7.0]);
    }

    #[test]
    fn better_is_higher_for_rates_and_for_times() {
        assert_eq!(Row::of_rates(String::new(), "1/s", "", (50.0, 100.0), 1.0).ratio, 0.5);
        assert_eq!(Row::of_times(String::new(), "ms", "", (50.0, 100.0), 1.0).ratio, 2.0);
    }
}
