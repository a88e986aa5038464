//! Events become incidents, incidents get a plan; who must hear of it is told.

use std::{collections::BTreeSet, time::Duration};

use proto::{
    ids::{IncidentId, WatchId},
    keys::PublicKey,
    sync::{Event, Phase},
    time::Millis,
};
use runbooks::Policy;

use super::{
    Core, CoreError,
    budget::OVER,
    drift,
    incident::{Input, State},
    orders::is_good_word,
    planner,
    steps::{self, Step, StepKind},
};
use crate::store::{ApplianceRow, IncidentChange, IncidentRow, NewIncident, OrderRow, OrderState};

/// The most incidents that one box may have open, and the most that it may open in an hour.
const FAULTS_MAX: u64 = 200;
const HOUR: Duration = Duration::from_secs(3600);
/// The incident that says so.
pub(super) const CROWDED: &str = "appliance.too-many-faults";

/// A policy whose signature holds, and what that was found from.
pub(crate) struct OpenedPolicy {
    envelope: Vec<u8>,
    order_keys: BTreeSet<PublicKey>,
    policy: Policy,
}

/// A fault that is there, or is not any more.
pub(super) struct Sighting<'a> {
    /// The fault.
    pub(super) kind: &'a str,
    /// The entry of the watch list.
    pub(super) watch: &'a WatchId,
    /// Whether it is there.
    pub(super) is_there: bool,
    /// Who says so when it is not.
    pub(super) gone: &'a str,
    /// The agent's event that says so, if it is one.
    pub(super) event: Option<&'a Event>,
}

impl Core {
    /// Takes an event that is not here yet: into the incident of its fault, or a new one. One fault is one incident, however
    /// often it is seen.
    pub(super) fn take_event(
        &mut self,
        appliance: &ApplianceRow,
        event: &Event,
        now: Millis,
    ) -> Result<(), CoreError> {
        let sighting = Sighting {
            kind: &event.kind,
            watch: &event.watch,
            is_there: event.phase != Phase::Cleared,
            gone: "the agent reports that the fault is gone",
            event: Some(event),
        };
        // Of the baseline, only what an executor signs counts; the agent's word is kept, and that is all.
        let id = match drift::is_of_baseline(&event.kind) {
            true => None,
            false => self.sight(appliance, &sighting, now)?,
        };
        self.store.add_event(appliance.tenant, appliance.id, id, event, now)?;
        Ok(())
    }

    /// Opens the incident of a fault that is newly there, or ends one whose fault is gone. Says which incident it is.
    pub(super) fn sight(
        &mut self,
        appliance: &ApplianceRow,
        sighting: &Sighting<'_>,
        now: Millis,
    ) -> Result<Option<IncidentId>, CoreError> {
        let Sighting { kind, watch, is_there, gone, .. } = *sighting;
        let newest = self.store.newest_incident(appliance.id, kind, watch)?;
        let before = newest.clone();
        let absorbs = newest.filter(|row| {
            // A person who was told of a fault is not told again while it has not gone away in between.
            !row.state.has_ended() || (row.state == State::Escalated && row.present)
        });
        if let Some(row) = absorbs {
            match row.state {
                _ if is_there => {}
                // It stays a person's; but who was called is to know.
                State::Escalated => self.fault_is_gone(&row, gone, now)?,
                _ => self.move_incident(&row, Input::Cleared, gone, now)?,
            }
            return Ok(Some(row.id));
        }
        if !is_there || self.is_crowded(appliance, now)? {
            return Ok(None);
        }
        let id = IncidentId::new(now, self.random());
        self.counted.incidents += 1;
        self.note_step(Step::of(id, StepKind::Intake, now, "seen"));
        self.store.add_incident(&NewIncident {
            id,
            tenant: appliance.tenant,
            appliance: appliance.id,
            kind,
            watch,
            now,
        })?;
        let row = self.store.incident(id)?.ok_or_else(|| CoreError::NotFound("incident is gone".into()))?;
        self.store.add_timeline(id, now, "seen", &format!("{kind} on {watch}"))?;
        let earlier = before.map(|before| self.earlier(&before, now)).transpose()?;
        if planner::is_repeated(earlier, now) {
            let why =
                "it is back within the hour after something was done about it; the same is not done again";
            self.move_incident(&row, Input::NoRunbook, why, now)?;
        } else {
            self.plan(&row, sighting.event, now)?;
        }
        Ok(Some(id))
    }

