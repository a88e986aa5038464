//! Whether a unit is up, and how often it came back by itself: one that is up whenever somebody looks may have crashed in
//! between.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use proto::evidence::Readings;

use super::readings;
use crate::{
    config::Unit,
    executor::steps::{Limit, manager},
};

/// How far back restarts are counted.
const LATELY: Duration = Duration::from_secs(600);

/// What was seen of each unit's counter, oldest first (boot-time clock): only where it had changed, and one look that lies
/// further back than what is counted.
#[derive(Default)]
pub(in crate::executor::steps) struct Counters(Mutex<BTreeMap<String, Vec<(Duration, u32)>>>);

impl Counters {
    /// By how much a counter has risen lately.
    fn risen(&self, unit: &str, count: u32, now: Duration) -> i64 {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all.entry(unit.to_owned()).or_default();
        // Somebody started it anew, and it counts from zero.
        if seen.last().is_some_and(|(_, before)| *before > count) {
            seen.clear();
        }
        if seen.last().is_none_or(|(_, before)| *before != count) {
            seen.push((now, count));
        }
        let old = seen.iter().rposition(|(at, _)| *at + LATELY <= now).unwrap_or(0);
        seen.drain(..old);
        i64::from(count - seen[0].1)
    }
}

/// `active`: 1 up, 0 not, −1 no such unit, absent when systemd cannot be asked; `restarts`: how often systemd has restarted it by
/// itself since it was started; `restarted`: how often in the last ten minutes, and the limit of that.
pub(in crate::executor::steps) fn read(
    root: &Path,
    entry: &Unit,
    counters: &Counters,
    limit: &Limit<'_>,
) -> Readings {
    let most = ("restarts_limit", i64::from(entry.restarts_limit));
    let state = match manager::unit(root, &entry.unit, limit) {
        Ok(state) => state,
        Err(error) => {
            tracing::warn!(watch.id = %entry.id, "systemd does not say how {} stands: {error}", entry.id);
            // Whoever cannot be asked has not said that it is down.
            return readings([most]);
        }
    };
    let active = if state.load == "loaded" { i64::from(state.is_up()) } else { -1 };
    let restarted = counters.risen(&entry.unit, state.restarts, limit.clock.boot());
    readings([("active", active), ("restarts", i64::from(state.restarts)), ("restarted", restarted), most])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_count_for_as_long_as_they_are_lately_and_from_the_first_look_on() {
        let counters = Counters::default();
        let at = |minute: u64, count| counters.risen("it", count, Duration::from_secs(minute * 60));
        assert_eq!(at(0, 40), 0, "what was before, nobody saw");
        assert_eq!([at(1, 41), at(2, 41), at(3, 45)], [1, 1, 5]);
        assert_eq!([at(11, 45), at(12, 45), at(13, 45)], [4, 4, 0]);
        assert_eq!(at(20, 46), 1);
        assert_eq!([at(21, 0), at(22, 2)], [0, 2], "started anew, it counts anew");
        assert_eq!(counters.risen("another", 7, Duration::from_secs(1320)), 0);
    }

    #[test]
    fn of_a_unit_about_which_systemd_cannot_be_asked_nothing_is_said() {
        let (clock, stop) = (crate::clock::SystemClock, crate::executor::steps::Stop::default());
        let ends = crate::world::Clock::boot(&clock) + Duration::from_secs(90);
        let limit = Limit { clock: &clock, stop: &stop, ends };
        let root = tempfile::tempdir().unwrap();
        let entry: Unit = toml::from_str("id = \"it\"\nunit = \"it.service\"").unwrap();
        let found = read(root.path(), &entry, &Counters::default(), &limit);
        assert_eq!(runbooks::Fault::UnitDown.holds(&found), None, "{found:?}");
        assert_eq!(runbooks::Fault::UnitCrashing.holds(&found), None, "{found:?}");
    }
}
