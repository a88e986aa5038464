//! Silence: heartbeats that were due and did not come, and clocks that were set back.
//!
//! The rule: a heartbeat promises the next one, and 2.5 times what it promised is waited for. A promise of more than a
//! day is none. Where a heartbeat rolls up the beats since the one before it, they tell finer: 2.5 times what a beat promised
//! is waited for, and only the stretch without any is silent. The span between the last heartbeat and the period's end counts like any other, so that records cut off
//! at the end are missed as much as any.

use std::time::Duration;

use proto::{
    evidence::{Beats, Body, ClockSource},
    ids::ApplianceId,
    time::Millis,
};

use super::{Cause, Chains, Gap, GapKind, lives};
use crate::bundle::{Facts, Period, Sign, Trace, minute, trace::patience_of};

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
    /// What it tells of the time before it, where that is something.
    beats: Option<Beats>,
}

/// One executor's chain. Its marks are made as they are looked at: a year of them is not kept twice.
struct Chain<'f>(&'f Facts, &'f [&'f Trace]);

impl Chain<'_> {
    fn marks(&self) -> impl DoubleEndedIterator<Item = Mark> {
        self.1.iter().filter_map(|trace| mark(self.0, trace))
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

fn all<'a>(facts: &'a Facts, chains: &'a Chains<'a>) -> Vec<Life<'a>> {
    let life = |(appliance, chains): (_, Vec<&'a [&'a Trace]>)| Life {
        appliance,
        executors: chains
            .into_iter()
            .map(|chain| Chain(facts, chain))
            .filter(|chain| chain.marks().next().is_some())
            .collect(),
    };
    lives(facts, chains).into_iter().map(life).filter(|life| !life.executors.is_empty()).collect()
}

fn mark(facts: &Facts, trace: &Trace) -> Option<Mark> {
    let beats = || match &facts.record(trace.index)?.body {
        Body::Heartbeat(beat) => beat.beats,
        _ => None,
    };
    let (patience, up, beats) = match trace.sign {
        Sign::Heartbeat(beat) => {
            (Some(beat.every().mul_f64(2.5)), Some(beat.up()), beat.tells().then(beats).flatten())
        }
        Sign::Enrolment => (None, None, None),
        Sign::Deed | Sign::Unknown => return None,
    };
    Some(Mark { at: trace.at, patience, up, source: trace.source, beats })
}

fn of_life(life: &Life<'_>, period: &Period) -> Vec<Gap> {
    let mut found = Vec::new();
    let mut gap = |kind, cause, from: Millis, to: Millis, what: String| {
        if period.overlap(from, to).is_some() {
            let (appliance, from, to) = (Some(life.appliance), Some(from), Some(to));
            found.push(Gap { kind, cause, appliance, from, to, what });
        }
    };
    for (n, chain) in life.executors.iter().enumerate() {
        for (a, b) in chain.marks().zip(chain.marks().skip(1)) {
            let patience = patience(a, b);
            if a.at.since(b.at) > patience {
                let what = format!("Its clock was set back from {} to {} UTC.", minute(a.at), minute(b.at));
                gap(GapKind::Clock, Cause::Clock, b.at, a.at, what);
            } else {
                for Silent { cause, from, to, what } in between(a, b, patience) {
                    gap(GapKind::Silence, cause, from, to, what);
                }
            }
        }
        let Some(last) = chain.marks().next_back() else { continue };
        match life.executors.get(n + 1).and_then(|next| next.marks().next()) {
            Some(next) if next.at < last.at => {
                let what = "Two executors of this box wrote at the same time: it was copied, or its clock was set back.";
                gap(GapKind::Overlap, Cause::SetUpAnew, next.at, last.at, what.into());
            }
            Some(next) if next.at.since(last.at) > patience(last, next) => {
                let what = "It was silent until its executor was set up anew.";
                gap(GapKind::Silence, Cause::SetUpAnew, last.at, next.at, what.into());
            }
            Some(_) => {}
            None if period.to.since(last.at) > last.patience.unwrap_or(default_patience()) => {
                let what = "It was silent from then on: offline or off, or what it sent was left out.";
                gap(GapKind::Silence, Cause::Offline, last.at, period.to, what.into());
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

/// A stretch in which a box did not say that it was there.
struct Silent {
    cause: Cause,
    from: Millis,
    to: Millis,
    what: String,
}

/// What is silent between two marks: the stretches that the second tells of, unless they leave some time open in which the
/// first had promised more.
fn between(a: Mark, b: Mark, patience: Duration) -> Vec<Silent> {
    let told = b.beats.map_or_else(Vec::new, |beats| lapses(a, b, &beats));
    let explained: Duration = told.iter().map(|silent| silent.to.since(silent.from)).sum();
    if b.at.since(a.at).saturating_sub(explained) <= patience {
        return told;
    }
    let (cause, what) = silence(a, b);
    vec![Silent { cause, from: a.at, to: b.at, what }]
}

/// Stretches without a beat, as the heartbeat after them places them.
fn lapses(a: Mark, b: Mark, beats: &Beats) -> Vec<Silent> {
    let span = |ms: u64| Duration::from_millis(ms);
    let within = |at: Millis| at.clamp(a.at, b.at.max(a.at));
    let waited = patience_of(beats);
    let mut found = Vec::new();
    if beats.off_ms > 0 && span(beats.off_ms) > waited {
        let to = within(b.at.minus(b.up.unwrap_or_default()));
        let what = match beats.boots {
            0 | 1 => format!("It was off until about {} UTC.", minute(to)),
            boots => {
                format!("It was booted {boots} times, the last about {} UTC, and off in between.", minute(to))
            }
        };
        found.push(Silent { cause: Cause::PoweredOff, from: within(to.minus(span(beats.off_ms))), to, what });
    }
    if span(beats.longest_ms) > waited {
        let to = within(b.at.minus(span(beats.longest_ago_ms)));
        let from = within(to.minus(span(beats.longest_ms)));
        let what = "The machine ran, or slept; its executor did not run.".into();
        found.push(Silent { cause: Cause::Unknown, from, to, what });
    }
    found
}

/// Why nothing came between two marks.
fn silence(a: Mark, b: Mark) -> (Cause, String) {
    let span = b.at.since(a.at);
    match (b.up, b.beats) {
        (_, Some(beats)) if beats.no_room_ms > 0 => {
            let what = "It ran on, but waiting evidence took up all of its room; it could sign nothing more.";
            (Cause::BufferFull, what.into())
        }
        (Some(up), _) if up < span => {
            let what = format!("It was off, or starting, until about {} UTC.", minute(b.at.minus(up)));
            (Cause::PoweredOff, what)
        }
        (_, beats) if a.source != b.source || beats.is_some_and(|beats| beats.clock_steps > 0) => {
            (Cause::Clock, "It ran on; its clock was set in between.".into())
        }
        _ => (Cause::Unknown, "It ran on, but its executor sent no heartbeat.".into()),
    }
}
