//! Timestamps of an outside authority on checkpoints: what is asked about, and what is kept.
//!
//! The rule: what is asked about is published, and what is kept was verified under the certificates in the settings. Nothing
//! waits for it. The first timestamp of a checkpoint stays, in the vault before the database knows it.

use std::time::Duration;

use proto::{digest::Digest, evidence::CheckpointSeen, ids::TenantId, log::SignedCheckpoint, time::Millis};

use super::{Core, CoreError, chain, log::broken};
use crate::{
    store::{Store, TimestampRow},
    timestamp::Token,
};

/// How often a log gets one.
pub const STAMP_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How a log stands with the authority: its timestamps, and why the last try came to nothing, since when.
pub type Stamped = (Vec<TimestampRow>, Option<(String, Millis)>);

/// Where a stamped checkpoint and its token lie in the vault.
fn keys(tenant: TenantId, size: u64) -> [String; 2] {
    ["checkpoint", "tsr"].map(|ending| format!("{tenant}/timestamps/{size:010}.{ending}"))
}

/// The checkpoint to be stamped, a signed note; `None`: none now. Reads only.
pub fn to_stamp(store: &Store, tenant: TenantId) -> Result<Option<Vec<u8>>, CoreError> {
    let log = store.log_head(tenant)?;
    Ok(log.checkpoint.filter(|_| log.halted.is_none() && log.published == log.head.size))
}

impl Core {
    /// Keeps a verified timestamp of a checkpoint of this log: in the vault, then here.
    pub fn keep_timestamp(
        &mut self,
        tenant: TenantId,
        note: &[u8],
        token: &[u8],
        now: Millis,
    ) -> Result<(), CoreError> {
        let row = self.stamped(tenant, note, token, now)?;
        let [at_note, at_token] = keys(tenant, row.size);
        let kept = self.ports.vault.get(&at_note)?.zip(self.ports.vault.get(&at_token)?);
        let row = match kept {
            // From before this database was put back.
            Some((note, token)) => self.stamped(tenant, &note, &token, now)?,
            None => {
                let until = self.retain_until(now);
                self.keep(&at_note, &row.note, until)?;
                self.keep(&at_token, &row.token, until)?;
                row
            }
        };
        Ok(self.store.put_timestamp(tenant, &row)?)
    }

    /// Notes why there is none; it will be tried again.
    pub fn timestamp_troubled(
        &mut self,
        tenant: TenantId,
        trouble: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        Ok(self.store.put_timestamp_trouble(tenant, trouble, now)?)
    }

    /// How a clinic's log stands with the authority.
    pub fn timestamps(&self, tenant: TenantId) -> Result<Stamped, CoreError> {
        Ok((self.store.timestamps(tenant)?, self.store.timestamp_trouble(tenant)?))
    }

    fn stamped(
        &self,
        tenant: TenantId,
        note: &[u8],
        token: &[u8],
        kept: Millis,
    ) -> Result<TimestampRow, CoreError> {
        let refused = |problem: String| CoreError::Precondition(format!("timestamp: {problem}"));
        let signed = SignedCheckpoint::open(note, &self.log_keys(tenant)?).map_err(|e| refused(chain(&e)))?;
        let read = Token::parse(token).map_err(|e| refused(e.to_string()))?;
        read.is_of(note).map_err(|e| refused(e.to_string()))?;
        let checkpoint = signed.checkpoint();
        let seen = CheckpointSeen { size: checkpoint.size, root: Digest(checkpoint.root.0) };
        if !self.has_been(tenant, seen)? {
            return Err(broken(tenant, "a checkpoint that was stamped is not of this log".into()));
        }
        Ok(TimestampRow {
            size: checkpoint.size,
            at: read.at,
            kept,
            note: note.to_vec(),
            token: token.to_vec(),
        })
    }
}
