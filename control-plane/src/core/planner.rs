//! What the planner decides, done: an incident gets its plan, waits a moment for a model, or goes to a person.
//!
//! The rule: what rules decide with certainty never waits. What is ambiguous waits for a model, where there is one, at
//! most [`ANSWER_WITHIN`]; its answer counts only as a member of what is allowed when it comes, and whatever else comes,
//! or nothing, the rules decide, and the incident's timeline says so. Guardrails, approvals and orders are the same for both.

use std::time::Duration;

use proto::{evidence::Readings, order::Plan, sync::Event, time::Millis};

use super::{
    Core, CoreError,
    admin::limit,
    incident::{Input, State},
    orders::is_good_word,
};
use crate::{
    planner::{
        Allowed, Case, Decision, Misbehaviour, Other, Pick, Tried, answer,
        case::REMEMBERED,
        prompt::{CHOICES_MAX, Prompt},
        rules,
        spend::{self, Held},
    },
    store::{IncidentChange, IncidentRow, ModelCallRow, NewModelCall, OrderState},
};

/// How long an incident waits for a model.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How much later the watchdog gives up on a call of which nobody told how it ended.
const GIVE_UP: Duration = Duration::from_secs(2);
/// The most bytes of a plan's reason: an order has room for 1000.
const REASON_MAX: usize = 900;

/// A model that may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// What its endpoint calls it.
    pub name: String,
    /// The most calls for one clinic in a day.
    pub calls_per_day: u64,
}

/// What is to be done about an incident.
enum Choice {
    /// Nothing may be; why.
    Nobody(String),
    /// Run this.
    Run(Pick, Plan),
    /// Ask.
    Ask(Prompt),
}

impl Core {
    /// Gives a new incident its plan, or asks a model for one.
    pub(super) fn plan(
        &mut self,
        row: &IncidentRow,
        seen: Option<&Event>,
        now: Millis,
    ) -> Result<(), CoreError> {
        let (held, choice) = self.choose(row, seen, now)?;
        if let Some(held) = held {
            let unasked = format!("not asked: {held}; the rules decide");
            self.store.add_timeline(row.id, now, "model", &unasked)?;
        }
        match choice {
            Choice::Nobody(why) => self.move_incident(row, Input::NoRunbook, &why, now),
            Choice::Run(pick, plan) => self.settle(row, pick, plan, now),
            Choice::Ask(prompt) => {
                let name = self.settings.model.as_ref().map_or("", |model| &model.name);
                self.store.add_model_call(&NewModelCall {
                    tenant: row.tenant,
                    incident: row.id,
                    model: name,
                    prompt: &prompt.body,
                    digest: prompt.digest,
                    asked: now,
                    until: now.plus(ANSWER_WITHIN),
                })?;
                let asked = format!("asked {name}, prompt sha256:{}", prompt.digest);
                Ok(self.store.add_timeline(row.id, now, "model", &asked)?)
            }
        }
    }

    /// What is to be done, and why a model that there is was not asked, if that is so.
    fn choose(
        &mut self,
        row: &IncidentRow,
        seen: Option<&Event>,
        now: Millis,
    ) -> Result<(Option<Held>, Choice), CoreError> {
        let site = self.site_of(row)?;
        let policy = self.policy_at(row.tenant, site)?;
        let allowed = match Allowed::of(&row.kind, site, &self.catalogue.document, &policy) {
            Ok(allowed) => allowed,
            Err(nothing) => return Ok((None, Choice::Nobody(nothing.to_string()))),
        };
        // What is certain needs nothing to be looked up.
        if !allowed.is_ambiguous() {
            return Ok((None, by_rules(&allowed, &Case::of(&row.kind, &row.watch))));
        }
        let seen = seen.map(|event| (event.readings.iter().cloned().collect(), event.note.clone()));
        let case = self.case(row, seen.unwrap_or_default(), now)?;
        let asks = allowed.entries().len() <= CHOICES_MAX;
        let mut held = None;
        if let Some(model) = self.settings.model.as_ref().filter(|_| asks) {
            let calls = self.store.model_calls(Some(row.tenant), spend::day_of(now))?;
            held = spend::may_ask(&calls, model.calls_per_day, now).err();
            if held.is_none() {
                return Ok((None, Choice::Ask(Prompt::of(&model.name, &allowed, &case, now))));
            }
        }
        Ok((held, by_rules(&allowed, &case)))
    }

