//! Each tenant's Merkle log: vault first, then index, tiles and checkpoint in one transaction, then published.
//!
//! What a transaction appends is put into the vault, as one object under the index of its first entry, before the database
//! knows it (see the module `unkept`). The vault keeps the first that came, so it is also the log's journal: whatever the
//! database lost (a transaction undone, a restored backup) is read back from there and leads to the same root. Where it does
//! not, the log halts rather than sign a fork. What a halted log cannot do, its successor does: see the module `succession`.
//!
//! An append looks into the vault before it only when something was undone since the last: then the vault may have more
//! than the database. Another server on the same vault is met by the put, whose place is taken; that append fails, and
//! the next looks.

use proto::{
    act::{self, Deed},
    evidence::CheckpointSeen,
    ids::TenantId,
    log::{Appended, Checkpoint, Head, append, leaf_hash, log_number, pack, root, unpack},
    time::Millis,
};

use super::{
    Core, CoreError, Intake,
    ahead::{Arrived, Opened},
    evidence::{CATCH_UP, Origin},
    unkept::Put,
};
use crate::store::{LogHead, TenantRow};

/// Where a clinic's `number`-th log lies in the vault.
pub(super) fn log_folder(tenant: TenantId, number: u64) -> String {
    if number <= 1 { tenant.to_string() } else { format!("{tenant}/log-{number}") }
}

impl LogHead {
    /// Where it lies in the vault.
    pub(crate) fn folder(&self, tenant: TenantId) -> String {
        log_folder(tenant, log_number(&self.origin))
    }

    /// Where the entries of one append lie in the vault, packed, by the index of the first.
    pub(crate) fn entries_key(&self, tenant: TenantId, first: u64) -> String {
        format!("{}/entries/{first:010}", self.folder(tenant))
    }

    /// Where a checkpoint lies in the vault.
    pub(crate) fn checkpoint_key(&self, tenant: TenantId, size: u64) -> String {
        format!("{}/checkpoints/{size:010}", self.folder(tenant))
    }
}

impl Core {
    /// Appends envelopes to the tenant's log, of `begin` entries, and signs the head; they go into the vault first.
    pub(super) fn keep_in_log(
        &mut self,
        tenant: TenantId,
        begin: u64,
        envelopes: &[Vec<u8>],
        put: Put,
        now: Millis,
    ) -> Result<(), CoreError> {
        let packed = pack(envelopes).map_err(|e| broken(tenant, e.to_string()))?;
        self.keep_entries(tenant, (begin, envelopes.len()), packed, put, now)?;
        let appended = self.appended(tenant, envelopes)?;
        self.advance(tenant, &appended)
    }

    /// What appending leads to; nothing is written.
    fn appended(&self, tenant: TenantId, envelopes: &[impl AsRef<[u8]>]) -> Result<Appended, CoreError> {
        let log = self.store.log_head(tenant)?;
        let leaves: Vec<_> = envelopes.iter().map(|envelope| leaf_hash(envelope.as_ref())).collect();
        append(&self.store.tiles(tenant), log.head, &leaves)
            .map_err(|e| broken(tenant, super::error::chain(&e)))
    }

    fn advance(&mut self, tenant: TenantId, appended: &Appended) -> Result<(), CoreError> {
        let log = self.store.log_head(tenant)?;
        // Signed here, but it leaves only after the transaction is durable; see the module `core`.
        let checkpoint = Checkpoint::new(&log.origin, appended.head)
            .sign(&self.keys.log)
            .map_err(|e| broken(tenant, e.to_string()))?;
        self.store.advance_log(
            tenant,
            log.head.size,
            appended.head,
            &appended.writes,
            checkpoint.note().as_bytes(),
        )?;
        self.grown.insert(tenant);
        self.spoken_of.insert(tenant);
        Ok(())
    }

    /// The log a record may be appended to now.
    pub(super) fn open_log(&mut self, tenant: TenantId, now: Millis) -> Result<LogHead, CoreError> {
        if !self.level.contains(&tenant) {
            self.recover_log(tenant, now)?;
            self.level.insert(tenant);
        }
        let log = self.store.log_head(tenant)?;
        match self.halt_reason(tenant, &log) {
            Some(problem) => Err(broken(tenant, problem.to_owned())),
            None => Ok(log),
        }
    }

    /// Why nothing more is appended or signed, when that is so.
    pub(super) fn halt_reason<'a>(&'a self, tenant: TenantId, log: &'a LogHead) -> Option<&'a str> {
        log.halted.as_deref().or_else(|| self.halts.get(&tenant).map(String::as_str))
    }

