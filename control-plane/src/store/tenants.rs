//! Tenants and sites.

use proto::{
    ids::{SiteId, TenantId},
    log::EMPTY_ROOT,
    time::Millis,
};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// A clinic.
#[derive(Debug, Clone)]
pub struct TenantRow {
    /// Its ID.
    pub id: TenantId,
    /// Its name, unique.
    pub name: String,
    /// Since when.
    pub created: Millis,
    /// Serial of the policy in force.
    pub policy_serial: u64,
    /// That policy's envelope.
    pub policy: Vec<u8>,
    /// Origin of its log.
    pub log_origin: String,
    /// Entries of its log.
    pub log_size: u64,
    /// Why nothing more is appended to it, when that is so.
    pub log_halted: Option<String>,
    /// When it left; 0: it did not.
    pub closed: Millis,
}

/// A clinic to be.
#[derive(Debug)]
pub struct NewTenant<'a> {
    /// Its ID.
    pub id: TenantId,
    /// Its name.
    pub name: &'a str,
    /// Now.
    pub created: Millis,
    /// Serial of its first policy.
    pub policy_serial: u64,
    /// That policy's envelope.
    pub policy: &'a [u8],
    /// Origin of its log.
    pub log_origin: &'a str,
}

/// A place of a clinic.
#[derive(Debug, Clone)]
pub struct SiteRow {
    /// Its ID.
    pub id: SiteId,
    /// Whose.
    pub tenant: TenantId,
    /// Its name, unique in the clinic.
    pub name: String,
    /// Since when.
    pub created: Millis,
}

/// Of which clinic, and of which of its sites, a list is; `None`: of all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Within {
    /// The clinic.
    pub tenant: Option<TenantId>,
    /// The site.
    pub site: Option<SiteId>,
}

impl Store {
    /// Adds a tenant with an empty log; `false` when the name is taken.
    pub fn add_tenant(&self, new: &NewTenant<'_>) -> Result<bool, StoreError> {
        let added = self
            .db
            .prepare_cached(
                "INSERT INTO tenant VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, NULL, 0, NULL, 0) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                Col(new.id),
                new.name,
                Col(new.created),
                Col(new.policy_serial),
                new.policy,
                new.log_origin,
                Col(EMPTY_ROOT)
            ])?;
        Ok(added == 1)
    }

    /// All tenants by name.
    pub fn tenants(&self) -> Result<Vec<TenantRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM tenant ORDER BY name")?;
        Ok(statement.query_map([], tenant)?.collect::<Result<_, _>>()?)
    }

    /// One tenant.
    pub fn tenant(&self, id: TenantId) -> Result<Option<TenantRow>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT * FROM tenant WHERE id = ?1")?
            .query_row([Col(id)], tenant)
            .optional()?)
    }

    /// One tenant, by ID or name as people type it.
    pub fn tenant_called(&self, name: &str) -> Result<Option<TenantRow>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT * FROM tenant WHERE id = ?1 OR name = ?1")?
            .query_row([name], tenant)
            .optional()?)
    }

    /// Notes that a clinic left.
    pub fn close_tenant(&self, id: TenantId, now: Millis) -> Result<(), StoreError> {
        self.db
            .prepare_cached("UPDATE tenant SET closed_ms = ?2 WHERE id = ?1")?
            .execute(params![Col(id), Col(now)])?;
        Ok(())
    }

    /// Puts another policy in force.
    pub fn put_policy(&self, id: TenantId, serial: u64, envelope: &[u8]) -> Result<(), StoreError> {
        let changed = self
            .db
            .prepare_cached(
                "UPDATE tenant SET policy_serial = ?2, policy = ?3 WHERE id = ?1 AND policy_serial < ?2",
            )?
            .execute(params![Col(id), Col(serial), envelope])?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict { what: "policy" }) }
    }

    /// Adds a site; `false` when the clinic has one of that name.
    pub fn add_site(&self, site: &SiteRow) -> Result<bool, StoreError> {
        let added = self
            .db
            .prepare_cached("INSERT INTO site VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?
            .execute(params![Col(site.id), Col(site.tenant), site.name, Col(site.created)])?;
        Ok(added == 1)
    }

    /// A clinic's sites by name.
    pub fn sites(&self, tenant: TenantId) -> Result<Vec<SiteRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM site WHERE tenant = ?1 ORDER BY name")?;
        Ok(statement.query_map([Col(tenant)], site)?.collect::<Result<_, _>>()?)
    }

    /// A clinic's site, by ID or name.
    pub fn site_called(&self, tenant: TenantId, name: &str) -> Result<Option<SiteRow>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT * FROM site WHERE tenant = ?1 AND (id = ?2 OR name = ?2)")?
            .query_row(params![Col(tenant), name], site)
            .optional()?)
    }
}

fn tenant(row: &Row<'_>) -> rusqlite::Result<TenantRow> {
    Ok(TenantRow {
        id: col(row, "id")?,
        name: row.get("name")?,
        created: col(row, "created_ms")?,
        policy_serial: col(row, "policy_serial")?,
        policy: row.get("policy")?,
        log_origin: row.get("log_origin")?,
        log_size: col(row, "log_size")?,
        log_halted: row.get("log_halted")?,
        closed: col(row, "closed_ms")?,
    })
}

fn site(row: &Row<'_>) -> rusqlite::Result<SiteRow> {
    Ok(SiteRow {
        id: col(row, "id")?,
        tenant: col(row, "tenant")?,
        name: row.get("name")?,
        created: col(row, "created_ms")?,
    })
}
