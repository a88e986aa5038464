//! What is put into the vault, and the index of it: by which version, digest and date each object was read back.
//!
//! The rule: nothing goes into the vault but through here, in the transaction of the command that puts it. What the
//! index knows, `evidence audit` can miss; so what came back from the vault after a restore is noted as well.

use proto::{ids::TenantId, time::Millis};

use super::{Core, CoreError};
use crate::{
    store::VaultRow,
    vault::{Kept, Object},
};

/// Folders of a clinic that are listed at every start. Entries are not: they come back through the log.
const LISTED: &[&str] = &["checkpoints", "cosigned", "enrolments", "revocations", "orders", "packets"];
/// How many objects are looked at together.
const AT_ONCE: usize = 256;

impl Core {
    /// Keeps objects in the vault, and notes how they lie there.
    pub(super) fn keep_all(&self, objects: &[Object<'_>]) -> Result<(), CoreError> {
        let kept = self.ports.vault.put_all(objects)?;
        objects.iter().zip(kept).try_for_each(|(object, kept)| self.note(object.key, kept))
    }

    /// Keeps one.
    pub(super) fn keep(&self, key: &str, bytes: &[u8], retain_until: Millis) -> Result<(), CoreError> {
        self.keep_all(&[Object { key, bytes, retain_until }])
    }

    fn note(&self, key: &str, kept: Kept) -> Result<(), CoreError> {
        let Kept { version, sha256, retain_until } = kept;
        Ok(self.store.put_vault_object(&VaultRow { key: key.to_owned(), version, sha256, retain_until })?)
    }

    /// Notes what lies there already.
    pub(super) fn note_kept(&self, keys: &[&str]) -> Result<(), CoreError> {
        for keys in keys.chunks(AT_ONCE) {
            for (key, seen) in keys.iter().zip(self.ports.vault.look(keys)?) {
                if let Some(kept) = seen.kept() {
                    self.note(key, kept)?;
                }
            }
        }
        Ok(())
    }

    /// After a start: what a clinic's vault has, and a database from a backup, or of an older program, has not noted.
    pub(super) fn note_unknown(&self, tenant: TenantId) -> Result<(), CoreError> {
        LISTED.iter().try_for_each(|folder| self.note_unknown_in(&format!("{tenant}/{folder}")))?;
        let entries = format!("{tenant}/entries");
        // Once, in a database of an older program.
        match self.store.vault_object_count(&entries)? {
            0 => self.note_unknown_in(&entries),
            _ => Ok(()),
        }
    }

    /// The same of one folder.
    pub(super) fn note_unknown_in(&self, folder: &str) -> Result<(), CoreError> {
        let mut unknown = Vec::new();
        for key in self.ports.vault.list(folder)? {
            if self.store.vault_object(&key)?.is_none() {
                unknown.push(key);
            }
        }
        self.note_kept(&unknown.iter().map(String::as_str).collect::<Vec<_>>())
    }
}
