//! What is in sight of whoever a command is run for: the one place that every operator's look at clinics, sites, boxes and
//! incidents passes.
//!
//! The rule: what is out of sight is answered in the very words of what does not exist, and is in no list and no count. The
//! control plane itself and the server's console see everything.

use proto::{
    field::BadField,
    ids::{ApplianceId, IncidentId, SiteId, TenantId},
};

use super::{Core, CoreError};
use crate::{
    access::Scope,
    store::{ApplianceRow, IncidentRow, SiteRow, TenantRow, Within},
};

impl Core {
    /// All clinics in sight.
    pub fn tenants(&self) -> Result<Vec<TenantRow>, CoreError> {
        let scope = self.acting.grant.scope;
        Ok(self.store.tenants()?.into_iter().filter(|row| scope.sees(row.id)).collect())
    }

    /// One clinic, by ID or name.
    pub fn tenant(&self, called: &str) -> Result<TenantRow, CoreError> {
        let found = self.store.tenant_called(called)?.filter(|row| self.acting.grant.scope.sees(row.id));
        found.ok_or_else(|| {
            CoreError::NotFound(format!(
                "there is no tenant {called:?}; `control-plane tenant list` shows them"
            ))
        })
    }

    /// Whether clinics are in sight as a whole: their contract, and who gets their packets.
    #[must_use]
    pub fn sees_whole_clinics(&self) -> bool {
        self.acting.grant.scope.site().is_none()
    }

    /// Whether the organization's own affairs are in sight.
    #[must_use]
    pub fn sees_organization(&self) -> bool {
        self.acting.grant.scope == Scope::Organization
    }

    /// The clinic that a list is about; `None`: all. Empty text means all that are in sight.
    pub fn tenant_filter(&self, called: &str) -> Result<Option<TenantId>, CoreError> {
        match called {
            "" => Ok(self.acting.grant.scope.tenant()),
            called => self.tenant(called).map(|row| Some(row.id)),
        }
    }

    /// The same, and the only site in sight, if that is so.
    pub(super) fn within(&self, called: &str) -> Result<Within, CoreError> {
        Ok(Within { tenant: self.tenant_filter(called)?, site: self.acting.grant.scope.site() })
    }

    /// A clinic's sites in sight.
    pub fn sites(&self, tenant: &str) -> Result<Vec<SiteRow>, CoreError> {
        let scope = self.acting.grant.scope;
        let rows = self.store.sites(self.tenant(tenant)?.id)?;
        Ok(rows.into_iter().filter(|row| scope.sees_site(row.tenant, row.id)).collect())
    }

    /// A site of a clinic, by ID or name.
    pub(super) fn site_called(&self, tenant: &TenantRow, called: &str) -> Result<SiteRow, CoreError> {
        let scope = self.acting.grant.scope;
        let found = self.store.site_called(tenant.id, called)?;
        found.filter(|row| scope.sees_site(row.tenant, row.id)).ok_or_else(|| {
            CoreError::NotFound(format!(
                "{} has no site {called:?}; `control-plane site list` shows them",
                tenant.name
            ))
        })
    }

    /// Boxes in sight, of a clinic or of all.
    pub fn appliances(&self, tenant: &str) -> Result<Vec<ApplianceRow>, CoreError> {
        let Within { tenant, site } = self.within(tenant)?;
        let rows = self.store.appliances(tenant)?;
        Ok(rows.into_iter().filter(|row| site.is_none_or(|site| row.site == site)).collect())
    }

    /// One box. `field` is what the caller knows its ID as.
    pub fn appliance(&self, field: &str, id: &str) -> Result<ApplianceRow, CoreError> {
        let id = ApplianceId::from_field(field, id)?;
        self.seen_appliance(id)?.ok_or_else(|| CoreError::NotFound(format!("there is no appliance {id}")))
    }

    pub(super) fn seen_appliance(&self, id: ApplianceId) -> Result<Option<ApplianceRow>, CoreError> {
        let scope = self.acting.grant.scope;
        Ok(self.store.appliance(id)?.filter(|row| scope.sees_site(row.tenant, row.site)))
    }

    /// One incident. `field` is what the caller knows its ID as.
    pub fn seen_incident(&self, field: &str, id: &str) -> Result<IncidentRow, CoreError> {
        let id = IncidentId::from_field(field, id)?;
        let row = match self.store.incident(id)? {
            Some(row) => self.seen_appliance(row.appliance)?.map(|_| row),
            None => None,
        };
        row.ok_or_else(|| CoreError::NotFound(format!("there is no incident {id}")))
    }

    /// The scope that is called so, to give access to: everywhere, a clinic that has not left, a site of it.
    pub fn scope_called(&self, tenant: &str, site: &str) -> Result<Scope, CoreError> {
        match (tenant, site) {
            ("", "") => Ok(Scope::Organization),
            ("", _) => Err(BadField::new("scope.tenant", "must be given, to say which clinic's site").into()),
            (tenant, "") => Ok(Scope::Tenant(self.served(tenant)?.id)),
            (tenant, site) => {
                let tenant = self.served(tenant)?;
                Ok(Scope::Site(tenant.id, self.site_called(&tenant, site)?.id))
            }
        }
    }

    /// Whether a site of a clinic exists at all: what a scope may be made of.
    pub(super) fn has_site(&self, tenant: TenantId, site: SiteId) -> Result<bool, CoreError> {
        Ok(self.store.sites(tenant)?.iter().any(|row| row.id == site))
    }
}
