//! The time a bundle is judged over.
//!
//! The rule: silence is judged within a period, and nothing signs the provider's word for it. So it must not leave out
//! time that the bundle itself speaks of, it must be its packet's month, and an auditor may ask for another.

use std::time::Duration;

use proto::{log::Head, time::Millis};

use super::findings::Findings;
use crate::bundle::{Cause, Facts, Gap, GapKind, Period, Place, ProviderSays, Sign, minute};

/// How far the clocks of verifier, provider and appliance may lie apart.
const CLOCK_SLACK: Duration = Duration::from_secs(600);

/// What an auditor asks about; where no time is said, the provider's word is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// From when on.
    pub from: Option<Millis>,
    /// Until when.
    pub to: Option<Millis>,
    /// A head of the log that is known from elsewhere.
    pub head: Option<Head>,
}

/// The period that silence is judged within, and what is missing in what was said of it.
pub(super) struct Span {
    /// The period.
    pub(super) period: Period,
    /// Some of it is the provider's word.
    pub(super) said: bool,
    /// What the provider's word leaves out, and what nobody can know yet.
    pub(super) missing: Vec<Gap>,
}

/// The period of a packet is its month, as far as that was over when it was made.
pub(super) fn of_packet(said: &ProviderSays, findings: &mut Findings) {
    let Some(month) = said.packet else { return };
    let right = month.until(said.made_at);
    if said.period != right {
        let says = format!(
            "says a period from {} to {} UTC; that of a packet of {month} made {} UTC is {} to {} UTC",
            minute(said.period.from),
            minute(said.period.to),
            minute(said.made_at),
            minute(right.from),
            minute(right.to)
        );
        findings.fault(&Place::Manifest.to_string(), None, &says);
    }
}

/// Judges over what was asked for; else over what the provider says, and never over less than its records.
pub(super) fn judged(facts: &Facts, asked: Asked, now: Millis) -> Span {
    let said = facts.said.period;
    let mut missing = Vec::new();
    let mut gap = |from, to, what: String| {
        let (kind, cause) = (GapKind::Period, Cause::LeftOut);
        missing.push(Gap { kind, cause, appliance: None, from: Some(from), to: Some(to), what });
    };
    let (first, newest) = records(facts, now).unwrap_or((said.from, said.to));
    let from = asked.from.unwrap_or_else(|| {
        // A packet's month has its begin, however much there is before it.
        if facts.said.packet.is_some() || said.from <= first.plus(CLOCK_SLACK) {
            return said.from;
        }
        gap(first, said.from, "The provider's period leaves out its first records.".into());
        first
    });
    let to = asked.to.unwrap_or_else(|| {
        let newest = facts.said.packet.map_or(newest, |month| newest.min(month.end()));
        if newest <= said.to.plus(CLOCK_SLACK) {
            return said.to;
        }
        gap(said.to, newest, "The provider's period leaves out its newest records.".into());
        newest
    });
    if to <= from {
        gap(from, to, "That is no time at all.".into());
    }
    missing.extend(future(facts, to, now));
    Span { period: Period { from, to }, said: asked.from.is_none() || asked.to.is_none(), missing }
}

/// Times of the first and the newest record, without those that are still to come.
fn records(facts: &Facts, now: Millis) -> Option<(Millis, Millis)> {
    let read = || facts.traces.iter().filter(|trace| trace.sign != Sign::Unknown);
    let times = || read().map(|trace| trace.at).filter(|at| *at <= now.plus(CLOCK_SLACK));
    Some((times().min()?, times().max()?))
}

/// Times that have not come yet: nothing can be known of them.
fn future(facts: &Facts, to: Millis, now: Millis) -> Vec<Gap> {
    let limit = now.plus(CLOCK_SLACK);
    let gap = |what: String| {
        let (kind, cause) = (GapKind::Clock, Cause::Clock);
        Gap { kind, cause, appliance: None, from: Some(now), to: None, what }
    };
    let later = facts.traces.iter().filter(|trace| trace.at > limit).count();
    let records =
        (later > 0).then(|| gap(format!("{later} records are dated after now, {} UTC.", minute(now))));
    let ahead = to > limit;
    let period = ahead.then(|| gap(format!("The period ends {} UTC, which has not come yet.", minute(to))));
    records.into_iter().chain(period).collect()
}
