//! Passkeys and recovery codes: what somebody signs in with.

use proto::{digest::Digest, time::Millis};
use rusqlite::{OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// A passkey's public half.
#[derive(Debug, Clone)]
pub struct PasskeyRow {
    /// What its authenticator calls it.
    pub id: Vec<u8>,
    /// Whose.
    pub operator: Uuid,
    /// What its owner calls it.
    pub label: String,
    /// Since when.
    pub created: Millis,
    /// Last used; 0: never.
    pub used: Millis,
    /// What is kept of it ([`crate::access`] knows the form).
    pub credential: String,
}

impl Store {
    /// Keeps a passkey; `false` when one is called so already.
    pub fn add_passkey(&self, row: &PasskeyRow) -> Result<bool, StoreError> {
        let added = self
            .db
            .prepare_cached("INSERT INTO passkey VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING")?
            .execute(params![
                row.id,
                Col(row.operator),
                row.label,
                Col(row.created),
                Col(row.used),
                row.credential
            ])?;
        Ok(added == 1)
    }

    /// A passkey.
    pub fn passkey(&self, id: &[u8]) -> Result<Option<PasskeyRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM passkey WHERE id = ?1")?;
        Ok(statement.query_row([id], passkey).optional()?)
    }

    /// Somebody's passkeys, the oldest first.
    pub fn passkeys(&self, of: Uuid) -> Result<Vec<PasskeyRow>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT * FROM passkey WHERE operator = ?1 ORDER BY created_ms, id")?;
        Ok(statement.query_map([Col(of)], passkey)?.collect::<Result<_, _>>()?)
    }

    /// Notes that a passkey was used, and what its counter is now; `false` when it is not as it was when it was looked at.
    pub fn used_passkey(
        &self,
        id: &[u8],
        (before, after): (&str, &str),
        now: Millis,
    ) -> Result<bool, StoreError> {
        let changed = self
            .db
            .prepare_cached(
                "UPDATE passkey SET credential = ?3, used_ms = ?4 WHERE id = ?1 AND credential = ?2",
            )?
            .execute(params![id, before, after, Col(now)])?;
        Ok(changed == 1)
    }

    /// Removes one of somebody's passkeys; `false` when there is none.
    pub fn remove_passkey(&self, id: &[u8], of: Uuid) -> Result<bool, StoreError> {
        let mut statement = self.db.prepare_cached("DELETE FROM passkey WHERE id = ?1 AND operator = ?2")?;
        Ok(statement.execute(params![id, Col(of)])? == 1)
    }

    /// Gives somebody recovery codes, in place of those that they had.
    pub fn put_recovery_codes(&self, of: Uuid, hashes: &[Digest]) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM recovery_code WHERE operator = ?1")?.execute([Col(of)])?;
        for hash in hashes {
            self.db
                .prepare_cached("INSERT INTO recovery_code VALUES (?1, ?2)")?
                .execute(params![Col(*hash), Col(of)])?;
        }
        Ok(())
    }

    /// Uses one of somebody's recovery codes up; `false` when it is none.
    pub fn use_recovery_code(&self, hash: Digest, of: Uuid) -> Result<bool, StoreError> {
        let mut statement =
            self.db.prepare_cached("DELETE FROM recovery_code WHERE hash = ?1 AND operator = ?2")?;
        Ok(statement.execute(params![Col(hash), Col(of)])? == 1)
    }

    /// Whether it is a recovery code of anybody's.
    pub fn has_recovery_code(&self, hash: Digest) -> Result<bool, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT 1 FROM recovery_code WHERE hash = ?1")?;
        Ok(statement.exists([Col(hash)])?)
    }

    /// How many recovery codes somebody has left.
    pub fn recovery_codes_left(&self, of: Uuid) -> Result<u64, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT count(*) FROM recovery_code WHERE operator = ?1")?;
        let count: i64 = statement.query_row([Col(of)], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }
}

fn passkey(row: &Row<'_>) -> rusqlite::Result<PasskeyRow> {
    Ok(PasskeyRow {
        id: row.get("id")?,
        operator: col(row, "operator")?,
        label: row.get("label")?,
        created: col(row, "created_ms")?,
        used: col(row, "used_ms")?,
        credential: row.get("credential")?,
    })
}