    /// Takes what came of asking a model. What comes twice, or too late, changes nothing.
    pub fn model_answered(
        &mut self,
        call: i64,
        came: Result<Vec<u8>, Misbehaviour>,
        now: Millis,
    ) -> Result<(), CoreError> {
        let Some(call) = self.store.model_call(call)?.filter(|call| call.ended.is_none()) else {
            return Ok(());
        };
        let Some(row) = self.store.incident(call.incident)? else { return Ok(()) };
        let (answered, choice) = self.weigh(&row, &call, came, now)?;
        let (failed, outcome) = match &answered {
            Ok(said) => (false, format!("{} {said}", call.model)),
            Err(misbehaviour) => (true, format!("{}: {misbehaviour}; the rules decide", call.model)),
        };
        self.store.end_model_call(call.id, failed, &outcome, now)?;
        if failed {
            tracing::warn!(incident = %row.id, outcome, "no usable answer of a model for incident {}", row.id);
        }
        if row.state != State::Open {
            let late = format!("{outcome}; the incident is {} already", row.state.name());
            return Ok(self.store.add_timeline(row.id, now, "model", &late)?);
        }
        self.store.add_timeline(row.id, now, "model", &outcome)?;
        match choice {
            Choice::Run(pick, plan) => self.settle(&row, pick, plan, now),
            Choice::Nobody(why) => self.move_incident(&row, Input::NoRunbook, &why, now),
            Choice::Ask(_) => Ok(()),
        }
    }

    /// What an answer is worth: what it said or why it is unusable, and what is to be done now.
    fn weigh(
        &mut self,
        row: &IncidentRow,
        call: &ModelCallRow,
        came: Result<Vec<u8>, Misbehaviour>,
        now: Millis,
    ) -> Result<(Result<String, Misbehaviour>, Choice), CoreError> {
        let site = self.site_of(row)?;
        let policy = self.policy_at(row.tenant, site)?;
        // Anew: since it was asked, policy or catalogue may have changed.
        let allowed = match Allowed::of(&row.kind, site, &self.catalogue.document, &policy) {
            Ok(allowed) => allowed,
            Err(nothing) => {
                return Ok((came.map(|_| "was asked in vain".into()), Choice::Nobody(nothing.to_string())));
            }
        };
        let name = &call.model;
        Ok(match came.and_then(|body| answer::read(&body, &allowed)) {
            Ok(Decision::Run(pick, reason)) => {
                let said = format!("chose {}: {reason}", pick.runbook());
                let plan = Plan {
                    planner: "model".into(),
                    model: name.clone(),
                    prompt_digest: Some(call.digest),
                    reason: fit(&format!("the model says: {reason}")),
                };
                (Ok(said), Choice::Run(pick, plan))
            }
            Ok(Decision::Escalate(reason)) => {
                let why = fit(&format!("the model {name} says that a person must look: {reason}"));
                (Ok(format!("chose to escalate: {reason}")), Choice::Nobody(why))
            }
            Err(misbehaviour) => {
                let seen = self.store.newest_sighting(row.id)?;
                let asked = format!("a model was asked, and {misbehaviour}");
                let choice = match by_rules(&allowed, &self.case(row, seen, now)?) {
                    Choice::Run(pick, plan) => {
                        let reason = fit(&format!("{}; {asked}", plan.reason));
                        Choice::Run(pick, Plan { reason, ..plan })
                    }
                    Choice::Nobody(why) => Choice::Nobody(fit(&format!("{why}; {asked}"))),
                    ask @ Choice::Ask(_) => ask,
                };
                (Err(misbehaviour), choice)
            }
        })
    }

