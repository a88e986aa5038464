//! Evidence and the Merkle log's tiles.

use proto::{
    digest::Digest,
    ids::{ApplianceId, Incarnation, TenantId},
    log::{Head, Tile, TileWrite, Tiles, decode_hashes, encode_hashes},
    time::Millis,
};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// Where a tenant's log stands.
#[derive(Debug, Clone)]
pub struct LogHead {
    /// Name of the log.
    pub origin: String,
    /// Entries and root.
    pub head: Head,
    /// The newest signed checkpoint (note); `None` while the log is empty.
    pub checkpoint: Option<Vec<u8>>,
    /// How far checkpoint and tiles are published.
    pub published: u64,
    /// Why nothing more is appended, when that is so.
    pub halted: Option<String>,
}

/// A record of the log.
#[derive(Debug, Clone)]
pub struct EvidenceRow {
    /// Place in the log.
    pub log_index: u64,
    /// SHA-256 of the envelope.
    pub sha256: Digest,
    /// By which box; `None`: an act of the control plane.
    pub appliance: Option<ApplianceId>,
    /// Who wanted it, of an act.
    pub actor: String,
    /// Place in its chain.
    pub chain_index: u64,
    /// `execution`, `heartbeat`, …
    pub kind: String,
    /// A line for lists.
    pub summary: String,
    /// When, by the record.
    pub at: Millis,
    /// The exact envelope.
    pub envelope: Vec<u8>,
}

/// A record to be kept.
#[derive(Debug)]
pub struct NewEvidence<'a> {
    /// Whose log.
    pub tenant: TenantId,
    /// Place in it.
    pub log_index: u64,
    /// SHA-256 of the envelope.
    pub sha256: Digest,
    /// By which box.
    pub appliance: ApplianceId,
    /// By which executor state.
    pub incarnation: Incarnation,
    /// Place in its chain.
    pub chain_index: u64,
    /// What it follows there.
    pub previous: Digest,
    /// Its kind.
    pub kind: &'a str,
    /// A line for lists.
    pub summary: &'a str,
    /// When, by the record.
    pub at: Millis,
    /// Now.
    pub received: Millis,
    /// The exact envelope.
    pub envelope: &'a [u8],
}

