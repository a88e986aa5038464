//! A vault in memory that somebody stands before: who counts what it is asked, does something first, or refuses.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use control_plane::vault::{Kept, MemoryVault, Object, Seen, Vault, VaultError};

/// What a vault is asked.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// To keep these.
    Put(&'a [Object<'a>]),
    /// What lies under a key, or in a folder.
    Read(&'a str),
}

impl Asked<'_> {
    /// Whether something in a folder of that name is to be kept.
    pub fn puts_into(&self, folder: &str) -> bool {
        matches!(self, Self::Put(all) if all.iter().any(|object| object.key.contains(folder)))
    }
}

type Guard = Box<dyn Fn(Asked<'_>) -> Result<(), VaultError> + Send + Sync>;

/// The vault, and who stands before it.
pub struct Guarded {
    vault: MemoryVault,
    guard: Guard,
}

impl Guarded {
    /// Everything that is asked of `vault` comes by the guard first.
    pub fn before(
        vault: &MemoryVault,
        guard: impl Fn(Asked<'_>) -> Result<(), VaultError> + Send + Sync + 'static,
    ) -> Box<dyn Vault> {
        Box::new(Self { vault: vault.clone(), guard: Box::new(guard) })
    }

    /// A vault that keeps nothing in folders of that name while it is broken.
    pub fn fragile(vault: &MemoryVault, folder: &'static str, broken: &Arc<AtomicBool>) -> Box<dyn Vault> {
        let broken = broken.clone();
        Self::before(vault, move |asked| match asked.puts_into(folder) && broken.load(Ordering::SeqCst) {
            true => Err(VaultError::ReadBack { key: folder.to_owned() }),
            false => Ok(()),
        })
    }
}

impl Vault for Guarded {
    fn put_all(&self, objects: &[Object<'_>]) -> Result<Vec<Kept>, VaultError> {
        (self.guard)(Asked::Put(objects))?;
        self.vault.put_all(objects)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, VaultError> {
        (self.guard)(Asked::Read(key))?;
        self.vault.get(key)
    }

    fn look(&self, keys: &[&str]) -> Result<Vec<Seen>, VaultError> {
        keys.iter().try_for_each(|key| (self.guard)(Asked::Read(key)))?;
        self.vault.look(keys)
    }

    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<String>, VaultError> {
        (self.guard)(Asked::Read(folder))?;
        self.vault.list_after(folder, after)
    }
}
