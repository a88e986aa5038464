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

/// Guesses of late, by the network that they came from.
#[derive(Debug, Default)]
pub struct Guesses(Mutex<BTreeMap<String, (u32, Millis)>>);

impl Guesses {
    /// Counts one guess before it is looked at; `false`: it is one too many.
    pub fn count(&self, from: &str, now: Millis) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (_, since)| now < since.plus(WITHIN));
        while known.len() >= KNOWN_MAX && !known.contains_key(from) {
            let oldest = known.iter().min_by_key(|(_, (_, since))| *since).map(|(key, _)| key.clone());
            oldest.and_then(|key| known.remove(&key));
        }
        let (count, _) = known.entry(from.to_owned()).or_insert((0, now));
        *count = count.saturating_add(1);
        *count <= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_guesses_in_a_quarter_of_an_hour_from_one_network() {
        let (guesses, now) = (Guesses::default(), Millis(1_795_000_000_000));
        assert!((0..MOST).all(|_| guesses.count("192.0.2.1", now)));
        assert!(!guesses.count("192.0.2.1", now.plus(WITHIN - Duration::from_millis(1))));
        assert!(guesses.count("192.0.2.2", now), "another has not guessed yet");
        assert!(guesses.count("192.0.2.1", now.plus(WITHIN)), "the quarter is over");
    }
}
