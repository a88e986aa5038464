//! Logs that another follows: kept as they were, out of the way of the newest.

use proto::{
    digest::Digest,
    ids::TenantId,
    log::{EMPTY_ROOT, Head},
};
use rusqlite::{OptionalExtension as _, params};

use super::{
    LogHead, Store, StoreError,
    convert::{Col, col},
    evidence::TenantTiles,
};

/// What a log is made of: a table of the newest, and its columns.
const PARTS: [(&str, &str); 4] = [
    (
        "evidence",
        "tenant, log_index, sha256, appliance, incarnation, chain_index, previous, kind, summary, at_ms, received_ms, envelope",
    ),
    ("act", "tenant, log_index, sha256, number, kind, summary, actor, at_ms, envelope"),
    ("tile", "tenant, level, number, hashes"),
    ("cosignature", "tenant, witness, size, cosigned_ms, note, trouble, trouble_ms"),
];

impl Store {
    /// Puts a clinic's newest log, its `log`-th, behind, and begins the next one, empty, by what `succession` says.
    pub fn end_log(
        &self,
        tenant: TenantId,
        log: u64,
        (next, succession): (&str, &[u8]),
    ) -> Result<(), StoreError> {
        self.db.execute(
            "INSERT INTO past_log SELECT id, ?2, log_origin, log_size, log_root, checkpoint, published_size, log_halted
             FROM tenant WHERE id = ?1",
            params![Col(tenant), Col(log)],
        )?;
        for (table, columns) in PARTS {
            self.db.execute(
                &format!("INSERT INTO past_{table} (log, {columns}) SELECT ?2, {columns} FROM {table} WHERE tenant = ?1"),
                params![Col(tenant), Col(log)],
            )?;
            self.db.execute(&format!("DELETE FROM {table} WHERE tenant = ?1"), [Col(tenant)])?;
        }
        self.db.execute(
            "UPDATE tenant SET log_origin = ?2, log_size = 0, log_root = ?3, checkpoint = NULL, published_size = 0,
             log_halted = NULL WHERE id = ?1",
            params![Col(tenant), next, Col(EMPTY_ROOT)],
        )?;
        self.put_succession(tenant, log + 1, succession)
    }

    /// Keeps what the organization says of a clinic's `log`-th log.
    pub fn put_succession(&self, tenant: TenantId, log: u64, envelope: &[u8]) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO succession VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET envelope = excluded.envelope",
            )?
            .execute(params![Col(tenant), Col(log), envelope])?;
        Ok(())
    }

    /// What the organization said of each log that follows another, by its number.
    pub fn successions(&self, tenant: TenantId) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT log, envelope FROM succession WHERE tenant = ?1 ORDER BY log")?;
        let rows = statement.query_map([Col(tenant)], |row| Ok((col(row, "log")?, row.get("envelope")?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The logs that others follow, by their numbers, the newest first.
    pub fn past_logs(&self, tenant: TenantId) -> Result<Vec<(u64, LogHead)>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT * FROM past_log WHERE tenant = ?1 ORDER BY log DESC")?;
        let rows = statement.query_map([Col(tenant)], |row| {
            let log = LogHead {
                origin: row.get("log_origin")?,
                head: Head { size: col(row, "log_size")?, root: col(row, "log_root")? },
                checkpoint: row.get("checkpoint")?,
                published: col(row, "published_size")?,
                halted: row.get("log_halted")?,
            };
            Ok((col(row, "log")?, log))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The tiles of one of them.
    #[must_use]
    pub fn past_tiles(&self, tenant: TenantId, log: u64) -> TenantTiles<'_> {
        TenantTiles { store: self, tenant, past: Some(log) }
    }

    /// Whether a log before the newest has that record.
    pub fn had_evidence(&self, tenant: TenantId, sha256: Digest) -> Result<bool, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT 1 FROM past_evidence WHERE tenant = ?1 AND sha256 = ?2")?
            .exists(params![Col(tenant), Col(sha256)])?)
    }

    /// Puts a record of a log before into the newest one too, under `log_index`; its envelope, if there is one of that digest.
    pub fn carry_over(
        &self,
        tenant: TenantId,
        sha256: Digest,
        log_index: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "INSERT INTO evidence SELECT tenant, ?3, sha256, appliance, incarnation, chain_index, previous, kind, summary,
                   at_ms, received_ms, envelope
                 FROM past_evidence WHERE tenant = ?1 AND sha256 = ?2 LIMIT 1
                 ON CONFLICT DO NOTHING RETURNING envelope",
            )?
            .query_row(params![Col(tenant), Col(sha256), Col(log_index)], |row| row.get(0))
            .optional()?)
    }

    /// From now on, for this connection alone, a clinic's log is the one that was its `log`-th; `false`: it is no log before
    /// the newest.
    pub fn look_at_log(&self, tenant: TenantId, log: u64) -> Result<bool, StoreError> {
        self.look_at_newest()?;
        if !self.past_logs(tenant)?.iter().any(|(past, _)| *past == log) {
            return Ok(false);
        }
        // Names of views in `temp` come before those of tables. What is put into the text here is an ID and a number.
        let only = format!("WHERE tenant = '{tenant}' AND log = {log}");
        for (table, columns) in PARTS {
            self.db.execute_batch(&format!(
                "CREATE TEMP VIEW {table} AS SELECT {columns} FROM main.past_{table} {only}"
            ))?;
        }
        self.db.execute_batch(&format!(
            "CREATE TEMP VIEW tenant AS SELECT id, name, created_ms, policy_serial, policy, past.log_origin, past.log_size,
               past.log_root, past.checkpoint, past.published_size, past.log_halted, now.closed_ms
             FROM main.tenant AS now JOIN main.past_log AS past ON past.tenant = now.id {}",
            only.replace("tenant =", "past.tenant =")
        ))?;
        Ok(true)
    }

    /// Back to the newest.
    pub fn look_at_newest(&self) -> Result<(), StoreError> {
        for table in PARTS.iter().map(|(table, _)| *table).chain(["tenant"]) {
            self.db.execute_batch(&format!("DROP VIEW IF EXISTS temp.{table}"))?;
        }
        Ok(())
    }
}
