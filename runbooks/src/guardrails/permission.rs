//! Guardrails 5, 6 and 7: which procedure, in which exact wording, on which things of this box.

use proto::order::Order;

use super::{Facts, Guardrail, Refusal, listed};

/// **Guardrail 5**, "allowlist (tenant, site, mode)".
///
/// The order was cleared under the newest policy seen here, that policy is for this tenant, and tenant and site allow the
/// runbook. The mode is the runbook's risk under that policy; who has to agree to it is guardrail 10's.
pub fn allowlist(order: &Order, facts: &Facts<'_>) -> Result<(), Refusal> {
    let refuse = |reason: String| Err(Guardrail::Allowlist.refuses(reason));
    let (core, policy) = (&order.core, facts.policy);
    if order.policy_serial != facts.policy_serial {
        let newest = facts.policy_serial;
        return refuse(format!(
            "was cleared under policy {}; the newest seen here is {newest}",
            order.policy_serial
        ));
    }
    if let Some(tenant) = policy.tenant.filter(|tenant| *tenant != core.tenant) {
        return refuse(format!("policy is for tenant {tenant}, the order for {}", core.tenant));
    }
    if let Some(allow) = policy.allow.as_ref().filter(|allow| !allow.contains(&core.runbook)) {
        return refuse(format!(
            "policy does not allow runbook {}; it allows: {}",
            core.runbook,
            listed(allow)
        ));
    }
    if !policy.allows(&core.runbook, core.site) {
        let here = policy.sites.get(&core.site).map(listed).unwrap_or_default();
        return refuse(format!(
            "policy does not allow runbook {} at site {}; it allows: {here}",
            core.runbook, core.site
        ));
    }
    Ok(())
}

/// **Guardrail 6**, "digest pin (signed catalogue)".
pub fn digest(order: &Order, facts: &Facts<'_>) -> Result<(), Refusal> {
    let refuse = |reason: String| Err(Guardrail::Digest.refuses(reason));
    let (core, catalogue) = (&order.core, facts.catalogue);
    let entry = facts.entry(Guardrail::Digest, &core.runbook)?;
    if entry.digest != core.runbook_digest {
        return refuse(format!(
            "runbook {} is {} in catalogue {}, the order says {}",
            core.runbook, entry.digest, catalogue.version, core.runbook_digest
        ));
    }
    match facts.now {
        Some(now) if now < catalogue.expires => Ok(()),
        Some(now) => refuse(format!(
            "catalogue {} expired {}, it is {now}; the release keys must sign the next",
            catalogue.version, catalogue.expires
        )),
        None => refuse("nobody can say whether the catalogue has expired; waits for a time token".to_owned()),
    }
}

/// **Guardrail 7**, "parameters (watch-list IDs that exist on this box)".
///
/// Exactly the declared ones, each on the box's own list, each of the declared kind.
pub fn parameters(order: &Order, facts: &Facts<'_>) -> Result<(), Refusal> {
    let refuse = |reason: String| Err(Guardrail::Parameters.refuses(reason));
    let core = &order.core;
    let declared = &facts.entry(Guardrail::Parameters, &core.runbook)?.runbook.parameters;
    if core.parameters.keys().any(|name| !declared.contains_key(name)) {
        let right = listed(declared.keys());
        return refuse(format!(
            "has a parameter that {} does not declare; it declares: {right}",
            core.runbook
        ));
    }
    for (name, kind) in declared {
        let Some(watch) = core.parameters.get(name) else {
            return refuse(format!("lacks parameter {name}, a {kind} of this box's list"));
        };
        match facts.watch.get(watch) {
            Some(found) if found == kind => {}
            Some(found) => {
                return refuse(format!(
                    "parameter {name} names watch entry `{watch}`, a {found}; it must be a {kind}"
                ));
            }
            None => {
                let right = listed(facts.watch.keys());
                return refuse(format!(
                    "parameter {name} names watch entry `{watch}`, which is not on this box's list; it lists: {right}"
                ));
            }
        }
    }
    Ok(())
}