    fn earlier(&self, before: &IncidentRow, now: Millis) -> Result<planner::Earlier, CoreError> {
        let orders = self.store.orders_since(before.appliance, now.minus(24 * HOUR))?;
        let executed = || orders.iter().filter(|o| o.state == OrderState::Executed);
        let ran = executed().find(|o| o.incident == before.id);
        let same =
            |o: &&OrderRow| ran.is_some_and(|ran| (&o.runbook, &o.target) == (&ran.runbook, &ran.target));
        let lately = |o: &&OrderRow| o.ended.is_some_and(|at| now.since(at) < planner::BACK_WITHIN);
        let repairs = executed().filter(same).filter(lately).filter(|o| is_good_word(&o.outcome)).count();
        Ok(planner::Earlier { state: before.state, ended: before.changed, ran: ran.is_some(), repairs })
    }

    /// A clinic's policy in force.
    pub fn policy_of(&mut self, tenant: proto::ids::TenantId) -> Result<Policy, CoreError> {
        let row = self.store.tenant(tenant)?.ok_or_else(|| CoreError::NotFound("tenant is gone".into()))?;
        let charter = &self.charter.document;
        let known = self.policies.get(&tenant);
        if let Some(known) = known.filter(|k| k.envelope == row.policy && k.order_keys == charter.order_keys)
        {
            return Ok(known.policy.clone());
        }
        let policy = Policy::open(&row.policy, charter)
            .map_err(|e| CoreError::Precondition(format!("policy of tenant {}: {e}", row.name)))?
            .into_value();
        let order_keys = charter.order_keys.clone();
        let opened = OpenedPolicy { envelope: row.policy, order_keys, policy: policy.clone() };
        self.policies.insert(tenant, opened);
        Ok(policy)
    }

    /// Whether a box has so many faults that another would be one more line for nobody. The first time in a day, a person
    /// is told.
    fn is_crowded(&mut self, appliance: &ApplianceRow, now: Millis) -> Result<bool, CoreError> {
        let (there, recent) = self.store.count_faults(appliance.id, now.minus(HOUR))?;
        if there < FAULTS_MAX && recent < FAULTS_MAX {
            return Ok(false);
        }
        let why = format!(
            "it reports {there} faults, {recent} of them new within the hour; what else it reports is kept, but nothing \
             is done about it"
        );
        self.call_somebody_daily(appliance, CROWDED, &why, now)?;
        Ok(true)
    }

    /// Tells who was called when a box reports no longer too much: well below what is too much, so that nobody is called back
    /// and forth.
    pub(super) fn look_for_room(&mut self, now: Millis) -> Result<(), CoreError> {
        for row in self.store.incidents_called_for([CROWDED, OVER])? {
            let (there, recent) = self.store.count_faults(row.appliance, now.minus(HOUR))?;
            let (is_over, why) = match row.kind == CROWDED {
                true => (
                    there <= FAULTS_MAX / 2 && recent <= FAULTS_MAX / 2,
                    format!(
                        "it reports {there} faults, {recent} of them new within the hour: all are seen to again"
                    ),
                ),
                false => (
                    self.is_within_budget(row.appliance, now)?,
                    "it keeps within what a box may report; all of it is kept again".to_owned(),
                ),
            };
            if is_over {
                self.is_over(row.appliance, &row.kind, &why, now)?;
            }
        }
        Ok(())
    }

    /// Moves an incident on; what means nothing to it is not an error.
    pub(super) fn move_incident(
        &mut self,
        row: &IncidentRow,
        input: Input,
        reason: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        self.change(row, input, reason, IncidentChange::default(), now)
    }

    /// The same, with more to keep.
    pub(super) fn change(
        &mut self,
        row: &IncidentRow,
        input: Input,
        reason: &str,
        mut change: IncidentChange,
        now: Millis,
    ) -> Result<(), CoreError> {
        let next = match row.state.on(input) {
            Ok(next) => next,
            Err(unexpected) => {
                tracing::debug!(incident = %row.id, %unexpected, "ignored");
                return Ok(());
            }
        };
        let moved = next != row.state;
        let (kind, outcome) = steps::meaning(input);
        let runbook = change.plan.as_ref().map(|(id, _)| id.clone()).or_else(|| row.runbook.clone());
        self.note_step(Step { runbook, ..Step::of(row.id, kind, now, outcome) });
        change.state = moved.then_some(next);
        change.reason = Some(reason.to_owned());
        self.store.change_incident(row, &change, now)?;
        if moved {
            self.store.add_timeline(row.id, now, next.name(), reason)?;
            tracing::info!(incident = %row.id, from = row.state.name(), to = next.name(), reason, "incident {} is {}", row.id, next.name());
        }
        if moved && next.has_ended() {
            self.asking_is_over(row.id, reason, now)?;
        }
        if moved && let Some(end) = next.end() {
            self.note_step(Step::of(row.id, StepKind::Incident, now, next.name()));
            self.note_incident_act(row, end, now)?;
        }
        if moved && next == State::Escalated {
            self.notify(row, reason, now)?;
        }
        if moved && matches!(next, State::Resolved | State::Withdrawn) {
            self.fault_is_gone(row, reason, now)?;
        }
        Ok(())
    }
}
