//! What models were asked, and what came of it.

use proto::{
    digest::Digest,
    evidence::Readings,
    ids::{ApplianceId, IncidentId, TenantId, WatchId},
    time::Millis,
};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};
use crate::planner::spend::Calls;

/// The most faults of a box that are looked at.
const FAULTS_MAX: u32 = 32;

/// A call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCallRow {
    /// Its number.
    pub id: i64,
    /// Whose incident it is about.
    pub tenant: TenantId,
    /// About which.
    pub incident: IncidentId,
    /// Who was asked.
    pub model: String,
    /// What: the request's body.
    pub prompt: String,
    /// SHA-256 of that.
    pub digest: Digest,
    /// When.
    pub asked: Millis,
    /// Until when an answer counts.
    pub until: Millis,
    /// When it ended; `None`: it is under way.
    pub ended: Option<Millis>,
    /// Whether it came to nothing.
    pub failed: bool,
    /// What came of it, in a sentence.
    pub outcome: String,
}

/// A call to be made.
#[derive(Debug)]
pub struct NewModelCall<'a> {
    /// Whose incident it is about.
    pub tenant: TenantId,
    /// About which.
    pub incident: IncidentId,
    /// Who is asked.
    pub model: &'a str,
    /// What: the request's body.
    pub prompt: &'a str,
    /// SHA-256 of that.
    pub digest: Digest,
    /// Now.
    pub asked: Millis,
    /// Until when an answer counts.
    pub until: Millis,
}

impl Store {
    /// Has a model asked.
    pub fn add_model_call(&self, new: &NewModelCall<'_>) -> Result<(), StoreError> {
        self.db
            .prepare_cached("INSERT INTO model_call VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, 0, '')")?
            .execute(params![
                Col(new.tenant),
                Col(new.incident),
                new.model,
                new.prompt,
                Col(new.digest),
                Col(new.asked),
                Col(new.until)
            ])?;
        Ok(())
    }

    /// One call.
    pub fn model_call(&self, id: i64) -> Result<Option<ModelCallRow>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT * FROM model_call WHERE id = ?1")?
            .query_row([id], call)
            .optional()?)
    }

    /// Calls under way whose answer would still count, the oldest first.
    pub fn model_calls_under_way(&self, now: Millis) -> Result<Vec<ModelCallRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM model_call WHERE ended_ms IS NULL AND until_ms > ?1 ORDER BY id",
        )?;
        Ok(statement.query_map([Col(now)], call)?.collect::<Result<_, _>>()?)
    }

    /// Calls under way whose time was over `before`.
    pub fn model_calls_over(&self, before: Millis) -> Result<Vec<i64>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT id FROM model_call WHERE ended_ms IS NULL AND until_ms <= ?1 ORDER BY id",
        )?;
        Ok(statement.query_map([Col(before)], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// Newest calls, of one clinic or all, about one incident or any.
    pub fn newest_model_calls(
        &self,
        tenant: Option<TenantId>,
        incident: Option<IncidentId>,
        most: u32,
    ) -> Result<Vec<ModelCallRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM model_call WHERE (?1 IS NULL OR tenant = ?1) AND (?2 IS NULL OR incident = ?2)
             ORDER BY id DESC LIMIT ?3",
        )?;
        let rows = statement.query_map(params![tenant.map(Col), incident.map(Col), most], call)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Ends a call that is under way.
    pub fn end_model_call(
        &self,
        id: i64,
        failed: bool,
        outcome: &str,
        now: Millis,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE model_call SET ended_ms = ?2, failed = ?3, outcome = ?4 WHERE id = ?1 AND ended_ms IS NULL",
            )?
            .execute(params![id, Col(now), failed, outcome])?;
        Ok(())
    }

    /// What budget and breaker need to know.
    pub fn model_calls(&self, tenant: Option<TenantId>, day: Millis) -> Result<Calls, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "WITH ok AS (SELECT coalesce(max(ended_ms), -1) AS at FROM model_call WHERE failed = 0 AND ended_ms IS NOT NULL)
                 SELECT (SELECT count(*) FROM model_call WHERE tenant = ?1 AND asked_ms >= ?2) AS today,
                   (SELECT count(*) FROM model_call WHERE ended_ms IS NULL) AS under_way,
                   (SELECT count(*) FROM model_call, ok WHERE failed = 1 AND ended_ms > at) AS failed,
                   (SELECT coalesce(max(ended_ms), 0) FROM model_call WHERE failed = 1 AND ended_ms IS NOT NULL) AS last",
            )?
            .query_row(params![tenant.map(Col), Col(day)], |row| {
                Ok(Calls {
                    today: col(row, "today")?,
                    under_way: col(row, "under_way")?,
                    failed_in_a_row: col(row, "failed")?,
                    last_failed: col(row, "last")?,
                })
            })?)
    }

    /// Faults of a box that are there, as far as it is known, the newest first.
    pub fn faults_there(&self, appliance: ApplianceId) -> Result<Vec<(String, WatchId)>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT kind, watch FROM incident WHERE appliance = ?1
               AND (state IN ('open', 'planned', 'ordered') OR (state = 'escalated' AND present = 1))
             ORDER BY opened_ms DESC, id DESC LIMIT ?2",
        )?;
        let rows = statement.query_map(params![Col(appliance), FAULTS_MAX], |row| {
            Ok((row.get("kind")?, col(row, "watch")?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Readings and note of the newest event of an incident; without one, none.
    pub fn newest_sighting(&self, incident: IncidentId) -> Result<(Readings, String), StoreError> {
        let found: Option<(String, String)> = self
            .db
            .prepare_cached(
                "SELECT readings, note FROM event WHERE incident = ?1 ORDER BY received_ms DESC, id DESC LIMIT 1",
            )?
            .query_row([Col(incident)], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((readings, note)) = found else { return Ok(Default::default()) };
        let readings: Vec<(String, i64)> =
            serde_json::from_str(&readings).map_err(|_| StoreError::Corrupt { column: "event.readings" })?;
        Ok((readings.into_iter().collect(), note))
    }
}

fn call(row: &Row<'_>) -> rusqlite::Result<ModelCallRow> {
    Ok(ModelCallRow {
        id: row.get("id")?,
        tenant: col(row, "tenant")?,
        incident: col(row, "incident")?,
        model: row.get("model")?,
        prompt: row.get("prompt")?,
        digest: col(row, "digest")?,
        asked: col(row, "asked_ms")?,
        until: col(row, "until_ms")?,
        ended: col(row, "ended_ms")?,
        failed: row.get("failed")?,
        outcome: row.get("outcome")?,
    })
}
