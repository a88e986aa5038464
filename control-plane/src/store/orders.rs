//! Orders: the exact bytes that were signed, and what became of them.

use proto::{
    digest::Digest,
    ids::{ApplianceId, Incarnation, IncidentId, OrderId, RunbookId, TenantId},
    time::Millis,
};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError, Within,
    convert::{Col, col},
};

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderState {
    /// Signed; nothing heard yet.
    Issued,
    /// Evidence says that it was carried out, or broke off.
    Executed,
    /// Evidence says that a guardrail refused it.
    Refused,
    /// It ran out before anything was heard.
    Expired,
}

impl OrderState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Issued, Self::Executed, Self::Refused, Self::Expired];

    /// Its name, as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Executed => "executed",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// An order.
#[derive(Debug, Clone)]
pub struct OrderRow {
    /// Its ID.
    pub id: OrderId,
    /// Whose clinic.
    pub tenant: TenantId,
    /// For which box.
    pub appliance: ApplianceId,
    /// Why.
    pub incident: IncidentId,
    /// Its place in the incarnation's sequence.
    pub sequence: u64,
    /// Which procedure.
    pub runbook: RunbookId,
    /// On what, as [`runbooks::guardrails::history_key`] says it.
    pub target: String,
    /// What became of it.
    pub state: OrderState,
    /// In a word.
    pub outcome: String,
    /// When it was signed.
    pub issued: Millis,
    /// When it runs out.
    pub expires: Millis,
    /// When that was known.
    pub ended: Option<Millis>,
    /// SHA-256 of its payload: how evidence names it.
    pub digest: Digest,
    /// The exact envelope.
    pub envelope: Vec<u8>,
}

/// An order just signed.
#[derive(Debug)]
pub struct NewOrder<'a> {
    /// What is kept of it; state and end are ignored.
    pub id: OrderId,
    /// Whose clinic.
    pub tenant: TenantId,
    /// For which box.
    pub appliance: ApplianceId,
    /// Why.
    pub incident: IncidentId,
    /// For which executor state.
    pub incarnation: Incarnation,
    /// Its place in that one's sequence.
    pub sequence: u64,
    /// Which procedure.
    pub runbook: &'a RunbookId,
    /// On what.
    pub target: &'a str,
    /// SHA-256 of its payload.
    pub digest: Digest,
    /// The exact envelope.
    pub envelope: &'a [u8],
    /// When.
    pub issued: Millis,
    /// Until when.
    pub expires: Millis,
}

