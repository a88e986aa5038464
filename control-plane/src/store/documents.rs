//! Charters and catalogues that were ever in force.

use proto::time::Millis;
use rusqlite::{OptionalExtension as _, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// Which series of signed documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// By serial.
    Charter,
    /// By version.
    Catalogue,
}

impl Document {
    fn name(self) -> &'static str {
        match self {
            Self::Charter => "charter",
            Self::Catalogue => "catalogue",
        }
    }
}

impl Store {
    /// Keeps a document's envelope under its serial.
    pub fn put_document(
        &self,
        kind: Document,
        serial: u64,
        envelope: &[u8],
        now: Millis,
    ) -> Result<(), StoreError> {
        self.db.prepare_cached("INSERT INTO document VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            kind.name(),
            Col(serial),
            envelope,
            Col(now)
        ])?;
        Ok(())
    }

    /// The envelope with the highest serial.
    pub fn newest_document(&self, kind: Document) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT envelope FROM document WHERE kind = ?1 ORDER BY serial DESC LIMIT 1")?
            .query_row([kind.name()], |row| row.get(0))
            .optional()?)
    }

    /// The envelope of that serial.
    pub fn document(&self, kind: Document, serial: u64) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT envelope FROM document WHERE kind = ?1 AND serial = ?2")?
            .query_row(params![kind.name(), Col(serial)], |row| row.get(0))
            .optional()?)
    }

    /// The highest serial.
    pub fn newest_serial(&self, kind: Document) -> Result<Option<u64>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT serial FROM document WHERE kind = ?1 ORDER BY serial DESC LIMIT 1")?
            .query_row([kind.name()], |row| col(row, "serial"))
            .optional()?)
    }

    /// All envelopes of a series, oldest first, with their serials.
    pub fn documents(&self, kind: Document) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT serial, envelope FROM document WHERE kind = ?1 ORDER BY serial")?;
        let rows =
            statement.query_map([kind.name()], |row| Ok((col(row, "serial")?, row.get("envelope")?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
