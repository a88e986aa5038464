//! How many of one kind are there at once: what one address, key or caller may take of what all share.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts by key; clones count together.
#[derive(Debug)]
pub struct Crowd<K>(Arc<Mutex<HashMap<K, usize>>>);

/// A place in a crowd, until it is dropped.
#[derive(Debug)]
pub struct Place<K: Hash + Eq> {
    key: K,
    crowd: Crowd<K>,
}

impl<K: Hash + Eq + Clone> Crowd<K> {
    /// A place under `key`; `None` when `most` are taken.
    #[must_use]
    pub fn enter(&self, key: K, most: usize) -> Option<Place<K>> {
        let mut counts = self.counts();
        let taken = counts.get(&key).copied().unwrap_or(0);
        if taken >= most {
            return None;
        }
        counts.insert(key.clone(), taken + 1);
        drop(counts);
        Some(Place { key, crowd: self.clone() })
    }
}

impl<K> Crowd<K> {
    fn counts(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Clone for Crowd<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Default for Crowd<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts();
        match counts.get_mut(&self.key) {
            Some(taken) if *taken > 1 => *taken -= 1,
            _ => drop(counts.remove(&self.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_left() {
        let crowd = Crowd::default();
        let places = [crowd.enter("a", 2), crowd.clone().enter("a", 2)];
        assert!(places.iter().all(Option::is_some) && crowd.enter("a", 2).is_none());
        assert!(crowd.enter("b", 2).is_some(), "another's places are its own");
        drop(places);
        assert!(crowd.counts().is_empty());
        assert!(crowd.enter("a", 1).is_some());
    }
}
