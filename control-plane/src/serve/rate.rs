//! How fast somebody may ask: so many at once, and then one every so often. By token, and by address for who has none.
//!
//! The rule: what is counted is bounded too. Of those who have rested long enough nothing is remembered; where there are too
//! many to remember, a stranger is refused rather than anybody forgotten.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use proto::{digest::Digest, time::Millis};
use tonic::Status;

/// How many are remembered.
const REMEMBERED: usize = 10_000;
const TOO_OFTEN: &str = "this token asks too often: 50 calls a second, 200 at once";

/// How much, how fast.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// So many at once, after a rest.
    pub burst: u32,
    /// And then one for each of these.
    pub every: Duration,
}

/// Counts by key; clones count together.
#[derive(Debug)]
pub struct Rate<K> {
    allowance: Allowance,
    /// Until when each is busy with what it has asked: a bucket that leaks, in one number.
    busy: Arc<Mutex<HashMap<K, Millis>>>,
}

impl<K: Hash + Eq> Rate<K> {
    /// So much for each.
    #[must_use]
    pub fn new(allowance: Allowance) -> Self {
        Self { allowance, busy: Arc::default() }
    }

    /// Counts one; `false`: it is too soon for one more, which is not counted.
    pub fn take(&self, key: K, now: Millis) -> bool {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let Allowance { burst, every } = self.allowance;
        if busy.len() >= REMEMBERED && !busy.contains_key(&key) {
            // What lies in the future further than a whole burst was counted by a clock that has been set back.
            let far = now.plus(every * burst);
            busy.retain(|_, until| *until > now && *until <= far);
            if busy.len() >= REMEMBERED {
                return false;
            }
        }
        let until = busy.get(&key).copied().unwrap_or(now).max(now);
        let next = until.plus(every);
        let is_allowed = next.since(now) <= every * burst;
        // Also where the clock was set back: nobody waits longer than a whole burst takes.
        busy.insert(key, if is_allowed { next } else { until.min(now.plus(every * burst)) });
        is_allowed
    }

    /// Whether one more would be counted now.
    pub fn has_room(&self, key: &K, now: Millis) -> bool {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = self.allowance.every * self.allowance.burst;
        let Some(until) = busy.get_mut(key) else { return true };
        // As in `take`, to which it may never come.
        *until = (*until).min(now.plus(whole));
        until.plus(self.allowance.every).since(now) <= whole
    }
}

impl<K> Clone for Rate<K> {
    fn clone(&self) -> Self {
        Self { allowance: self.allowance, busy: self.busy.clone() }
    }
}

/// What people's door counts by.
#[derive(Debug, Clone)]
pub struct Rates {
    /// Calls with a token, by its digest.
    tokens: Rate<Digest>,
    /// Tokens that are none, by address: each costs the writer a look.
    wrong: Rate<IpAddr>,
    /// What is for anybody, by address.
    open: Rate<IpAddr>,
    clock: fn() -> Millis,
}

impl Rates {
    /// By this clock.
    #[must_use]
    pub fn new(clock: fn() -> Millis) -> Self {
        Self {
            tokens: Rate::new(Allowance { burst: 200, every: Duration::from_millis(20) }),
            wrong: Rate::new(Allowance { burst: 20, every: Duration::from_secs(3) }),
            open: Rate::new(Allowance { burst: 120, every: Duration::from_millis(100) }),
            clock,
        }
    }

    /// Whether somebody at `from` may have what is for anybody.
    pub(super) fn open(&self, from: Option<IpAddr>) -> Result<(), Status> {
        match from.is_none_or(|from| self.open.take(from, (self.clock)())) {
            true => Ok(()),
            false => Err(too_fast("your address has asked too often; wait a moment")),
        }
    }

    /// Whether a token from there is looked at at all: to look costs the writer something.
    pub(super) fn may_try(&self, token: &Digest, from: Option<IpAddr>) -> Result<(), Status> {
        let now = (self.clock)();
        if !self.tokens.has_room(token, now) {
            return Err(too_fast(TOO_OFTEN));
        }
        match from.is_none_or(|from| self.wrong.has_room(&from, now)) {
            true => Ok(()),
            false => Err(too_fast("too many wrong tokens came from your address; wait a minute")),
        }
    }

    /// A token from there was none.
    pub(super) fn was_wrong(&self, from: Option<IpAddr>) {
        if let Some(from) = from {
            self.wrong.take(from, (self.clock)());
        }
    }

    /// Whether the holder of a token, which is one, may ask once more.
    pub(super) fn token(&self, token: Digest) -> Result<(), Status> {
        match self.tokens.take(token, (self.clock)()) {
            true => Ok(()),
            false => Err(too_fast(TOO_OFTEN)),
        }
    }
}

fn too_fast(why: &str) -> Status {
    Status::resource_exhausted(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_795_000_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn rate() -> Rate<u32> {
        Rate::new(Allowance { burst: 3, every: SECOND })
    }

    #[test]
    fn a_burst_and_then_one_at_a_time_and_another_has_its_own() {
        let rate = rate();
        let asked: Vec<bool> = (0..5).map(|_| rate.take(1, NOW)).collect();
        assert_eq!(asked, [true, true, true, false, false]);
        assert!(rate.take(2, NOW) && !rate.has_room(&1, NOW) && rate.has_room(&2, NOW));
        // What was refused has cost nothing.
        let later = NOW.plus(SECOND);
        assert!(rate.take(1, later) && !rate.take(1, later));
        let rested = NOW.plus(60 * SECOND);
        assert_eq!((0..5).filter(|_| rate.take(1, rested)).count(), 3, "a rest is worth one burst, not more");
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out_for_long() {
        let rate = rate();
        (0..3).for_each(|_| assert!(rate.take(1, NOW)));
        let back = NOW.minus(3600 * SECOND);
        assert!(!rate.take(1, back));
        assert!(rate.take(1, back.plus(4 * SECOND)));
        (0..3).for_each(|_| assert!(rate.take(2, NOW)));
        assert!(!rate.has_room(&2, back) && rate.has_room(&2, back.plus(4 * SECOND)));
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let rate = rate();
        let many = u32::try_from(REMEMBERED).unwrap();
        assert!((0..many).all(|key| rate.take(key, NOW)));
        assert!(!rate.take(many, NOW) && rate.take(0, NOW), "who is known is not forgotten for a stranger");
        assert!(rate.take(many, NOW.plus(10 * SECOND)));
        assert!(rate.busy.lock().unwrap().len() <= 2);
    }
}
