//! Guardrails 10 and 12: whether this is the moment, whether people agreed, and whether someone said stop.

use std::{collections::BTreeSet, time::Duration};

use proto::{
    approval::{ApprovalError, approvers},
    order::Order,
};

use super::{Facts, Guardrail, Refusal};
use crate::policy::Mode;

/// How far ahead the end of an approval may lie: for that long whoever took the order must know that it was taken.
pub const APPROVAL_AHEAD_MAX: Duration = Duration::from_secs(24 * 3600);

/// Who holds orders, in a word, when it is an operator of the control plane.
pub const OPERATOR: &str = "operator";

/// **Guardrail 10**, "window and approval (maintenance window, change freeze; high risk wants an approver's passkey,
/// destructive two)". Clinic hours are its other side: then nothing runs that disturbs people at work, whoever approved it.
pub fn window(order: &Order, facts: &Facts<'_>) -> Result<(), Refusal> {
    let refuse = |reason: String| Err(Guardrail::Window.refuses(reason));
    let policy = facts.policy;
    let runbook = &facts.entry(Guardrail::Window, &order.core.runbook)?.runbook;
    let Some(needed) = policy.approvers_for(runbook) else {
        return refuse(match policy.mode(runbook.risk) {
            Mode::Never => {
                format!("policy never runs runbooks of {} risk; a person must do it", runbook.risk)
            }
            _ => format!("policy never runs runbook {}; a person must do it", runbook.id),
        });
    };
    let Some(now) = facts.now else {
        return refuse("nobody can say whether a window is open; waits for a time token".to_owned());
    };
    if let Some(until) = policy.freeze_until.filter(|until| now < *until) {
        return refuse(format!("change freeze until {until}; it is {now}"));
    }
    policy.windows.check_open(now).map_err(|closed| Guardrail::Window.refuses(closed.to_string()))?;
    if runbook.disturbs()
        // By both clocks: the order key signs time tokens, and must not be able to end a working day.
        && let Err(at_work) =
            facts.wall.into_iter().chain([now]).try_for_each(|at| policy.clinic_hours.check_outside(at))
    {
        return refuse(format!("runbook {} disturbs people at work; {at_work}", runbook.id));
    }
    let people = people(order, facts)?;
    if people < needed {
        return refuse(format!(
            "approved by {people}; {needed} distinct approvers of the charter must approve it"
        ));
    }
    match order.core.approve_until {
        None if needed > 0 => {
            refuse("needs approval, so its core must say until when it may be approved".to_owned())
        }
        Some(until) if now >= until => {
            refuse(format!("its approval ended {until}, it is {now}; it must be approved anew"))
        }
        Some(until) if until > now.plus(APPROVAL_AHEAD_MAX) => {
            let most = APPROVAL_AHEAD_MAX.as_secs() / 3600;
            refuse(format!(
                "may be approved until {until}, it is {now}; at most {most} hours ahead are right"
            ))
        }
        _ => Ok(()),
    }
}

/// How many people approved the order's core: distinct passkeys, so that one passkey under two names is one person. An
/// approval that does not hold refuses even where none is needed: it would stand in evidence.
fn people(order: &Order, facts: &Facts<'_>) -> Result<usize, Refusal> {
    let known = &facts.charter.approvers;
    let names = approvers(&order.approvals, known, order.core_digest).map_err(|e| {
        Guardrail::Window.refuses(match e {
            // The name is the sender's text; the others' names stand in the charter.
            ApprovalError::UnknownApprover(_) => {
                "is approved by somebody who is not an approver of the charter".to_owned()
            }
            other => format!("{other}; it must be this approver's passkey over this order's core"),
        })
    })?;
    let passkeys: BTreeSet<_> =
        names.iter().filter_map(|name| known.iter().find(|k| k.name == **name)).map(|k| &k.key).collect();
    Ok(passkeys.len())
}

/// **Guardrail 12**, "hold (operator's pause at any level; a file or button at the box itself)".
pub fn hold(_: &Order, facts: &Facts<'_>) -> Result<(), Refusal> {
    // The operator's words stay in the policy: evidence cannot be cleaned.
    if facts.policy.hold.is_some() {
        return Err(
            Guardrail::Hold.refuses("orders are paused by policy; a policy without hold releases them")
        );
    }
    if let Some(until) = facts.policy.shadow(facts.now) {
        return Err(Guardrail::Hold.refuses(format!("shadow mode until {until}: it is reported, not run")));
    }
    match &facts.hold {
        Some(by) if by == OPERATOR => Err(Guardrail::Hold
            .refuses("orders are paused by an operator; `control-plane hold release` lets them run again")),
        Some(by) => Err(Guardrail::Hold
            .refuses(format!("orders are paused at the box itself, by {by}; release them there"))),
        None => Ok(()),
    }
}
