//! Asks the machine for the time and for random bytes: the only file of this program that may.
//!
//! Everything else takes both as arguments, so that a run can be replayed.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use proto::time::Millis;

/// The wall clock, UTC.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine for the time")]
pub fn now() -> Millis {
    // Before 1970 there is no time that anything here could be valid at.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A stopwatch that starts now: to measure by, never to decide by.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine for the time")]
pub fn stopwatch() -> Instant {
    Instant::now()
}

/// Fills `bytes` from the system's generator.
pub fn random(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("the system gives random bytes");
}
