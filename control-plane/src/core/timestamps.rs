//! Timestamps of an outside authority on checkpoints: what is asked about, and what is kept.
//!
//! The rule: what is asked about is published, and what is kept was verified under the certificates in the settings. Nothing
//! waits for it. The first timestamp of a checkpoint stays, in the vault before the database knows it.

use std::time::Duration;

use proto::{
    digest::Digest,
    evidence::CheckpointSeen,
    ids::TenantId,
    log::{SignedCheckpoint, log_number},
    time::Millis,
};

use super::{Core, CoreError, chain};
use crate::{
    store::{Store, TimestampRow},
    timestamp::{Authority, BadToken, Token},
};

/// How often a log gets one.
pub const STAMP_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How a log stands with the authority: its timestamps, and why the last try came to nothing, since when.
pub type Stamped = (Vec<TimestampRow>, Option<(String, Millis)>);

/// Where a stamped checkpoint and its token lie in the vault.
fn keys(log_folder: &str, size: u64) -> [String; 2] {
    ["checkpoint", "tsr"].map(|ending| format!("{log_folder}/timestamps/{size:010}.{ending}"))
}

/// The checkpoint to be stamped, a signed note; `None`: none now. Reads only.
pub fn to_stamp(store: &Store, tenant: TenantId) -> Result<Option<Vec<u8>>, CoreError> {
    let log = store.log_head(tenant)?;
    Ok(log.checkpoint.filter(|_| log.halted.is_none() && log.published == log.head.size))
}

impl Core {
    /// Keeps a timestamp of a checkpoint of this log by that authority: in the vault, then here.
    pub fn keep_timestamp(
        &mut self,
        tenant: TenantId,
        (note, token): (&[u8], &[u8]),
        authority: &Authority,
        now: Millis,
    ) -> Result<(), CoreError> {
        let size = self.stamped(tenant, (note, token), authority, now)?.size;
        let [at_note, at_token] = keys(&self.store.log_head(tenant)?.folder(tenant), size);
        let until = self.retain_until(now);
        let is_it = |_: &str, there: &[u8]| there == note;
        if self.object(&at_note)?.as_deref() != Some(note) {
            self.put_ours(&at_note, note, until, is_it)?;
        }
        // The first that came stays, also where this database has forgotten it.
        let holds = |_: &str, there: &[u8]| self.stamped(tenant, (note, there), authority, now).is_ok();
        let kept = match self.object(&at_token)?.filter(|there| holds(&at_token, there)) {
            Some(kept) => kept,
            None => {
                self.put_ours(&at_token, token, until, holds)?;
                token.to_vec()
            }
        };
        let row = self.stamped(tenant, (note, &kept), authority, now)?;
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
        let origin = self.store.log_head(tenant)?.origin;
        Ok((self.store.timestamps(tenant, &origin)?, self.store.timestamp_trouble(tenant)?))
    }

    fn stamped(
        &self,
        tenant: TenantId,
        (note, token): (&[u8], &[u8]),
        authority: &Authority,
        kept: Millis,
    ) -> Result<TimestampRow, CoreError> {
        let refused = |problem: String| CoreError::Precondition(format!("timestamp: {problem}"));
        let signed = SignedCheckpoint::open(note, &self.log_keys(tenant)?).map_err(|e| refused(chain(&e)))?;
        let verified = |token| {
            let read = Token::parse(token)?;
            read.is_of(note)?;
            read.verify(Some(authority))
        };
        let at = verified(token).map_err(|bad: BadToken| refused(bad.to_string()))?;
        let checkpoint = signed.checkpoint();
        let log = log_number(&checkpoint.origin);
        let seen = CheckpointSeen { size: checkpoint.size, root: Digest(checkpoint.root.0), log };
        if !self.has_been(tenant, seen)? {
            return Err(refused("the checkpoint is not of this log".into()));
        }
        let (origin, note, token) = (checkpoint.origin.clone(), note.to_vec(), token.to_vec());
        Ok(TimestampRow { origin, size: checkpoint.size, at, kept, note, token })
    }
}
