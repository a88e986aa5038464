//! Where the chain stands of each incident that needs a person, and the tickets that were opened for it.

use proto::{
    ids::{IncidentId, TenantId},
    time::Millis,
};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
    incidents::{IncidentRow, incident},
};
use crate::telling::ticket::Ticket;

/// Where the chain stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EscalationRow {
    /// Of which incident.
    pub incident: IncidentId,
    /// Whose.
    pub tenant: TenantId,
    /// What all letters about one condition of one box have in common.
    pub thread: String,
    /// Whether it does not wait until quiet hours are over.
    pub urgent: bool,
    /// The step that comes next.
    pub step: u64,
    /// When; `None`: none does.
    pub due: Option<Millis>,
    /// Since when it is somebody's.
    pub acknowledged: Option<Millis>,
    /// Whose; empty: nobody's.
    pub acknowledged_by: String,
    /// Whether its fault is gone.
    pub gone: bool,
}

impl Store {
    /// Begins or moves on a chain.
    pub fn put_escalation(&self, row: &EscalationRow) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO escalation VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (incident) DO UPDATE
                 SET urgent = ?4, step = ?5, due_ms = ?6, acknowledged_ms = ?7, acknowledged_by = ?8, gone = ?9",
            )?
            .execute(params![
                Col(row.incident),
                Col(row.tenant),
                row.thread,
                row.urgent,
                Col(row.step),
                row.due.map(Col),
                row.acknowledged.map(Col),
                row.acknowledged_by,
                row.gone
            ])?;
        Ok(())
    }

    /// The chain of an incident; `None`: nobody was to be told.
    pub fn escalation(&self, incident: IncidentId) -> Result<Option<EscalationRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM escalation WHERE incident = ?1")?;
        Ok(statement.query_row([Col(incident)], escalation).optional()?)
    }

    /// Chains whose next step is due.
    pub fn escalations_due(&self, now: Millis) -> Result<Vec<EscalationRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM escalation WHERE due_ms IS NOT NULL AND due_ms <= ?1 ORDER BY due_ms, incident",
        )?;
        Ok(statement.query_map([Col(now)], escalation)?.collect::<Result<_, _>>()?)
    }

    /// All of a clinic whose fault is not known to be gone.
    pub fn escalations_of(&self, tenant: TenantId) -> Result<Vec<EscalationRow>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT * FROM escalation WHERE tenant = ?1 AND NOT gone ORDER BY incident")?;
        Ok(statement.query_map([Col(tenant)], escalation)?.collect::<Result<_, _>>()?)
    }

    /// All of a thread whose fault is not known to be gone.
    pub fn escalations_in(&self, thread: &str) -> Result<Vec<EscalationRow>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT * FROM escalation WHERE thread = ?1 AND NOT gone ORDER BY incident")?;
        Ok(statement.query_map([thread], escalation)?.collect::<Result<_, _>>()?)
    }

    /// Incidents of these kinds that people were called for, and whose fault is not known to be gone.
    pub fn incidents_called_for(&self, kinds: [&str; 2]) -> Result<Vec<IncidentRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT incident.* FROM escalation JOIN incident ON incident.id = escalation.incident
             WHERE NOT escalation.gone AND incident.kind IN (?1, ?2) ORDER BY incident.id",
        )?;
        Ok(statement.query_map(kinds, incident)?.collect::<Result<_, _>>()?)
    }

    /// The ticket of a thread. `desk` says in which system: [`crate::telling::Rules::desk`].
    pub fn ticket(&self, desk: &str, thread: &str) -> Result<Option<Ticket>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT number, closed FROM ticket WHERE channel = ?1 AND thread = ?2")?;
        let ticket = |row: &Row<'_>| Ok(Ticket { number: row.get("number")?, closed: row.get("closed")? });
        Ok(statement.query_row([desk, thread], ticket).optional()?)
    }

    /// A ticket is there now, or stands otherwise.
    pub fn put_ticket(
        &self,
        desk: &str,
        thread: &str,
        ticket: &Ticket,
        now: Millis,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO ticket VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (channel, thread) DO UPDATE
                 SET number = ?3, closed = ?4, changed_ms = ?5",
            )?
            .execute(params![desk, thread, ticket.number, ticket.closed, Col(now)])?;
        Ok(())
    }

    /// Forgets a ticket that is not there any more.
    pub fn forget_ticket(&self, desk: &str, thread: &str) -> Result<(), StoreError> {
        self.db
            .prepare_cached("DELETE FROM ticket WHERE channel = ?1 AND thread = ?2")?
            .execute([desk, thread])?;
        Ok(())
    }

    /// Tickets from before a desk was more than the name of its channel.
    pub fn move_tickets(&self, channel: &str, desk: &str) -> Result<(), StoreError> {
        self.db
            .prepare_cached("UPDATE OR IGNORE ticket SET channel = ?2 WHERE channel = ?1")?
            .execute([channel, desk])?;
        Ok(())
    }
}

fn escalation(row: &Row<'_>) -> rusqlite::Result<EscalationRow> {
    Ok(EscalationRow {
        incident: col(row, "incident")?,
        tenant: col(row, "tenant")?,
        thread: row.get("thread")?,
        urgent: row.get("urgent")?,
        step: col(row, "step")?,
        due: col(row, "due_ms")?,
        acknowledged: col(row, "acknowledged_ms")?,
        acknowledged_by: row.get("acknowledged_by")?,
        gone: row.get("gone")?,
    })
}
