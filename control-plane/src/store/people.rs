//! People who sign in, and their sessions: of secrets only hashes are here.

use proto::{digest::Digest, time::Millis};
use rusqlite::{OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::{
    Store, StoreError,
    convert::{Col, col},
    tokens::grant,
};
use crate::access::{Grant, PersonState, SessionKind};

/// Somebody who signs in.
#[derive(Debug, Clone)]
pub struct OperatorRow {
    /// Theirs for good; authenticators know them by it.
    pub id: Uuid,
    /// What acts call them.
    pub name: String,
    /// Where mail reaches them; may be empty.
    pub email: String,
    /// Where they stand.
    pub state: PersonState,
    /// Since when.
    pub created: Millis,
    /// When they last did something; 0: never.
    pub used: Millis,
    /// What they may do, and where.
    pub grant: Grant,
    /// Who they are to the identity provider: issuer and subject; `None`: they come with passkeys.
    pub subject: Option<String>,
    /// Since when they may do it; no two of somebody's grants have the same.
    pub granted: Millis,
}

/// A session.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// SHA-256 of its secret.
    pub hash: Digest,
    /// Whose.
    pub operator: Uuid,
    /// What it is good for.
    pub kind: SessionKind,
    /// When it began.
    pub created: Millis,
    /// When it was used last, to a minute.
    pub used: Millis,
    /// From where it began.
    pub address: String,
    /// When its owner last proved who they are; 0: it is not known.
    pub proven: Millis,
}

