//! Spans of time that packets and bundles speak of, and months. Months are UTC, so that everybody means the same one.

use std::{fmt, str::FromStr, time::Duration};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use proto::{field::BadField, time::Millis};
use serde::{Deserialize, Serialize};

/// From `from` until just before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// Begin.
    pub from: Millis,
    /// End; not part of it.
    pub to: Millis,
}

impl Period {
    /// Whether `at` lies in it.
    #[must_use]
    pub fn contains(&self, at: Millis) -> bool {
        self.from <= at && at < self.to
    }

    /// What it has in common with the span from `from` to `to`; `None` when that is nothing.
    #[must_use]
    pub fn overlap(&self, from: Millis, to: Millis) -> Option<Self> {
        let common = Self { from: self.from.max(from), to: self.to.min(to) };
        (common.from < common.to).then_some(common)
    }

    /// How long it is.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.to.since(self.from)
    }
}

/// A month of the calendar, UTC. Reads and prints as `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Month {
    first: Date,
}

const NAMES: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Month {
    /// Its first moment.
    #[must_use]
    pub fn begin(self) -> Millis {
        moment(self.first)
    }

    /// The first moment of the next.
    #[must_use]
    pub fn end(self) -> Millis {
        let next = self.first.checked_add(jiff::Span::new().months(1)).unwrap_or(Date::MAX);
        moment(next)
    }

    /// The month that `at` is in.
    #[must_use]
    pub fn of(at: Millis) -> Self {
        let date = Timestamp::from_millisecond(at.0).map(|at| at.to_zoned(TimeZone::UTC).date());
        Self { first: date.map_or(Date::MIN, Date::first_of_month) }
    }

    /// The one before it.
    #[must_use]
    pub fn before(self) -> Self {
        Self { first: self.first.checked_sub(jiff::Span::new().months(1)).unwrap_or(Date::MIN) }
    }

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self { first: self.first.checked_add(jiff::Span::new().months(1)).unwrap_or(self.first) }
    }

    /// The part of it that was over at `now`, all of it or none included.
    #[must_use]
    pub fn until(self, now: Millis) -> Period {
        Period { from: self.begin(), to: self.end().min(now).max(self.begin()) }
    }

    /// As people write it: `November 2026`.
    #[must_use]
    pub fn title(self) -> String {
        let name = usize::try_from(self.first.month() - 1).ok().and_then(|at| NAMES.get(at)).unwrap_or(&"");
        format!("{name} {}", self.first.year())
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

impl FromStr for Month {
    type Err = BadField;
    fn from_str(text: &str) -> Result<Self, BadField> {
        let read = || {
            let (year, month) = text.split_once('-')?;
            // No appliance was there before 2000, and a PDF has no year 10000.
            let year = year.parse().ok().filter(|year| (2000..=9998).contains(year))?;
            let month = Self { first: Date::new(year, month.parse().ok()?, 1).ok()? };
            (month.to_string() == text).then_some(month)
        };
        read().ok_or_else(|| BadField::new("month", "must be a year and a month, such as 2026-11"))
    }
}

impl TryFrom<String> for Month {
    type Error = BadField;
    fn try_from(text: String) -> Result<Self, BadField> {
        text.parse()
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

fn moment(date: Date) -> Millis {
    date.to_zoned(TimeZone::UTC).map_or(Millis(i64::MAX), |zoned| Millis(zoned.timestamp().as_millisecond()))
}

/// A day for tables: `2026-11-03`.
#[must_use]
pub fn date(at: Millis) -> String {
    written(at, "%Y-%m-%d")
}

/// A time for people, to the minute: `2026-11-03 14:05`.
#[must_use]
pub fn minute(at: Millis) -> String {
    written(at, "%Y-%m-%d %H:%M")
}

/// A day for people: `November 3, 2026`.
#[must_use]
pub fn day(at: Millis) -> String {
    written(at, "%B %-d, %Y")
}

fn written(at: Millis, format: &str) -> String {
    Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.to_string(), |time| time.strftime(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Millis {
        text.parse().unwrap()
    }

    #[test]
    fn months_are_utc_and_read_one_way() {
        let month: Month = "2026-12".parse().unwrap();
        assert_eq!((month.begin(), month.end()), (at("2026-12-01T00:00:00Z"), at("2027-01-01T00:00:00Z")));
        assert_eq!((month.title().as_str(), month.to_string().as_str()), ("December 2026", "2026-12"));
        for wrong in [
            "", "2026", "2026-13", "2026-00", "2026-1", "26-01", "2026-011", "+2026-01", "1999-12", "9999-12",
        ] {
            assert!(wrong.parse::<Month>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_month_that_is_not_over_ends_now() {
        let month: Month = "2026-11".parse().unwrap();
        let (before, within, after) =
            (at("2026-10-02T00:00:00Z"), at("2026-11-02T00:00:00Z"), at("2027-01-01T00:00:00Z"));
        assert_eq!(month.until(before).length(), Duration::ZERO);
        assert_eq!(month.until(within).to, within);
        assert_eq!(month.until(after).to, month.end());
    }

    #[test]
    fn periods_end_before_their_end() {
        let period = Period { from: Millis(10), to: Millis(20) };
        assert!(period.contains(Millis(10)) && period.contains(Millis(19)) && !period.contains(Millis(20)));
        assert_eq!(period.overlap(Millis(0), Millis(10)), None);
        assert_eq!(period.overlap(Millis(15), Millis(99)), Some(Period { from: Millis(15), to: Millis(20) }));
    }

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(minute(at("2026-11-03T14:05:59.999Z")), "2026-11-03 14:05");
        assert_eq!(day(at("2026-11-03T14:05:59Z")), "November 3, 2026");
        assert_eq!(minute(Millis(i64::MAX)), format!("{} ms", i64::MAX));
    }
}
