//! Day by day: how the controls stood, and whether the boxes were watched. Days are UTC, as months are.

use std::{collections::BTreeMap, time::Duration};

use proto::{
    evidence::{Body, ControlName, Standing},
    ids::ApplianceId,
    time::Millis,
};

use crate::bundle::{Fact, Gap, GapKind, Period, Watch};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How the controls of all boxes stood at their newest look of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Of the month, from 1.
    pub day: usize,
    /// As they must be.
    pub compliant: u64,
    /// Not so, and excepted.
    pub excepted: u64,
    /// Not so.
    pub drifted: u64,
    /// Nobody could tell.
    pub blind: u64,
}

impl Share {
    /// Controls that were looked at, or were to be.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.compliant + self.excepted + self.drifted + self.blind
    }
}

/// How one box was watched on each day of the period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Availability {
    /// The box.
    pub appliance: ApplianceId,
    /// From the first on.
    pub days: Vec<Presence>,
}

/// Whether heartbeats vouch for a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// For all of it.
    Whole,
    /// For some of it.
    Partly,
    /// For none of it.
    Not,
    /// It was not there yet.
    NotYet,
}

/// The days of a period, the last cut off at its end.
fn days(period: &Period) -> Vec<Period> {
    let mut days = Vec::new();
    let mut from = period.from;
    while from < period.to {
        let to = from.plus(DAY).min(period.to);
        days.push(Period { from, to });
        from = to;
    }
    days
}

/// One for each day, in order; a day without a scan has no controls.
pub(super) fn shares(records: &[&Fact], period: &Period) -> Vec<Share> {
    let days = days(period);
    let mut found: Vec<BTreeMap<(ApplianceId, &ControlName), Standing>> = vec![BTreeMap::new(); days.len()];
    for fact in records {
        let Body::Scan(scan) = &fact.record.body else { continue };
        let at = fact.record.clock.at;
        let place = usize::try_from(at.since(period.from).as_secs() / DAY.as_secs()).unwrap_or(usize::MAX);
        let Some(day) = found.get_mut(place) else { continue };
        for (control, finding) in &scan.findings {
            day.insert((fact.record.identity.appliance, control), finding.standing);
        }
    }
    let share = |(n, found): (usize, BTreeMap<_, Standing>)| {
        let count = |wanted| found.values().filter(|standing| **standing == wanted).count() as u64;
        Share {
            day: n + 1,
            compliant: count(Standing::Compliant),
            excepted: count(Standing::Excepted),
            drifted: count(Standing::Drifted),
            blind: count(Standing::NotEvaluable),
        }
    };
    found.into_iter().enumerate().map(share).collect()
}

/// One for each box that was watched at all.
pub(super) fn availability(watches: &[Watch], gaps: &[Gap], period: &Period) -> Vec<Availability> {
    let days = days(period);
    let silent = |appliance: ApplianceId, within: &Period| -> Duration {
        let of_box =
            gaps.iter().filter(|gap| gap.kind == GapKind::Silence && gap.appliance == Some(appliance));
        of_box.filter_map(|gap| Some(within.overlap(gap.from?, gap.to?)?.length())).sum()
    };
    let presence = |watch: &Watch, day: &Period| {
        let end =
            Millis(watch.since.0.saturating_add(i64::try_from(watch.span.as_millis()).unwrap_or(i64::MAX)));
        let Some(counted) = day.overlap(watch.since, end) else { return Presence::NotYet };
        match silent(watch.appliance, &counted) {
            silent if silent.is_zero() => Presence::Whole,
            silent if silent >= counted.length() => Presence::Not,
            _ => Presence::Partly,
        }
    };
    let of = |watch: &Watch| Availability {
        appliance: watch.appliance,
        days: days.iter().map(|day| presence(watch, day)).collect(),
    };
    watches.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_is_cut_off_is_a_day() {
        let hour = Duration::from_secs(3600);
        let period = Period { from: Millis(0), to: Millis(0).plus(30 * hour) };
        let lengths: Vec<u64> = days(&period).iter().map(|day| day.length().as_secs() / 3600).collect();
        assert_eq!(lengths, [24, 6]);
    }

    #[test]
    fn a_day_is_watched_wholly_partly_or_not() {
        let hours = |n: u64| Millis(0).plus(Duration::from_secs(n * 3600));
        let period = Period { from: hours(0), to: hours(120) };
        let appliance: ApplianceId = "0190a0c0-0000-7000-8000-000000000002".parse().unwrap();
        let watch = Watch {
            appliance,
            since: hours(30),
            heartbeats: 0,
            silent: Duration::ZERO,
            longest: Duration::ZERO,
            span: Duration::from_secs(90 * 3600),
        };
        let gap = |from, to| Gap {
            kind: GapKind::Silence,
            cause: crate::bundle::Cause::Unknown,
            appliance: Some(appliance),
            from: Some(hours(from)),
            to: Some(hours(to)),
            what: String::new(),
        };
        let found = availability(&[watch], &[gap(70, 97)], &period);
        use Presence::{Not, NotYet, Partly, Whole};
        assert_eq!(found[0].days, [NotYet, Whole, Partly, Not, Partly]);
    }
}
