//! What a tenant's log is called: the first line of its checkpoints, and the name of its keys.

use crate::ids::TenantId;

/// `evidence.<organization>/<tenant>`.
#[must_use]
pub fn log_origin(organization: &str, tenant: TenantId) -> String {
    format!("evidence.{organization}/{tenant}")
}

/// The tenant whose log is called `origin`, if it is one of `organization`.
#[must_use]
pub fn tenant_of(origin: &str, organization: &str) -> Option<TenantId> {
    origin.strip_prefix("evidence.")?.strip_prefix(organization)?.strip_prefix('/')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_belongs_to_one_tenant_of_one_organization() {
        let tenant: TenantId = "0190a0c0-0000-7000-8000-000000000001".parse().unwrap();
        let origin = log_origin("msp.example", tenant);
        assert_eq!(tenant_of(&origin, "msp.example"), Some(tenant));
        for other in ["example", "msp.exampl", "msp.example.org", ""] {
            assert_eq!(tenant_of(&origin, other), None, "{other}");
        }
    }
}
