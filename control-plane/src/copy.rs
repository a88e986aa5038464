//! Copies the vault of a folder into a bucket with Object Lock, so that the installation can go on from there.
//!
//! The rule: an object is copied only with the bytes that the index says, under its own date or a later one, and counts
//! as copied once it was read back by version ID; that version is noted in the index. What is in the bucket by the version
//! that the index names was read back before, so a copy that was broken off goes on where it was. The folder is not changed.

use std::time::Duration;

use proto::{digest::Digest, time::Millis};

use crate::{
    store::{Store, StoreError, VaultRow},
    vault::{Object, S3Vault, Vault, VaultError},
};

/// How many objects are compared with the bucket's list together.
const PAGE: u32 = 1000;
/// How many objects, and bytes, are on their way together.
const TOGETHER: usize = 64;
const BYTES_TOGETHER: usize = 32 << 20;
/// What has ended is copied all the same, for the log rests on it; no bucket takes a date that has passed.
const AT_LEAST: Duration = Duration::from_secs(24 * 3600);

/// What a copy did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Objects that were written, or found in the bucket as they should be, and read back.
    pub copied: u64,
    /// Objects that were in the bucket from a copy before.
    pub before: u64,
    /// Of those copied, what the index does not know: of a write that was broken off, or just under way.
    pub not_indexed: u64,
    /// Objects that are gone from the folder, as they may be after their date.
    pub ended: u64,
    /// Bytes that were copied.
    pub bytes: u64,
}

/// Why a copy ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// What lies in the folder is not what was kept.
    #[error(
        "vault object {key} is not as it was kept and must not be copied as if; see `control-plane evidence audit`"
    )]
    Unsound {
        /// Which.
        key: String,
    },
    /// One of the two vaults did not do it.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The index.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies all objects. `step` is told how many more were seen to, of how many.
pub fn copy(
    store: &Store,
    from: &dyn Vault,
    to: &S3Vault,
    now: Millis,
    step: &mut dyn FnMut(u64, u64),
) -> Result<Copied, CopyError> {
    let all = store.vault_object_count("")?;
    let mut way = Way { store, to, now, batch: Vec::new(), done: Copied::default() };
    let mut after = String::new();
    loop {
        let rows = store.vault_objects("", &after, PAGE)?;
        let Some(last) = rows.last() else { break };
        let there = to.objects(&after, &last.key)?;
        after.clone_from(&last.key);
        for row in rows {
            if !row.version.is_empty() && there.get(&row.key) == Some(&row.version) {
                way.done.before += 1;
            } else if let Some(bytes) = from.get(&row.key)? {
                if Digest::of(&bytes) != row.sha256 {
                    return Err(CopyError::Unsound { key: row.key });
                }
                // Whichever is later: a put that was repeated moves the file's date before the index knows it.
                let file = from.kept(&row.key)?.map_or(Millis(0), |kept| kept.retain_until);
                let until = row.retain_until.max(file);
                if until == Millis(0) {
                    return Err(CopyError::Unsound { key: row.key });
                }
                way.add(Item { key: row.key, bytes, until, is_indexed: true })?;
            } else if (1..=now.0).contains(&row.retain_until.0) {
                way.done.ended += 1;
            } else {
                return Err(CopyError::Unsound { key: row.key });
            }
            step(1, all);
        }
    }
    for key in from.list("")? {
        if store.vault_object(&key)?.is_none() {
            let (Some(bytes), Some(kept)) = (from.get(&key)?, from.kept(&key)?) else {
                return Err(CopyError::Unsound { key });
            };
            way.add(Item { key, bytes, until: kept.retain_until, is_indexed: false })?;
        }
    }
    way.flush()?;
    Ok(way.done)
}

/// Objects on their way.
struct Way<'a> {
    store: &'a Store,
    to: &'a S3Vault,
    now: Millis,
    batch: Vec<Item>,
    done: Copied,
}

struct Item {
    key: String,
    bytes: Vec<u8>,
    until: Millis,
    is_indexed: bool,
}

impl Way<'_> {
    fn add(&mut self, item: Item) -> Result<(), CopyError> {
        self.batch.push(item);
        let bytes: usize = self.batch.iter().map(|item| item.bytes.len()).sum();
        if self.batch.len() >= TOGETHER || bytes >= BYTES_TOGETHER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), CopyError> {
        let batch = std::mem::take(&mut self.batch);
        let soonest = self.now.plus(AT_LEAST);
        let object = |item| {
            let Item { key, bytes, until, .. }: &Item = item;
            Object { key, bytes, retain_until: soonest.max(*until) }
        };
        let kept = self.to.put_all(&batch.iter().map(object).collect::<Vec<_>>())?;
        self.store.begin()?;
        for (Item { key, bytes, until, is_indexed }, kept) in batch.into_iter().zip(kept) {
            if is_indexed {
                let (version, sha256) = (kept.version, kept.sha256);
                self.store.move_vault_object(&VaultRow { key, version, sha256, retain_until: until })?;
            }
            self.done.copied += 1;
            self.done.not_indexed += u64::from(!is_indexed);
            self.done.bytes += bytes.len() as u64;
        }
        Ok(self.store.commit()?)
    }
}
