//! The control plane's vault: it outlives the process, and its storage may be out of reach for a while.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use super::life::Life;
use control_plane::vault::{Kept, MemoryVault, Object, Seen, Vault, VaultError};

/// The storage.
#[derive(Clone, Default)]
pub(super) struct Storage {
    kept: MemoryVault,
    out_of_reach: Arc<AtomicBool>,
}

impl Storage {
    pub(super) fn set_out_of_reach(&self, out_of_reach: bool) {
        self.out_of_reach.store(out_of_reach, Relaxed);
    }

    /// What is kept, for those who check.
    pub(super) fn kept(&self) -> &MemoryVault {
        &self.kept
    }

    /// As a process sees it.
    pub(super) fn of(&self, life: &Arc<Life>) -> Box<dyn Vault> {
        Box::new(ProcessVault { storage: self.clone(), life: life.clone() })
    }
}

struct ProcessVault {
    storage: Storage,
    life: Arc<Life>,
}

impl Vault for ProcessVault {
    fn put_all(&self, objects: &[Object<'_>]) -> Result<Vec<Kept>, VaultError> {
        let mut all = Vec::with_capacity(objects.len());
        for object in objects {
            if self.storage.out_of_reach.load(Relaxed) || !self.life.act() {
                let source = std::io::Error::other("the storage does not answer");
                return Err(VaultError::Io { key: object.key.to_owned(), source });
            }
            all.extend(self.storage.kept.put_all(std::slice::from_ref(object))?);
        }
        Ok(all)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, VaultError> {
        self.storage.kept.get(key)
    }

    fn look(&self, keys: &[&str]) -> Result<Vec<Seen>, VaultError> {
        self.storage.kept.look(keys)
    }

    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<String>, VaultError> {
        self.storage.kept.list_after(folder, after)
    }
}
