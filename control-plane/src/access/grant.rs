//! A role and where it holds.

use std::fmt;

use proto::ids::{SiteId, TenantId};

proto::vocabulary! {
    /// What somebody is here.
    pub enum Role as "role" {
        /// Decides who else may do what, and what the organization signs.
        Owner = "owner",
        /// Runs the clinics: decides, pauses, claims, sends packets.
        Operator = "operator",
        /// Puts boxes in place and looks after them.
        Technician = "technician",
        /// Reads everything that is evidence; changes nothing.
        Auditor = "auditor",
    }
}

/// Where a role holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everywhere: every clinic of today and tomorrow, and what belongs to none.
    Organization,
    /// In one clinic.
    Tenant(TenantId),
    /// At one site of a clinic.
    Site(TenantId, SiteId),
}

impl Scope {
    /// The only clinic in sight, if there is one.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantId> {
        match self {
            Self::Organization => None,
            Self::Tenant(tenant) | Self::Site(tenant, _) => Some(*tenant),
        }
    }

    /// The only site in sight, if there is one.
    #[must_use]
    pub fn site(&self) -> Option<SiteId> {
        match self {
            Self::Organization | Self::Tenant(_) => None,
            Self::Site(_, site) => Some(*site),
        }
    }

    /// Whether a clinic is in sight, whole or in part.
    #[must_use]
    pub fn sees(&self, tenant: TenantId) -> bool {
        self.tenant().is_none_or(|own| own == tenant)
    }

    /// Whether what stands at a site of a clinic is in sight.
    #[must_use]
    pub fn sees_site(&self, tenant: TenantId, site: SiteId) -> bool {
        self.sees(tenant) && self.site().is_none_or(|own| own == site)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization => f.write_str("organization"),
            Self::Tenant(tenant) => write!(f, "tenant {tenant}"),
            Self::Site(tenant, site) => write!(f, "site {site} of tenant {tenant}"),
        }
    }
}

/// What somebody may do, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// As what.
    pub role: Role,
    /// Where.
    pub scope: Scope,
}

impl Grant {
    /// An owner of the whole organization.
    #[must_use]
    pub fn everything() -> Self {
        Self { role: Role::Owner, scope: Scope::Organization }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(n: u8) -> T {
        format!("0190a0c0-0000-7000-8000-0000000000{n:02}").parse().unwrap()
    }

    #[test]
    fn a_scope_sees_what_lies_within_it() {
        let places = [(id(1), id(3)), (id(1), id(4)), (id(2), id(5))];
        let seen =
            |scope: Scope| places.map(|(tenant, site)| (scope.sees(tenant), scope.sees_site(tenant, site)));
        let (no, part, yes) = ((false, false), (true, false), (true, true));
        assert_eq!(seen(Scope::Organization), [yes, yes, yes]);
        assert_eq!(seen(Scope::Tenant(id(1))), [yes, yes, no]);
        assert_eq!(seen(Scope::Site(id(1), id(3))), [yes, part, no]);
    }
}
