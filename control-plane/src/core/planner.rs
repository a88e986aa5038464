//! The rules planner: from an incident to one runbook out of the catalogue, or to a person. Deterministic, and it says why.

use std::collections::BTreeMap;

use proto::{
    ids::{RunbookId, WatchId},
    order::Plan,
};
use runbooks::{Catalogue, Entry, Fault, Mode, Policy};

/// What the planner says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Run this.
    Runbook(RunbookId, Plan),
    /// No rule fits; a person must look.
    Escalate(String),
}

/// Picks the runbook of least risk (then first by name) whose trigger is this fault and that the policy allows.
#[must_use]
pub fn choose(kind: &str, catalogue: &Catalogue, policy: &Policy) -> Choice {
    let Ok(fault) = kind.parse::<Fault>() else {
        return Choice::Escalate(format!("{kind} is not a fault that any runbook could mend"));
    };
    let allowed = |entry: &Entry| {
        let named = policy.allow.as_ref().is_none_or(|allow| allow.contains(&entry.runbook.id));
        named && policy.mode(entry.runbook.risk) != Mode::Never
    };
    let triggered: Vec<&Entry> =
        catalogue.entries.values().filter(|e| e.runbook.triggers.contains(&fault)).collect();
    let best = triggered.iter().filter(|e| allowed(e)).min_by_key(|e| (e.runbook.risk, &e.runbook.id));
    match best {
        Some(entry) => {
            let plan = Plan {
                planner: "rules".into(),
                model: String::new(),
                prompt_digest: None,
                reason: format!("{kind} triggers {}, risk {}", entry.runbook.id, entry.runbook.risk),
            };
            Choice::Runbook(entry.runbook.id.clone(), plan)
        }
        None if triggered.is_empty() => Choice::Escalate(format!("no runbook is triggered by {kind}")),
        None => Choice::Escalate(format!("policy allows no runbook that is triggered by {kind}")),
    }
}

/// The parameters: derived by code, from the incident alone. Every parameter is the entry the fault was seen on.
#[must_use]
pub fn parameters(entry: &Entry, watch: &WatchId) -> BTreeMap<String, WatchId> {
    entry.runbook.parameters.keys().map(|name| (name.clone(), watch.clone())).collect()
}
