//! What outside witnesses have cosigned of each log.

use proto::{ids::TenantId, log::WitnessKey, time::Millis};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// How one log stands with one witness.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CosignatureRow {
    /// Entries that it has cosigned; 0: none yet.
    pub size: u64,
    /// When, by its clock.
    pub at: Millis,
    /// The checkpoint with the log's signature and the cosignature; `None`: none yet.
    pub note: Option<Vec<u8>>,
    /// Why the last try came to nothing; empty: it did not.
    pub trouble: String,
    /// Since when.
    pub trouble_at: Millis,
}

/// A witness that changes its key is another one.
fn handle(witness: &WitnessKey) -> String {
    format!("{}+{}", witness.name(), witness.id())
}

impl Store {
    /// How a log stands with a witness; `None`: it was never tried.
    pub fn cosignature(
        &self,
        tenant: TenantId,
        witness: &WitnessKey,
    ) -> Result<Option<CosignatureRow>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT * FROM cosignature WHERE tenant = ?1 AND witness = ?2")?
            .query_row(params![Col(tenant), handle(witness)], cosignature)
            .optional()?)
    }

    /// Keeps the newest cosigned checkpoint. One that is no newer than what is there changes nothing.
    pub fn put_cosignature(
        &self,
        tenant: TenantId,
        witness: &WitnessKey,
        (size, at): (u64, Millis),
        note: &[u8],
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO cosignature VALUES (?1, ?2, ?3, ?4, ?5, '', 0) ON CONFLICT DO UPDATE
                 SET size = excluded.size, cosigned_ms = excluded.cosigned_ms, note = excluded.note,
                     trouble = '', trouble_ms = 0
                 WHERE excluded.size > size OR note IS NULL",
            )?
            .execute(params![Col(tenant), handle(witness), Col(size), Col(at), note])?;
        Ok(())
    }

    /// Notes why a try came to nothing. Since when stays, as long as it is the same.
    pub fn put_witness_trouble(
        &self,
        tenant: TenantId,
        witness: &WitnessKey,
        trouble: &str,
        now: Millis,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO cosignature VALUES (?1, ?2, 0, 0, NULL, ?3, ?4) ON CONFLICT DO UPDATE
                 SET trouble = excluded.trouble, trouble_ms = excluded.trouble_ms
                 WHERE trouble <> excluded.trouble",
            )?
            .execute(params![Col(tenant), handle(witness), trouble, Col(now)])?;
        Ok(())
    }

    /// Tenants whose newest checkpoint is published, and not cosigned by a witness.
    pub fn not_cosigned_by(&self, witness: &WitnessKey) -> Result<Vec<TenantId>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT id FROM tenant LEFT JOIN cosignature ON tenant = id AND witness = ?1
             WHERE log_size > coalesce(size, 0) AND published_size = log_size AND log_halted IS NULL",
        )?;
        Ok(statement.query_map([handle(witness)], |row| col(row, "id"))?.collect::<Result<_, _>>()?)
    }

    /// Tenants that have published a checkpoint, and whose log goes on.
    pub fn published(&self) -> Result<Vec<TenantId>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT id FROM tenant WHERE published_size > 0 AND log_halted IS NULL")?;
        Ok(statement.query_map([], |row| col(row, "id"))?.collect::<Result<_, _>>()?)
    }
}

fn cosignature(row: &Row<'_>) -> rusqlite::Result<CosignatureRow> {
    Ok(CosignatureRow {
        size: col(row, "size")?,
        at: col(row, "cosigned_ms")?,
        note: row.get("note")?,
        trouble: row.get("trouble")?,
        trouble_at: col(row, "trouble_ms")?,
    })
}
