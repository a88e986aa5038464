//! Checkpoints into the vault, after the commit that they speak of is durable.
//!
//! The rule: no answer leaves that speaks of a checkpoint which is not there. Those of a commit go together, however many
//! clinics it was about; one that cannot be kept holds up its own clinic alone.

use std::collections::BTreeSet;

use proto::{ids::TenantId, time::Millis};

use super::{Core, CoreError};
use crate::{
    store::LogHead,
    vault::{Object, VaultError},
};

/// What became of the checkpoints of a commit.
#[derive(Default)]
pub struct Published {
    /// Clinics whose newest checkpoint is not in the vault: no answer that speaks of it may leave.
    pub without: BTreeSet<TenantId>,
    /// Why; of several, the last.
    pub why: Option<CoreError>,
}

impl Core {
    /// Puts the newest checkpoints into the vault, and says which it could not; that is tried again with the next commit.
    pub(super) fn publish(&mut self, now: Millis) -> Result<Published, CoreError> {
        let mut published = Published::default();
        let grown = std::mem::take(&mut self.grown);
        if grown.is_empty() {
            return Ok(published);
        }
        // What is noted here is found out again after a power cut: nobody waits for that to be durable.
        self.store.begin_lightly()?;
        let mut failed = |tenant: TenantId, error: CoreError| {
            published.without.insert(tenant);
            published.why = Some(error);
        };
        let mut due = Vec::new();
        for tenant in grown {
            match self.next_to_publish(tenant, now) {
                Ok(next) => due.extend(next.map(|(log, note)| (tenant, log, note))),
                Err(error) => failed(tenant, error),
            }
        }
        let retain_until = self.retain_until(now);
        let keys: Vec<String> =
            due.iter().map(|(tenant, log, _)| log.checkpoint_key(*tenant, log.head.size)).collect();
        let objects: Vec<Object<'_>> =
            due.iter().zip(&keys).map(|((.., bytes), key)| Object { key, bytes, retain_until }).collect();
        // All at once. Where that fails, one by one: one clinic must not keep another from being told the truth.
        let is_kept = self.keep_all(&objects).is_ok();
        for (tenant, log, note) in due {
            let kept = if is_kept { Ok(()) } else { self.publish_one(tenant, &log, &note, now) };
            if let Err(error) = kept.and_then(|()| Ok(self.store.put_published(tenant, log.head.size)?)) {
                failed(tenant, error);
            }
        }
        self.grown.extend(&published.without);
        self.store.commit_lightly()?;
        Ok(published)
    }

    /// The checkpoint of a log that is still to be put into the vault, if there is one.
    fn next_to_publish(
        &mut self,
        tenant: TenantId,
        now: Millis,
    ) -> Result<Option<(LogHead, Vec<u8>)>, CoreError> {
        // A command that was undone may have named one that there is not.
        let Some(row) = self.store.tenant(tenant)? else { return Ok(None) };
        let mut log = self.store.log_head(tenant)?;
        if log.published == 0 {
            self.keep_tenant(&row, now)?;
        }
        if log.published >= log.head.size || self.halt_reason(tenant, &log).is_some() {
            return Ok(None);
        }
        Ok(log.checkpoint.take().map(|note| (log, note)))
    }

    fn publish_one(
        &mut self,
        tenant: TenantId,
        log: &LogHead,
        note: &[u8],
        now: Millis,
    ) -> Result<(), CoreError> {
        let until = self.retain_until(now);
        let key = log.checkpoint_key(tenant, log.head.size);
        let is_ours = |key: &str, note: &[u8]| self.signed_head(&log.origin, key, note).is_some();
        match self.put_ours(&key, note, until, is_ours) {
            // The same head, signed by another log key of ours, is as good.
            Err(CoreError::Vault(VaultError::Changed { .. }))
                if self.vault_agrees(tenant, log, log.head)? =>
            {
                self.note_kept(&[&key])
            }
            Err(changed @ CoreError::Vault(VaultError::Changed { .. })) => {
                self.halt(tenant, format!("checkpoint {} in the vault is not of this log", log.head.size));
                Err(changed)
            }
            put => put,
        }
    }
}
