//! What was begun with a browser and waits for its return: each is taken once, in time, and nobody can crowd out the others.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proto::time::Millis;

/// The most that wait; beyond it the oldest are forgotten.
const MOST: usize = 4096;
/// The most of one network.
const MOST_OF_ONE: usize = 32;

struct Waiting<T> {
    since: Millis,
    network: String,
    what: T,
}

/// Things that wait, by a name that only their browser knows.
pub struct Begun<T> {
    waiting: Mutex<BTreeMap<String, Waiting<T>>>,
    span: Duration,
    random: fn(&mut [u8]),
}

impl<T> Begun<T> {
    /// Each waits for `span`.
    pub fn new(span: Duration, random: fn(&mut [u8])) -> Self {
        Self { waiting: Mutex::default(), span, random }
    }

    /// Whether as many of this network wait as may: to be asked before others are troubled for it.
    pub fn is_full(&self, network: &str, now: Millis) -> bool {
        self.in_time(now).values().filter(|one| one.network == network).count() >= MOST_OF_ONE
    }

    /// Keeps one, and gives its name; `None`: too many of this network wait.
    pub fn keep(&self, what: T, network: &str, now: Millis) -> Option<String> {
        let mut waiting = self.in_time(now);
        if waiting.values().filter(|one| one.network == network).count() >= MOST_OF_ONE {
            return None;
        }
        if waiting.len() >= MOST {
            let oldest = waiting.iter().min_by_key(|(_, one)| one.since).map(|(name, _)| name.clone());
            oldest.and_then(|name| waiting.remove(&name));
        }
        let mut name = [0; 32];
        (self.random)(&mut name);
        let name = URL_SAFE_NO_PAD.encode(name);
        waiting.insert(name.clone(), Waiting { since: now, network: network.to_owned(), what });
        Some(name)
    }

    /// Whatever becomes of it, it is not there a second time.
    pub fn take(&self, name: &str, now: Millis) -> Option<T> {
        let one = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(name)?;
        (now < one.since.plus(self.span)).then_some(one.what)
    }

    fn in_time(&self, now: Millis) -> MutexGuard<'_, BTreeMap<String, Waiting<T>>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, one| now < one.since.plus(self.span));
        waiting
    }
}