    /// Reads back what the vault has and the database has not.
    pub(super) fn recover_log(&mut self, tenant: TenantId, now: Millis) -> Result<(), CoreError> {
        let start = self.store.log_head(tenant)?;
        let entries_key = |index: u64| start.entries_key(tenant, index);
        let more = self.next_entries(&entries_key(start.head.size))?.is_some();
        if !more || self.halt_reason(tenant, &start).is_some() {
            return Ok(());
        }
        // Looked up before the entries, as it was put there after them.
        let published =
            self.newest_published(&start.folder(tenant), &start.origin)?.map_or(0, |head| head.size);
        let checkpoints = format!("{}/checkpoints", start.folder(tenant));
        let known = start.checkpoint_key(tenant, start.published);
        self.note_unknown_behind(&checkpoints, &known, |key, note| {
            self.signed_head(&start.origin, key, note).is_some()
        })?;
        let restored = published > start.head.size;
        if restored {
            self.found_published(tenant, now);
        }
        self.restore_papers(tenant)?;
        let mut index = start.head.size;
        while let Some(packed) = self.next_entries(&entries_key(index))? {
            // Once an object was one envelope as it is.
            let lone = packed.starts_with(b"{\"").then(|| vec![&packed[..]]);
            let Some(entries) = lone.or_else(|| unpack(&packed)).filter(|entries| !entries.is_empty()) else {
                self.halt(
                    tenant,
                    format!("the entries in the vault's object {} are cut off", entries_key(index)),
                );
                return Ok(());
            };
            let many = entries.len();
            tracing::warn!(%tenant, index, many, "log entries from {index} on are read back from the vault");
            let appended = self.appended(tenant, &entries)?;
            if !self.vault_agrees(tenant, &start, appended.head)? {
                self.halt(
                    tenant,
                    format!("checkpoint {} in the vault is not of the entries there", appended.head.size),
                );
                return Ok(());
            }
            // All of an object, or nothing of it.
            self.mark()?;
            self.replaying = true;
            let taken = self.take_all_back(tenant, &entries, index, restored, now);
            self.replaying = false;
            let refused = match taken.and_then(|refused| self.note_taken(refused, &entries_key(index))) {
                Ok(refused) => refused,
                Err(error) => {
                    self.undo_to_mark()?;
                    return Err(error);
                }
            };
            if let Some(why) = refused {
                self.undo_to_mark()?;
                let key = entries_key(index);
                self.halt(tenant, format!("{why}; the vault's object {key} is not ours, or was changed"));
                return Ok(());
            }
            self.keep_since_mark()?;
            index += many as u64;
            self.advance(tenant, &appended)?;
        }
        if published > index {
            self.halt(
                tenant,
                format!("the vault has a checkpoint of {published} entries, but only {index} of them"),
            );
        }
        Ok(())
    }

    /// What lies in the place of the next entries; one that cannot even be read has none in it, and halts the log like any
    /// other that is not ours.
    fn next_entries(&self, key: &str) -> Result<Option<Vec<u8>>, CoreError> {
        match self.ports.vault.get(key) {
            Err(error) if error.is_of_the_object() => Ok(Some(Vec::new())),
            got => Ok(got?),
        }
    }

    /// Takes the entries of one object; says why one of them cannot be.
    fn take_all_back(
        &mut self,
        tenant: TenantId,
        entries: &[&[u8]],
        first: u64,
        restored: bool,
        now: Millis,
    ) -> Result<Option<String>, CoreError> {
        for (index, entry) in (first..).zip(entries) {
            match self.take_back(tenant, entry, index, restored, now)? {
                Intake::Kept => {}
                other => return Ok(Some(format!("vault entry {index} cannot be read back: {other:?}"))),
            }
        }
        Ok(None)
    }

    fn note_taken(&self, refused: Option<String>, key: &str) -> Result<Option<String>, CoreError> {
        if refused.is_none() {
            self.note_kept(&[key])?;
        }
        Ok(refused)
    }

    /// Takes an entry that lies in the vault: an act of this control plane, or a record.
    fn take_back(
        &mut self,
        tenant: TenantId,
        entry: &[u8],
        index: u64,
        restored: bool,
        now: Millis,
    ) -> Result<Intake, CoreError> {
        match act::Claim::read(entry) {
            Ok(Some(claim)) => self.take_act(tenant, claim, entry, index, now),
            _ => {
                let arrived = Arrived { envelope: entry, opened: Opened::nothing(entry) };
                self.take_evidence(tenant, arrived, index, Origin::Vault { restored }, &mut { CATCH_UP }, now)
            }
        }
    }