impl Store {
    /// Keeps an order before it leaves.
    pub fn add_order(&self, new: &NewOrder<'_>) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                r#"INSERT INTO "order" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'issued', '', ?11, ?12, NULL)"#,
            )?
            .execute(params![
                Col(new.id),
                Col(new.tenant),
                Col(new.appliance),
                Col(new.incident),
                Col(new.incarnation),
                Col(new.sequence),
                new.runbook.as_str(),
                new.target,
                Col(new.digest),
                new.envelope,
                Col(new.issued),
                Col(new.expires)
            ])?;
        Ok(())
    }

    /// One order.
    pub fn order(&self, id: OrderId) -> Result<Option<OrderRow>, StoreError> {
        Ok(self
            .db
            .prepare_cached(r#"SELECT * FROM "order" WHERE id = ?1"#)?
            .query_row([Col(id)], order)
            .optional()?)
    }

    /// Orders to be sent (again): signed, not run out, not taken yet; by rising sequence.
    pub fn orders_to_send(
        &self,
        appliance: ApplianceId,
        incarnation: Incarnation,
        above: u64,
        now: Millis,
    ) -> Result<Vec<OrderRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            r#"SELECT * FROM "order" WHERE state = 'issued' AND appliance = ?1 AND incarnation = ?2 AND sequence > ?3
               AND expires_ms > ?4 ORDER BY sequence"#,
        )?;
        let rows =
            statement.query_map(params![Col(appliance), Col(incarnation), Col(above), Col(now)], order)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Orders of which nothing was heard although they ran out before `before`.
    pub fn orders_run_out(&self, before: Millis) -> Result<Vec<OrderRow>, StoreError> {
        let mut statement =
            self.db.prepare_cached(r#"SELECT * FROM "order" WHERE state = 'issued' AND expires_ms <= ?1"#)?;
        Ok(statement.query_map([Col(before)], order)?.collect::<Result<_, _>>()?)
    }

    /// The newest order of an incident of which nothing was heard yet.
    pub fn order_out(&self, incident: IncidentId) -> Result<Option<OrderRow>, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                r#"SELECT * FROM "order" WHERE incident = ?1 AND state = 'issued' ORDER BY sequence DESC LIMIT 1"#,
            )?
            .query_row([Col(incident)], order)
            .optional()?)
    }

    /// Ends an order. One that ran out may still turn out to have been carried out or refused.
    pub fn end_order(
        &self,
        id: OrderId,
        state: OrderState,
        outcome: &str,
        now: Millis,
    ) -> Result<bool, StoreError> {
        let changed = self
            .db
            .prepare_cached(
                r#"UPDATE "order" SET state = ?2, outcome = ?3, ended_ms = ?4
                   WHERE id = ?1 AND (state = 'issued' OR (state = 'expired' AND ?2 <> 'expired'))"#,
            )?
            .execute(params![Col(id), state.name(), outcome, Col(now)])?;
        Ok(changed == 1)
    }

    /// Orders of an appliance, newest first, issued since `since`.
    pub fn orders_since(&self, appliance: ApplianceId, since: Millis) -> Result<Vec<OrderRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            r#"SELECT * FROM "order" WHERE appliance = ?1 AND issued_ms > ?2 ORDER BY issued_ms DESC, sequence DESC"#,
        )?;
        Ok(statement.query_map(params![Col(appliance), Col(since)], order)?.collect::<Result<_, _>>()?)
    }

    /// How many orders a clinic was given since `since`, without those that are known not to have run.
    pub fn count_orders_since(&self, tenant: TenantId, since: Millis) -> Result<u32, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                r#"SELECT count(*) FROM "order" WHERE tenant = ?1 AND issued_ms > ?2 AND state IN ('issued', 'executed')"#,
            )?
            .query_row(params![Col(tenant), Col(since)], |row| row.get(0))?)
    }

    /// Orders, newest first, of one clinic or all.
    pub fn orders(&self, within: Within, most: u32) -> Result<Vec<OrderRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            r#"SELECT * FROM "order" WHERE (?1 IS NULL OR tenant = ?1)
                 AND (?3 IS NULL OR appliance IN (SELECT id FROM appliance WHERE site = ?3)) ORDER BY issued_ms DESC, id DESC LIMIT ?2"#,
        )?;
        Ok(statement
            .query_map(params![within.tenant.map(Col), most, within.site.map(Col)], order)?
            .collect::<Result<_, _>>()?)
    }
}

fn order(row: &Row<'_>) -> rusqlite::Result<OrderRow> {
    let state: String = row.get("state")?;
    Ok(OrderRow {
        id: col(row, "id")?,
        tenant: col(row, "tenant")?,
        appliance: col(row, "appliance")?,
        incident: col(row, "incident")?,
        sequence: col(row, "sequence")?,
        runbook: col(row, "runbook")?,
        target: row.get("target")?,
        state: OrderState::named(&state)
            .ok_or_else(|| rusqlite::Error::InvalidColumnName("order.state".into()))?,
        outcome: row.get("outcome")?,
        issued: col(row, "issued_ms")?,
        expires: col(row, "expires_ms")?,
        ended: col(row, "ended_ms")?,
        digest: col(row, "digest")?,
        envelope: row.get("envelope")?,
    })
}
