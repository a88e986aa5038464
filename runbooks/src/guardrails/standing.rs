//! Standing orders under the same guardrails: a use of one is judged as the order that it stands for.
//!
//! Three are asked in another way. 3: it lives 30 days, not 15 minutes. 4: its own durable counter takes the place of the
//! sequence. 5: only runbooks of low risk, where policy lets standing orders be. All others are the same functions.

use proto::{
    charter::Charter,
    dsse::{self, EnvelopeError, Verified},
    ids::IncidentId,
    order::{Core, Issuance, Order, Plan},
    standing::{STANDING_LIFETIME_MAX, STANDING_MAX, STANDING_MOST, STANDING_TYPE, StandingOrder},
};

use super::{
    Admitted, CLOCK_SKEW, Facts, Guardrail, Refusal, admitted::admitted, allowlist, binding, budget,
    charter_in_force, cooldown, digest, hold, parameters, window,
};
use crate::{
    fault::Fault,
    runbook::{Risk, Runbook},
};

const ENVELOPE_MAX: usize = STANDING_MAX * 4 / 3 + 4096;

/// **Guardrail 1** for a standing order: an order key of the charter signed it.
pub fn verify_standing(
    envelope: &[u8],
    charter: &Charter,
    now: Option<proto::time::Millis>,
) -> Result<Verified<StandingOrder>, Refusal> {
    let refuse = |reason: String| Guardrail::Signature.refuses(reason);
    charter_in_force(charter, now)?;
    if envelope.len() > ENVELOPE_MAX {
        return Err(refuse(format!("standing order's envelope must be at most {ENVELOPE_MAX} bytes")));
    }
    let signed =
        dsse::open(envelope, STANDING_TYPE, &charter.order_keys, 1).map_err(|error| match error {
            EnvelopeError::WrongType { .. } => refuse(format!("payload type must be {STANDING_TYPE}")),
            EnvelopeError::NotEnough { .. } => {
                refuse(format!("must be signed by an order key of charter {}", charter.serial))
            }
            EnvelopeError::Malformed(_) | EnvelopeError::TooLarge(_) => {
                refuse("standing order must be a DSSE envelope in JSON".to_owned())
            }
        })?;
    signed.parse(|bytes| {
        StandingOrder::decode(&bytes)
            .map_err(|_| refuse("is signed, but is not as a standing order must be".to_owned()))
    })
}

/// The order that execution `count` of a standing order stands for. Its sequence is that count; its parameters follow from
/// trigger and watch entry, and there are none where the runbook is not for them, which guardrail 7 refuses.
#[must_use]
pub fn derive(standing: &StandingOrder, count: u32, runbook: Option<&Runbook>) -> Order {
    let fault = standing.trigger.parse::<Fault>().ok();
    let parameters =
        runbook.zip(fault).and_then(|(runbook, fault)| runbook.parameters_for(fault, &standing.watch));
    let core = Core {
        id: standing.id,
        organization: standing.organization.clone(),
        tenant: standing.tenant,
        site: standing.site,
        appliance: standing.appliance,
        incarnation: standing.incarnation,
        // Nobody opened one; the standing order's own ID says why.
        incident: standing.id.to_string().parse::<IncidentId>().expect("both are UUIDs"),
        runbook: standing.runbook.clone(),
        runbook_digest: standing.runbook_digest,
        parameters: parameters.unwrap_or_default(),
        approve_until: None,
    };
    let issuance = Issuance {
        charter_serial: standing.charter_serial,
        policy_serial: standing.policy_serial,
        sequence: u64::from(count),
        issued: standing.issued,
        lifetime: standing.expires.since(standing.issued),
    };
    let plan = Plan {
        planner: "standing".into(),
        model: String::new(),
        prompt_digest: None,
        reason: format!("the executor measured {} itself", standing.trigger),
    };
    Order::issue(core, &issuance, plan, Vec::new())
}

/// Whether it may be given and kept: guardrails 2 to 7. Both sides ask this; the control plane before it signs.
pub fn fits(standing: &StandingOrder, facts: &Facts<'_>) -> Result<Vec<Guardrail>, Refusal> {
    draw(standing, 0, facts)
}

