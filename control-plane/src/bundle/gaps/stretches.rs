//! Stretches that hide nothing, and that a reader should know of: records that waited for a link, and times by a clock that
//! nobody kept in step.
//!
//! The rule: nothing is missing of them, so they are no gaps. What an executor had seen of the log tells whether it had a link:
//! online it has seen, within seconds, each record that it signed.

use std::time::Duration;

use proto::{evidence::Synchronised, ids::ApplianceId, time::Millis};
use serde::Serialize;

use super::Chains;
use crate::bundle::{Facts, Period, Trace};

/// How long an executor may sign without having seen what it signed before. An exchange that is slow is no lost link.
const LINKED: Duration = Duration::from_secs(1800);

/// A stretch of one box's records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// In a word.
    pub kind: StretchKind,
    /// Whose.
    pub appliance: ApplianceId,
    /// Time of its first record.
    pub from: Millis,
    /// Time of its last.
    pub to: Millis,
    /// How many.
    pub records: u64,
}

/// Kinds of stretches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StretchKind {
    /// They waited on the box: it had no link to the log, or none that it believed.
    Offline,
    /// The box's time service said that its clock was not in step.
    Unsynchronised,
}

impl StretchKind {
    /// For people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Offline => "Offline: these records waited on the box, and came whole.",
            Self::Unsynchronised => "Clock: by its own time service, it was not in step.",
        }
    }
}

/// All that reach into `period`, box by box, the oldest first.
#[must_use]
pub fn stretches(facts: &Facts, period: &Period) -> Vec<Stretch> {
    let chains: Chains<'_> = facts.chains();
    let mut all = Vec::new();
    for chain in chains.values() {
        let Some(appliance) = chain.first().and_then(|first| facts.appliance_of(first)) else { continue };
        let mut add = |kind, of: &[&Trace]| {
            let (Some(first), Some(last)) = (of.first(), of.last()) else { return };
            let (from, to, records) = (first.at, last.at.max(first.at), of.len() as u64);
            if period.contains(from) || period.overlap(from, to).is_some() {
                all.push(Stretch { kind, appliance, from, to, records });
            }
        };
        unlinked(chain).for_each(|of| add(StretchKind::Offline, of));
        let is_off = |trace: &&Trace| trace.synchronised == Some(Synchronised::No);
        let runs =
            chain.chunk_by(|a, b| is_off(a) == is_off(b)).filter(|run| run.first().is_some_and(is_off));
        runs.for_each(|of| add(StretchKind::Unsynchronised, of));
    }
    all.sort_by_key(|stretch| (stretch.appliance, stretch.from, stretch.kind));
    all
}

/// Runs of records that their executor signed without having seen the first of them in the log.
fn unlinked<'a, 'f>(chain: &'a [&'f Trace]) -> impl Iterator<Item = &'a [&'f Trace]> {
    let mut runs = Vec::new();
    let mut oldest = 0;
    let mut end = |from: usize, to: usize| {
        let run = &chain[from..to];
        let is_long = run.first().zip(run.last()).is_some_and(|(a, b)| b.at.since(a.at) >= LINKED);
        if is_long {
            runs.push(run);
        }
    };
    for (n, trace) in chain.iter().enumerate() {
        let seen = trace.seen().unwrap_or(0);
        if chain[oldest].index < seen {
            end(oldest, n);
            oldest = (oldest..n).find(|at| chain[*at].index >= seen).unwrap_or(n);
        }
    }
    end(oldest, chain.len());
    runs.into_iter()
}
