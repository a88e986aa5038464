//! Timestamps of an outside authority on checkpoints, and why there is none when there is none.

use proto::{ids::TenantId, time::Millis};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// One timestamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampRow {
    /// The log.
    pub origin: String,
    /// Entries in the checkpoint.
    pub size: u64,
    /// When, by the authority's clock.
    pub at: Millis,
    /// When it came, by ours.
    pub kept: Millis,
    /// The checkpoint, a signed note.
    pub note: Vec<u8>,
    /// The authority's answer.
    pub token: Vec<u8>,
}

impl Store {
    /// Keeps a timestamp; the first of a checkpoint stays. What kept one from coming is over.
    pub fn put_timestamp(&self, tenant: TenantId, row: &TimestampRow) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO timestamp VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                Col(tenant),
                row.origin,
                Col(row.size),
                Col(row.at),
                Col(row.kept),
                row.note,
                row.token
            ])?;
        self.db
            .prepare_cached("DELETE FROM timestamp_trouble WHERE tenant = ?1")?
            .execute(params![Col(tenant)])?;
        Ok(())
    }

    /// Notes why a try came to nothing. Since when stays, as long as it is the same.
    pub fn put_timestamp_trouble(
        &self,
        tenant: TenantId,
        trouble: &str,
        now: Millis,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO timestamp_trouble VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE
                 SET trouble = excluded.trouble, since_ms = excluded.since_ms WHERE trouble <> excluded.trouble",
            )?
            .execute(params![Col(tenant), trouble, Col(now)])?;
        Ok(())
    }

    /// Why there is none, and since when.
    pub fn timestamp_trouble(&self, tenant: TenantId) -> Result<Option<(String, Millis)>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT trouble, since_ms FROM timestamp_trouble WHERE tenant = ?1")?
            .query_row(params![Col(tenant)], |row| Ok((row.get(0)?, col(row, "since_ms")?)))
            .optional()?)
    }

    /// All timestamps of a log, the oldest first.
    pub fn timestamps(&self, tenant: TenantId, origin: &str) -> Result<Vec<TimestampRow>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT * FROM timestamp WHERE tenant = ?1 AND origin = ?2 ORDER BY size")?;
        Ok(statement.query_map(params![Col(tenant), origin], timestamp)?.collect::<Result<_, _>>()?)
    }

    /// Tenants whose newest checkpoint is published and has none, and whose newest timestamp did not come after `since`.
    pub fn not_stamped_since(&self, since: Millis) -> Result<Vec<TenantId>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT id FROM tenant WHERE log_size > 0 AND published_size = log_size AND log_halted IS NULL
             AND NOT EXISTS (SELECT 1 FROM timestamp WHERE tenant = id AND origin = log_origin
               AND (kept_ms > ?1 OR size = log_size))",
        )?;
        Ok(statement.query_map([Col(since)], |row| col(row, "id"))?.collect::<Result<_, _>>()?)
    }
}

fn timestamp(row: &Row<'_>) -> rusqlite::Result<TimestampRow> {
    Ok(TimestampRow {
        origin: row.get("origin")?,
        size: col(row, "size")?,
        at: col(row, "stamped_ms")?,
        kept: col(row, "kept_ms")?,
        note: row.get("note")?,
        token: row.get("token")?,
    })
}
