//! The server is killed while a thousand appliances send, and all come back at once: what it takes until all is through.
//!
//! The rule: nothing that was acknowledged is lost, and nothing is kept twice, however often it was sent; so the database is
//! counted at the end. Appliances wait between two tries as agents do (`appliance::agent::run::backoff`).

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    Effort,
    crowd::{Ask, Beside, Kind, Part, Place, Told, enrol},
    exchange::kept,
    report::Row,
    stage,
};
use crate::clock;

/// Until everybody is through, from the new server's start on, in milliseconds.
const LIMIT_MS: f64 = 30_000.0;
/// Pauses are drawn, so the crowd comes as a wave and not as a wall: its crest is at most so much above the mean.
const GOAL: f64 = 0.25;

pub(super) fn run(work: &Path, effort: &Effort) -> Result<Vec<Row>> {
    let mut provider = stage::installed(work)?;
    let members = enrol(&provider.dir, effort.crowd)?;
    provider.start()?;
    let mut crowd = Beside::start(Part::Crowd, &members)?;
    crowd.ask(&Ask::Open(Place::Ours, provider.appliances))?;
    ensure!(
        matches!(crowd.ask(&Ask::Storm(effort.batches_each))?, Told::Early),
        "all was through before the server was killed"
    );
    provider.kill()?;
    let start = clock::now().0;
    provider.spawn()?;
    let Told::Moments(moments) = crowd.hear()? else { bail!("the crowd did not come through") };
    provider.check()?;
    provider.stop()?;

    let batches = effort.crowd * effort.batches_each;
    ensure!(moments.len() == batches, "{batches} batches, {} acknowledgements", moments.len());
    kept(&provider, batches * Kind::Both.events(), batches * Kind::Both.evidence() + effort.crowd)?;
    let after: Vec<i64> = moments.into_iter().map(|at| at - start).filter(|at| *at > 0).collect();
    let (first, last) = (after.iter().min().context("some came after")?, after.iter().max().context("some")?);
    let mut seconds = BTreeMap::<i64, u32>::new();
    for at in &after {
        *seconds.entry((at - first) / 1000).or_default() += 1;
    }
    let peak = f64::from(seconds.values().copied().max().unwrap_or_default());
    let whole = f64::from(u32::try_from((last - first) / 1000 + 1)?);
    let mean = f64::from(u32::try_from(after.len())?) / whole;
    let what = format!(
        "the server killed while {} appliances send {} batches each (ten events, one evidence record), and started again; \
         {} were acknowledged before, nothing lost, nothing twice: until all are through",
        effort.crowd,
        effort.batches_each,
        batches - after.len()
    );
    let times = (f64::from(u32::try_from(*last)?), LIMIT_MS);
    let of_peak = format!(
        "the same: batches acknowledged a second, on average over {whole} s, the first {first} ms after the start; peak to mean \
         {:.2}",
        peak / mean
    );
    Ok(vec![
        Row::of_times(what, "ms", "what it may take", times, 1.0),
        Row::of_rates(of_peak, "batches/s", "the busiest of these seconds", (mean, peak), GOAL),
    ])
}
