//! Spans in a configuration: seconds, fractions allowed.

use std::time::Duration;

use serde::{Deserialize as _, Deserializer, de::Error as _};

/// The longest span that a configuration may name: 366 days.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
const ALLOWED: &str = "must be a number of seconds, more than 0 and at most 31622400 (366 days)";

/// Reads seconds.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    span(seconds)
        .filter(|span| !span.is_zero())
        .ok_or_else(|| D::Error::custom(format!("{seconds}: {ALLOWED}")))
}

/// Reads seconds, of which there may be none.
pub(super) fn read_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    span(seconds).ok_or_else(|| D::Error::custom(format!("{seconds}: {ALLOWED}, or 0")))
}

/// Reads seconds that need not be given.
pub(super) fn read_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    read(deserializer).map(Some)
}

fn span(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().filter(|span| *span <= LONGEST)
}
