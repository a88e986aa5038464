//! To whom packets are sent, and packets on their way: an outbox, so that a crash loses nothing. One-time links to
//! acknowledge them by.

use proto::{digest::Digest, ids::TenantId, time::Millis};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// A packet to one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailRow {
    /// Its number.
    pub id: i64,
    /// Whose packet.
    pub tenant: TenantId,
    /// Which: `2026-11`.
    pub month: String,
    /// To whom.
    pub address: String,
    /// The same whenever it is tried again, so that a repeat can be told apart.
    pub message_id: String,
    /// What became of it.
    pub state: MailState,
    /// How often it was tried in vain.
    pub attempts: u64,
    /// When that last changed.
    pub changed: Millis,
    /// Why it failed last; empty: it never did.
    pub last_error: String,
}

proto::vocabulary! {
    /// What became of a mail.
    pub enum MailState as "state" {
        /// It is still to be sent.
        Waiting = "waiting",
        /// A mail server took it.
        Sent = "sent",
        /// No mail server took it, and no more is tried.
        Refused = "refused",
    }
}

impl Store {
    /// Addresses of a clinic, sorted.
    pub fn recipients(&self, tenant: TenantId) -> Result<Vec<String>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT address FROM recipient WHERE tenant = ?1 ORDER BY address")?;
        Ok(statement.query_map([Col(tenant)], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// Adds an address; `false`: it is there already.
    pub fn add_recipient(&self, tenant: TenantId, address: &str, now: Millis) -> Result<bool, StoreError> {
        let added = self
            .db
            .prepare_cached("INSERT INTO recipient VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
            .execute(params![Col(tenant), address, Col(now)])?;
        Ok(added == 1)
    }

    /// Takes an address out, what was still to be sent there, and every link that went there; `false`: it is not there.
    pub fn remove_recipient(&self, tenant: TenantId, address: &str) -> Result<bool, StoreError> {
        let removed = self
            .db
            .prepare_cached("DELETE FROM recipient WHERE tenant = ?1 AND address = ?2")?
            .execute(params![Col(tenant), address])?;
        for gone in [
            "DELETE FROM review_link WHERE mail IN (SELECT id FROM mail WHERE tenant = ?1 AND address = ?2)",
            "DELETE FROM mail WHERE tenant = ?1 AND address = ?2 AND state = 'waiting'",
        ] {
            self.db.prepare_cached(gone)?.execute(params![Col(tenant), address])?;
        }
        Ok(removed == 1)
    }

    /// Puts a packet to one recipient into the outbox; the `message_id` must be new.
    pub fn add_mail(
        &self,
        (tenant, month): (TenantId, &str),
        address: &str,
        message_id: &str,
        now: Millis,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached("INSERT INTO mail VALUES (NULL, ?1, ?2, ?3, ?4, 'waiting', 0, ?5, ?5, '')")?
            .execute(params![Col(tenant), month, address, message_id, Col(now)])?;
        Ok(())
    }

    /// What is to be sent now, what is due longest first.
    pub fn mails_due(&self, now: Millis, most: u32) -> Result<Vec<MailRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM mail WHERE state = 'waiting' AND due_ms <= ?1 ORDER BY due_ms, id LIMIT ?2",
        )?;
        Ok(statement.query_map(params![Col(now), most], mail)?.collect::<Result<_, _>>()?)
    }

    /// All mails of a packet, in the order in which they were to be sent.
    pub fn mails(&self, tenant: TenantId, month: &str) -> Result<Vec<MailRow>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT * FROM mail WHERE tenant = ?1 AND month = ?2 ORDER BY id")?;
        Ok(statement.query_map(params![Col(tenant), month], mail)?.collect::<Result<_, _>>()?)
    }

    /// A mail server took it, or none will; only what waits can end.
    pub fn mail_ended(
        &self,
        id: i64,
        state: MailState,
        error: &str,
        now: Millis,
    ) -> Result<bool, StoreError> {
        let ended = self
            .db
            .prepare_cached(
                "UPDATE mail SET state = ?2, last_error = ?3, changed_ms = ?4 WHERE id = ?1 AND state = 'waiting'",
            )?
            .execute(params![id, state.as_str(), error, Col(now)])?;
        Ok(ended == 1)
    }

    /// It is tried again at `next`.
    pub fn mail_delayed(&self, id: i64, next: Millis, error: &str, now: Millis) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE mail SET attempts = attempts + 1, due_ms = ?2, last_error = ?3, changed_ms = ?4 WHERE id = ?1",
            )?
            .execute(params![id, Col(next), error, Col(now)])?;
        Ok(())
    }

    /// Keeps the hash of a link that goes out with a mail; those that have ended go.
    pub fn add_review_link(
        &self,
        hash: Digest,
        of: &MailRow,
        expires: Millis,
        now: Millis,
    ) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM review_link WHERE expires_ms <= ?1")?.execute([Col(now)])?;
        self.db.prepare_cached("INSERT INTO review_link VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
            Col(hash),
            Col(of.tenant),
            of.month,
            of.id,
            Col(expires)
        ])?;
        Ok(())
    }

    /// The packet that a link is for, while it holds.
    pub fn review_link(&self, hash: Digest, now: Millis) -> Result<Option<(TenantId, String)>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT tenant, month FROM review_link WHERE hash = ?1 AND expires_ms > ?2")?
            .query_row(params![Col(hash), Col(now)], |row| Ok((col(row, "tenant")?, row.get("month")?)))
            .optional()?)
    }

    /// Uses a link up, and every other that went out with the same mail; `false`: it was used before.
    pub fn use_review_link(&self, hash: Digest) -> Result<bool, StoreError> {
        let used = self
            .db
            .prepare_cached(
                "DELETE FROM review_link WHERE mail = (SELECT mail FROM review_link WHERE hash = ?1)",
            )?
            .execute([Col(hash)])?;
        Ok(used > 0)
    }
}

fn mail(row: &Row<'_>) -> rusqlite::Result<MailRow> {
    let state: String = row.get("state")?;
    let corrupt = |_| rusqlite::Error::InvalidColumnName("mail.state".to_owned());
    Ok(MailRow {
        id: row.get("id")?,
        tenant: col(row, "tenant")?,
        month: row.get("month")?,
        address: row.get("address")?,
        message_id: row.get("message_id")?,
        state: state.parse().map_err(corrupt)?,
        attempts: col(row, "attempts")?,
        changed: col(row, "changed_ms")?,
        last_error: row.get("last_error")?,
    })
}
