//! Incidents and their timelines.

use proto::{
    ids::{ApplianceId, IncidentId, RunbookId, TenantId, WatchId},
    order::Plan,
    time::Millis,
};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError, Within,
    convert::{Col, col},
};
use crate::core::incident::State;

/// A fault that needs something done.
#[derive(Debug, Clone)]
pub struct IncidentRow {
    /// Its ID.
    pub id: IncidentId,
    /// Whose.
    pub tenant: TenantId,
    /// Where.
    pub appliance: ApplianceId,
    /// The fault, as events name it.
    pub kind: String,
    /// The entry of the box's watch list.
    pub watch: WatchId,
    /// Where it stands.
    pub state: State,
    /// Why it stands there.
    pub reason: String,
    /// The runbook chosen.
    pub runbook: Option<RunbookId>,
    /// Who chose it.
    pub plan: Option<Plan>,
    /// Whether the newest event says that the fault is there.
    pub present: bool,
    /// How many events it has absorbed.
    pub events: u64,
    /// Since when.
    pub opened: Millis,
    /// Newest change of state.
    pub changed: Millis,
    /// Not to be tried before.
    pub retry: Millis,
    /// Orders that came to nothing so far.
    pub attempts: u64,
}

/// A fault newly seen.
#[derive(Debug)]
pub struct NewIncident<'a> {
    /// Its ID.
    pub id: IncidentId,
    /// Whose.
    pub tenant: TenantId,
    /// Where.
    pub appliance: ApplianceId,
    /// The fault.
    pub kind: &'a str,
    /// The entry of the watch list.
    pub watch: &'a WatchId,
    /// Now.
    pub now: Millis,
}

/// A change of an incident; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct IncidentChange {
    /// Where it stands now.
    pub state: Option<State>,
    /// Why.
    pub reason: Option<String>,
    /// The runbook chosen, and who chose it.
    pub plan: Option<(RunbookId, Plan)>,
    /// Not to be tried before.
    pub retry: Option<Millis>,
    /// Orders that came to nothing so far.
    pub attempts: Option<u64>,
    /// Whether the fault is there.
    pub present: Option<bool>,
}

/// A line of an incident's timeline.
#[derive(Debug, Clone)]
pub struct TimelineRow {
    /// When.
    pub at: Millis,
    /// One word.
    pub what: String,
    /// A sentence.
    pub detail: String,
}

