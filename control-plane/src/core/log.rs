//! Each tenant's Merkle log: vault first, then index, tiles and checkpoint in one transaction, then published.
//!
//! Every entry is put into the vault under its index before the database knows it. The vault keeps the first that came, so
//! it is also the log's journal: whatever the database lost (a transaction undone, a restored backup) is read back from
//! there and leads to the same root. Where it does not, the log halts rather than sign a fork.

use proto::{
    ids::TenantId,
    log::{Checkpoint, SignedCheckpoint, VerifierKey, append, leaf_hash},
    time::Millis,
};

use super::{Core, CoreError, Intake};
use crate::store::LogHead;

/// Where an entry lies in the vault.
pub(crate) fn entry_key(tenant: TenantId, index: u64) -> String {
    format!("{tenant}/entries/{index:010}")
}

/// Where a checkpoint lies in the vault.
pub(crate) fn checkpoint_key(tenant: TenantId, size: u64) -> String {
    format!("{tenant}/checkpoints/{size:010}")
}

impl Core {
    /// Appends envelopes to a tenant's log and signs the head. They lie in the vault already.
    pub(super) fn append_to_log(&mut self, tenant: TenantId, envelopes: &[&[u8]]) -> Result<(), CoreError> {
        let log = self.store.log_head(tenant)?;
        let broken = |problem: String| CoreError::Log { tenant: tenant.to_string(), problem };
        let leaves: Vec<_> = envelopes.iter().map(|envelope| leaf_hash(envelope)).collect();
        let appended = append(&self.store.tiles(tenant), log.head, &leaves).map_err(|e| broken(super::error::chain(&e)))?;
        // Signed here, but it leaves only after the transaction is durable; see the module `core`.
        let checkpoint =
            Checkpoint::new(&log.origin, appended.head).sign(&self.keys.log).map_err(|e| broken(e.to_string()))?;
        self.store.advance_log(
            tenant,
            log.head.size,
            appended.head,
            &appended.writes,
            checkpoint.note().as_bytes(),
        )?;
        self.grown.insert(tenant);
        Ok(())
    }

    /// The log a record may be appended to now.
    pub(super) fn open_log(&mut self, tenant: TenantId, now: Millis) -> Result<LogHead, CoreError> {
        self.recover_log(tenant, now)?;
        let log = self.store.log_head(tenant)?;
        match &log.halted {
            Some(problem) => Err(CoreError::Log { tenant: tenant.to_string(), problem: problem.clone() }),
            None => Ok(log),
        }
    }

    /// Reads back what the vault has and the database has not.
    fn recover_log(&mut self, tenant: TenantId, now: Millis) -> Result<(), CoreError> {
        let start = self.store.log_head(tenant)?;
        if start.halted.is_some() {
            return Ok(());
        }
        let mut index = start.head.size;
        while let Some(envelope) = self.ports.vault.get(&entry_key(tenant, index))? {
            tracing::warn!(%tenant, index, "log entry {index} is read back from the vault");
            match self.take_evidence(tenant, &envelope, index, now)? {
                Intake::Kept => self.append_to_log(tenant, &[&envelope])?,
                other => return self.halt(tenant, &format!("vault entry {index} cannot be read back: {other:?}")),
            }
            index += 1;
            self.check_against_vault(tenant)?;
        }
        Ok(())
    }

    /// A checkpoint that was published before must be this tree's.
    fn check_against_vault(&mut self, tenant: TenantId) -> Result<(), CoreError> {
        let log = self.store.log_head(tenant)?;
        let Some(published) = self.ports.vault.get(&checkpoint_key(tenant, log.head.size))? else { return Ok(()) };
        self.raise_generation()?;
        let keys: Vec<VerifierKey> =
            self.charter.document.log_keys.iter().filter_map(|key| VerifierKey::new(&log.origin, key).ok()).collect();
        let agrees = SignedCheckpoint::open(&published, &keys).is_ok_and(|signed| signed.checkpoint().root == log.head.root);
        if agrees {
            return Ok(());
        }
        self.halt(tenant, &format!("checkpoint {} in the vault is not the root of the entries there", log.head.size))
    }

    /// A published checkpoint that this database had forgotten: it is older than what left it. No order is issued until
    /// an executor's heartbeat says where it stands (DESIGN.md section 5, Restore).
    fn raise_generation(&mut self) -> Result<(), CoreError> {
        self.generation += 1;
        self.store.put_number("generation", self.generation)?;
        Ok(())
    }

    fn halt(&mut self, tenant: TenantId, reason: &str) -> Result<(), CoreError> {
        tracing::error!(%tenant, reason, "the log of tenant {tenant} is halted");
        Ok(self.store.halt_log(tenant, reason)?)
    }

    /// After a start: every tenant's log is brought up to what the vault has.
    pub(super) fn recover_logs(&mut self, now: Millis) -> Result<(), CoreError> {
        for tenant in self.store.tenants()? {
            self.recover_log(tenant.id, now)?;
        }
        self.grown.extend(self.store.unpublished()?);
        Ok(())
    }

    /// Puts the newest checkpoints into the vault. What fails here is tried again with the next commit.
    pub(super) fn publish(&mut self, now: Millis) -> Result<(), CoreError> {
        let grown = std::mem::take(&mut self.grown);
        for tenant in &grown {
            if let Err(error) = self.publish_one(*tenant, now) {
                self.grown.extend(grown.iter().copied());
                return Err(error);
            }
        }
        Ok(())
    }

    fn publish_one(&mut self, tenant: TenantId, now: Millis) -> Result<(), CoreError> {
        let log = self.store.log_head(tenant)?;
        if log.published >= log.head.size {
            return Ok(());
        }
        let Some(note) = log.checkpoint else { return Ok(()) };
        let until = self.retain_until(now);
        self.ports.vault.put(&checkpoint_key(tenant, log.head.size), &note, until)?;
        Ok(self.store.put_published(tenant, log.head.size)?)
    }

    /// When something stored at `now` may be deleted.
    pub(super) fn retain_until(&self, now: Millis) -> Millis {
        now.plus(self.settings.retention)
    }
}
