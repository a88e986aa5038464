//! Holds: an operator's pause at any level.

use proto::{
    ids::{ApplianceId, SiteId, TenantId},
    time::Millis,
};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    ApplianceRow, Store, StoreError,
    convert::{Col, col},
};

/// A hold.
#[derive(Debug, Clone)]
pub struct HoldRow {
    /// What is held: `organization`, or the ID of a clinic, site or box. At most one each.
    pub place: String,
    /// Whose; `None`: everything is held.
    pub tenant: Option<TenantId>,
    /// The place, when it is of one, or of a box there.
    pub site: Option<SiteId>,
    /// The box, when it is of one.
    pub appliance: Option<ApplianceId>,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// Since when.
    pub since: Millis,
    /// Until when; 0: until it is released.
    pub until: Millis,
}

impl Store {
    /// Holds a place, or holds it for another reason or time.
    pub fn put_hold_of(&self, row: &HoldRow) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO hold VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (place) DO UPDATE SET reason = ?5, held_by = ?6, until_ms = ?8",
            )?
            .execute(params![
                row.place,
                row.tenant.map(Col),
                row.site.map(Col),
                row.appliance.map(Col),
                row.reason,
                row.by,
                Col(row.since),
                Col(row.until)
            ])?;
        Ok(())
    }

    /// The hold of a place.
    pub fn hold_of(&self, place: &str) -> Result<Option<HoldRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM hold WHERE place = ?1")?;
        Ok(statement.query_row([place], hold).optional()?)
    }

    /// Ends the hold of a place; `None`: there was none.
    pub fn end_hold_of(&self, place: &str) -> Result<Option<HoldRow>, StoreError> {
        let mut statement = self.db.prepare_cached("DELETE FROM hold WHERE place = ?1 RETURNING *")?;
        Ok(statement.query_row([place], hold).optional()?)
    }

    /// All holds of a clinic, or all; what holds everything is a hold of each clinic.
    pub fn holds(&self, tenant: Option<TenantId>) -> Result<Vec<HoldRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM hold WHERE ?1 IS NULL OR tenant IS NULL OR tenant = ?1 ORDER BY since_ms, place",
        )?;
        Ok(statement.query_map([tenant.map(Col)], hold)?.collect::<Result<_, _>>()?)
    }

    /// The hold that a box is under; of several the widest.
    pub fn hold_over(&self, appliance: &ApplianceRow, now: Millis) -> Result<Option<HoldRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM hold WHERE place IN (?1, ?2, ?3, ?4) AND (until_ms = 0 OR until_ms > ?5)
             ORDER BY (tenant IS NOT NULL) + (site IS NOT NULL) + (appliance IS NOT NULL) LIMIT 1",
        )?;
        let row = statement.query_row(
            params![
                crate::core::level::EVERYTHING,
                Col(appliance.tenant),
                Col(appliance.site),
                Col(appliance.id),
                Col(now)
            ],
            hold,
        );
        Ok(row.optional()?)
    }
}

fn hold(row: &Row<'_>) -> rusqlite::Result<HoldRow> {
    Ok(HoldRow {
        place: row.get("place")?,
        tenant: col(row, "tenant")?,
        site: col(row, "site")?,
        appliance: col(row, "appliance")?,
        reason: row.get("reason")?,
        by: row.get("held_by")?,
        since: col(row, "since_ms")?,
        until: col(row, "until_ms")?,
    })
}
