//! What people changed: who, from where, what was before and after.

use proto::{digest::Digest, ids::TenantId, time::Millis};
use rusqlite::params;

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// An audit record.
#[derive(Debug, Clone)]
pub struct AuditRow {
    /// Whose clinic it is about; `None`: the organization.
    pub tenant: Option<TenantId>,
    /// When.
    pub at: Millis,
    /// SHA-256 of the record: what acts name.
    pub sha256: Digest,
    /// The record, JSON.
    pub record: String,
}

impl Store {
    /// Keeps a record.
    pub fn add_audit(
        &self,
        tenant: Option<TenantId>,
        at: Millis,
        sha256: Digest,
        record: &str,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached("INSERT INTO audit (tenant, at_ms, sha256, record) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![tenant.map(Col), Col(at), Col(sha256), record])?;
        Ok(())
    }

    /// Records of a clinic, or all, those before the one with that digest (`None`: all), newest first.
    pub fn audit(
        &self,
        tenant: Option<TenantId>,
        before: Option<Digest>,
        most: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM audit WHERE (?1 IS NULL OR tenant = ?1)
               AND (?2 IS NULL OR id < (SELECT min(id) FROM audit WHERE sha256 = ?2)) ORDER BY id DESC LIMIT ?3",
        )?;
        let rows = statement.query_map(params![tenant.map(Col), before.map(Col), most], |row| {
            Ok(AuditRow {
                tenant: col(row, "tenant")?,
                at: col(row, "at_ms")?,
                sha256: col(row, "sha256")?,
                record: row.get("record")?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
