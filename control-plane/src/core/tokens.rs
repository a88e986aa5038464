//! API tokens: named, scoped, expiring; shown once, kept as hashes.

use std::time::Duration;

use proto::{act::Deed, digest::Digest, field::BadField, time::Millis};
use serde_json::{Value, json};

use super::{Core, CoreError, admin::Token, people::operator_name};
use crate::{
    access::{Grant, Scope},
    store::OperatorTokenRow,
};

/// The longest an API token lasts.
pub const OPERATOR_TOKEN_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is said of an API token that holds no more, or never was.
pub const TOKEN_OVER: &str = "API token is unknown, revoked or run out";

impl Core {
    /// Makes an API token.
    pub fn issue_operator_token(
        &mut self,
        name: &str,
        grant: Grant,
        valid: Duration,
        now: Millis,
    ) -> Result<Token, CoreError> {
        let name = operator_name(name)?;
        if valid.is_zero() || valid > OPERATOR_TOKEN_MAX {
            return Err(BadField::new("valid_days", "must be 1 to 365").into());
        }
        if let Scope::Site(tenant, site) = grant.scope
            && !self.has_site(tenant, site)?
        {
            return Err(BadField::new("site", "must be one of the clinic's").into());
        }
        let secret = self.secret();
        let row = OperatorTokenRow {
            name,
            created: now,
            expires: now.plus(valid),
            used: Millis(0),
            revoked: false,
            grant,
        };
        if self.is_called(&row.name)?
            || !self.store.add_operator_token(&row, Digest::of(secret.as_bytes()))?
        {
            return Err(CoreError::Exists(format!(
                "there is a token {:?} already; choose another name",
                row.name
            )));
        }
        self.access_changed(&row, Value::Null, said(&row));
        self.note_act_in(&grant.scope, &Deed::Access { name: row.name, until: row.expires }, now)?;
        Ok(Token { secret, expires: row.expires })
    }

    /// All API tokens, without their secrets.
    pub fn operator_tokens(&self) -> Result<Vec<OperatorTokenRow>, CoreError> {
        Ok(self.store.operator_tokens()?)
    }

    /// Takes an API token back.
    pub fn revoke_operator_token(&mut self, name: &str, now: Millis) -> Result<OperatorTokenRow, CoreError> {
        let before = self.operator_tokens()?.into_iter().find(|row| row.name == name);
        let missing = || CoreError::NotFound(format!("there is no token {name:?}"));
        let before = before.ok_or_else(missing)?;
        if let Some(hash) = self.store.revoke_operator_token(name)? {
            // Again, where it went wrong the first time; but it ended once.
            self.keep_token_revocation(hash, now)?;
        }
        let row = OperatorTokenRow { revoked: true, ..before.clone() };
        if !before.revoked {
            self.access_changed(&row, said(&before), said(&row));
            self.note_act_in(&row.grant.scope, &Deed::AccessEnd { name: row.name.clone() }, now)?;
        }
        Ok(row)
    }

    /// Whose API token this is, if it still holds, and what it is good for; notes the use.
    pub fn operator(&mut self, secret: &str, now: Millis) -> Result<(String, Grant), CoreError> {
        let denied = || CoreError::Denied(TOKEN_OVER.into());
        let row = self.store.operator_token(Digest::of(secret.as_bytes()))?.ok_or_else(denied)?;
        if row.revoked || now >= row.expires {
            return Err(denied());
        }
        self.store.used_operator_token(&row.name, now)?;
        Ok((row.name, row.grant))
    }

    fn access_changed(&mut self, row: &OperatorTokenRow, before: Value, after: Value) {
        self.changed(row.grant.scope.tenant(), "access", before, after);
    }
}

fn said(row: &OperatorTokenRow) -> Value {
    json!({
        "name": row.name, "role": row.grant.role, "scope": row.grant.scope.to_string(), "until": row.expires,
        "revoked": row.revoked,
    })
}
