//! Standing orders: the exact bytes that were signed, and how many of their executions were heard of.

use proto::{
    digest::Digest,
    ids::{ApplianceId, Incarnation, OrderId, RunbookId, WatchId},
    standing::StandingOrder,
    time::Millis,
};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// A standing order.
#[derive(Debug, Clone)]
pub struct StandingRow {
    /// Its ID.
    pub id: OrderId,
    /// For which box.
    pub appliance: ApplianceId,
    /// For which executor state.
    pub incarnation: Incarnation,
    /// Which procedure.
    pub runbook: RunbookId,
    /// On which entry.
    pub watch: WatchId,
    /// For which fault.
    pub trigger: String,
    /// How many executions it permits.
    pub most: u32,
    /// How many were heard of.
    pub used: u32,
    /// Charter it was signed under.
    pub charter: u64,
    /// Policy it was cleared under.
    pub policy: u64,
    /// SHA-256 of its payload: how evidence names it.
    pub digest: Digest,
    /// The exact envelope.
    pub envelope: Vec<u8>,
    /// When it was signed.
    pub issued: Millis,
    /// When it ends.
    pub expires: Millis,
    /// `alive`, `replaced`, or `refused`.
    pub state: String,
    /// Since when it is not alive.
    pub ended: Option<Millis>,
}

impl Store {
    /// Keeps one before it leaves, in the place of the one that was alive.
    pub fn add_standing(&self, new: &StandingOrder, envelope: &[u8]) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE standing SET state = 'replaced', ended_ms = ?4
                 WHERE appliance = ?1 AND runbook = ?2 AND watch = ?3 AND state = 'alive'",
            )?
            .execute(params![
                Col(new.appliance),
                new.runbook.as_str(),
                new.watch.as_str(),
                Col(new.issued)
            ])?;
        self.db
            .prepare_cached(
                "INSERT INTO standing VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?11, ?12, ?13, ?14, 'alive', NULL)",
            )?
            .execute(params![
                Col(new.id),
                Col(new.tenant),
                Col(new.appliance),
                Col(new.incarnation),
                new.runbook.as_str(),
                new.watch.as_str(),
                new.trigger,
                new.most,
                Col(new.charter_serial),
                Col(new.policy_serial),
                Col(Digest::of(&new.encode())),
                envelope,
                Col(new.issued),
                Col(new.expires)
            ])?;
        Ok(())
    }

    /// The newest of every runbook and watch entry of a box, alive or refused.
    pub fn standing_of(&self, appliance: ApplianceId) -> Result<Vec<StandingRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM standing AS one WHERE appliance = ?1 AND state <> 'replaced' AND NOT EXISTS (
                 SELECT 1 FROM standing AS other WHERE other.appliance = one.appliance AND other.runbook = one.runbook
                 AND other.watch = one.watch AND (other.issued_ms, other.id) > (one.issued_ms, one.id))
             ORDER BY runbook, watch",
        )?;
        Ok(statement.query_map([Col(appliance)], standing)?.collect::<Result<_, _>>()?)
    }

    /// One standing order.
    pub fn standing(&self, id: OrderId) -> Result<Option<StandingRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM standing WHERE id = ?1")?;
        Ok(statement.query_row([Col(id)], standing).optional()?)
    }

    /// Notes that so many of its executions were heard of.
    pub fn standing_used(&self, id: OrderId, count: u32) -> Result<(), StoreError> {
        let mut statement =
            self.db.prepare_cached("UPDATE standing SET used = max(used, ?2) WHERE id = ?1")?;
        statement.execute(params![Col(id), count])?;
        Ok(())
    }

    /// Notes that its box refused to take it.
    pub fn refuse_standing(&self, id: OrderId, now: Millis) -> Result<(), StoreError> {
        let mut statement = self.db.prepare_cached(
            "UPDATE standing SET state = 'refused', ended_ms = ?2 WHERE id = ?1 AND state = 'alive'",
        )?;
        statement.execute(params![Col(id), Col(now)])?;
        Ok(())
    }
}

fn standing(row: &Row<'_>) -> rusqlite::Result<StandingRow> {
    Ok(StandingRow {
        id: col(row, "id")?,
        appliance: col(row, "appliance")?,
        incarnation: col(row, "incarnation")?,
        runbook: col(row, "runbook")?,
        watch: col(row, "watch")?,
        trigger: row.get("trigger")?,
        most: row.get("most")?,
        used: row.get("used")?,
        charter: col(row, "charter")?,
        policy: col(row, "policy")?,
        digest: col(row, "digest")?,
        envelope: row.get("envelope")?,
        issued: col(row, "issued_ms")?,
        expires: col(row, "expires_ms")?,
        state: row.get("state")?,
        ended: row.get::<_, Option<i64>>("ended_ms")?.map(Millis),
    })
}