/// Guardrails 2 to 7 on a standing order of which `used` executions are over.
pub fn draw(standing: &StandingOrder, used: u32, facts: &Facts<'_>) -> Result<Vec<Guardrail>, Refusal> {
    let runbook = facts.catalogue.runbook(&standing.runbook).map(|entry| &entry.runbook);
    let order = derive(standing, used.saturating_add(1), runbook);
    binding(&order, facts)?;
    freshness(standing, facts)?;
    replay(standing, used, facts)?;
    allowlist(&order, facts)?;
    low_risk(standing, facts)?;
    digest(&order, facts)?;
    if runbook.is_some_and(|runbook| !runbook.triggers.iter().any(|t| t.as_str() == standing.trigger)) {
        return Err(Guardrail::Parameters
            .refuses(format!("runbook {} is not for the fault that it names", standing.runbook)));
    }
    parameters(&order, facts)?;
    use Guardrail as G;
    Ok(vec![G::Signature, G::Binding, G::Freshness, G::Replay, G::Allowlist, G::Digest, G::Parameters])
}

/// One use: guardrails 2 to 10 and 12. `used` executions of it are over, durably counted.
pub fn admit_standing(
    standing: &Verified<StandingOrder>,
    used: u32,
    facts: &Facts<'_>,
) -> Result<Admitted, Refusal> {
    let standing = standing.value();
    let mut passed = draw(standing, used, facts)?;
    let entry = facts.entry(Guardrail::Digest, &standing.runbook)?;
    let order = derive(standing, used.saturating_add(1), Some(&entry.runbook));
    for (guardrail, check) in [
        (Guardrail::Cooldown, cooldown as super::Check),
        (Guardrail::Budget, budget),
        (Guardrail::Window, window),
        (Guardrail::Hold, hold),
    ] {
        check(&order, facts)?;
        passed.push(guardrail);
    }
    Ok(admitted(order, entry.clone(), passed))
}

/// **Guardrail 3**: "standing orders 30 days"; without trusted time nobody can say whether it has expired.
fn freshness(standing: &StandingOrder, facts: &Facts<'_>) -> Result<(), Refusal> {
    let refuse = |reason: String| Err(Guardrail::Freshness.refuses(reason));
    let Some(now) = facts.now else {
        return refuse("no trusted time since boot; a standing order waits for a time token".to_owned());
    };
    let (issued, expires) = (standing.issued, standing.expires);
    if expires <= issued || expires.since(issued) > STANDING_LIFETIME_MAX {
        let most = STANDING_LIFETIME_MAX.as_secs() / 86_400;
        return refuse(format!("lives from {issued} to {expires}; at most {most} days are right"));
    }
    if issued > now.plus(CLOCK_SKEW) {
        return refuse(format!("was issued {issued}, but it is {now}"));
    }
    if now >= expires {
        return refuse(format!("expired {expires}, it is {now}; a new standing order is needed"));
    }
    Ok(())
}

/// **Guardrail 4**: under the newest charter, and not used up.
fn replay(standing: &StandingOrder, used: u32, facts: &Facts<'_>) -> Result<(), Refusal> {
    let refuse = |reason: String| Err(Guardrail::Replay.refuses(reason));
    let newest = facts.charter.serial;
    if standing.charter_serial != newest {
        return refuse(format!(
            "was signed under charter {}; the newest seen here is {newest}, sign under that",
            standing.charter_serial
        ));
    }
    if standing.most == 0 || standing.most > STANDING_MOST {
        return refuse(format!("permits {} executions; 1 to {STANDING_MOST} are right", standing.most));
    }
    if used >= standing.most {
        return refuse(format!(
            "standing order {} is used up: {used} of {}; a new one is needed",
            standing.id, standing.most
        ));
    }
    Ok(())
}

/// The rest of **guardrail 5**: what is given in advance is of low risk, and policy lets it be given.
fn low_risk(standing: &StandingOrder, facts: &Facts<'_>) -> Result<(), Refusal> {
    if !facts.policy.standing_orders {
        return Err(Guardrail::Allowlist.refuses("policy allows no standing orders"));
    }
    match facts.catalogue.runbook(&standing.runbook).map(|entry| entry.runbook.risk) {
        Some(risk) if risk != Risk::Low => Err(Guardrail::Allowlist.refuses(format!(
            "runbook {} is of {risk} risk; standing orders are for low risk only",
            standing.runbook
        ))),
        // Guardrail 6 says that it is missing.
        _ => Ok(()),
    }
}
