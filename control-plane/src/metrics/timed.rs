//! A vault whose answers are timed.

use super::Metrics;
use crate::{
    clock,
    vault::{Kept, Object, Seen, Vault, VaultError},
};

/// The vault inside, as it is.
pub struct Timed {
    vault: Box<dyn Vault>,
    metrics: Metrics,
}

impl Timed {
    /// Times what `vault` is asked.
    #[must_use]
    pub fn new(vault: Box<dyn Vault>, metrics: Metrics) -> Self {
        Self { vault, metrics }
    }

    fn time<T>(
        &self,
        operation: &'static str,
        ask: impl FnOnce(&dyn Vault) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let started = clock::stopwatch();
        let answer = ask(&*self.vault);
        self.metrics.asked_vault(operation, started.elapsed(), answer.is_ok());
        answer
    }
}

impl Vault for Timed {
    fn put_all(&self, objects: &[Object<'_>]) -> Result<Vec<Kept>, VaultError> {
        self.time("put", |vault| vault.put_all(objects))
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, VaultError> {
        self.time("get", |vault| vault.get(key))
    }

    fn look(&self, keys: &[&str]) -> Result<Vec<Seen>, VaultError> {
        self.time("look", |vault| vault.look(keys))
    }

    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<String>, VaultError> {
        self.time("list", |vault| vault.list_after(folder, after))
    }

    fn weaknesses(&self) -> Result<Vec<String>, VaultError> {
        self.vault.weaknesses()
    }
}