    /// A checkpoint that was published before must be this tree's; which of the log keys signed it does not matter.
    pub(super) fn vault_agrees(
        &self,
        tenant: TenantId,
        log: &LogHead,
        head: Head,
    ) -> Result<bool, CoreError> {
        let key = log.checkpoint_key(tenant, head.size);
        let Some(note) = self.object(&key)? else { return Ok(true) };
        if let Some(published) = self.signed_head(&log.origin, &key, &note) {
            return Ok(published == head);
        }
        // Ours lies beside it then.
        self.is_strange(&key)?;
        for beside in self.ports.vault.list(&format!("{}/checkpoints", log.folder(tenant)))? {
            let note = if beside.starts_with(&format!("{key}.")) { self.object(&beside)? } else { None };
            let published = note.and_then(|note| self.signed_head(&log.origin, &beside, &note));
            if published.is_some_and(|published| published != head) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The newest checkpoint in a log's folder of the vault that a log key of ours signed. Looked for from the newest on that
    /// is known here; where that one is gone, an older one still has something to say.
    pub(super) fn newest_published(&self, folder: &str, origin: &str) -> Result<Option<Head>, CoreError> {
        let folder = format!("{folder}/checkpoints");
        let known = self.store.newest_vault_object(&folder)?;
        let mut keys = self.ports.vault.list_after(&folder, known.as_deref().unwrap_or_default())?;
        keys.splice(..0, known.clone());
        let newest = self.newest_signed(&keys, origin)?;
        match known {
            Some(_) if newest.is_none() => self.newest_signed(&self.ports.vault.list(&folder)?, origin),
            _ => Ok(newest),
        }
    }

    fn newest_signed(&self, keys: &[String], origin: &str) -> Result<Option<Head>, CoreError> {
        for key in keys.iter().rev() {
            let Some(note) = self.object(key)? else { continue };
            match self.signed_head(origin, key, &note) {
                Some(head) => return Ok(Some(head)),
                None => self.is_strange(key)?,
            }
        }
        Ok(None)
    }

    /// A published checkpoint that this database had forgotten: it is older than what left it. No order is issued until
    /// an executor's heartbeat says where it stands (DESIGN.md section 5, Restore).
    pub(super) fn raise_generation(&mut self, tenant: TenantId, now: Millis) {
        // Stored with the next commit, so that a command that is undone does not undo it.
        self.generation += 1;
        self.note_act(tenant, Deed::Restore { generation: self.generation }, now);
        tracing::warn!(
            generation = self.generation,
            "this database is older than what was published from it"
        );
    }

    pub(super) fn halt(&mut self, tenant: TenantId, reason: String) {
        tracing::error!(%tenant, reason, "the log of tenant {tenant} is halted");
        self.halts.insert(tenant, reason);
    }

    /// After a start: every tenant's log is brought up to what the vault has, and compared with the newest that it knows.
    pub(super) fn recover_logs(&mut self, now: Millis) -> Result<(), CoreError> {
        let before = self.generation;
        self.restore_charters(now)?;
        self.restore_tenants()?;
        self.restore_token_revocations()?;
        for tenant in self.store.tenants()? {
            self.mark()?;
            match self.recover_all_of(&tenant, now) {
                Ok(()) => self.keep_since_mark()?,
                Err(error) => {
                    self.undo_to_mark()?;
                    // Without database or vault nobody can be served. What is wrong with one clinic is that clinic's.
                    if matches!(error, CoreError::Store(_) | CoreError::Vault(_)) {
                        return Err(error);
                    }
                    self.halt(tenant.id, super::error::chain(&error));
                }
            }
        }
        if self.generation != before {
            // Links and codes may have been used, and sessions ended, since that backup.
            self.store.forget_what_may_be_used_up()?;
        }
        self.grown.extend(self.store.unpublished()?);
        Ok(())
    }

    fn recover_all_of(&mut self, tenant: &TenantRow, now: Millis) -> Result<(), CoreError> {
        self.keep_tenant(tenant, now)?;
        self.restore_papers(tenant.id)?;
        loop {
            let log = self.store.log_head(tenant.id)?;
            self.note_unknown(tenant.id, &log)?;
            self.recover_log(tenant.id, now)?;
            self.compare_newest(tenant.id)?;
            if !self.follow_from_vault(tenant.id, now)? {
                break;
            }
        }
        self.restore_orders(tenant.id, now)?;
        self.note_beginning(tenant.id, now)
    }

    fn compare_newest(&mut self, tenant: TenantId) -> Result<(), CoreError> {
        let log = self.store.log_head(tenant)?;
        if self.halt_reason(tenant, &log).is_some() {
            return Ok(());
        }
        let Some(published) = self.newest_published(&log.folder(tenant), &log.origin)? else { return Ok(()) };
        let size = published.size;
        if size > log.head.size {
            self.halt(
                tenant,
                format!("the vault has a checkpoint of {size} entries, but only {} of them", log.head.size),
            );
            return Ok(());
        }
        let here =
            root(&self.store.tiles(tenant), size).map_err(|e| broken(tenant, super::error::chain(&e)))?;
        if published.root != here {
            self.halt(tenant, format!("checkpoint {size} in the vault is not of this log"));
        }
        Ok(())
    }

    /// Whether a checkpoint that an executor has verified is of this log. If not, somebody else signs in its name, or this
    /// server came back from a backup that is older than what left it.
    pub(super) fn has_been(&self, tenant: TenantId, seen: CheckpointSeen) -> Result<bool, CoreError> {
        let log = self.store.log_head(tenant)?;
        if seen.size > log.head.size || seen.log != log_number(&log.origin) {
            return Ok(false);
        }
        let here = root(&self.store.tiles(tenant), seen.size)
            .map_err(|e| broken(tenant, super::error::chain(&e)))?;
        Ok(here.0 == seen.root.0)
    }

    /// When something stored at `now` may be deleted.
    pub(super) fn retain_until(&self, now: Millis) -> Millis {
        now.plus(self.settings.retention)
    }
}

pub(super) fn broken(tenant: TenantId, problem: String) -> CoreError {
    CoreError::Log { tenant: tenant.to_string(), problem }
}
