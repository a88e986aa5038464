//! Randomness out of a seed: one stream for each who draws, so that a new draw here changes nothing there.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use proto::digest::Digest;
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};

/// A stream of chances.
pub(super) struct Chance(StdRng);

impl Chance {
    /// The stream of `name` in the run of `seed`.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        Self(StdRng::from_seed(Digest::of(format!("{seed} {name}").as_bytes()).0))
    }

    /// Whether something of that likelihood happens.
    pub(super) fn happens(&mut self, likelihood: f64) -> bool {
        self.0.random_bool(likelihood)
    }

    /// A number from `least` up to, not including, `end`.
    pub(super) fn number(&mut self, least: u64, end: u64) -> u64 {
        self.0.random_range(least..end)
    }

    /// A span; short ones are as likely as long ones, order of magnitude for order of magnitude.
    pub(super) fn span(&mut self, least: Duration, most: Duration) -> Duration {
        let exponent = self.0.random_range(least.as_secs_f64().ln()..=most.as_secs_f64().ln());
        Duration::from_micros((exponent.exp() * 1e6) as u64)
    }

    /// One of them.
    pub(super) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.0.random_range(0..all.len())]
    }
}

/// The same as a port of the programs.
pub(super) struct Entropy(Mutex<Chance>);

impl Entropy {
    pub(super) fn new(seed: u64, name: &str) -> Self {
        Self(Mutex::new(Chance::new(seed, name)))
    }
}

impl appliance::world::Entropy for Entropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.fill_bytes(bytes);
    }
}

/// The control plane's port is not shared, so a restarted control plane gets the same stream through this handle.
pub(super) struct Handle(pub(super) std::sync::Arc<Entropy>);

impl control_plane::core::ports::Entropy for Handle {
    fn fill(&mut self, bytes: &mut [u8]) {
        appliance::world::Entropy::fill(&*self.0, bytes);
    }
}
