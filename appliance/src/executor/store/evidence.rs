//! Evidence that waits for the proof of its inclusion, and the count of what may be signed only so often.

use std::time::Duration;

use proto::digest::Digest;
use rusqlite::{OptionalExtension as _, named_params};

use super::{StoreError, View, Write, bits, millis, sql};

/// A kept record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its place in the chain.
    pub index: u64,
    /// The envelope's bytes.
    pub envelope: Vec<u8>,
}

/// What others can make the executor sign, counted apart: forgeries must not use up the room of what is real.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// Refusals of orders that an order key signed.
    Refusal,
    /// Refusals of what no order key signed.
    Forgery,
    /// Holds and releases.
    Hold,
}

impl Allowance {
    fn name(self) -> &'static str {
        match self {
            Self::Refusal => "refusal",
            Self::Forgery => "forgery",
            Self::Hold => "hold",
        }
    }
}

impl View<'_> {
    /// Oldest index still kept.
    pub fn evidence_first(&self) -> Result<Option<u64>, StoreError> {
        self.0
            .query_row("SELECT min(idx) FROM evidence", [], |row| row.get::<_, Option<i64>>(0))
            .map(|first| first.map(i64::cast_unsigned))
            .map_err(sql("find the oldest evidence"))
    }

    /// Bytes of all that is kept.
    pub fn evidence_bytes(&self) -> Result<u64, StoreError> {
        self.0
            .query_row("SELECT coalesce(sum(bytes), 0) FROM evidence", [], |row| row.get::<_, i64>(0))
            .map(i64::cast_unsigned)
            .map_err(sql("sum up the evidence"))
    }

    /// Digests of kept records, oldest first.
    pub fn unproven(&self, most: usize) -> Result<Vec<Digest>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Digest>> {
            self.0
                .prepare_cached("SELECT digest FROM evidence ORDER BY idx LIMIT ?1")?
                .query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| row.get(0).map(Digest))?
                .collect()
        };
        read().map_err(sql("list the evidence"))
    }

    /// Records from an index on, oldest first: at least one if there is one, then as many as fit into `most_bytes`.
    pub fn evidence_from(&self, from: u64, most_bytes: u64) -> Result<Vec<Kept>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Kept>> {
            let mut query =
                self.0.prepare_cached("SELECT idx, envelope FROM evidence WHERE idx >= ?1 ORDER BY idx")?;
            let mut rows = query.query([bits(from)])?;
            let (mut kept, mut bytes) = (Vec::new(), 0u64);
            while let Some(row) = rows.next()? {
                let record = Kept { index: row.get::<_, i64>(0)?.cast_unsigned(), envelope: row.get(1)? };
                bytes = bytes.saturating_add(record.envelope.len() as u64);
                if !kept.is_empty() && bytes > most_bytes {
                    break;
                }
                kept.push(record);
            }
            Ok(kept)
        };
        // Beyond every row there can be.
        if i64::try_from(from).is_err() { Ok(Vec::new()) } else { read().map_err(sql("read evidence")) }
    }

    /// Whether a record is kept from an index on.
    pub fn has_evidence(&self, from: u64) -> Result<bool, StoreError> {
        let Ok(from) = i64::try_from(from) else { return Ok(false) };
        let found = self.0.query_row("SELECT 1 FROM evidence WHERE idx >= ?1 LIMIT 1", [from], |_| Ok(()));
        found.optional().map(|row| row.is_some()).map_err(sql("look for evidence"))
    }

    /// The envelope of a kept record.
    pub fn evidence_by_digest(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.0
            .query_row("SELECT envelope FROM evidence WHERE digest = ?1", [digest.0], |row| row.get(0))
            .optional()
            .map_err(sql("find evidence"))
    }

    /// How many of that kind were signed after that active time; `None`: ever.
    pub fn signed_since(&self, kind: Allowance, active: Option<Duration>) -> Result<u64, StoreError> {
        let query = "SELECT count(*) FROM signed WHERE kind = ?1 AND active > ?2";
        self.0
            .query_row(query, (kind.name(), active.map_or(-1, millis)), |row| row.get::<_, i64>(0))
            .map(i64::cast_unsigned)
            .map_err(sql("count what was signed"))
    }
}

impl Write<'_> {
    /// Keeps a record.
    pub fn keep_evidence(&self, index: u64, digest: Digest, envelope: &[u8]) -> Result<(), StoreError> {
        self.0
            .0
            .execute(
                "INSERT INTO evidence (idx, digest, bytes, envelope) VALUES (:index, :digest, :bytes, :envelope)",
                named_params! {
                    ":index": bits(index), ":digest": digest.0,
                    ":bytes": i64::try_from(envelope.len()).unwrap_or(i64::MAX), ":envelope": envelope,
                },
            )
            .map(|_| ())
            .map_err(sql("keep evidence"))
    }

    /// Lets go of a record whose inclusion was proven.
    pub fn drop_evidence(&self, digest: Digest) -> Result<(), StoreError> {
        self.0
            .0
            .execute("DELETE FROM evidence WHERE digest = ?1", [digest.0])
            .map(|_| ())
            .map_err(sql("let go of proven evidence"))
    }

    /// Counts one more of that kind, and forgets all up to `since`.
    pub fn count_signed(
        &self,
        kind: Allowance,
        active: Duration,
        since: Option<Duration>,
    ) -> Result<(), StoreError> {
        let write = || {
            self.0.0.execute("DELETE FROM signed WHERE active <= ?1", [since.map_or(-1, millis)])?;
            self.0
                .0
                .execute("INSERT INTO signed (kind, active) VALUES (?1, ?2)", (kind.name(), millis(active)))
        };
        write().map(|_| ()).map_err(sql("count what was signed"))
    }
}
