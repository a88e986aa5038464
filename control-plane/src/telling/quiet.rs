//! Quiet hours: until when what is not urgent waits.
//!
//! The rule: what cannot be placed in time is not held back. Quiet hours that never end would be silence, so they do not
//! count; the settings refuse them.

use std::time::Duration;

use proto::time::Millis;
use runbooks::{Window, Windows};

const MINUTE: i64 = 60_000;
/// Windows are weekly; in the week in which clocks go back there is an hour more.
const MINUTES_MOST: i64 = 7 * 24 * 60 + 61;

/// When somebody with these quiet hours may hear of something that is not urgent: now, or the first minute after them.
/// `None`: never.
#[must_use]
pub fn over(quiet: &[Window], now: Millis) -> Option<Millis> {
    let is_quiet = |at: Millis| {
        let windows = Windows::any_of(quiet.iter().cloned());
        !quiet.is_empty() && windows.check_open(at).is_ok()
    };
    if !is_quiet(now) {
        return Some(now);
    }
    let minute = now.0.div_euclid(MINUTE);
    (1..=MINUTES_MOST).map(|more| Millis((minute + more) * MINUTE)).find(|at| !is_quiet(*at))
}

/// Whether these hours leave any time to be heard in, in any week.
#[must_use]
pub fn ends(quiet: &[Window]) -> bool {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    // Any week; what differs between weeks is an hour of one day.
    over(quiet, Millis(0).plus(WEEK)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(texts: &[&str]) -> Vec<Window> {
        texts.iter().map(|text| Window::typed(text).unwrap()).collect()
    }

    fn at(text: &str) -> Millis {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_not_urgent_waits_until_the_morning_there() {
        let night = quiet(&["daily 20:00-07:00 America/Chicago"]);
        for (now, heard) in [
            // Chicago, UTC-6: 19:59, 20:00, and 06:59:30 in the morning.
            ("2026-11-11T01:59:59Z", "2026-11-11T01:59:59Z"),
            ("2026-11-11T02:00:00Z", "2026-11-11T13:00:00Z"),
            ("2026-11-11T12:59:30Z", "2026-11-11T13:00:00Z"),
            ("2026-11-11T13:00:00Z", "2026-11-11T13:00:00Z"),
            // Summer, UTC-5.
            ("2026-07-11T06:00:00Z", "2026-07-11T12:00:00Z"),
            // The night in which clocks go back is an hour longer, the one in which they go forward shorter.
            ("2026-11-01T01:00:00Z", "2026-11-01T13:00:00Z"),
            ("2027-03-14T02:00:00Z", "2027-03-14T12:00:00Z"),
        ] {
            assert_eq!(over(&night, at(now)), Some(at(heard)), "{now}");
        }
    }

    #[test]
    fn hours_of_several_windows_and_zones_join() {
        let weekend = quiet(&["saturday sunday 00:00-00:00 UTC", "monday 00:00-08:00 Europe/Berlin"]);
        // Saturday; Monday 08:00 in Berlin is 07:00 UTC.
        assert_eq!(over(&weekend, at("2026-11-14T12:00:00Z")), Some(at("2026-11-16T07:00:00Z")));
        assert_eq!(over(&[], at("2026-11-14T12:00:00Z")), Some(at("2026-11-14T12:00:00Z")));
    }

    #[test]
    fn hours_without_an_end_are_found() {
        let always = quiet(&["daily 00:00-00:00 UTC"]);
        assert_eq!(over(&always, at("2026-11-14T12:00:00Z")), None);
        assert!(!ends(&always) && ends(&quiet(&["daily 00:00-23:59 UTC"])) && ends(&[]));
    }

    #[test]
    fn a_time_that_nobody_can_place_is_not_held_back() {
        let night = quiet(&["daily 20:00-07:00 UTC"]);
        assert_eq!(over(&night, Millis(i64::MAX)), Some(Millis(i64::MAX)));
    }
}
