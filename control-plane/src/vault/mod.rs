//! Write-once storage for evidence: what was put stays as it is until its date, whoever asks.
//!
//! The rule: the same key with the same bytes is fine, again and again; with other bytes it is an error. Nothing here
//! deletes, and a date only moves later. A `put` that came back is durable, and was read back.
//!
//! Of a key that has several versions (S3 keeps every overwrite as one) the oldest is the truth: it is what was read
//! back before anybody was told of it. Whatever came later is somebody's attempt to change the past; `evidence audit`
//! names it.

mod directory;
mod error;
mod memory;
pub mod s3;
pub mod versions;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto::{digest::Digest, time::Millis};

use crate::{config, directory::Directory};

pub use directory::DirectoryVault;
pub use error::VaultError;
pub use memory::MemoryVault;
pub use s3::S3Vault;
pub use versions::{Content, Lock, Seen, Version};

/// The most bytes an object may have.
pub const OBJECT_MAX: u64 = 64 << 20;
/// The most bytes a key may have, and each of its parts.
const KEY_MAX: usize = 512;
const PART_MAX: usize = 200;

/// Something to keep.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// Parts of letters, digits, `.`, `_` and `-`, with `/` between them; none begins with a dot.
    pub key: &'a str,
    /// Exactly what comes back.
    pub bytes: &'a [u8],
    /// Not to be deleted before.
    pub retain_until: Millis,
}

/// How an object lies in a vault, as it was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which version of its key it is, in the store's own words; empty where a store has none.
    pub version: String,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Not to be deleted before.
    pub retain_until: Millis,
}

/// Write-once storage.
pub trait Vault: Send + Sync {
    /// Keeps all of `objects`, durably, and says how each lies there, in the same order; or says why not, then some of
    /// them may have been kept. Repeating is harmless.
    fn put_all(&self, objects: &[Object<'_>]) -> Result<Vec<Kept>, VaultError>;

    /// The bytes of an object; `None`: there is none of that key.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, VaultError>;

    /// All that lies under each of `keys`, in the same order: what auditors look at.
    fn look(&self, keys: &[&str]) -> Result<Vec<Seen>, VaultError>;

    /// The keys under a folder (`""`: all) that come behind `after` (`""`: all), sorted.
    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<String>, VaultError>;

    /// What about the store as a whole would let somebody change the past, one sentence each.
    fn weaknesses(&self) -> Result<Vec<String>, VaultError> {
        Ok(Vec::new())
    }

    /// The keys under a folder (`""`: all), sorted.
    fn list(&self, folder: &str) -> Result<Vec<String>, VaultError> {
        self.list_after(folder, "")
    }

    /// Keeps one object.
    fn put(&self, key: &str, bytes: &[u8], retain_until: Millis) -> Result<Kept, VaultError> {
        let kept = self.put_all(&[Object { key, bytes, retain_until }])?;
        kept.into_iter().next().ok_or_else(|| VaultError::ReadBack { key: key.to_owned() })
    }

    /// How an object lies there; `None`: there is none of that key.
    fn kept(&self, key: &str) -> Result<Option<Kept>, VaultError> {
        Ok(self.look(&[key])?.first().and_then(Seen::kept))
    }
}

/// Opens the vault that the settings name. Only a directory is made when there is none.
pub fn open(
    settings: &config::VaultStore,
    directory: &Directory,
    clock: fn() -> Millis,
) -> Result<Box<dyn Vault>, VaultError> {
    match settings {
        config::VaultStore::Directory => Ok(Box::new(DirectoryVault::open(&directory.vault())?)),
        config::VaultStore::S3(settings) => Ok(Box::new(open_bucket(settings, clock)?)),
    }
}

/// A vault in a bucket that can keep evidence.
pub fn open_bucket(settings: &config::S3, clock: fn() -> Millis) -> Result<S3Vault, VaultError> {
    let vault = S3Vault::connect(settings, clock)?;
    match vault.weaknesses()? {
        unfit if unfit.is_empty() => Ok(vault),
        unfit => Err(VaultError::Unfit { store: vault.name().to_owned(), unfit }),
    }
}

/// The same for whoever only looks: nothing is made, and a store that is unfit is looked at all the same.
pub fn to_look_at(
    settings: &config::VaultStore,
    directory: &Directory,
    clock: fn() -> Millis,
) -> Result<Box<dyn Vault>, VaultError> {
    match settings {
        config::VaultStore::Directory => Ok(Box::new(DirectoryVault::at(&directory.vault()))),
        config::VaultStore::S3(settings) => Ok(Box::new(S3Vault::connect(settings, clock)?)),
    }
}

fn check_folder(folder: &str) -> Result<&str, VaultError> {
    if folder.is_empty() { Ok(folder) } else { check_key(folder) }
}

/// The rule on keys: relative, plain parts only. Letters are ASCII, so that a key is a path and a URL alike.
pub(crate) fn check_key(key: &str) -> Result<&str, VaultError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let part_ok = |part: &str| {
        (1..=PART_MAX).contains(&part.len()) && !part.starts_with('.') && part.bytes().all(plain)
    };
    if key.len() <= KEY_MAX && key.split('/').all(part_ok) {
        Ok(key)
    } else {
        Err(VaultError::Key(key.to_owned()))
    }
}

fn check_size(object: &Object<'_>) -> Result<(), VaultError> {
    let size = object.bytes.len();
    if size as u64 > OBJECT_MAX {
        return Err(VaultError::TooLarge { key: object.key.to_owned(), size });
    }
    Ok(())
}

fn system_time(object: &Object<'_>) -> Result<SystemTime, VaultError> {
    u64::try_from(object.retain_until.0)
        .ok()
        .and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)))
        .ok_or_else(|| VaultError::Date { key: object.key.to_owned(), until: object.retain_until })
}
