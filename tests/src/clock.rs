//! Asks the machine for the time, for rigs and benches: what runs here is real, and so is its time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proto::time::Millis;

/// A point to measure from.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "real processes take real time")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Since then.
#[must_use]
pub fn since(start: Instant) -> Duration {
    instant().duration_since(start)
}

/// The wall clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "real processes read the real clock")]
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
