//! Orders that people must agree to, and what they said.

use proto::{
    approval::Approval,
    ids::{ApplianceId, IncidentId, OrderId, RunbookId, TenantId},
    time::Millis,
};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError, Within,
    convert::{Col, col},
};
use crate::core::asking::State;

/// An order that people were asked about.
#[derive(Debug, Clone)]
pub struct AskedRow {
    /// The order that it would be.
    pub order: OrderId,
    /// Whose.
    pub tenant: TenantId,
    /// On which box.
    pub appliance: ApplianceId,
    /// For what.
    pub incident: IncidentId,
    /// Which procedure.
    pub runbook: RunbookId,
    /// The core's exact bytes.
    pub core: Vec<u8>,
    /// How many must agree.
    pub needed: u64,
    /// When they were asked.
    pub asked: Millis,
    /// Until when they may say so.
    pub until: Millis,
    /// Where it stands.
    pub state: State,
    /// Why it stands there.
    pub reason: String,
    /// When it was over.
    pub ended: Option<Millis>,
}

impl Store {
    /// Keeps a question before anybody is asked.
    pub fn add_asked(&self, row: &AskedRow) -> Result<(), StoreError> {
        self.db
            .prepare_cached("INSERT INTO asked VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, NULL)")?
            .execute(params![
                Col(row.order),
                Col(row.tenant),
                Col(row.appliance),
                Col(row.incident),
                row.runbook.as_str(),
                row.core,
                Col(row.needed),
                Col(row.asked),
                Col(row.until),
                row.state.name(),
                row.reason
            ])?;
        Ok(())
    }

    /// One question.
    pub fn asked(&self, order: OrderId) -> Result<Option<AskedRow>, StoreError> {
        let mut statement = self.db.prepare_cached(r#"SELECT * FROM asked WHERE "order" = ?1"#)?;
        Ok(statement.query_row([Col(order)], asked).optional()?)
    }

    /// All questions about an incident, oldest first.
    pub fn asked_about(&self, incident: IncidentId) -> Result<Vec<AskedRow>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached(r#"SELECT * FROM asked WHERE incident = ?1 ORDER BY asked_ms, "order""#)?;
        Ok(statement.query_map([Col(incident)], asked)?.collect::<Result<_, _>>()?)
    }

    /// Questions, newest first, of one clinic or all; those that are over, too, where asked for.
    pub fn all_asked(&self, within: Within, over: bool, most: u32) -> Result<Vec<AskedRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            r#"SELECT * FROM asked WHERE (?1 IS NULL OR tenant = ?1) AND (?2 OR state IN ('waiting', 'granted'))
                 AND (?4 IS NULL OR appliance IN (SELECT id FROM appliance WHERE site = ?4))
               ORDER BY asked_ms DESC, "order" DESC LIMIT ?3"#,
        )?;
        let values = params![within.tenant.map(Col), over, most, within.site.map(Col)];
        Ok(statement.query_map(values, asked)?.collect::<Result<_, _>>()?)
    }

    /// Open questions whose time is over.
    pub fn asked_in_vain(&self, now: Millis) -> Result<Vec<AskedRow>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT * FROM asked WHERE state IN ('waiting', 'granted') AND until_ms <= ?1")?;
        Ok(statement.query_map([Col(now)], asked)?.collect::<Result<_, _>>()?)
    }

    /// Moves a question on that still stands where the caller saw it.
    pub fn move_asked(
        &self,
        seen: &AskedRow,
        state: State,
        reason: &str,
        now: Millis,
    ) -> Result<(), StoreError> {
        let ended = state.is_over().then_some(Col(now));
        let changed = self
            .db
            .prepare_cached(
                r#"UPDATE asked SET state = ?3, reason = ?4, ended_ms = ?5 WHERE "order" = ?1 AND state = ?2"#,
            )?
            .execute(params![Col(seen.order), seen.state.name(), state.name(), reason, ended])?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict { what: "approval" }) }
    }

    /// Keeps an approver's assertion; `false`: there is one by that approver.
    pub fn add_consent(&self, order: OrderId, approval: &Approval, now: Millis) -> Result<bool, StoreError> {
        let added = self
            .db
            .prepare_cached("INSERT INTO consent VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING")?
            .execute(params![
                Col(order),
                approval.approver,
                approval.authenticator_data,
                approval.client_data,
                approval.signature,
                Col(now)
            ])?;
        Ok(added == 1)
    }

    /// The assertions over an order's core, as they came.
    pub fn consents(&self, order: OrderId) -> Result<Vec<Approval>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached(r#"SELECT * FROM consent WHERE "order" = ?1 ORDER BY given_ms, approver"#)?;
        let rows = statement.query_map([Col(order)], |row| {
            Ok(Approval {
                approver: row.get("approver")?,
                authenticator_data: row.get("authenticator_data")?,
                client_data: row.get("client_data")?,
                signature: row.get("signature")?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn asked(row: &Row<'_>) -> rusqlite::Result<AskedRow> {
    let state: String = row.get("state")?;
    Ok(AskedRow {
        order: col(row, "order")?,
        tenant: col(row, "tenant")?,
        appliance: col(row, "appliance")?,
        incident: col(row, "incident")?,
        runbook: col(row, "runbook")?,
        core: row.get("core")?,
        needed: col(row, "needed")?,
        asked: col(row, "asked_ms")?,
        until: col(row, "until_ms")?,
        state: State::named(&state)
            .ok_or_else(|| rusqlite::Error::InvalidColumnName("asked.state".into()))?,
        reason: row.get("reason")?,
        ended: col(row, "ended_ms")?,
    })
}
