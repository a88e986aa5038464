//! Silence: heartbeats that were due and did not come, and clocks that were set back.
//!
//! The rule: a heartbeat promises the next one, and 2.5 times what it promised is waited for. A promise of more than a
//! day is none. The span between the last heartbeat and the period's end counts like any other, so that records cut off
//! at the end are missed as much as any.

use std::time::Duration;

use proto::{evidence::ClockSource, ids::ApplianceId, time::Millis};

use super::{Chains, Gap, GapKind, lives};
use crate::bundle::{Facts, Period, Sign, Trace, minute};

/// What is taken for promised where no heartbeat has come yet.
const PROMISE_DEFAULT: Duration = Duration::from_secs(3600);

/// How well one appliance was watched in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// The box.
    pub appliance: ApplianceId,
    /// From when on it counts: the period's begin, or its first record.
    pub since: Millis,
    /// Heartbeats within the period.
    pub heartbeats: u64,
    /// Time within the period that no heartbeat vouches for.
    pub silent: Duration,
    /// The longest such span.
    pub longest: Duration,
    /// Time that counts.
    pub span: Duration,
}

/// A sign of life.
#[derive(Clone, Copy)]
struct Mark {
    at: Millis,
    /// What is waited for after it; `None`: it promised nothing.
    patience: Option<Duration>,
    up: Option<Duration>,
    source: ClockSource,
}

/// One executor's chain. Its marks are made as they are looked at: a year of them is not kept twice.
struct Chain<'f>(&'f [&'f Trace]);

impl Chain<'_> {
    fn marks(&self) -> impl DoubleEndedIterator<Item = Mark> {
        self.0.iter().filter_map(|trace| mark(trace))
    }
}

/// One appliance, and those of its executors that gave a sign of life.
struct Life<'f> {
    appliance: ApplianceId,
    executors: Vec<Chain<'f>>,
}

/// Silence and clocks set back, within `period`.
pub(super) fn gaps(facts: &Facts, period: &Period) -> Vec<Gap> {
    all(facts, &facts.chains()).iter().flat_map(|life| of_life(life, period)).collect()
}

/// How well each appliance was watched in `period`; those that were not there yet are left out.
#[must_use]
pub fn watches(facts: &Facts, period: &Period) -> Vec<Watch> {
    all(facts, &facts.chains()).iter().filter_map(|life| watch(life, period)).collect()
}

/// The longest time at the end of a period that may be missing without being missed.
pub(in crate::bundle) fn blind_end(facts: &Facts) -> Option<Duration> {
    let chains = facts.chains();
    let last = |life: &Life<'_>| {
        let mark = life.executors.last()?.marks().next_back()?;
        Some(mark.patience.unwrap_or(default_patience()))
    };
    all(facts, &chains).iter().filter_map(last).max()
}

fn all<'a>(facts: &Facts, chains: &'a Chains<'a>) -> Vec<Life<'a>> {
    let life = |(appliance, chains): (_, Vec<&'a [&'a Trace]>)| Life {
        appliance,
        executors: chains.into_iter().map(Chain).filter(|chain| chain.marks().next().is_some()).collect(),
    };
    lives(facts, chains).into_iter().map(life).filter(|life| !life.executors.is_empty()).collect()
}

fn mark(trace: &Trace) -> Option<Mark> {
    let (patience, up) = match trace.sign {
        Sign::Heartbeat(beat) => (Some(beat.every().mul_f64(2.5)), Some(beat.up())),
        Sign::Enrolment => (None, None),
        Sign::Deed | Sign::Unknown => return None,
    };
    Some(Mark { at: trace.at, patience, up, source: trace.source })
}

fn of_life(life: &Life<'_>, period: &Period) -> Vec<Gap> {
    let mut found = Vec::new();
    let mut gap = |kind, from: Millis, to: Millis, what: String| {
        if period.overlap(from, to).is_some() {
            found.push(Gap { kind, appliance: Some(life.appliance), from: Some(from), to: Some(to), what });
        }
    };
    for (n, chain) in life.executors.iter().enumerate() {
        for (a, b) in chain.marks().zip(chain.marks().skip(1)) {
            let patience = patience(a, b);
            if a.at.since(b.at) > patience {
                let what = format!("Its clock was set back from {} to {} UTC.", minute(a.at), minute(b.at));
                gap(GapKind::Clock, b.at, a.at, what);
            } else if b.at.since(a.at) > patience {
                gap(GapKind::Silence, a.at, b.at, silence(a, b));
            }
        }
        let Some(last) = chain.marks().next_back() else { continue };
        match life.executors.get(n + 1).and_then(|next| next.marks().next()) {
            Some(next) if next.at < last.at => {
                let what = "Two executors of this box wrote at the same time: it was copied, or its clock was set back.";
                gap(GapKind::Overlap, next.at, last.at, what.into());
            }
            Some(next) if next.at.since(last.at) > patience(last, next) => {
                gap(
                    GapKind::Silence,
                    last.at,
                    next.at,
                    "It was silent until its executor was set up anew.".into(),
                );
            }
            Some(_) => {}
            None if period.to.since(last.at) > last.patience.unwrap_or(default_patience()) => {
                gap(GapKind::Silence, last.at, period.to, "It was silent from then on.".into());
            }
            None => {}
        }
    }
    found
}

fn watch(life: &Life<'_>, period: &Period) -> Option<Watch> {
    let begin = life.executors.iter().filter_map(|chain| chain.marks().next()).map(|mark| mark.at).min()?;
    let since = begin.max(period.from);
    let counted = period.overlap(since, period.to)?;
    let silent: Vec<Duration> = of_life(life, &counted)
        .iter()
        .filter(|gap| gap.kind == GapKind::Silence)
        .filter_map(|gap| Some(counted.overlap(gap.from?, gap.to?)?.length()))
        .collect();
    let marks = life.executors.iter().flat_map(Chain::marks);
    let beats = marks.filter(|mark| mark.up.is_some() && period.contains(mark.at)).count();
    Some(Watch {
        appliance: life.appliance,
        since,
        heartbeats: beats as u64,
        silent: silent.iter().sum::<Duration>().min(counted.length()),
        longest: silent.into_iter().max().unwrap_or_default(),
        span: counted.length(),
    })
}

/// What is waited for after `a`; where it promised nothing, the next one's word is taken.
fn patience(a: Mark, b: Mark) -> Duration {
    a.patience.or(b.patience).unwrap_or(default_patience())
}

fn default_patience() -> Duration {
    PROMISE_DEFAULT.mul_f64(2.5)
}

fn silence(a: Mark, b: Mark) -> String {
    let span = b.at.since(a.at);
    match b.up {
        Some(up) if up < span => {
            format!("It was off, or starting, until about {} UTC.", minute(b.at.minus(up)))
        }
        _ if a.source != b.source => "It ran on; its clock was set in between.".into(),
        _ => "It ran on, but its executor sent no heartbeat.".into(),
    }
}
