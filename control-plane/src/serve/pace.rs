//! How long to wait before asking again: longer each time, up to a bound, and never quite as long as others do.

use std::time::Duration;

use proto::time::Millis;

use crate::clock;

/// Of somebody who is not there.
pub(super) const DOWN: Bounds = Bounds { first: Duration::from_secs(2), last: Duration::from_secs(300) };
/// Of somebody who says no.
pub(super) const REFUSED: Bounds = Bounds { first: Duration::from_secs(60), last: Duration::from_secs(900) };

/// The first wait and the longest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    first: Duration,
    last: Duration,
}

/// How often it came to nothing, and when to try again.
#[derive(Debug, Default)]
pub(super) struct Pace {
    failed: u32,
    until: Millis,
}

impl Pace {
    /// Whether it is too early.
    pub(super) fn waits(&self, now: Millis) -> bool {
        now < self.until
    }

    /// It came to nothing once more. Says how long to wait.
    pub(super) fn again(&mut self, bounds: Bounds, now: Millis) -> Duration {
        let mut chance = [0; 1];
        clock::random(&mut chance);
        let wait = pause(self.failed, bounds, chance[0]);
        self.failed = self.failed.saturating_add(1);
        self.until = now.plus(wait);
        wait
    }
}

/// Doubled each time, and of that between half and all.
fn pause(failed: u32, bounds: Bounds, chance: u8) -> Duration {
    let whole = bounds.first.saturating_mul(2_u32.saturating_pow(failed.min(20))).min(bounds.last);
    whole / 2 + whole.mul_f64(f64::from(chance) / 510.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_differ() {
        let seconds = |failed, chance| pause(failed, DOWN, chance).as_millis();
        assert_eq!((seconds(0, 0), seconds(0, 255)), (1_000, 2_000));
        assert_eq!((seconds(3, 0), seconds(3, 255)), (8_000, 16_000));
        for failed in [8, 20, u32::MAX] {
            assert_eq!((seconds(failed, 0), seconds(failed, 255)), (150_000, 300_000), "{failed}");
        }
        let mut pace = Pace::default();
        let now = Millis(1_000_000);
        assert!(!pace.waits(now));
        let wait = pace.again(REFUSED, now);
        assert!(pace.waits(now) && !pace.waits(now.plus(wait)));
        assert!(pace.again(REFUSED, now) >= Duration::from_secs(60));
    }
}
