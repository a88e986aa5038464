//! How often somebody may guess.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use proto::time::Millis;

/// The most guesses, and in what time.
const MOST: u32 = 10;
const WITHIN: Duration = Duration::from_secs(15 * 60);
/// As many guessers are remembered; beyond it the oldest are forgotten.
const KNOWN_MAX: usize = 16_384;

/// Guesses of late, by who guessed and at what.
#[derive(Debug, Default)]
pub struct Guesses(Mutex<BTreeMap<String, (u32, Millis)>>);

impl Guesses {
    /// Counts one guess for each of `keys` before it is looked at; `false`: it is one too many.
    pub fn count(&self, keys: &[String], now: Millis) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (_, since)| now < since.plus(WITHIN));
        // Who guesses too often gives nobody else's name a bad one.
        keys.iter().all(|key| {
            while known.len() >= KNOWN_MAX && !known.contains_key(key) {
                let oldest = known.iter().min_by_key(|(_, (_, since))| *since).map(|(key, _)| key.clone());
                oldest.and_then(|key| known.remove(&key));
            }
            let (count, _) = known.entry(key.clone()).or_insert((0, now));
            *count = count.saturating_add(1);
            *count <= MOST
        })
    }

    /// It was right: what was guessed at before under this key was no attack.
    pub fn right(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_guesses_in_a_quarter_of_an_hour_and_a_right_one_clears() {
        let (guesses, now) = (Guesses::default(), Millis(1_795_000_000_000));
        let (alice, bob) = (["alice".to_owned()], ["bob".to_owned(), "alice".to_owned()]);
        assert!((0..MOST).all(|_| guesses.count(&alice, now)));
        assert!(!guesses.count(&alice, now.plus(WITHIN - Duration::from_millis(1))));
        assert!(!guesses.count(&bob, now), "one of two is too many");
        assert!(guesses.count(&alice, now.plus(WITHIN)), "the quarter is over");
        assert!((1..MOST).all(|_| guesses.count(&alice, now.plus(WITHIN))));
        guesses.right(&alice[0]);
        assert!(guesses.count(&alice, now.plus(WITHIN)));
    }
}