impl Store {
    /// Opens an incident.
    pub fn add_incident(&self, new: &NewIncident<'_>) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO incident VALUES (?1, ?2, ?3, ?4, ?5, ?6, '', NULL, NULL, 1, 0, ?7, ?7, 0, 0)",
            )?
            .execute(params![
                Col(new.id),
                Col(new.tenant),
                Col(new.appliance),
                new.kind,
                new.watch.as_str(),
                State::Open.name(),
                Col(new.now)
            ])?;
        Ok(())
    }

    /// The newest incident of one fault.
    pub fn newest_incident(
        &self,
        appliance: ApplianceId,
        kind: &str,
        watch: &WatchId,
    ) -> Result<Option<IncidentRow>, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "SELECT * FROM incident WHERE appliance = ?1 AND kind = ?2 AND watch = ?3
                 ORDER BY opened_ms DESC, id DESC LIMIT 1",
            )?
            .query_row(params![Col(appliance), kind, watch.as_str()], incident)
            .optional()?)
    }

    /// One incident.
    pub fn incident(&self, id: IncidentId) -> Result<Option<IncidentRow>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT * FROM incident WHERE id = ?1")?
            .query_row([Col(id)], incident)
            .optional()?)
    }

    /// Incidents, newest first, of one clinic or all, in one state or any.
    pub fn incidents(
        &self,
        within: Within,
        state: Option<State>,
        most: u32,
    ) -> Result<Vec<IncidentRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM incident WHERE (?1 IS NULL OR tenant = ?1) AND (?2 IS NULL OR state = ?2)
               AND (?4 IS NULL OR appliance IN (SELECT id FROM appliance WHERE site = ?4))
             ORDER BY opened_ms DESC, id DESC LIMIT ?3",
        )?;
        let rows = statement.query_map(
            params![within.tenant.map(Col), state.map(State::name), most, within.site.map(Col)],
            incident,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Incidents of an appliance that wait for an order and may be tried.
    pub fn incidents_to_order(
        &self,
        appliance: ApplianceId,
        now: Millis,
    ) -> Result<Vec<IncidentRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM incident WHERE appliance = ?1 AND state = 'planned' AND retry_ms <= ?2 ORDER BY opened_ms, id",
        )?;
        Ok(statement.query_map(params![Col(appliance), Col(now)], incident)?.collect::<Result<_, _>>()?)
    }

    /// Has incidents of an appliance that wait for an order tried at once.
    pub fn order_at_once(&self, appliance: ApplianceId, now: Millis) -> Result<(), StoreError> {
        let mut statement = self.db.prepare_cached(
            "UPDATE incident SET retry_ms = ?2 WHERE appliance = ?1 AND state = 'planned' AND retry_ms > ?2",
        )?;
        statement.execute(params![Col(appliance), Col(now)])?;
        Ok(())
    }

    /// Appliances with a planned incident whose time to be tried came after `since`.
    pub fn appliances_to_wake(&self, since: Millis, now: Millis) -> Result<Vec<ApplianceId>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT DISTINCT appliance FROM incident WHERE state = 'planned' AND retry_ms > ?1 AND retry_ms <= ?2",
        )?;
        let rows = statement.query_map(params![Col(since), Col(now)], |row| col(row, "appliance"))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Incidents that neither ended nor moved since `before`.
    pub fn stalled_incidents(&self, before: Millis) -> Result<Vec<IncidentRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM incident WHERE state IN ('open', 'planned', 'ordered') AND changed_ms <= ?1",
        )?;
        Ok(statement.query_map([Col(before)], incident)?.collect::<Result<_, _>>()?)
    }

    /// How many faults of a box are there now, as far as it is known, and how many came since `since`.
    pub fn count_faults(&self, appliance: ApplianceId, since: Millis) -> Result<(u64, u64), StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "SELECT (SELECT count(*) FROM incident WHERE appliance = ?1
                   AND (state IN ('open', 'planned', 'ordered') OR (state = 'escalated' AND present = 1))) AS there,
                   (SELECT count(*) FROM incident WHERE appliance = ?1 AND opened_ms > ?2) AS recent",
            )?
            .query_row(params![Col(appliance), Col(since)], |row| {
                Ok((col(row, "there")?, col(row, "recent")?))
            })?)
    }

    /// Changes an incident that still stands where the caller saw it.
    pub fn change_incident(
        &self,
        seen: &IncidentRow,
        change: &IncidentChange,
        now: Millis,
    ) -> Result<(), StoreError> {
        let plan = change
            .plan
            .as_ref()
            .map(|(_, plan)| {
                serde_json::to_string(plan).map_err(|_| StoreError::Corrupt { column: "incident.plan" })
            })
            .transpose()?;
        let changed = self
            .db
            .prepare_cached(
                "UPDATE incident SET state = coalesce(?3, state), reason = coalesce(?4, reason),
                   runbook = coalesce(?5, runbook), plan = coalesce(?6, plan), retry_ms = coalesce(?7, retry_ms),
                   attempts = coalesce(?8, attempts), present = coalesce(?9, present),
                   changed_ms = CASE WHEN ?3 IS NULL THEN changed_ms ELSE ?10 END
                 WHERE id = ?1 AND state = ?2",
            )?
            .execute(params![
                Col(seen.id),
                seen.state.name(),
                change.state.map(State::name),
                change.reason,
                change.plan.as_ref().map(|(id, _)| id.as_str()),
                plan,
                change.retry.map(Col),
                change.attempts.map(Col),
                change.present,
                Col(now)
            ])?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict { what: "incident" }) }
    }

    /// Adds a line to a timeline.
    pub fn add_timeline(
        &self,
        incident: IncidentId,
        at: Millis,
        what: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO timeline SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4 FROM timeline WHERE incident = ?1",
            )?
            .execute(params![Col(incident), Col(at), what, detail])?;
        Ok(())
    }

    /// An incident's timeline, oldest first.
    pub fn timeline(&self, incident: IncidentId) -> Result<Vec<TimelineRow>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT * FROM timeline WHERE incident = ?1 ORDER BY number")?;
        let rows = statement.query_map([Col(incident)], |row| {
            Ok(TimelineRow { at: col(row, "at_ms")?, what: row.get("what")?, detail: row.get("detail")? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

pub(super) fn incident(row: &Row<'_>) -> rusqlite::Result<IncidentRow> {
    let corrupt = |column: &str| rusqlite::Error::InvalidColumnName(column.to_owned());
    let state: String = row.get("state")?;
    let plan: Option<String> = row.get("plan")?;
    Ok(IncidentRow {
        id: col(row, "id")?,
        tenant: col(row, "tenant")?,
        appliance: col(row, "appliance")?,
        kind: row.get("kind")?,
        watch: col(row, "watch")?,
        state: State::named(&state).ok_or_else(|| corrupt("incident.state"))?,
        reason: row.get("reason")?,
        runbook: col(row, "runbook")?,
        plan: plan
            .map(|text| serde_json::from_str(&text).map_err(|_| corrupt("incident.plan")))
            .transpose()?,
        present: row.get("present")?,
        events: col(row, "events")?,
        opened: col(row, "opened_ms")?,
        changed: col(row, "changed_ms")?,
        retry: col(row, "retry_ms")?,
        attempts: col(row, "attempts")?,
    })
}
