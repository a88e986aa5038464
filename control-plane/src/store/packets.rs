//! Packets of months that are over: what each was made from, and its digests.

use proto::{digest::Digest, ids::TenantId, time::Millis};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// A packet that was made once and for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketRow {
    /// `2026-11`.
    pub month: String,
    /// What it was made from, JSON.
    pub edition: Vec<u8>,
    /// SHA-256 of its Markdown.
    pub markdown_sha256: Digest,
    /// SHA-256 of its PDF, where there was one.
    pub pdf_sha256: Option<Digest>,
    /// Entries of the log then.
    pub size: u64,
    /// Root over them.
    pub root: Digest,
    /// When.
    pub made: Millis,
}

impl Store {
    /// Keeps a month's packet; the first stays.
    pub fn add_packet(&self, tenant: TenantId, row: &PacketRow) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO packet VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                Col(tenant),
                row.month,
                row.edition,
                Col(row.markdown_sha256),
                row.pdf_sha256.map(|digest| digest.0.to_vec()),
                Col(row.size),
                Col(row.root),
                Col(row.made)
            ])?;
        Ok(())
    }

    /// A month's packet.
    pub fn packet(&self, tenant: TenantId, month: &str) -> Result<Option<PacketRow>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT * FROM packet WHERE tenant = ?1 AND month = ?2")?;
        Ok(statement.query_row(params![Col(tenant), month], packet).optional()?)
    }

    /// Packets of one clinic or of all, the newest month first.
    pub fn packets(
        &self,
        tenant: Option<TenantId>,
        most: u32,
    ) -> Result<Vec<(TenantId, PacketRow)>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM packet WHERE ?1 IS NULL OR tenant = ?1 ORDER BY month DESC, tenant LIMIT ?2",
        )?;
        let row = |row: &Row<'_>| Ok((col(row, "tenant")?, packet(row)?));
        Ok(statement.query_map(params![tenant.map(Col), most], row)?.collect::<Result<_, _>>()?)
    }

    /// Clinics that have records and no packet of that month or a later one: when their first record came, and the newest
    /// month of which they have one.
    pub fn clinics_behind(&self, month: &str) -> Result<Vec<(TenantId, Millis, Option<String>)>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM (SELECT tenant.id AS id,
               (SELECT min(received_ms) FROM (
                 SELECT * FROM (SELECT received_ms FROM evidence WHERE evidence.tenant = tenant.id ORDER BY log_index LIMIT 1)
                 UNION ALL SELECT received_ms FROM past_evidence WHERE past_evidence.tenant = tenant.id)) AS began_ms,
               (SELECT max(month) FROM packet WHERE packet.tenant = tenant.id) AS newest FROM tenant)
             WHERE began_ms IS NOT NULL AND (newest IS NULL OR newest < ?1) ORDER BY id",
        )?;
        let row = |row: &Row<'_>| Ok((col(row, "id")?, col(row, "began_ms")?, row.get("newest")?));
        Ok(statement.query_map([month], row)?.collect::<Result<_, _>>()?)
    }

    /// The newest of the months before that one. Months sort as they are written.
    pub fn packet_before(&self, tenant: TenantId, month: &str) -> Result<Option<PacketRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM packet WHERE tenant = ?1 AND month < ?2 ORDER BY month DESC LIMIT 1",
        )?;
        Ok(statement.query_row(params![Col(tenant), month], packet).optional()?)
    }
}

fn packet(row: &Row<'_>) -> rusqlite::Result<PacketRow> {
    let pdf: Option<[u8; 32]> = row.get("pdf_sha256")?;
    Ok(PacketRow {
        month: row.get("month")?,
        edition: row.get("edition")?,
        markdown_sha256: col(row, "markdown_sha256")?,
        pdf_sha256: pdf.map(Digest),
        size: col(row, "size")?,
        root: col(row, "root")?,
        made: col(row, "made_ms")?,
    })
}
