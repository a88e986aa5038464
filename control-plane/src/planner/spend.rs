//! Whether a model is asked at all: a budget for each clinic and day, and a breaker for a model that misbehaves.
//!
//! The rule: both are read from the calls that were kept, so a restart forgets neither; whoever is not asked costs nothing,
//! because the rules decide at once.

use std::time::Duration;

use proto::time::Millis;

/// After so many calls in a row that came to nothing, no more are made for a while.
pub const BREAKER_AFTER: u64 = 3;
/// How long first; doubled with each further one, up to the last.
const OPEN_FIRST: Duration = Duration::from_secs(60);
const OPEN_LAST: Duration = Duration::from_secs(3600);
/// The most calls under way: what comes on top would only wait.
pub const AT_ONCE: u64 = 8;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// What is known of the calls made so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// Made for this clinic today.
    pub today: u64,
    /// Under way, for all clinics.
    pub under_way: u64,
    /// That came to nothing since the last one that did not, for all clinics.
    pub failed_in_a_row: u64,
    /// When the newest of those ended.
    pub last_failed: Millis,
}

/// Why a model is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Held {
    /// The clinic's calls of today are used up.
    #[error("this clinic's {0} calls of today are used up")]
    Budget(u64),
    /// It misbehaved too often.
    #[error("it came to nothing {failed} times in a row; it is not asked before {until}")]
    Breaker {
        /// How often.
        failed: u64,
        /// Until then.
        until: Millis,
    },
    /// One call tries whether it behaves again.
    #[error("it came to nothing {0} times in a row, and another call is trying it")]
    Trying(u64),
    /// Enough wait for it.
    #[error("{0} calls are under way already")]
    Busy(u64),
}

/// The beginning of the day (UTC) that `now` is in.
#[must_use]
pub fn day_of(now: Millis) -> Millis {
    Millis(now.0 - now.0.rem_euclid(DAY_MS))
}

/// Until when the breaker is open, if it is or was.
#[must_use]
pub fn open_until(calls: &Calls) -> Option<Millis> {
    let over = calls.failed_in_a_row.checked_sub(BREAKER_AFTER)?;
    let doubled = OPEN_FIRST.saturating_mul(1 << over.min(16)).min(OPEN_LAST);
    Some(calls.last_failed.plus(doubled))
}

/// Whether one more call may be made now.
pub fn may_ask(calls: &Calls, per_day: u64, now: Millis) -> Result<(), Held> {
    if let Some(until) = open_until(calls) {
        let failed = calls.failed_in_a_row;
        // A clock that was set back must not keep it open for longer than it would ever be.
        if now < until && now >= calls.last_failed.minus(OPEN_LAST) {
            return Err(Held::Breaker { failed, until });
        }
        if calls.under_way > 0 {
            return Err(Held::Trying(failed));
        }
    }
    if calls.under_way >= AT_ONCE {
        return Err(Held::Busy(calls.under_way));
    }
    if calls.today >= per_day {
        return Err(Held::Budget(per_day));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_795_000_000_000);

    #[test]
    fn a_clinic_has_so_many_a_day_and_the_next_day_anew() {
        let calls = |today| Calls { today, ..Calls::default() };
        assert_eq!(may_ask(&calls(4), 5, NOW), Ok(()));
        assert_eq!(may_ask(&calls(5), 5, NOW), Err(Held::Budget(5)));
        let day = day_of(NOW);
        assert_eq!(day.to_string(), "2026-11-18T00:00:00.000Z");
        assert_eq!((day_of(day), day_of(Millis(day.0 - 1))), (day, Millis(day.0 - DAY_MS)));
    }

    #[test]
    fn the_breaker_opens_after_three_for_longer_each_time_and_lets_one_try() {
        let failed = |failed_in_a_row| Calls { failed_in_a_row, last_failed: NOW, ..Calls::default() };
        assert_eq!(may_ask(&failed(2), 5, NOW), Ok(()));
        for (times, seconds) in [(3, 60), (4, 120), (8, 1920), (9, 3600), (40, 3600)] {
            let until = NOW.plus(Duration::from_secs(seconds));
            let held = Held::Breaker { failed: times, until };
            assert_eq!(may_ask(&failed(times), 5, until.minus(Duration::from_millis(1))), Err(held));
            assert_eq!(may_ask(&failed(times), 5, until), Ok(()));
            let trying = Calls { under_way: 1, ..failed(times) };
            assert_eq!(may_ask(&trying, 5, until), Err(Held::Trying(times)));
        }
    }

    #[test]
    fn a_clock_set_back_does_not_keep_it_open() {
        let calls = Calls { failed_in_a_row: 3, last_failed: NOW, ..Calls::default() };
        assert_eq!(may_ask(&calls, 5, NOW.minus(Duration::from_secs(7200))), Ok(()));
    }

    #[test]
    fn not_more_than_so_many_at_once() {
        let calls = |under_way| Calls { under_way, ..Calls::default() };
        assert_eq!(may_ask(&calls(AT_ONCE - 1), 5, NOW), Ok(()));
        assert_eq!(may_ask(&calls(AT_ONCE), 5, NOW), Err(Held::Busy(AT_ONCE)));
    }
}
