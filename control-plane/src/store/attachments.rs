//! Attachments: bulk that records name by digest.
//!
//! It comes before the record that names it. Until that one is there it belongs to nothing but its sender, who has room
//! for so much of it; the oldest goes first.

use proto::{
    digest::Digest,
    ids::{ApplianceId, TenantId},
    time::Millis,
};
use rusqlite::{OptionalExtension as _, params};

use super::{Store, StoreError, convert::Col};

/// What the smallest one counts for.
const LEAST: u32 = 4096;

impl Store {
    /// Keeps bulk that no record names yet; the same content again is nothing new.
    pub fn add_attachment(
        &self,
        tenant: TenantId,
        sender: ApplianceId,
        content: &[u8],
        now: Millis,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO attachment VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE
                 SET sender = excluded.sender, received_ms = excluded.received_ms WHERE sender IS NOT NULL",
            )?
            .execute(params![Col(tenant), Col(Digest::of(content)), content, Col(sender), Col(now)])?;
        Ok(())
    }

    /// Keeps bulk that a record names, for as long as the record.
    pub fn add_named_attachment(
        &self,
        tenant: TenantId,
        content: &[u8],
        now: Millis,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO attachment VALUES (?1, ?2, ?3, NULL, ?4) ON CONFLICT DO UPDATE SET sender = NULL",
            )?
            .execute(params![Col(tenant), Col(Digest::of(content)), content, Col(now)])?;
        Ok(())
    }

    /// A record names it: it stays.
    pub fn name_attachment(&self, tenant: TenantId, sha256: Digest) -> Result<(), StoreError> {
        self.db
            .prepare_cached("UPDATE attachment SET sender = NULL WHERE tenant = ?1 AND sha256 = ?2")?
            .execute(params![Col(tenant), Col(sha256)])?;
        Ok(())
    }

    /// Drops the oldest of what `sender` sent and no record names, until it is no more than `most` bytes.
    pub fn sweep_attachments(&self, sender: ApplianceId, most: u64) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "DELETE FROM attachment WHERE (tenant, sha256) IN (
                   SELECT tenant, sha256 FROM (
                     SELECT tenant, sha256, sum(max(length(content), ?3)) OVER (ORDER BY received_ms DESC, sha256) AS total
                     FROM attachment WHERE sender = ?1)
                   WHERE total > ?2)",
            )?
            .execute(params![Col(sender), Col(most), LEAST])?;
        Ok(())
    }

    /// Bulk, by what it is.
    pub fn attachment(&self, tenant: TenantId, sha256: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT content FROM attachment WHERE tenant = ?1 AND sha256 = ?2")?
            .query_row(params![Col(tenant), Col(sha256)], |row| row.get(0))
            .optional()?)
    }
}
