//! Guardrails 8 and 9: not too soon, not too often, and not again and again in vain.

use std::time::Duration;

use proto::order::Order;

use super::{Facts, Guardrail, Refusal};
use crate::fault::spoken;

/// "An ineffective repair is not repeated: second time in the window it escalates." This is the window.
pub const NOT_REPEATED_FOR: Duration = Duration::from_secs(3600);

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
/// The runbook's own limit per hour counts here too, and what was done in vain is not done again within
/// [`NOT_REPEATED_FOR`]. Once the breaker has been open for its time, one attempt is let
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
    if let Some(since) = history.since_ineffective.filter(|since| *since < NOT_REPEATED_FOR) {
        return refuse(format!(
            "{} was ineffective on this target {} ago; it is not repeated within {}, a person must look",
            runbook.id,
            spoken(since),
            spoken(NOT_REPEATED_FOR)
        ));
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
