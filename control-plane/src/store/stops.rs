//! Stops: the newest for each box, as it was signed.

use proto::ids::ApplianceId;
use rusqlite::{OptionalExtension as _, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// A stop, or a release.
#[derive(Debug, Clone)]
pub struct StopRow {
    /// Its serial.
    pub serial: u64,
    /// Whether it stops.
    pub stopped: bool,
    /// The exact envelope.
    pub envelope: Vec<u8>,
}

impl Store {
    /// The newest for a box.
    pub fn stop(&self, appliance: ApplianceId) -> Result<Option<StopRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM stop WHERE appliance = ?1")?;
        let row = statement.query_row([Col(appliance)], |row| {
            Ok(StopRow {
                serial: col(row, "serial")?,
                stopped: row.get("stopped")?,
                envelope: row.get("envelope")?,
            })
        });
        Ok(row.optional()?)
    }

    /// Keeps a newer one before it leaves.
    pub fn put_stop(&self, appliance: ApplianceId, row: &StopRow) -> Result<(), StoreError> {
        let changed = self
            .db
            .prepare_cached(
                "INSERT INTO stop VALUES (?1, ?2, ?3, ?4) ON CONFLICT (appliance) DO UPDATE
                 SET serial = ?2, stopped = ?3, envelope = ?4 WHERE serial < ?2",
            )?
            .execute(params![Col(appliance), Col(row.serial), row.stopped, row.envelope])?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict { what: "stop" }) }
    }
}