impl Store {
    /// Where a tenant's log stands.
    pub fn log_head(&self, tenant: TenantId) -> Result<LogHead, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "SELECT log_origin, log_size, log_root, checkpoint, published_size, log_halted FROM tenant WHERE id = ?1",
            )?
            .query_row([Col(tenant)], |row| {
                Ok(LogHead {
                    origin: row.get("log_origin")?,
                    head: Head { size: col(row, "log_size")?, root: col(row, "log_root")? },
                    checkpoint: row.get("checkpoint")?,
                    published: col(row, "published_size")?,
                    halted: row.get("log_halted")?,
                })
            })?)
    }

    /// Moves a log from one head to the next: tiles, head and checkpoint together.
    pub fn advance_log(
        &self,
        tenant: TenantId,
        from: u64,
        to: Head,
        writes: &[TileWrite],
        checkpoint: &[u8],
    ) -> Result<(), StoreError> {
        let mut statement = self.db.prepare_cached(
            "INSERT INTO tile VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET hashes = excluded.hashes",
        )?;
        for write in writes {
            statement.execute(params![
                Col(tenant),
                write.tile.level(),
                Col(write.tile.index()),
                encode_hashes(&write.hashes)
            ])?;
        }
        let changed = self
            .db
            .prepare_cached(
                "UPDATE tenant SET log_size = ?3, log_root = ?4, checkpoint = ?5
                 WHERE id = ?1 AND log_size = ?2 AND log_halted IS NULL",
            )?
            .execute(params![Col(tenant), Col(from), Col(to.size), Col(to.root), checkpoint])?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict { what: "log" }) }
    }

    /// Puts another signature on the head that a log has.
    pub fn put_checkpoint(&self, tenant: TenantId, head: Head, checkpoint: &[u8]) -> Result<(), StoreError> {
        let changed = self
            .db
            .prepare_cached(
                "UPDATE tenant SET checkpoint = ?4 WHERE id = ?1 AND log_size = ?2 AND log_root = ?3",
            )?
            .execute(params![Col(tenant), Col(head.size), Col(head.root), checkpoint])?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict { what: "log" }) }
    }

    /// Notes that checkpoint and tiles up to `size` are where others can read them.
    pub fn put_published(&self, tenant: TenantId, size: u64) -> Result<(), StoreError> {
        self.db
            .prepare_cached("UPDATE tenant SET published_size = ?2 WHERE id = ?1")?
            .execute(params![Col(tenant), Col(size)])?;
        Ok(())
    }

    /// Stops a log for good: whoever goes on would sign a fork.
    pub fn halt_log(&self, tenant: TenantId, reason: &str) -> Result<(), StoreError> {
        self.db
            .prepare_cached("UPDATE tenant SET log_halted = ?2 WHERE id = ?1")?
            .execute(params![Col(tenant), reason])?;
        Ok(())
    }

    /// Tenants whose newest checkpoint is not published yet.
    pub fn unpublished(&self) -> Result<Vec<TenantId>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT id FROM tenant WHERE published_size < log_size")?;
        Ok(statement.query_map([], |row| col(row, "id"))?.collect::<Result<_, _>>()?)
    }

    /// Keeps a record.
    pub fn add_evidence(&self, new: &NewEvidence<'_>) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO evidence VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                Col(new.tenant),
                Col(new.log_index),
                Col(new.sha256),
                Col(new.appliance),
                Col(new.incarnation),
                Col(new.chain_index),
                Col(new.previous),
                new.kind,
                new.summary,
                Col(new.at),
                Col(new.received),
                new.envelope
            ])?;
        Ok(())
    }

    /// Digests kept at one place of a chain; more than one is a fork.
    pub fn evidence_at(&self, incarnation: Incarnation, chain_index: u64) -> Result<Vec<Digest>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT sha256 FROM evidence WHERE incarnation = ?1 AND chain_index = ?2")?;
        let rows =
            statement.query_map(params![Col(incarnation), Col(chain_index)], |row| col(row, "sha256"))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The envelopes of executions among the newest `most` records of a chain, newest first.
    pub fn newest_executions(&self, incarnation: Incarnation, most: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT envelope FROM (SELECT kind, envelope, chain_index FROM evidence WHERE incarnation = ?1
                                   ORDER BY chain_index DESC LIMIT ?2)
             WHERE kind = 'execution' ORDER BY chain_index DESC",
        )?;
        let rows = statement.query_map(params![Col(incarnation), most], |row| row.get("envelope"))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The envelope of the newest record of a kind before a place of a chain.
    pub fn newest_before(
        &self,
        incarnation: Incarnation,
        chain_index: u64,
        kind: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "SELECT envelope FROM evidence WHERE incarnation = ?1 AND chain_index < ?2 AND kind = ?3
                 ORDER BY chain_index DESC LIMIT 1",
            )?
            .query_row(params![Col(incarnation), Col(chain_index), kind], |row| row.get("envelope"))
            .optional()?)
    }

    /// The records kept at one place of a chain, each with what it follows.
    pub fn links_at(
        &self,
        incarnation: Incarnation,
        chain_index: u64,
    ) -> Result<Vec<(Digest, Digest)>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT sha256, previous FROM evidence WHERE incarnation = ?1 AND chain_index = ?2",
        )?;
        let rows = statement.query_map(params![Col(incarnation), Col(chain_index)], |row| {
            Ok((col(row, "sha256")?, col(row, "previous")?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether two records stand at one place of a chain, or one follows none of those before it. For a person's question:
    /// it looks at the whole chain.
    pub fn has_forked(&self, incarnation: Incarnation) -> Result<bool, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "WITH chain AS (SELECT chain_index, sha256, previous FROM evidence WHERE incarnation = ?1
                   UNION SELECT chain_index, sha256, previous FROM past_evidence WHERE incarnation = ?1)
                 SELECT EXISTS (SELECT 1 FROM chain GROUP BY chain_index HAVING count(*) > 1)
                     OR EXISTS (SELECT 1 FROM chain AS later JOIN chain AS before
                         ON before.chain_index = later.chain_index - 1
                         GROUP BY later.sha256 HAVING max(before.sha256 = later.previous) = 0)",
            )?
            .query_row([Col(incarnation)], |row| row.get(0))?)
    }

    /// The kept records of a chain that are nearest to a place, before and after it.
    pub fn neighbours(
        &self,
        incarnation: Incarnation,
        chain_index: u64,
    ) -> Result<(Option<u64>, Option<u64>), StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "SELECT (SELECT max(chain_index) FROM evidence WHERE incarnation = ?1 AND chain_index < ?2) AS before,
                   (SELECT min(chain_index) FROM evidence WHERE incarnation = ?1 AND chain_index > ?2) AS after",
            )?
            .query_row(params![Col(incarnation), Col(chain_index)], |row| {
                Ok((col(row, "before")?, col(row, "after")?))
            })?)
    }

    /// Whether a record of that kind stands further along in a chain.
    pub fn has_later(
        &self,
        incarnation: Incarnation,
        chain_index: u64,
        kind: &str,
    ) -> Result<bool, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "SELECT 1 FROM evidence WHERE incarnation = ?1 AND chain_index > ?2 AND kind = ?3",
            )?
            .exists(params![Col(incarnation), Col(chain_index), kind])?)
    }

    /// Log index of a record of this tenant.
    pub fn evidence_index(&self, tenant: TenantId, sha256: Digest) -> Result<Option<u64>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT log_index FROM evidence WHERE sha256 = ?2 AND tenant = ?1")?
            .query_row(params![Col(tenant), Col(sha256)], |row| col(row, "log_index"))
            .optional()?)
    }

    /// Entries of a tenant's log from an index on: records of executors, and acts.
    pub fn evidence(&self, tenant: TenantId, from: u64, most: u32) -> Result<Vec<EvidenceRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT log_index, sha256, appliance, '' AS actor, chain_index, kind, summary, at_ms, envelope
               FROM evidence WHERE tenant = ?1 AND log_index >= ?2
             UNION ALL
             SELECT log_index, sha256, NULL, actor, number, kind, summary, at_ms, envelope
               FROM act WHERE tenant = ?1 AND log_index >= ?2
             ORDER BY log_index LIMIT ?3",
        )?;
        Ok(statement.query_map(params![Col(tenant), Col(from), most], evidence)?.collect::<Result<_, _>>()?)
    }

    /// A tenant's tiles, for proofs.
    #[must_use]
    pub fn tiles(&self, tenant: TenantId) -> TenantTiles<'_> {
        TenantTiles { store: self, tenant, past: None }
    }
}

