//! Acts of the control plane: those in a log, and those that wait until their log goes on.

use proto::{
    act::{Actor, Deed, Place},
    digest::Digest,
    ids::TenantId,
    time::Millis,
};
use rusqlite::{OptionalExtension as _, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// An act to be kept.
#[derive(Debug)]
pub struct NewAct<'a> {
    /// Whose log.
    pub tenant: TenantId,
    /// Place in it.
    pub log_index: u64,
    /// SHA-256 of the envelope.
    pub sha256: Digest,
    /// Place among the clinic's acts.
    pub number: u64,
    /// Its kind.
    pub kind: &'a str,
    /// A line for lists.
    pub summary: &'a str,
    /// Who wanted it.
    pub actor: &'a str,
    /// When.
    pub at: Millis,
    /// The exact envelope.
    pub envelope: &'a [u8],
}

/// An act that is not in a log yet.
#[derive(Debug, Clone)]
pub struct WaitingAct {
    /// When.
    pub at: Millis,
    /// Who wanted it.
    pub by: Actor,
    /// What was done.
    pub deed: Deed,
    /// SHA-256 of the audit record that says from where, and what was before.
    pub record: Option<Digest>,
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain data serialises")
}

impl Store {
    /// Keeps an act.
    pub fn add_act(&self, new: &NewAct<'_>) -> Result<(), StoreError> {
        self.db.prepare_cached("INSERT INTO act VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?.execute(
            params![
                Col(new.tenant),
                Col(new.log_index),
                Col(new.sha256),
                Col(new.number),
                new.kind,
                new.summary,
                new.actor,
                Col(new.at),
                new.envelope
            ],
        )?;
        Ok(())
    }

    /// The place of a clinic's next act.
    pub fn next_act(&self, tenant: TenantId) -> Result<Place, StoreError> {
        let newest = self
            .db
            .prepare_cached("SELECT number, sha256 FROM act WHERE tenant = ?1 ORDER BY number DESC LIMIT 1")?
            .query_row([Col(tenant)], |row| {
                Ok(Place { index: col::<u64>(row, "number")? + 1, previous: col(row, "sha256")? })
            })
            .optional()?;
        Ok(newest.unwrap_or(Place { index: 0, previous: Digest::ZERO }))
    }

    /// The newest act of that kind, of one clinic or of any, in whichever of its logs.
    pub fn newest_act(&self, tenant: Option<TenantId>, kind: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "SELECT envelope FROM (SELECT tenant, kind, at_ms, number, envelope FROM act
                   UNION ALL SELECT tenant, kind, at_ms, number, envelope FROM past_act)
                 WHERE kind = ?2 AND (?1 IS NULL OR tenant = ?1) ORDER BY at_ms DESC, number DESC LIMIT 1",
            )?
            .query_row(params![tenant.map(Col), kind], |row| row.get(0))
            .optional()?)
    }

    /// Acts of a clinic of that kind in all of its logs, in order.
    pub fn acts(&self, tenant: TenantId, kind: &str) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT envelope FROM (SELECT tenant, kind, at_ms, number, envelope FROM act
               UNION ALL SELECT tenant, kind, at_ms, number, envelope FROM past_act)
             WHERE tenant = ?1 AND kind = ?2 ORDER BY at_ms, number",
        )?;
        Ok(statement.query_map(params![Col(tenant), kind], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// Whether an act of that kind says so.
    pub fn has_act(&self, tenant: TenantId, kind: &str, summary: &str) -> Result<bool, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT 1 FROM act WHERE tenant = ?1 AND kind = ?2 AND summary = ?3")?
            .exists(params![Col(tenant), kind, summary])?)
    }

    /// Clinics whose acts wait.
    pub fn tenants_with_waiting_acts(&self) -> Result<Vec<TenantId>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT DISTINCT tenant FROM act_waiting")?;
        Ok(statement.query_map([], |row| col(row, "tenant"))?.collect::<Result<_, _>>()?)
    }

    /// Keeps an act until its log goes on.
    pub fn add_waiting_act(&self, tenant: TenantId, act: &WaitingAct) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO act_waiting (tenant, at_ms, actor, deed, record) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                Col(tenant),
                Col(act.at),
                json(&act.by),
                json(&act.deed),
                act.record.map(Col)
            ])?;
        Ok(())
    }

    /// Lets go of an act that waits, and is in the log by now.
    pub fn drop_waiting_act(&self, tenant: TenantId, act: &WaitingAct) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "DELETE FROM act_waiting WHERE id = (SELECT min(id) FROM act_waiting
                   WHERE tenant = ?1 AND at_ms = ?2 AND actor = ?3 AND deed = ?4)",
            )?
            .execute(params![Col(tenant), Col(act.at), json(&act.by), json(&act.deed)])?;
        Ok(())
    }

    /// Takes the acts that wait for a log, in order.
    pub fn take_waiting_acts(&self, tenant: TenantId) -> Result<Vec<WaitingAct>, StoreError> {
        let corrupt = |column| move |_| StoreError::Corrupt { column };
        let mut statement = self.db.prepare_cached(
            "SELECT at_ms, actor, deed, record FROM act_waiting WHERE tenant = ?1 ORDER BY id",
        )?;
        type Waiting = (Millis, String, String, Option<Digest>);
        let rows: Vec<Waiting> = statement
            .query_map([Col(tenant)], |row| {
                Ok((col(row, "at_ms")?, row.get("actor")?, row.get("deed")?, col(row, "record")?))
            })?
            .collect::<Result<_, _>>()?;
        let read = |(at, actor, deed, record): Waiting| {
            Ok(WaitingAct {
                at,
                by: serde_json::from_str(&actor).map_err(corrupt("act_waiting.actor"))?,
                deed: serde_json::from_str(&deed).map_err(corrupt("act_waiting.deed"))?,
                record,
            })
        };
        let acts = rows.into_iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
        if !acts.is_empty() {
            self.db.prepare_cached("DELETE FROM act_waiting WHERE tenant = ?1")?.execute([Col(tenant)])?;
        }
        Ok(acts)
    }
}
