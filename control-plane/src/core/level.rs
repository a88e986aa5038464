//! Levels: the organization, a clinic, one of its places, one box. What is said at one holds for all that is below it.

use proto::{
    act,
    field::BadField,
    ids::{ApplianceId, SiteId, TenantId},
};

use super::{Core, CoreError};
use crate::store::ApplianceRow;

/// What the organization's own level is called where others have an ID.
pub const EVERYTHING: &str = "organization";

/// One level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Everything.
    Organization,
    /// One clinic.
    Tenant(TenantId),
    /// One of its places.
    Site(TenantId, SiteId),
    /// One box, and where it stands.
    Appliance(TenantId, SiteId, ApplianceId),
}

impl Level {
    /// Its name in the database: no two have the same.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Organization => EVERYTHING.to_owned(),
            Self::Tenant(id) => id.to_string(),
            Self::Site(_, id) => id.to_string(),
            Self::Appliance(_, _, id) => id.to_string(),
        }
    }

    /// Its word.
    #[must_use]
    pub fn word(&self) -> act::Level {
        match self {
            Self::Organization => act::Level::Organization,
            Self::Tenant(_) => act::Level::Tenant,
            Self::Site(..) => act::Level::Site,
            Self::Appliance(..) => act::Level::Appliance,
        }
    }

    /// Whose it is; `None`: everybody's.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantId> {
        match self {
            Self::Organization => None,
            Self::Tenant(tenant) | Self::Site(tenant, _) | Self::Appliance(tenant, ..) => Some(*tenant),
        }
    }

    /// The place, when it is one, or a box there.
    #[must_use]
    pub fn site(&self) -> Option<SiteId> {
        match self {
            Self::Organization | Self::Tenant(_) => None,
            Self::Site(_, site) | Self::Appliance(_, site, _) => Some(*site),
        }
    }

    /// The box, when it is one.
    #[must_use]
    pub fn appliance(&self) -> Option<ApplianceId> {
        match self {
            Self::Organization | Self::Tenant(_) | Self::Site(..) => None,
            Self::Appliance(_, _, appliance) => Some(*appliance),
        }
    }

    /// Whether a box is below it, or is it.
    #[must_use]
    pub fn covers(&self, row: &ApplianceRow) -> bool {
        self.tenant().is_none_or(|tenant| tenant == row.tenant)
            && self.site().is_none_or(|site| site == row.site)
            && self.appliance().is_none_or(|appliance| appliance == row.id)
    }
}

impl Core {
    /// The level that people mean: clinic by ID or name, a place of it by ID or name, or a box by ID; nothing of these: all.
    /// Whoever asks must have it whole in sight.
    pub fn level(&self, tenant: &str, site: &str, appliance: &str) -> Result<Level, CoreError> {
        let level = self.level_called(tenant, site, appliance)?;
        let scope = &self.acting.grant.scope;
        // Not that it is denied: with the name of what is in sight it is let in.
        let missing = match level {
            Level::Organization if scope.tenant().is_some() => "tenant",
            Level::Tenant(_) if scope.site().is_some() => "site",
            _ => return Ok(level),
        };
        Err(BadField::new(missing, format!("must be named: your access is to {scope}")).into())
    }

    fn level_called(&self, tenant: &str, site: &str, appliance: &str) -> Result<Level, CoreError> {
        if !appliance.is_empty() {
            if !tenant.is_empty() || !site.is_empty() {
                let problem = "must not be named along with a tenant or site: a box has its own";
                return Err(BadField::new("appliance", problem).into());
            }
            let row = self.appliance("appliance", appliance)?;
            return Ok(Level::Appliance(row.tenant, row.site, row.id));
        }
        match (tenant, site) {
            ("", "") => Ok(Level::Organization),
            ("", _) => Err(BadField::new("site", "must be named along with its tenant").into()),
            (tenant, "") => Ok(Level::Tenant(self.tenant(tenant)?.id)),
            (tenant, site) => {
                let row = self.site_called(&self.tenant(tenant)?, site)?;
                Ok(Level::Site(row.tenant, row.id))
            }
        }
    }

    /// The boxes below a level.
    pub(super) fn below(&self, level: Level) -> Result<Vec<ApplianceRow>, CoreError> {
        let mut rows = self.store.appliances(level.tenant())?;
        rows.retain(|row| level.covers(row));
        Ok(rows)
    }
}
