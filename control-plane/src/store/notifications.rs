//! What people are to be told: one outbox for all channels, so that a crash loses nothing.

use proto::{
    ids::{IncidentId, TenantId},
    time::Millis,
};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError, Within,
    convert::{Col, col},
};
use crate::telling::News;

/// A letter that is to be written.
#[derive(Debug)]
pub struct NewNotification<'a> {
    /// The same at every try.
    pub key: &'a str,
    /// Whose.
    pub tenant: TenantId,
    /// About what.
    pub incident: IncidentId,
    /// By which channel.
    pub channel: &'a str,
    /// What all letters about one condition of one box have in common.
    pub thread: &'a str,
    /// What it is about.
    pub news: News,
    /// JSON.
    pub body: &'a str,
    /// Not before.
    pub due: Millis,
}

/// Something to tell.
#[derive(Debug, Clone)]
pub struct NotificationRow {
    /// Its number.
    pub id: i64,
    /// The same at every try; receivers may use it to drop doubles.
    pub key: String,
    /// Whose.
    pub tenant: TenantId,
    /// About what.
    pub incident: IncidentId,
    /// By which channel.
    pub channel: String,
    /// What all letters about one condition of one box have in common.
    pub thread: String,
    /// What it is about.
    pub news: News,
    /// JSON.
    pub body: String,
    /// What became of it.
    pub telling: Telling,
    /// How often it failed.
    pub attempts: u64,
    /// How often a try was begun.
    pub begun: u64,
    /// Not before.
    pub due: Millis,
    /// When it was written.
    pub created: Millis,
    /// Why it failed last; empty: it never did.
    pub last_error: String,
}

