//! What is put into the vault, and the index of it: by which version, digest and date each object was read back.
//!
//! The rule: nothing goes into the vault but through here, in the transaction of the command that puts it. What the
//! index knows, `evidence audit` can miss; so what came back from the vault after a restore is noted as well. What is not
//! ours is not: an audit is to name it.

use proto::{ids::TenantId, time::Millis};

use super::{Core, CoreError, ours::first_part};
use crate::{
    store::{LogHead, VaultRow},
    vault::{Kept, Object},
};

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

    /// After a start: what of ours a clinic's vault has, and a database from a backup, or of an older program, has not noted.
    pub(super) fn note_unknown(&self, tenant: TenantId, log: &LogHead) -> Result<(), CoreError> {
        let log_folder = log.folder(tenant);
        let is_signed = |key: &str, note: &[u8]| self.signed_head(&log.origin, key, note).is_some();
        // One for each append: only those that came after the newest that is known.
        let checkpoints = format!("{log_folder}/checkpoints");
        let newest = self.store.newest_vault_object(&checkpoints)?.unwrap_or_default();
        self.note_unknown_behind(&checkpoints, &newest, is_signed)?;
        self.note_unknown_in(&format!("{log_folder}/cosigned"), is_signed)?;
        for folder in ["enrolments", "revocations"] {
            self.note_unknown_in(&format!("{tenant}/{folder}"), |key, bytes| {
                self.is_paper(tenant, folder, key, bytes)
            })?;
        }
        self.note_unknown_in(&format!("{tenant}/successions"), |_, envelope| {
            self.succession(tenant, envelope).is_some()
        })?;
        self.note_unknown_in(&format!("{tenant}/packets"), |key, bytes| {
            self.edition_there(tenant, key, bytes).is_ok_and(|edition| edition.is_some())
        })?;
        let entries = format!("{log_folder}/entries");
        // Once, in a database of an older program; what it has logged is ours.
        match self.store.vault_object_count(&entries)? {
            0 => self.note_unknown_in(&entries, |key, _| {
                first_part(key).parse::<u64>().is_ok_and(|first| first < log.head.size)
            }),
            _ => Ok(()),
        }
    }

    /// The same of one folder.
    pub(super) fn note_unknown_in(
        &self,
        folder: &str,
        is_ours: impl Fn(&str, &[u8]) -> bool,
    ) -> Result<(), CoreError> {
        self.note_unknown_behind(folder, "", is_ours)
    }

    /// The same of what lies in one folder behind a key.
    pub(super) fn note_unknown_behind(
        &self,
        folder: &str,
        after: &str,
        is_ours: impl Fn(&str, &[u8]) -> bool,
    ) -> Result<(), CoreError> {
        let mut ours = Vec::new();
        for key in self.ports.vault.list_after(folder, after)? {
            if self.store.vault_object(&key)?.is_some() {
                continue;
            }
            match self.object(&key)? {
                Some(bytes) if is_ours(&key, &bytes) => ours.push(key),
                Some(_) => self.is_strange(&key)?,
                None => {}
            }
        }
        self.note_kept(&ours.iter().map(String::as_str).collect::<Vec<_>>())
    }
}
