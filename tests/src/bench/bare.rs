//! The bare loop that events are held against: SQLite, and nothing but the rows.

use std::path::Path;

use anyhow::Result;
use prost::Message as _;
use proto::{
    pb,
    sync::{Event, Record},
};
use rusqlite::{Connection, params};

use super::records;

/// What the two tables keep of an event.
pub(super) struct Kept {
    bytes: Vec<u8>,
    readings: String,
    event: Event,
}

/// The rows of all looks, encoded ahead: only keeping them is measured.
pub(super) fn rows(looks: &[Vec<Event>]) -> Result<Vec<Kept>> {
    let row = |event: &Event| {
        let bytes = pb::Record::from(Record::Event(event.clone())).encode_to_vec();
        Ok(Kept { bytes, readings: serde_json::to_string(&event.readings)?, event: event.clone() })
    };
    looks.iter().flatten().map(row).collect()
}

/// The database with both tables.
pub(super) struct Bare(Connection);

impl Bare {
    /// In a file beside the others, as durable as the product's.
    pub(super) fn new(work: &Path) -> Result<Self> {
        let db = Connection::open(work.join("bare.db"))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.execute_batch(
            "CREATE TABLE outbox (sequence INTEGER PRIMARY KEY, rank INTEGER, at_ms INTEGER, bytes BLOB);
             CREATE TABLE inbox (id TEXT PRIMARY KEY, kind TEXT, watch TEXT, at_ms INTEGER, readings TEXT, note TEXT) WITHOUT ROWID;",
        )?;
        Ok(Self(db))
    }

    /// The outbox by looks, then the inbox by batches.
    pub(super) fn keep(&mut self, rows: &[Kept], batches: &[usize]) -> Result<()> {
        for look in rows.chunks(records::LOOK) {
            let tx = self.0.transaction()?;
            for Kept { bytes, event, .. } in look {
                tx.prepare_cached("INSERT INTO outbox (rank, at_ms, bytes) VALUES (0, ?1, ?2)")?
                    .execute(params![event.at.0, bytes])?;
            }
            tx.commit()?;
        }
        let mut rest = rows;
        for &size in batches {
            let (batch, after) = rest.split_at(size);
            rest = after;
            let tx = self.0.transaction()?;
            for Kept { readings, event: e, .. } in batch {
                tx.prepare_cached("INSERT INTO inbox VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
                    e.id.to_string(),
                    e.kind,
                    e.watch.as_str(),
                    e.at.0,
                    readings,
                    e.note
                ])?;
            }
            tx.commit()?;
        }
        Ok(())
    }
}
