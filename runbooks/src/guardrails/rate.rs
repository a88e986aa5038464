//! Guardrails 8 and 9: not too soon, not too often, and not again and again in vain.

use proto::order::Order;

use super::{Facts, Guardrail, Refusal};
use crate::fault::spoken;

/// **Guardrail 8**, "cooldown (runbook and target)": the longer of the runbook's and the policy's.
pub fn cooldown(order: &Order, facts: &Facts<'_>) -> Result<(), Refusal> {
    let runbook = &facts.entry(Guardrail::Cooldown, &order.core.runbook)?.runbook;
    let least = runbook.cooldown().max(facts.policy.cooldown_at_least());
    match facts.history.since_last {
        Some(since) if since < least => Err(Guardrail::Cooldown.refuses(format!(
            "{} ran on this target {} ago; {} must lie between, {} are left",
            runbook.id,
            spoken(since),
            spoken(least),
            spoken(least - since)
        ))),
        _ => Ok(()),
    }
}

/// **Guardrail 9**, "budget (per appliance, per tenant, per hour; a breaker opens after repeated failure)".
///
/// The runbook's own limit per hour counts here too. Once the breaker has been open for its time, one attempt is let
/// through; when that fails as well, it is open again.
pub fn budget(order: &Order, facts: &Facts<'_>) -> Result<(), Refusal> {
    let refuse = |reason: String| Err(Guardrail::Budget.refuses(reason));
    let runbook = &facts.entry(Guardrail::Budget, &order.core.runbook)?.runbook;
    let (history, policy) = (&facts.history, facts.policy);
    for (done, most, whose) in [
        (history.runbook_hour, runbook.limits.per_hour, "this runbook on this appliance"),
        (history.appliance_hour, policy.per_appliance_hour, "this appliance"),
        (history.tenant_hour, policy.per_tenant_hour, "this tenant"),
    ] {
        if done >= most {
            return refuse(format!(
                "{done} executions for {whose} in the last hour; at most {most} are right"
            ));
        }
    }
    if history.failures_in_a_row >= policy.breaker_after {
        let failures = history.failures_in_a_row;
        let reset = policy.breaker_reset();
        let left = match history.since_last_failure {
            Some(since) if since >= reset => return Ok(()),
            Some(since) => spoken(reset - since),
            None => "an unknown time".to_owned(),
        };
        return refuse(format!(
            "the breaker is open after {failures} failures in a row on this target; it closes in {left}"
        ));
    }
    Ok(())
}