proto::vocabulary! {
    /// What became of telling somebody.
    pub enum Telling as "state" {
        /// It is still to be told.
        Due = "due",
        /// Somebody took it.
        Sent = "sent",
        /// Nobody took it and no more is tried: a dead letter.
        Dead = "dead",
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
    /// Puts something to tell into the outbox. What was written before in its thread, and sleeps, sleeps no longer than it.
    pub fn add_notification(&self, new: &NewNotification<'_>, now: Millis) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO notification (tenant, incident, body, state, attempts, due_ms, created_ms, last_error,
                   channel, key, thread, news) VALUES (?1, ?2, ?3, 'due', 0, ?4, ?5, '', ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                Col(new.tenant),
                Col(new.incident),
                new.body,
                Col(new.due),
                Col(now),
                new.channel,
                new.key,
                new.thread,
                new.news.as_str()
            ])?;
        self.db
            .prepare_cached(
                "UPDATE notification SET due_ms = ?3
                 WHERE channel = ?1 AND thread = ?2 AND state = 'due' AND begun = 0 AND due_ms > ?3",
            )?
            .execute(params![new.channel, new.thread, Col(new.due)])?;
        Ok(())
    }

    /// What a channel is to tell now: of each clinic what is due longest, before anybody's second, and of each thread the
    /// oldest alone. One clinic's flood delays nobody else's.
    pub fn notifications_due(
        &self,
        channel: &str,
        now: Millis,
        most: u32,
    ) -> Result<Vec<NotificationRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT notification.* FROM tenant clinic JOIN notification ON notification.id IN (
               SELECT id FROM notification one WHERE channel = ?3 AND state = 'due' AND tenant = clinic.id AND due_ms <= ?1
                 AND NOT EXISTS (SELECT 1 FROM notification earlier WHERE earlier.channel = one.channel
                   AND earlier.thread = one.thread AND earlier.state = 'due' AND earlier.id < one.id)
               ORDER BY due_ms, id LIMIT ?2)
             ORDER BY row_number() OVER (PARTITION BY clinic.id ORDER BY due_ms, notification.id), due_ms,
               notification.id LIMIT ?2",
        )?;
        Ok(statement.query_map(params![Col(now), most, channel], notification)?.collect::<Result<_, _>>()?)
    }

    /// A try begins: should nothing be heard of it, it is due again at `until`.
    pub fn notification_begun(&self, id: i64, until: Millis) -> Result<(), StoreError> {
        self.db
            .prepare_cached("UPDATE notification SET begun = begun + 1, due_ms = ?2 WHERE id = ?1")?
            .execute(params![id, Col(until)])?;
        Ok(())
    }

    /// Whether a try of any other letter of a letter's thread was ever begun.
    pub fn was_another_begun(&self, letter: &NotificationRow) -> Result<bool, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "SELECT 1 FROM notification WHERE channel = ?1 AND thread = ?2 AND begun > 0 AND id <> ?3",
            )?
            .exists(params![letter.channel, letter.thread, letter.id])?)
    }

    /// One letter.
    pub fn notification(&self, key: &str) -> Result<Option<NotificationRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM notification WHERE key = ?1")?;
        Ok(statement.query_row([key], notification).optional()?)
    }

    /// Letters, newest first, of one clinic or site or all, in one state or any.
    pub fn notifications(
        &self,
        within: Within,
        telling: Option<Telling>,
        most: u32,
    ) -> Result<Vec<NotificationRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM notification WHERE (?1 IS NULL OR tenant = ?1) AND (?2 IS NULL OR state = ?2)
               AND (?4 IS NULL OR incident IN (SELECT incident.id FROM incident JOIN appliance
                 ON appliance.id = incident.appliance WHERE appliance.site = ?4))
             ORDER BY id DESC LIMIT ?3",
        )?;
        let (tenant, site) = (within.tenant.map(Col), within.site.map(Col));
        let rows =
            statement.query_map(params![tenant, telling.map(Telling::as_str), most, site], notification)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// By which channels people heard of an incident, or are to.
    pub fn channels_of(&self, incident: IncidentId) -> Result<Vec<String>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT channel FROM notification WHERE incident = ?1 GROUP BY channel ORDER BY min(id)",
        )?;
        Ok(statement.query_map([Col(incident)], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// What became of telling people of an incident: told by one channel is told. `None`: nobody was to be told.
    pub fn told(&self, incident: IncidentId) -> Result<Option<ToldRow>, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "SELECT state, attempts, last_error FROM notification
                 WHERE incident = ?1 AND news IN ('raised', 'asked', 'grown')
                 ORDER BY state = 'sent' DESC, state = 'due' DESC, id DESC LIMIT 1",
            )?
            .query_row([Col(incident)], |row| {
                Ok(ToldRow {
                    telling: telling(row)?,
                    attempts: col(row, "attempts")?,
                    last_error: row.get("last_error")?,
                })
            })
            .optional()?)
    }

    /// It was told.
    pub fn notification_sent(&self, id: i64) -> Result<(), StoreError> {
        self.db
            .prepare_cached("UPDATE notification SET state = 'sent' WHERE id = ?1 AND state = 'due'")?
            .execute([id])?;
        Ok(())
    }

    /// It could not be told; `next` says when to try again, `None` gives up and keeps it as a dead letter.
    pub fn notification_failed(&self, id: i64, next: Option<Millis>, error: &str) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE notification SET attempts = attempts + 1, last_error = ?3,
                   state = CASE WHEN ?2 IS NULL THEN 'dead' ELSE 'due' END, due_ms = coalesce(?2, due_ms)
                 WHERE id = ?1 AND state = 'due'",
            )?
            .execute(params![id, next.map(Col), error])?;
        Ok(())
    }

    /// A dead letter is tried again, from the beginning; `false`: it is none.
    pub fn revive_notification(&self, id: i64, now: Millis) -> Result<bool, StoreError> {
        let revived = self
            .db
            .prepare_cached(
                "UPDATE notification SET state = 'due', attempts = 0, due_ms = ?2 WHERE id = ?1 AND state = 'dead'",
            )?
            .execute(params![id, Col(now)])?;
        Ok(revived == 1)
    }

    /// Channels that letters wait for, and about whom.
    pub fn waited_for(&self) -> Result<Vec<(String, TenantId)>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT DISTINCT channel, tenant FROM notification WHERE state = 'due'")?;
        let pair = |row: &Row<'_>| Ok((row.get("channel")?, col(row, "tenant")?));
        Ok(statement.query_map([], pair)?.collect::<Result<_, _>>()?)
    }

    /// Gives up all about a clinic that waits for a channel.
    pub fn bury_notifications(&self, channel: &str, tenant: TenantId, why: &str) -> Result<(), StoreError> {
        self.bury_oldest(channel, tenant, 0, why).map(drop)
    }

    /// Gives up the oldest about a clinic that wait for a channel, but for the newest `most`; says how many.
    pub fn bury_oldest(
        &self,
        channel: &str,
        tenant: TenantId,
        most: u32,
        why: &str,
    ) -> Result<usize, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "UPDATE notification SET state = 'dead', last_error = ?4 WHERE id IN
                   (SELECT id FROM notification WHERE channel = ?1 AND state = 'due' AND tenant = ?2
                    ORDER BY id DESC LIMIT -1 OFFSET ?3)",
            )?
            .execute(params![channel, Col(tenant), most, why])?)
    }

    /// Removes settled letters that were written before `before`, but those of a fault that is not known to be gone; at most
    /// so many, and says how many.
    pub fn prune_notifications(&self, before: Millis, most: u32) -> Result<u32, StoreError> {
        let removed = self
            .db
            .prepare_cached(
                "DELETE FROM notification WHERE id IN (SELECT id FROM notification old
                   WHERE state IN ('sent', 'dead') AND created_ms < ?1
                   AND NOT EXISTS (SELECT 1 FROM escalation WHERE incident = old.incident AND NOT gone) LIMIT ?2)",
            )?
            .execute(params![Col(before), most])?;
        Ok(u32::try_from(removed).unwrap_or(u32::MAX))
    }
}

fn telling(row: &Row<'_>) -> rusqlite::Result<Telling> {
    let state: String = row.get("state")?;
    state.parse().map_err(|_| rusqlite::Error::InvalidColumnName("notification.state".to_owned()))
}

fn notification(row: &Row<'_>) -> rusqlite::Result<NotificationRow> {
    let news: String = row.get("news")?;
    let corrupt = |_| rusqlite::Error::InvalidColumnName("notification.news".to_owned());
    Ok(NotificationRow {
        id: row.get("id")?,
        key: row.get("key")?,
        tenant: col(row, "tenant")?,
        incident: col(row, "incident")?,
        channel: row.get("channel")?,
        thread: row.get("thread")?,
        news: news.parse().map_err(corrupt)?,
        body: row.get("body")?,
        telling: telling(row)?,
        attempts: col(row, "attempts")?,
        begun: col(row, "begun")?,
        due: col(row, "due_ms")?,
        created: col(row, "created_ms")?,
        last_error: row.get("last_error")?,
    })
}
