//! What people are to be told: an outbox, so that a crash loses nothing.

use proto::{
    ids::{IncidentId, TenantId},
    time::Millis,
};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// Something to tell.
#[derive(Debug, Clone)]
pub struct NotificationRow {
    /// Its number; receivers may use it to drop doubles.
    pub id: i64,
    /// Whose.
    pub tenant: TenantId,
    /// About what.
    pub incident: IncidentId,
    /// JSON.
    pub body: String,
    /// How often it was tried.
    pub attempts: u64,
}

/// What became of telling somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// It is still to be told.
    Due,
    /// Somebody took it.
    Sent,
    /// Nobody took it and no more is tried: a dead letter.
    Dead,
}

impl Telling {
    /// Its name, as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Sent => "sent",
            Self::Dead => "dead",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Due, Self::Sent, Self::Dead].into_iter().find(|telling| telling.name() == name)
    }
}

/// Whether people were told of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldRow {
    /// Whether they were.
    pub telling: Telling,
    /// How often it failed.
    pub attempts: u64,
    /// Why it failed last; empty: it never did.
    pub last_error: String,
}

impl Store {
    /// Puts something to tell into the outbox.
    pub fn add_notification(
        &self,
        tenant: TenantId,
        incident: IncidentId,
        body: &str,
        now: Millis,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached("INSERT INTO notification VALUES (NULL, ?1, ?2, ?3, 'due', 0, ?4, ?4, '')")?
            .execute(params![Col(tenant), Col(incident), body, Col(now)])?;
        Ok(())
    }

    /// What is to be told now: of each clinic what is due longest, before anybody's second. One clinic's flood delays
    /// nobody else's.
    pub fn notifications_due(&self, now: Millis, most: u32) -> Result<Vec<NotificationRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT notification.* FROM tenant clinic JOIN notification ON notification.id IN (
               SELECT id FROM notification WHERE tenant = clinic.id AND state = 'due' AND due_ms <= ?1
               ORDER BY due_ms, id LIMIT ?2)
             ORDER BY row_number() OVER (PARTITION BY clinic.id ORDER BY due_ms, notification.id), due_ms,
               notification.id LIMIT ?2",
        )?;
        Ok(statement.query_map(params![Col(now), most], notification)?.collect::<Result<_, _>>()?)
    }

    /// What became of telling people of an incident; `None`: nobody was to be told.
    pub fn told(&self, incident: IncidentId) -> Result<Option<ToldRow>, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "SELECT state, attempts, last_error FROM notification WHERE incident = ?1 ORDER BY id DESC LIMIT 1",
            )?
            .query_row([Col(incident)], |row| {
                let state: String = row.get("state")?;
                let corrupt = || rusqlite::Error::InvalidColumnName("notification.state".to_owned());
                Ok(ToldRow {
                    telling: Telling::named(&state).ok_or_else(corrupt)?,
                    attempts: col(row, "attempts")?,
                    last_error: row.get("last_error")?,
                })
            })
            .optional()?)
    }

    /// It was told.
    pub fn notification_sent(&self, id: i64) -> Result<(), StoreError> {
        self.db.prepare_cached("UPDATE notification SET state = 'sent' WHERE id = ?1")?.execute([id])?;
        Ok(())
    }

    /// It could not be told; `next` says when to try again, `None` gives up and keeps it as a dead letter.
    pub fn notification_failed(&self, id: i64, next: Option<Millis>, error: &str) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE notification SET attempts = attempts + 1, last_error = ?3,
                   state = CASE WHEN ?2 IS NULL THEN 'dead' ELSE 'due' END, due_ms = coalesce(?2, due_ms) WHERE id = ?1",
            )?
            .execute(params![id, next.map(Col), error])?;
        Ok(())
    }
}

fn notification(row: &Row<'_>) -> rusqlite::Result<NotificationRow> {
    Ok(NotificationRow {
        id: row.get("id")?,
        tenant: col(row, "tenant")?,
        incident: col(row, "incident")?,
        body: row.get("body")?,
        attempts: col(row, "attempts")?,
    })
}
