//! The rules planner: from an incident to one runbook out of the catalogue, or to a person. Deterministic, and it says why.

use std::time::Duration;

use proto::{ids::RunbookId, order::Plan, time::Millis};
use runbooks::{Catalogue, Entry, Fault, Mode, Policy};

use super::incident::State;

/// What the planner says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Run this.
    Runbook(RunbookId, Plan),
    /// No rule fits; a person must look.
    Escalate(String),
}

/// Runbooks that a fault triggers and policy allows, of least risk first.
#[must_use]
pub fn allowed(kind: &str, catalogue: &Catalogue, policy: &Policy) -> Vec<RunbookId> {
    let Ok(fault) = kind.parse::<Fault>() else { return Vec::new() };
    let mut all: Vec<_> =
        catalogue.entries.values().filter(|e| e.runbook.triggers.contains(&fault)).collect();
    all.retain(|e| policy.allow.as_ref().is_none_or(|allow| allow.contains(&e.runbook.id)));
    all.retain(|e| policy.mode(e.runbook.risk) != Mode::Never);
    all.sort_by_key(|e| (e.runbook.risk, e.runbook.id.clone()));
    all.into_iter().map(|e| e.runbook.id.clone()).collect()
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

/// A fault that is back within this time was not repaired for good, whatever the readings said.
pub const BACK_WITHIN: Duration = runbooks::guardrails::NOT_REPEATED_FOR;

/// How the incident before ended, of the same fault on the same entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier {
    /// Where it ended.
    pub state: State,
    /// When.
    pub ended: Millis,
    /// Whether a runbook was carried out for it.
    pub ran: bool,
    /// Executions that repaired the same within [`BACK_WITHIN`].
    pub repairs: usize,
}

/// Whether a repair would only be repeated: "an ineffective repair is not repeated: second time in the window it
/// escalates". It is, when what was done lately did not help, or did not last for the second time.
#[must_use]
pub fn is_repeated(earlier: Option<Earlier>, now: Millis) -> bool {
    earlier.is_some_and(|earlier| {
        let in_vain = earlier.state == State::Escalated && earlier.ran;
        let did_not_last = earlier.state == State::Resolved && earlier.repairs >= 2;
        (in_vain || did_not_last) && now.since(earlier.ended) < BACK_WITHIN
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repair_is_not_repeated_within_the_window() {
        let ended = Millis(1_000_000);
        let (within, after) = (ended.plus(BACK_WITHIN - Duration::from_millis(1)), ended.plus(BACK_WITHIN));
        for (state, ran, repairs, repeated) in [
            (State::Resolved, true, 1, false),
            (State::Resolved, true, 2, true),
            (State::Escalated, true, 0, true),
            (State::Escalated, false, 0, false),
            (State::Withdrawn, false, 0, false),
            (State::Withdrawn, true, 2, false),
        ] {
            let earlier = Some(Earlier { state, ended, ran, repairs });
            assert_eq!(is_repeated(earlier, within), repeated, "{state:?}, ran: {ran}");
            assert!(!is_repeated(earlier, after), "{state:?}: long ago");
        }
        assert!(!is_repeated(None, within));
    }
}