impl Store {
    /// Keeps somebody new; `false` when the name is taken, be it by an API token.
    pub fn add_operator(&self, row: &OperatorRow) -> Result<bool, StoreError> {
        let added = self
            .db
            .prepare_cached(
                "INSERT INTO operator SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11
                 WHERE NOT EXISTS (SELECT 1 FROM operator_token WHERE name = ?2) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                Col(row.id),
                row.name,
                row.email,
                Col(row.state),
                Col(row.created),
                Col(row.used),
                Col(row.grant.role),
                row.grant.scope.tenant().map(Col),
                row.grant.scope.site().map(Col),
                row.subject,
                Col(row.granted)
            ])?;
        Ok(added == 1)
    }

    /// Keeps what is now said of somebody who is known.
    pub fn put_operator(&self, row: &OperatorRow) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE operator SET email = ?2, state = ?3, used_ms = ?4, role = ?5, tenant = ?6, site = ?7,
                 granted_ms = ?8 WHERE id = ?1",
            )?
            .execute(params![
                Col(row.id),
                row.email,
                Col(row.state),
                Col(row.used),
                Col(row.grant.role),
                row.grant.scope.tenant().map(Col),
                row.grant.scope.site().map(Col),
                Col(row.granted)
            ])?;
        Ok(())
    }

    /// Shuts somebody out.
    pub fn end_operator(&self, name: &str) -> Result<(), StoreError> {
        let Some(row) = self.operator_called(name)? else { return Ok(()) };
        self.forget_ways_in(row.id)?;
        self.put_operator(&OperatorRow { state: PersonState::Ended, ..row })
    }

    /// Everybody, by name.
    pub fn operators(&self) -> Result<Vec<OperatorRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM operator ORDER BY name")?;
        Ok(statement.query_map([], operator)?.collect::<Result<_, _>>()?)
    }

    /// Somebody by ID.
    pub fn operator(&self, id: Uuid) -> Result<Option<OperatorRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM operator WHERE id = ?1")?;
        Ok(statement.query_row([Col(id)], operator).optional()?)
    }

    /// Somebody by name.
    pub fn operator_called(&self, name: &str) -> Result<Option<OperatorRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM operator WHERE name = ?1")?;
        Ok(statement.query_row([name], operator).optional()?)
    }

    /// Somebody by who they are to the identity provider.
    pub fn operator_known_as(&self, subject: &str) -> Result<Option<OperatorRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM operator WHERE subject = ?1")?;
        Ok(statement.query_row([subject], operator).optional()?)
    }

    /// Forgets every way in that somebody has.
    pub fn forget_ways_in(&self, of: Uuid) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM session WHERE operator = ?1",
            "DELETE FROM passkey WHERE operator = ?1",
            "DELETE FROM invitation WHERE operator = ?1",
            "DELETE FROM recovery_code WHERE operator = ?1",
        ] {
            self.db.prepare_cached(sql)?.execute([Col(of)])?;
        }
        Ok(())
    }

    /// Ends every session, every invitation and every recovery code.
    pub fn forget_what_may_be_used_up(&self) -> Result<(), StoreError> {
        Ok(self.db.execute_batch("DELETE FROM session; DELETE FROM invitation; DELETE FROM recovery_code")?)
    }

    /// Keeps an invitation's hash; those that somebody had before are good no more.
    pub fn put_invitation(&self, hash: Digest, of: Uuid, expires: Millis) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM invitation WHERE operator = ?1")?.execute([Col(of)])?;
        self.db.prepare_cached("INSERT INTO invitation VALUES (?1, ?2, ?3)")?.execute(params![
            Col(hash),
            Col(of),
            Col(expires)
        ])?;
        Ok(())
    }

    /// Whose invitation this is, if it still holds.
    pub fn invitation(&self, hash: Digest, now: Millis) -> Result<Option<Uuid>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT operator FROM invitation WHERE hash = ?1 AND expires_ms > ?2")?;
        Ok(statement.query_row(params![Col(hash), Col(now)], |row| col(row, "operator")).optional()?)
    }

    /// Uses an invitation up; `false` when it was.
    pub fn use_invitation(&self, hash: Digest) -> Result<bool, StoreError> {
        Ok(self.db.prepare_cached("DELETE FROM invitation WHERE hash = ?1")?.execute([Col(hash)])? == 1)
    }

    /// Keeps a session.
    pub fn add_session(&self, row: &SessionRow) -> Result<(), StoreError> {
        self.db.prepare_cached("INSERT INTO session VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(
            params![
                Col(row.hash),
                Col(row.operator),
                Col(row.kind),
                Col(row.created),
                Col(row.used),
                row.address,
                Col(row.proven)
            ],
        )?;
        Ok(())
    }

    /// A session.
    pub fn session(&self, hash: Digest) -> Result<Option<SessionRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM session WHERE hash = ?1")?;
        Ok(statement.query_row([Col(hash)], session).optional()?)
    }

    /// Somebody's sessions, the newest first; those that have ended by themselves may be among them.
    pub fn sessions(&self, of: Uuid) -> Result<Vec<SessionRow>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT * FROM session WHERE operator = ?1 ORDER BY created_ms DESC, hash")?;
        Ok(statement.query_map([Col(of)], session)?.collect::<Result<_, _>>()?)
    }

    /// Notes that a session was used.
    pub fn used_session(&self, hash: Digest, of: Uuid, now: Millis) -> Result<(), StoreError> {
        for (sql, key) in [
            ("UPDATE session SET used_ms = ?2 WHERE hash = ?1", params![Col(hash), Col(now)]),
            ("UPDATE operator SET used_ms = ?2 WHERE id = ?1", params![Col(of), Col(now)]),
        ] {
            self.db.prepare_cached(sql)?.execute(key)?;
        }
        Ok(())
    }

    /// Ends a session; `false` when there is none.
    pub fn end_session(&self, hash: Digest) -> Result<bool, StoreError> {
        Ok(self.db.prepare_cached("DELETE FROM session WHERE hash = ?1")?.execute([Col(hash)])? == 1)
    }

    /// Forgets sessions that were not used since `used`, or began before `began`.
    pub fn forget_sessions(&self, used: Millis, began: Millis) -> Result<(), StoreError> {
        self.db
            .prepare_cached("DELETE FROM session WHERE used_ms <= ?1 OR created_ms <= ?2")?
            .execute(params![Col(used), Col(began)])?;
        Ok(())
    }
}

fn operator(row: &Row<'_>) -> rusqlite::Result<OperatorRow> {
    Ok(OperatorRow {
        id: col(row, "id")?,
        name: row.get("name")?,
        email: row.get("email")?,
        state: col(row, "state")?,
        created: col(row, "created_ms")?,
        used: col(row, "used_ms")?,
        grant: grant(row)?,
        subject: row.get("subject")?,
        granted: col(row, "granted_ms")?,
    })
}

fn session(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    Ok(SessionRow {
        hash: col(row, "hash")?,
        operator: col(row, "operator")?,
        kind: col(row, "kind")?,
        created: col(row, "created_ms")?,
        used: col(row, "used_ms")?,
        address: row.get("address")?,
        proven: col(row, "proven_ms")?,
    })
}
