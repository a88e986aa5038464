//! When a letter that was not taken is tried again: the same times for the same failures, and an end.

use std::time::Duration;

/// How often, and how long apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    first: Duration,
    most: Duration,
    tries: u64,
}

/// What people are to be told of an incident: for half a day, at first at once.
pub const LETTERS: Schedule =
    Schedule { first: Duration::from_secs(2), most: Duration::from_secs(3600), tries: 24 };
/// Packets: about five days, as RFC 5321 section 4.5.4.1 asks of mail.
pub const PACKETS: Schedule =
    Schedule { first: Duration::from_secs(60), most: Duration::from_secs(6 * 3600), tries: 28 };

impl Schedule {
    /// How long to wait after so many failures, the last one included; at least as long as the receiver asked for, within
    /// reason. `None`: no more is tried.
    #[must_use]
    pub fn again(&self, failures: u64, asked: Option<Duration>) -> Option<Duration> {
        if failures >= self.tries {
            return None;
        }
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16));
        Some(doubled.max(asked.unwrap_or_default()).min(self.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(schedule: Schedule) -> Vec<u64> {
        (1..).map_while(|failures| schedule.again(failures, None)).map(|wait| wait.as_secs()).collect()
    }

    #[test]
    fn waits_double_up_to_a_bound_and_end() {
        let waits = seconds(LETTERS);
        assert_eq!(waits[..6], [2, 4, 8, 16, 32, 64]);
        assert_eq!((waits.len(), waits[22]), (23, 3600), "the first try has no wait before it");
        let half_a_day = 12 * 3600;
        assert!((half_a_day..half_a_day + 3 * 3600).contains(&waits.iter().sum::<u64>()));
        assert!((4 * 86_400..6 * 86_400).contains(&seconds(PACKETS).iter().sum::<u64>()));
    }

    #[test]
    fn who_asks_for_time_gets_it_within_reason() {
        let asked = |seconds| LETTERS.again(1, Some(Duration::from_secs(seconds))).unwrap().as_secs();
        assert_eq!((asked(1), asked(90), asked(1_000_000)), (2, 90, 3600));
        assert_eq!(LETTERS.again(24, Some(Duration::from_secs(1))), None);
    }
}