/// One tenant's tiles as the Merkle log reads them.
pub struct TenantTiles<'a> {
    pub(super) store: &'a Store,
    pub(super) tenant: TenantId,
    /// Of a log before the newest, which.
    pub(super) past: Option<u64>,
}

impl Tiles for TenantTiles<'_> {
    type Error = StoreError;

    fn tile(&self, tile: Tile) -> Result<Vec<proto::log::Hash>, StoreError> {
        let (query, log) = match self.past {
            None => {
                ("SELECT hashes FROM tile WHERE tenant = ?1 AND level = ?2 AND number = ?3 AND ?4 = 0", 0)
            }
            Some(log) => (
                "SELECT hashes FROM past_tile WHERE tenant = ?1 AND level = ?2 AND number = ?3 AND log = ?4",
                log,
            ),
        };
        let place = params![Col(self.tenant), tile.level(), Col(tile.index()), Col(log)];
        let bytes: Option<Vec<u8>> =
            self.store.db.prepare_cached(query)?.query_row(place, |row| row.get(0)).optional()?;
        decode_hashes(&bytes.unwrap_or_default()).map_err(|_| StoreError::Corrupt { column: "tile.hashes" })
    }
}

fn evidence(row: &Row<'_>) -> rusqlite::Result<EvidenceRow> {
    Ok(EvidenceRow {
        log_index: col(row, "log_index")?,
        sha256: col(row, "sha256")?,
        appliance: col(row, "appliance")?,
        actor: row.get("actor")?,
        chain_index: col(row, "chain_index")?,
        kind: row.get("kind")?,
        summary: row.get("summary")?,
        at: col(row, "at_ms")?,
        envelope: row.get("envelope")?,
    })
}
