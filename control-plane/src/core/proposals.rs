//! Somebody proposes a runbook for an incident that is a person's: an operator, or an assistant in an operator's name.
//!
//! The rule: a proposal names a runbook and nothing else, out of those that the fault triggers and policy allows. What
//! comes of it goes through approval and all guardrails like any other plan.

use proto::{
    field::{BadField, text},
    ids::RunbookId,
    order::Plan,
    time::Millis,
};
use serde_json::{Value, json};

use super::{
    Core, CoreError,
    incident::{Input, State},
};
use crate::{
    planner::Allowed,
    store::{IncidentChange, IncidentRow},
};

impl Core {
    /// Plans the proposed runbook.
    pub fn propose_runbook(
        &mut self,
        incident: &str,
        runbook: &str,
        why: &str,
        now: Millis,
    ) -> Result<IncidentRow, CoreError> {
        let row = self.seen_incident("incident", incident)?;
        let runbook: RunbookId = runbook.parse().map_err(|bad: BadField| bad.within("runbook"))?;
        let why = text("why", why, 200)?;
        if row.state != State::Escalated || !row.present {
            let state = if row.present { row.state.name() } else { "gone by itself" };
            return Err(CoreError::Precondition(format!(
                "incident {} is {state}; only one that was escalated, and whose fault is still there, takes a proposal",
                row.id
            )));
        }
        let site = self.site_of(&row)?;
        let policy = self.policy_at(row.tenant, site)?;
        if let Some(until) = policy.shadow(Some(now)) {
            return Err(CoreError::Precondition(format!(
                "the clinic is in shadow mode until {until}: nothing runs"
            )));
        }
        let allowed = Allowed::of(&row.kind, site, &self.catalogue.document, &policy);
        let allowed = allowed.map_err(|nothing| CoreError::Precondition(nothing.to_string()))?;
        let Some(pick) = allowed.pick(runbook.as_str()) else {
            let right: Vec<_> = allowed.entries().iter().map(|entry| entry.runbook.id.to_string()).collect();
            let right = right.join(", ");
            return Err(BadField::new(
                "runbook",
                format!("must be one that {} triggers and policy allows: {right}", row.kind),
            )
            .into());
        };
        let runbook = pick.into_runbook();
        let reason = format!("{} proposed {runbook}: {why}", self.acting.actor);
        let plan = Plan {
            planner: "proposal".into(),
            model: String::new(),
            prompt_digest: None,
            reason: reason.clone(),
        };
        let change =
            IncidentChange { plan: Some((runbook.clone(), plan)), retry: Some(now), ..Default::default() };
        self.change(&row, Input::Proposed, &reason, change, now)?;
        self.changed(
            Some(row.tenant),
            "proposal",
            Value::Null,
            json!({ "incident": row.id, "runbook": runbook, "why": why }),
        );
        self.wake.insert(row.appliance);
        self.seen_incident("incident", incident)
    }
}
