//! Orders: what was carried out, and what was refused or held.

use std::time::Duration;

use proto::{
    evidence::{Body, Execution, OrderFacts, StepResult},
    ids::ApplianceId,
    time::Millis,
};

use runbooks::guardrails::OPERATOR;

use super::super::readings;
use crate::{
    bundle::{Fact, Facts},
    mode::Mode,
};

/// An order carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Log index of its record.
    pub record: u64,
    /// When.
    pub at: Millis,
    /// On which box.
    pub appliance: ApplianceId,
    /// The runbook's title, or its ID where the catalogue is not here.
    pub title: String,
    /// The runbook's ID.
    pub runbook: String,
    /// Entries of the watch list.
    pub target: String,
    /// What changed.
    pub change: String,
    /// In a word or three.
    pub result: &'static str,
    /// The fault is gone.
    pub good: bool,
    /// Citations, short.
    pub hipaa: Vec<String>,
    /// Who chose the runbook.
    pub planner: String,
    /// Who approved it.
    pub approvers: Vec<String>,
    /// Why, in the planner's words.
    pub reason: String,
    /// From first step to verdict.
    pub took: Duration,
}

/// An order refused, or orders held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Log index of its record.
    pub record: u64,
    /// When.
    pub at: Millis,
    /// By which box.
    pub appliance: ApplianceId,
    /// By which guardrail.
    pub guardrail: String,
    /// What was wrong.
    pub reason: String,
    /// A person at the box, not a guardrail.
    pub hold: bool,
}

/// What evidence calls the stop by the control plane.
const QUARANTINE: &str = "quarantine";
pub(super) const BACKUP: &str = "restic.backup";
pub(super) const RESTORE: &str = "restic.test-restore";

pub(super) fn action(facts: &Facts, fact: &Fact) -> Option<Action> {
    let Body::Execution(execution) = &fact.record.body else { return None };
    let order = &execution.order;
    let runbook = facts.runbooks.get(&order.runbook_digest);
    let parts = [
        readings::change(&execution.before, &execution.after),
        readings::counts(execution.steps.iter().map(|step| &step.counts)),
    ];
    Some(Action {
        record: fact.index,
        at: fact.record.clock.at,
        appliance: fact.record.identity.appliance,
        title: runbook.map_or_else(|| order.runbook.to_string(), |runbook| runbook.title.clone()),
        runbook: order.runbook.to_string(),
        target: targets(order),
        change: parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; "),
        result: result(execution),
        good: execution.verdict.is_good(),
        hipaa: execution.hipaa.iter().map(|citation| baseline::rule::short(citation)).collect(),
        planner: order.plan.planner.clone(),
        approvers: order.approvers.clone(),
        reason: order.plan.reason.clone(),
        took: Duration::from_millis(execution.took_ms),
    })
}

/// Entries of the watch list that an order names.
pub(super) fn targets(order: &OrderFacts) -> String {
    let named: Vec<&str> = order.parameters.values().map(|watch| watch.as_str()).collect();
    named.join(", ")
}

/// What an execution came to, in the words that the tables colour.
fn result(execution: &Execution) -> &'static str {
    use proto::evidence::Verdict::{Failed, Ineffective, Interrupted, InterruptedRepaired, Repaired};
    match execution.verdict {
        Repaired if did(execution, RESTORE) => "Restore proven",
        Repaired if did(execution, BACKUP) => "Backed up",
        Repaired => "Repaired",
        InterruptedRepaired => "Repaired, interrupted",
        Ineffective => "Fault remains",
        Failed => "Failed",
        Interrupted => "Interrupted",
    }
}

pub(super) fn did(execution: &Execution, action: &str) -> bool {
    execution.steps.iter().any(|step| step.action == action && step.result == StepResult::Done)
}

pub(super) fn refused(fact: &Fact, mode: Mode) -> Option<Refused> {
    let is_direct = mode == Mode::Direct;
    let of = |guardrail, reason: &str, hold| Refused {
        record: fact.index,
        at: fact.record.clock.at,
        appliance: fact.record.identity.appliance,
        guardrail,
        reason: reason.to_owned(),
        hold,
    };
    match &fact.record.body {
        Body::Refusal(refusal) => {
            Some(of(format!("{} {}", refusal.guardrail, refusal.name), &refusal.reason, false))
        }
        Body::Hold(hold) if hold.held => {
            let why = match hold.checkpoint {
                None if hold.by == QUARANTINE => match is_direct {
                    false => {
                        "The service provider stopped all orders: it had two histories of this box, or could not believe one."
                    }
                    true => {
                        "The organization stopped all orders: it had two histories of this box, or could not believe one."
                    }
                },
                None if hold.by == OPERATOR && is_direct => {
                    "An operator of the organization paused all orders."
                }
                None if hold.by == OPERATOR => "An operator of the service provider paused all orders.",
                Some(_) => {
                    "The box was shown a log that contradicts the one it had verified, and stopped all orders."
                }
                None => "A person at the box stopped all orders.",
            };
            Some(of("held".into(), why, true))
        }
        Body::Hold(hold) if hold.by == QUARANTINE || hold.by == OPERATOR => {
            let why = match is_direct {
                false => "The service provider let orders run again.",
                true => "The organization let orders run again.",
            };
            Some(of("released".into(), why, true))
        }
        Body::Hold(_) => Some(of("released".into(), "A person at the box let orders run again.", true)),
        Body::Enrolment(_)
        | Body::Heartbeat(_)
        | Body::Execution(_)
        | Body::Scan(_)
        | Body::Document(_)
        | Body::Update(_)
        | Body::Unknown => None,
    }
}
