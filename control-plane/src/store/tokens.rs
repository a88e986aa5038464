//! One-time enrolment tokens and operators' API tokens: only their hashes are here.

use proto::{
    digest::Digest,
    ids::{ApplianceId, SiteId, TenantId},
    time::Millis,
};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError, Within,
    convert::{Col, col},
};
use crate::access::{Grant, Scope};

/// A permission to enrol one appliance.
#[derive(Debug, Clone)]
pub struct EnrolmentTokenRow {
    /// SHA-256 of the token.
    pub hash: Digest,
    /// Into which clinic.
    pub tenant: TenantId,
    /// At which site.
    pub site: SiteId,
    /// Until when.
    pub expires: Millis,
    /// Who used it.
    pub appliance: Option<ApplianceId>,
    /// Since when.
    pub created: Millis,
    /// Who gave it out, as acts call them; empty: it was before this was kept.
    pub by: String,
}

/// An operator's API token.
#[derive(Debug, Clone)]
pub struct OperatorTokenRow {
    /// What it is called.
    pub name: String,
    /// Since when.
    pub created: Millis,
    /// Until when.
    pub expires: Millis,
    /// Last used; 0: never.
    pub used: Millis,
    /// Whether it was taken back.
    pub revoked: bool,
    /// What its holder may do, and where.
    pub grant: Grant,
}

impl Store {
    /// Keeps a new enrolment token's hash.
    pub fn add_enrolment_token(&self, token: &EnrolmentTokenRow) -> Result<(), StoreError> {
        self.db
            .prepare_cached("INSERT INTO enrolment_token VALUES (?1, ?2, ?3, ?4, ?5, NULL, ?6)")?
            .execute(params![
                Col(token.hash),
                Col(token.tenant),
                Col(token.site),
                Col(token.created),
                Col(token.expires),
                token.by
            ])?;
        Ok(())
    }

    /// The token with this hash.
    pub fn enrolment_token(&self, hash: Digest) -> Result<Option<EnrolmentTokenRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM enrolment_token WHERE hash = ?1")?;
        Ok(statement.query_row([Col(hash)], enrolment_token).optional()?)
    }

    /// Tokens that nobody used, of a clinic and site or of all, that have not run out, the newest first.
    pub fn open_enrolment_tokens(
        &self,
        of: Within,
        now: Millis,
    ) -> Result<Vec<EnrolmentTokenRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM enrolment_token WHERE appliance IS NULL AND expires_ms > ?3
             AND (?1 IS NULL OR tenant = ?1) AND (?2 IS NULL OR site = ?2) ORDER BY created_ms DESC, hash",
        )?;
        let of = params![of.tenant.map(Col), of.site.map(Col), Col(now)];
        Ok(statement.query_map(of, enrolment_token)?.collect::<Result<_, _>>()?)
    }

    /// Takes a token back that nobody used; `false` when there is none.
    pub fn end_enrolment_token(&self, hash: Digest) -> Result<bool, StoreError> {
        let mut statement =
            self.db.prepare_cached("DELETE FROM enrolment_token WHERE hash = ?1 AND appliance IS NULL")?;
        Ok(statement.execute([Col(hash)])? == 1)
    }

    /// Uses a token up; only the first time works.
    pub fn use_enrolment_token(&self, hash: Digest, appliance: ApplianceId) -> Result<(), StoreError> {
        let changed = self
            .db
            .prepare_cached(
                "UPDATE enrolment_token SET appliance = ?2 WHERE hash = ?1 AND appliance IS NULL",
            )?
            .execute(params![Col(hash), Col(appliance)])?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict { what: "enrolment token" }) }
    }

    /// Keeps a new API token's hash; `false` when the name is taken, be it by a person.
    pub fn add_operator_token(&self, row: &OperatorTokenRow, hash: Digest) -> Result<bool, StoreError> {
        let added = self
            .db
            .prepare_cached(
                "INSERT INTO operator_token (name, hash, created_ms, expires_ms, used_ms, revoked, role, tenant, site)
                 SELECT ?1, ?2, ?3, ?4, 0, 0, ?5, ?6, ?7
                 WHERE NOT EXISTS (SELECT 1 FROM operator WHERE name = ?1) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                row.name,
                Col(hash),
                Col(row.created),
                Col(row.expires),
                Col(row.grant.role),
                row.grant.scope.tenant().map(Col),
                row.grant.scope.site().map(Col)
            ])?;
        Ok(added == 1)
    }

    /// The API token with this hash.
    pub fn operator_token(&self, hash: Digest) -> Result<Option<OperatorTokenRow>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT * FROM operator_token WHERE hash = ?1")?
            .query_row([Col(hash)], operator_token)
            .optional()?)
    }

    /// Notes that an API token was used.
    pub fn used_operator_token(&self, name: &str, now: Millis) -> Result<(), StoreError> {
        self.db
            .prepare_cached("UPDATE operator_token SET used_ms = ?2 WHERE name = ?1")?
            .execute(params![name, Col(now)])?;
        Ok(())
    }

    /// All API tokens by name.
    pub fn operator_tokens(&self) -> Result<Vec<OperatorTokenRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM operator_token ORDER BY name")?;
        Ok(statement.query_map([], operator_token)?.collect::<Result<_, _>>()?)
    }

    /// Takes the API token of that name back; gives its hash, if there is one.
    pub fn revoke_operator_token(&self, name: &str) -> Result<Option<Digest>, StoreError> {
        Ok(self
            .db
            .prepare_cached("UPDATE operator_token SET revoked = 1 WHERE name = ?1 RETURNING hash")?
            .query_row([name], |row| col(row, "hash"))
            .optional()?)
    }

    /// Takes the API token with this hash back; `true` when it held until now.
    pub fn revoke_operator_token_of(&self, hash: Digest) -> Result<bool, StoreError> {
        Ok(self
            .db
            .prepare_cached("UPDATE operator_token SET revoked = 1 WHERE hash = ?1 AND revoked = 0")?
            .execute([Col(hash)])?
            == 1)
    }
}

/// Columns `role`, `tenant` and `site`.
pub(super) fn grant(row: &Row<'_>) -> rusqlite::Result<Grant> {
    let scope = match (col(row, "tenant")?, col(row, "site")?) {
        (None, _) => Scope::Organization,
        (Some(tenant), None) => Scope::Tenant(tenant),
        (Some(tenant), Some(site)) => Scope::Site(tenant, site),
    };
    Ok(Grant { role: col(row, "role")?, scope })
}

fn enrolment_token(row: &Row<'_>) -> rusqlite::Result<EnrolmentTokenRow> {
    Ok(EnrolmentTokenRow {
        hash: col(row, "hash")?,
        tenant: col(row, "tenant")?,
        site: col(row, "site")?,
        expires: col(row, "expires_ms")?,
        appliance: col(row, "appliance")?,
        created: col(row, "created_ms")?,
        by: row.get("issued_by")?,
    })
}

fn operator_token(row: &Row<'_>) -> rusqlite::Result<OperatorTokenRow> {
    Ok(OperatorTokenRow {
        name: row.get("name")?,
        created: col(row, "created_ms")?,
        expires: col(row, "expires_ms")?,
        used: col(row, "used_ms")?,
        revoked: row.get("revoked")?,
        grant: grant(row)?,
    })
}
