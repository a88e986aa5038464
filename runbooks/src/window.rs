//! Maintenance windows: when work may be done, by the clock on the clinic's wall.
//!
//! A window is closed unless it is certainly open: a zone that this program does not know closes it.

mod text;

use std::{collections::BTreeSet, fmt, str::FromStr};

use jiff::{
    Timestamp,
    civil::Weekday,
    tz::{TimeZone, TimeZoneDatabase},
};
use proto::{field::BadField, time::Millis};
use serde::{Deserialize, Serialize};

proto::vocabulary! {
    /// A day of the week.
    pub enum Day as "day" {
        /// ISO 8601 day 1.
        Monday = "monday",
        /// Day 2.
        Tuesday = "tuesday",
        /// Day 3.
        Wednesday = "wednesday",
        /// Day 4.
        Thursday = "thursday",
        /// Day 5.
        Friday = "friday",
        /// Day 6.
        Saturday = "saturday",
        /// Day 7.
        Sunday = "sunday",
    }
}

impl From<Weekday> for Day {
    fn from(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Self::Monday,
            Weekday::Tuesday => Self::Tuesday,
            Weekday::Wednesday => Self::Wednesday,
            Weekday::Thursday => Self::Thursday,
            Weekday::Friday => Self::Friday,
            Weekday::Saturday => Self::Saturday,
            Weekday::Sunday => Self::Sunday,
        }
    }
}

/// A minute of the day: `22:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TimeOfDay(u16);

impl FromStr for TimeOfDay {
    type Err = BadField;
    fn from_str(text: &str) -> Result<Self, BadField> {
        let two = |digits: &str| {
            (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit()))
                .then(|| digits.parse::<u16>().ok())?
        };
        text.split_once(':')
            .and_then(|(hour, minute)| Some((two(hour)?, two(minute)?)))
            .filter(|(hour, minute)| *hour < 24 && *minute < 60)
            .map(|(hour, minute)| Self(hour * 60 + minute))
            .ok_or_else(|| BadField::new("time of day", "must be 00:00 to 23:59"))
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = BadField;
    fn try_from(text: String) -> Result<Self, BadField> {
        text.parse()
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        time.to_string()
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// One weekly window. When it closes at or before the time at which it opens, that is on the next day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// IANA time zone: `America/Chicago`.
    pub zone: String,
    /// Days on which it opens.
    pub days: BTreeSet<Day>,
    /// First minute that is in it.
    pub opens: TimeOfDay,
    /// First minute that is not.
    pub closes: TimeOfDay,
}

impl Window {
    /// What every window must hold to.
    pub fn check(&self) -> Result<(), BadField> {
        check_zone(&self.zone)?;
        if self.days.is_empty() {
            return Err(BadField::new("days", "must have at least one"));
        }
        Ok(())
    }

    /// As somebody is just typing it: in a zone that is known to this program, for nobody notices a mistyped one until it is
    /// needed. A box whose table of zones is older than its policy takes the policy, and is shut in that window.
    pub fn typed(text: &str) -> Result<Self, BadField> {
        let window: Self = text.parse()?;
        if window.is_known() {
            return Ok(window);
        }
        Err(BadField::new("zone", "must be in the IANA time zone database, such as America/Chicago"))
    }

    /// Whether this program knows its zone.
    pub(crate) fn is_known(&self) -> bool {
        zone(&self.zone).is_some()
    }

    /// `None`: nobody can say.
    pub(crate) fn is_open(&self, now: Timestamp) -> Option<bool> {
        let local = zone(&self.zone)?.to_datetime(now);
        let minute =
            TimeOfDay(u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs()));
        let opens_on = |day: Weekday| self.days.contains(&day.into());
        Some(if self.opens < self.closes {
            opens_on(local.weekday()) && (self.opens..self.closes).contains(&minute)
        } else {
            (opens_on(local.weekday()) && minute >= self.opens)
                || (opens_on(local.weekday().previous()) && minute < self.closes)
        })
    }
}

fn check_zone(name: &str) -> Result<(), BadField> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_+-/".contains(&b);
    if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) {
        return Err(BadField::new("zone", "must be an IANA time zone, such as America/Chicago"));
    }
    Ok(())
}

/// The zone of that name, out of the table that is compiled in, so that both sides judge by the same one; a build
/// without a table asks the system's.
fn zone(name: &str) -> Option<TimeZone> {
    let compiled_in = TimeZoneDatabase::bundled();
    let table = if compiled_in.is_definitively_empty() { jiff::tz::db() } else { &compiled_in };
    table.get(name).ok()
}

/// When work may be done: in every set, one of its windows must be open. No set: at any time. An empty set: never.
///
/// Sets instead of a list, because two policies' windows can then be joined exactly, whatever their zones.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Windows(BTreeSet<BTreeSet<Window>>);

/// Why it is not the time. It becomes evidence, so it quotes nothing of the policy, whose texts have no bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// No such zone here.
    #[error(
        "a maintenance window of the policy names a time zone that is not known here; name one of the IANA database"
    )]
    UnknownZone,
    /// Not now.
    #[error("outside of the maintenance windows of the policy; it must wait until one of each set is open")]
    NotNow,
}

impl Windows {
    /// At any time.
    #[must_use]
    pub fn always() -> Self {
        Self::default()
    }

    /// While one of these is open; when there is none, never.
    #[must_use]
    pub fn any_of(windows: impl IntoIterator<Item = Window>) -> Self {
        Self([windows.into_iter().collect()].into())
    }

