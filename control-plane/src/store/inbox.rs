//! What appliances reported: events, and gaps in what they reported.

use proto::{
    ids::{ApplianceId, EventId, IncidentId, TenantId},
    sync::{Event, Gap, Phase},
    time::Millis,
};
use rusqlite::params;

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// The most causes of gaps that are shown of one box.
const CAUSES_SHOWN: u32 = 20;

/// What is missing of what one box should have sent, for one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapRow {
    /// Why, in a word.
    pub cause: String,
    /// How much, in all.
    pub amount: u64,
    /// From.
    pub first: Millis,
    /// To.
    pub last: Millis,
}

impl Store {
    /// Keeps an event under its incident; `false` when this very event is here already.
    pub fn add_event(
        &self,
        tenant: TenantId,
        appliance: ApplianceId,
        incident: Option<IncidentId>,
        event: &Event,
        now: Millis,
    ) -> Result<bool, StoreError> {
        let phase = match event.phase {
            Phase::Raised => "raised",
            Phase::Ongoing => "ongoing",
            Phase::Cleared => "cleared",
        };
        let readings = serde_json::to_string(&event.readings)
            .map_err(|_| StoreError::Corrupt { column: "event.readings" })?;
        let added = self
            .db
            .prepare_cached(
                "INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                event.id.to_string(),
                Col(tenant),
                Col(appliance),
                incident.map(Col),
                event.kind,
                event.watch.as_str(),
                phase,
                Col(event.at),
                Col(now),
                readings,
                event.note
            ])?;
        if let Some(incident) = incident.filter(|_| added == 1) {
            self.db
                .prepare_cached("UPDATE incident SET events = events + 1, present = ?2 WHERE id = ?1")?
                .execute(params![Col(incident), event.phase != Phase::Cleared])?;
        }
        Ok(added == 1)
    }

    /// Whether this very event is here already.
    pub fn has_event(&self, appliance: ApplianceId, id: EventId) -> Result<bool, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT 1 FROM event WHERE appliance = ?1 AND id = ?2")?
            .exists(params![Col(appliance), id.to_string()])?)
    }

    /// Events of one appliance, counted by ID: what the exactly-once promise is about.
    pub fn count_events(&self, appliance: Option<ApplianceId>) -> Result<u64, StoreError> {
        let count: i64 = self
            .db
            .prepare_cached("SELECT count(*) FROM event WHERE ?1 IS NULL OR appliance = ?1")?
            .query_row([appliance.map(Col)], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }

    /// Keeps what is missing, and why.
    pub fn add_gap(
        &self,
        tenant: TenantId,
        appliance: ApplianceId,
        gap: &Gap,
        now: Millis,
    ) -> Result<(), StoreError> {
        self.db.prepare_cached("INSERT INTO gap VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(
            params![
                Col(tenant),
                Col(appliance),
                gap.cause,
                Col(gap.dropped),
                Col(gap.first),
                Col(gap.last),
                Col(now)
            ],
        )?;
        Ok(())
    }

    /// The same, as part of what is missing for that cause already, when that was said after `since`.
    pub fn grow_gap(
        &self,
        tenant: TenantId,
        appliance: ApplianceId,
        gap: &Gap,
        now: Millis,
        since: Millis,
    ) -> Result<bool, StoreError> {
        let grown = self
            .db
            .prepare_cached(
                "UPDATE gap SET amount = amount + ?3, last_ms = max(last_ms, ?4) WHERE id =
                   (SELECT max(id) FROM gap WHERE appliance = ?1 AND cause = ?2 AND received_ms > ?5)",
            )?
            .execute(params![Col(appliance), gap.cause, Col(gap.dropped), Col(gap.last), Col(since)])?;
        if grown == 1 {
            return Ok(false);
        }
        self.add_gap(tenant, appliance, gap, now)?;
        Ok(true)
    }

    /// How many events of a box were kept since `since`.
    pub fn count_events_since(&self, appliance: ApplianceId, since: Millis) -> Result<u64, StoreError> {
        self.count_since(
            "SELECT count(*) FROM event WHERE appliance = ?1 AND received_ms > ?2",
            appliance,
            since,
        )
    }

    /// How many gaps.
    pub fn count_gaps_since(&self, appliance: ApplianceId, since: Millis) -> Result<u64, StoreError> {
        self.count_since(
            "SELECT count(*) FROM gap WHERE appliance = ?1 AND received_ms > ?2",
            appliance,
            since,
        )
    }

    fn count_since(&self, sql: &str, appliance: ApplianceId, since: Millis) -> Result<u64, StoreError> {
        let count: i64 =
            self.db.prepare_cached(sql)?.query_row(params![Col(appliance), Col(since)], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }

    /// What is missing of a box, by cause.
    pub fn gaps(&self, appliance: ApplianceId) -> Result<Vec<GapRow>, StoreError> {
        // In floating point: amounts are what a box says, and two of them may be more than a whole number holds.
        let mut statement = self.db.prepare_cached(
            "SELECT cause, CAST(min(total(amount), 9e18) AS INTEGER) AS amount, min(first_ms) AS first_ms,
               max(last_ms) AS last_ms FROM gap WHERE appliance = ?1 GROUP BY cause ORDER BY cause LIMIT ?2",
        )?;
        let rows = statement.query_map(params![Col(appliance), CAUSES_SHOWN], |row| {
            Ok(GapRow {
                cause: row.get("cause")?,
                amount: col(row, "amount")?,
                first: col(row, "first_ms")?,
                last: col(row, "last_ms")?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
