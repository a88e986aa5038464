//! What a tenant's log is called: the first line of its checkpoints, and the name of its keys.
//!
//! A log that could not be continued is followed by another, under a name of its own: else the one's checkpoints would be
//! a fork of the other's.

use crate::ids::TenantId;

/// `evidence.<organization>/<tenant>`: a tenant's first log.
#[must_use]
pub fn log_origin(organization: &str, tenant: TenantId) -> String {
    format!("evidence.{organization}/{tenant}")
}

/// The name of a tenant's `number`-th log: from the second on, the number stands behind.
#[must_use]
pub fn origin_of(organization: &str, tenant: TenantId, number: u64) -> String {
    let first = log_origin(organization, tenant);
    if number <= 1 { first } else { format!("{first}/{number}") }
}

/// The tenant whose log is called `origin`, if it is one of `organization`.
#[must_use]
pub fn tenant_of(origin: &str, organization: &str) -> Option<TenantId> {
    let rest = origin.strip_prefix("evidence.")?.strip_prefix(organization)?.strip_prefix('/')?;
    let tenant = rest.split('/').next()?.parse().ok()?;
    (origin_of(organization, tenant, log_number(origin)) == origin).then_some(tenant)
}

/// Which of its tenant's logs is called so; 1 for whatever is no successor's name.
#[must_use]
pub fn log_number(origin: &str) -> u64 {
    origin.split('/').nth(2).and_then(|number| number.parse().ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_belongs_to_one_tenant_of_one_organization() {
        let tenant: TenantId = "0190a0c0-0000-7000-8000-000000000001".parse().unwrap();
        let origin = log_origin("msp.example", tenant);
        assert_eq!((tenant_of(&origin, "msp.example"), log_number(&origin)), (Some(tenant), 1));
        for other in ["example", "msp.exampl", "msp.example.org", ""] {
            assert_eq!(tenant_of(&origin, other), None, "{other}");
        }
    }

    #[test]
    fn a_successor_has_one_name_and_another_than_every_other() {
        let tenant: TenantId = "0190a0c0-0000-7000-8000-000000000001".parse().unwrap();
        let third = origin_of("msp.example", tenant, 3);
        assert_eq!(third, format!("evidence.msp.example/{tenant}/3"));
        assert_eq!((tenant_of(&third, "msp.example"), log_number(&third)), (Some(tenant), 3));
        for other in ["/1", "/0", "/03", "/x", "/", "/2/3", "/-2"] {
            let origin = format!("{}{other}", log_origin("msp.example", tenant));
            assert_eq!(tenant_of(&origin, "msp.example"), None, "{origin}");
        }
    }
}