    /// While both are open.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    /// All windows, in whatever set.
    pub fn iter(&self) -> impl Iterator<Item = &Window> {
        self.0.iter().flatten()
    }

    /// Whether work may be done at `now`.
    pub fn check_open(&self, now: Millis) -> Result<(), Closed> {
        if self.iter().any(|window| !window.is_known()) {
            return Err(Closed::UnknownZone);
        }
        let at = Timestamp::from_millisecond(now.0).ok();
        let is_open = |window: &Window| at.and_then(|at| window.is_open(at)) == Some(true);
        if self.0.iter().all(|set| set.iter().any(is_open)) { Ok(()) } else { Err(Closed::NotNow) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(zone: &str, days: &[Day], opens: &str, closes: &str) -> Window {
        Window {
            zone: zone.into(),
            days: days.iter().copied().collect(),
            opens: opens.parse().unwrap(),
            closes: closes.parse().unwrap(),
        }
    }

    fn is_open(window: &Window, at: &str) -> bool {
        Windows::any_of([window.clone()]).check_open(at.parse().unwrap()).is_ok()
    }

    #[test]
    fn windows_by_the_clock_on_the_wall() {
        let chicago = "America/Chicago";
        let evening = window(chicago, &[Day::Tuesday], "22:00", "23:30");
        let night = window(chicago, &[Day::Friday], "22:00", "06:00");
        let whole_day = window("UTC", &[Day::Sunday], "00:00", "00:00");
        let from_noon = window("UTC", &[Day::Sunday], "12:00", "12:00");
        for (window, at, expected) in [
            // Tuesday 2026-11-10 in Chicago, UTC-6.
            (&evening, "2026-11-11T03:59:59.999Z", false),
            (&evening, "2026-11-11T04:00:00Z", true),
            (&evening, "2026-11-11T05:29:59.999Z", true),
            (&evening, "2026-11-11T05:30:00Z", false),
            (&evening, "2026-11-12T04:00:00Z", false),
            // The same in summer, UTC-5.
            (&evening, "2026-07-15T03:00:00Z", true),
            (&evening, "2026-07-15T04:30:00Z", false),
            // Over midnight: Friday evening and Saturday morning, not Friday morning.
            (&night, "2026-11-14T04:00:00Z", true),
            (&night, "2026-11-14T11:59:00Z", true),
            (&night, "2026-11-14T12:00:00Z", false),
            (&night, "2026-11-13T11:00:00Z", false),
            (&night, "2026-11-15T04:00:00Z", false),
            // The night in which Chicago's clocks go back is an hour longer.
            (&window(chicago, &[Day::Sunday], "01:00", "02:00"), "2026-11-01T06:30:00Z", true),
            (&window(chicago, &[Day::Sunday], "01:00", "02:00"), "2026-11-01T07:30:00Z", true),
            (&window(chicago, &[Day::Sunday], "01:00", "02:00"), "2026-11-01T08:00:00Z", false),
            // Closing when it opens: twenty-four hours from then on.
            (&whole_day, "2026-11-15T00:00:00Z", true),
            (&whole_day, "2026-11-15T23:59:59Z", true),
            (&whole_day, "2026-11-16T00:00:00Z", false),
            (&from_noon, "2026-11-15T11:59:00Z", false),
            (&from_noon, "2026-11-16T11:59:00Z", true),
            (&from_noon, "2026-11-16T12:00:00Z", false),
        ] {
            assert_eq!(is_open(window, at), expected, "{window} at {at}");
        }
    }

    #[test]
    fn one_of_each_set_must_be_open() {
        let at = |hour: u32| format!("2026-11-15T{hour:02}:30:00Z").parse().unwrap();
        let sunday = |opens, closes| window("UTC", &[Day::Sunday], opens, closes);
        let either = Windows::any_of([sunday("01:00", "02:00"), sunday("03:00", "05:00")]);
        let both = either.and(&Windows::any_of([sunday("04:00", "06:00")]));
        let open = |windows: &Windows| {
            (0..7).filter(|hour| windows.check_open(at(*hour)).is_ok()).collect::<Vec<u32>>()
        };
        assert_eq!(open(&either), [1, 3, 4]);
        assert_eq!(open(&both), [4]);
        assert_eq!(open(&Windows::always()), [0, 1, 2, 3, 4, 5, 6]);
        assert!(open(&Windows::any_of([])).is_empty());
    }

    #[test]
    fn what_is_not_known_is_closed() {
        let gotham = window("America/Gotham", Day::ALL, "00:00", "00:00");
        let utc = window("UTC", Day::ALL, "00:00", "00:00");
        let now = "2026-11-15T00:00:00Z".parse().unwrap();
        let closed = Windows::any_of([utc.clone(), gotham]).check_open(now);
        assert_eq!(closed, Err(Closed::UnknownZone));
        for far_out in [i64::MIN, i64::MAX] {
            assert!(Windows::any_of([utc.clone()]).check_open(Millis(far_out)).is_err());
        }
        for zone in ["", "/etc/passwd", "../UTC"] {
            assert!(
                Windows::any_of([window(zone, Day::ALL, "00:00", "00:00")]).check_open(now).is_err(),
                "{zone}"
            );
        }
    }

    #[test]
    fn times_of_day_are_two_digits_and_a_colon() {
        assert_eq!("07:05".parse::<TimeOfDay>().unwrap().to_string(), "07:05");
        for bad in ["", "7:05", "07:5", "24:00", "07:60", "0705", "+7:05", "07:05:00", "ab:cd"] {
            assert!(bad.parse::<TimeOfDay>().is_err(), "{bad}");
        }
    }
}
