//! A vault in memory, for simulation.

use std::{
    collections::{BTreeMap, btree_map},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use proto::{digest::Digest, time::Millis};

use super::{
    Content, Kept, Lock, Object, Seen, Vault, VaultError, Version, check_folder, check_key, check_size,
    system_time,
};

/// A vault in memory. Clones are the same vault, so that it outlives the program that is restarted.
#[derive(Debug, Clone, Default)]
pub struct MemoryVault(Arc<Mutex<BTreeMap<String, Held>>>);

#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    until: Millis,
}

impl MemoryVault {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Held>> {
        // No write is ever half done, so a panic elsewhere leaves nothing to fear.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vault for MemoryVault {
    fn put_all(&self, objects: &[Object<'_>]) -> Result<Vec<Kept>, VaultError> {
        let mut all = self.objects();
        let mut kept = Vec::with_capacity(objects.len());
        for object in objects {
            check_size(object)?;
            system_time(object)?;
            let offered = Digest::of(object.bytes);
            let until = match all.entry(check_key(object.key)?.to_owned()) {
                btree_map::Entry::Vacant(free) => {
                    free.insert(Held { bytes: object.bytes.to_vec(), until: object.retain_until }).until
                }
                btree_map::Entry::Occupied(mut taken) => {
                    let there = taken.get_mut();
                    if there.bytes != object.bytes {
                        let kept = Digest::of(&there.bytes);
                        return Err(VaultError::Changed { key: object.key.to_owned(), kept, offered });
                    }
                    there.until = there.until.max(object.retain_until);
                    there.until
                }
            };
            kept.push(Kept { version: String::new(), sha256: offered, retain_until: until });
        }
        Ok(kept)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, VaultError> {
        Ok(self.objects().get(check_key(key)?).map(|held| held.bytes.clone()))
    }

    fn look(&self, keys: &[&str]) -> Result<Vec<Seen>, VaultError> {
        let all = self.objects();
        let look = |key: &&str| {
            let held = all.get(check_key(key)?);
            let version = held.map(|held| Version {
                id: String::new(),
                content: Content::Bytes(Digest::of(&held.bytes)),
                lock: Lock::Compliance(held.until),
            });
            Ok(Seen { versions: version.into_iter().collect() })
        };
        keys.iter().map(look).collect()
    }

    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<String>, VaultError> {
        let prefix = if check_folder(folder)?.is_empty() { String::new() } else { format!("{folder}/") };
        check_folder(after)?;
        let all = self.objects();
        let under = all.keys().filter(|key| key.starts_with(&prefix) && key.as_str() > after);
        Ok(under.cloned().collect())
    }
}