    /// Has the rules decide where nobody has told in time how asking a model ended.
    pub(super) fn give_up_on_models(&mut self, now: Millis) -> Result<(), CoreError> {
        for call in self.store.model_calls_over(now.minus(GIVE_UP))? {
            self.model_answered(call, Err(Misbehaviour::TimedOut), now)?;
        }
        Ok(())
    }

    /// The plan is made: its order waits for its appliance, or shadow mode only reports it.
    fn settle(&mut self, row: &IncidentRow, pick: Pick, plan: Plan, now: Millis) -> Result<(), CoreError> {
        let policy = self.policy_at(row.tenant, self.site_of(row)?)?;
        let (runbook, reason) = (pick.into_runbook(), plan.reason.clone());
        if policy.shadow(Some(now)).is_some() {
            let until = policy.shadow_until.unwrap_or(now);
            let reason = format!("shadow mode until {until}: would run {runbook}; {reason}");
            let change = IncidentChange { plan: Some((runbook, plan)), ..Default::default() };
            return self.change(row, Input::NoRunbook, &reason, change, now);
        }
        let change = IncidentChange { plan: Some((runbook, plan)), ..Default::default() };
        self.change(row, Input::RunbookChosen, &reason, change, now)?;
        self.wake.insert(row.appliance);
        Ok(())
    }

    /// What a model was asked, the newest first: of one clinic or all, about one incident or any.
    pub fn model_calls(
        &self,
        tenant: &str,
        incident: &str,
        most: u32,
    ) -> Result<Vec<ModelCallRow>, CoreError> {
        let incident = if incident.is_empty() { None } else { Some(self.incident(incident)?.0.id) };
        Ok(self.store.newest_model_calls(self.tenant_filter(tenant)?, incident, limit(most))?)
    }

    /// Which model is asked, and until when it is left alone because it misbehaved.
    pub fn model_state(&self, now: Millis) -> Result<(Option<&Model>, Option<Millis>), CoreError> {
        let calls = self.store.model_calls(None, spend::day_of(now))?;
        let until = spend::open_until(&calls).filter(|until| now < *until);
        Ok((self.settings.model.as_ref(), until))
    }

    pub(super) fn site_of(&self, row: &IncidentRow) -> Result<proto::ids::SiteId, CoreError> {
        let appliance = self.store.appliance(row.appliance)?;
        Ok(appliance.ok_or_else(|| CoreError::NotFound("appliance is gone".into()))?.site)
    }

    /// What is known of an incident.
    fn case(
        &self,
        row: &IncidentRow,
        (readings, note): (Readings, String),
        now: Millis,
    ) -> Result<Case, CoreError> {
        let others = self.store.faults_there(row.appliance)?.into_iter();
        let orders = self.store.orders_since(row.appliance, now.minus(REMEMBERED))?.into_iter();
        let on_entry =
            |target: &str| target.split_once('=').is_some_and(|(_, watch)| watch == row.watch.as_str());
        let executed = orders.filter(|order| order.state == OrderState::Executed && on_entry(&order.target));
        Ok(Case {
            readings,
            note,
            others: others
                .filter(|(kind, watch)| (kind, watch) != (&row.kind, &row.watch))
                .map(|(kind, watch)| Other { kind, watch })
                .collect(),
            tried: executed
                .map(|order| Tried {
                    helped: is_good_word(&order.outcome),
                    ended: order.ended.unwrap_or(order.issued),
                    runbook: order.runbook,
                })
                .collect(),
            ..Case::of(&row.kind, &row.watch)
        })
    }
}

fn by_rules(allowed: &Allowed<'_>, case: &Case) -> Choice {
    match rules::choose(allowed, case) {
        Ok((pick, plan)) => Choice::Run(pick, plan),
        Err(why) => Choice::Nobody(why),
    }
}

/// Short enough for an order, and nothing in it that an order may not have.
fn fit(reason: &str) -> String {
    let mut line: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.truncate(line.floor_char_boundary(REASON_MAX));
    line
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
