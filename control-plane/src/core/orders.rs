//! Orders: signed when their appliance is there to take them, after every guardrail has said yes on this side too.

use std::{collections::BTreeMap, time::Duration};

use proto::{
    digest::Digest,
    evidence::{Execution, Identity, Verdict},
    ids::{OrderId, RunbookId, TenantId, WatchId},
    order::{Core as OrderCore, Issuance, Order},
    sync::{IssueGate, IssueState, issue_gate},
    time::Millis,
};
use runbooks::{
    Facts, Fault, Guardrail, History, Policy, Presence, WatchKind, clear, explain, guardrails::OPERATOR,
    history_key,
};

use super::{
    Core, CoreError,
    approvals::Consulted,
    chain,
    incident::Input,
    steps::{Step, StepKind},
};
use crate::store::{
    ApplianceRow, IncarnationRow, IncidentChange, IncidentRow, NewOrder, OrderRow, OrderState,
};

/// How long to wait after a guardrail said "not now".
const HELD_BACK: Duration = Duration::from_secs(60);
/// How much of a box's own words goes into an incident, in characters.
const SAID_MAX: usize = 300;
/// Orders that may run out before a person is told.
const TRIES: u64 = 3;

/// What guardrails look at, as far as it must be looked up.
struct Known {
    identity: Identity,
    policy: Policy,
    taken_before: bool,
    history: History,
    hold: Option<String>,
}

fn reported(row: &IncidentRow) -> Presence {
    if row.present { Presence::Present } else { Presence::Gone }
}

impl Core {
    /// Signs an order for every incident of this appliance that waits for one.
    pub(super) fn issue_orders(&mut self, appliance: &ApplianceRow, now: Millis) -> Result<(), CoreError> {
        let waiting = self.store.incidents_to_order(appliance.id, now)?;
        if waiting.is_empty() || self.issues_beside(now) {
            return Ok(());
        }
        let Some(beat) = &appliance.heartbeat else { return Ok(()) };
        let watch = watch_list(&beat.watch);
        for row in waiting {
            // Read anew: the sequence rises with every order.
            let Some(current) = self.store.appliance(appliance.id)? else { return Ok(()) };
            let Some(sequence) = self.next_sequence(&current) else { return Ok(()) };
            self.issue(&current, &watch, &row, sequence, now)?;
        }
        Ok(())
    }

    fn next_sequence(&self, appliance: &ApplianceRow) -> Option<u64> {
        let beat = appliance.heartbeat.as_ref()?;
        let state = IssueState {
            generation: self.generation,
            heartbeat_generation: appliance.heartbeat_generation,
            seen_charter: beat.charter_serial,
            // Not what the agent says: it could use up the numbers for good.
            seen_high: beat.order_high,
            issued_high: appliance.issued_high,
        };
        match issue_gate(&state, self.charter.document.serial) {
            IssueGate::Open { next } => Some(next),
            gate @ (IssueGate::AwaitHeartbeat | IssueGate::CharterBehind { .. }) => {
                tracing::warn!(appliance = %appliance.id, ?gate, "no order for appliance {}", appliance.id);
                None
            }
        }
    }

    fn issue(
        &mut self,
        appliance: &ApplianceRow,
        watch: &BTreeMap<WatchId, WatchKind>,
        row: &IncidentRow,
        sequence: u64,
        now: Millis,
    ) -> Result<(), CoreError> {
        let (Some(runbook), Some(plan)) = (&row.runbook, &row.plan) else {
            return self.move_incident(row, Input::Refused, "it has no plan", now);
        };
        let core = match self.core_of(appliance, row, runbook, now) {
            Ok(core) => core,
            Err(why) => return self.move_incident(row, Input::Refused, &why, now),
        };
        let issuance = self.issuance(appliance.tenant, sequence, now)?;
        let order = match self.consult(appliance, row, core, now)? {
            Consulted::Nobody(core) => Order::issue(core, &issuance, plan.clone(), Vec::new()),
            Consulted::Agreed(asked, approvals) => {
                Order::approved(&asked.core, &issuance, plan.clone(), approvals)?
            }
            Consulted::Ask(core, needed) => {
                let order = Order::issue(core, &issuance, plan.clone(), Vec::new());
                // Nobody is asked about what would be refused whoever agrees. Windows open and close meanwhile.
                let verdicts = self.explain_order(&order, appliance, watch, reported(row), now)?;
                let refused = verdicts
                    .into_iter()
                    .filter(|(guardrail, _)| *guardrail != Guardrail::Window)
                    .find_map(|(_, verdict)| verdict.err());
                return match refused {
                    Some(refusal) => self.was_refused(row, &refusal, now),
                    None => self.ask_people(row, &order.core, needed, now),
                };
            }
            Consulted::Wait => return Ok(()),
        };
        let facts = self.facts_for(&order, appliance, now)?;
        let cleared = clear(&order, &self.facts(&order, appliance, watch, &facts, now), reported(row));
        match cleared {
            Ok(_) => {
                let (runbook, order_id) = (Some(order.core.runbook.clone()), Some(order.core.id));
                let passed = Step::of(row.id, StepKind::Guardrails, now, "passed");
                self.note_step(Step { runbook, order: order_id, ..passed });
                self.sign_and_keep(&order, row, now)
            }
            Err(refusal) => self.was_refused(row, &refusal, now),
        }
    }

    /// What an order for an incident would be; or why there can be none.
    pub(super) fn core_of(
        &mut self,
        appliance: &ApplianceRow,
        row: &IncidentRow,
        runbook: &RunbookId,
        now: Millis,
    ) -> Result<OrderCore, String> {
        let id = OrderId::new(now, self.random());
        let entry = self.catalogue.document.runbook(runbook);
        let entry = entry.ok_or_else(|| format!("runbook {runbook} left the catalogue"))?;
        let fault = row.kind.parse::<Fault>().ok();
        let parameters =
            fault.and_then(|fault| entry.runbook.parameters_for(fault, &row.watch)).ok_or_else(|| {
                format!("{} on {} does not say all that runbook {runbook} needs", row.kind, row.watch)
            })?;
        Ok(OrderCore {
            organization: self.settings.organization.clone(),
            tenant: appliance.tenant,
            site: appliance.site,
            appliance: appliance.id,
            incarnation: appliance.incarnation,
            incident: row.id,
            runbook: runbook.clone(),
            runbook_digest: entry.digest,
            parameters,
            approve_until: None,
            id,
        })
    }

    /// A guardrail said no on this side.
    fn was_refused(
        &mut self,
        row: &IncidentRow,
        refusal: &runbooks::Refusal,
        now: Millis,
    ) -> Result<(), CoreError> {
        let reason = refusal.to_string();
        if refusal.guardrail == Guardrail::Precondition {
            self.move_incident(row, Input::GoneBefore, "the agent reports that the fault is gone", now)
        } else if is_for_now(refusal.guardrail) {
            self.hold_back(row, &reason, now)
        } else {
            self.move_incident(row, Input::Refused, &reason, now)
        }
    }

    /// Not now. Why stands in the timeline once, not each time that it is tried.
    pub(super) fn hold_back(
        &mut self,
        row: &IncidentRow,
        reason: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        let kind = |reason: &str| reason.split(':').next().map(str::to_owned);
        if kind(&row.reason) != kind(reason) {
            self.store.add_timeline(row.id, now, "held-back", reason)?;
        }
        let change = IncidentChange { retry: Some(now.plus(HELD_BACK)), ..Default::default() };
        self.change(row, Input::HeldBack, reason, change, now)
    }

    pub(super) fn issuance(
        &self,
        tenant: TenantId,
        sequence: u64,
        now: Millis,
    ) -> Result<Issuance, CoreError> {
        let tenant =
            self.store.tenant(tenant)?.ok_or_else(|| CoreError::NotFound("tenant is gone".into()))?;
        Ok(Issuance {
            charter_serial: self.charter.document.serial,
            policy_serial: tenant.policy_serial,
            sequence,
            issued: now,
            lifetime: self.settings.order_lifetime,
        })
    }

    /// What all guardrails from 2 on say to an order, not only the first that refuses.
    pub(super) fn explain_order(
        &mut self,
        order: &Order,
        appliance: &ApplianceRow,
        watch: &BTreeMap<WatchId, WatchKind>,
        reported: Presence,
        now: Millis,
    ) -> Result<Vec<runbooks::guardrails::Verdict>, CoreError> {
        let known = self.facts_for(order, appliance, now)?;
        Ok(explain(order, &self.facts(order, appliance, watch, &known, now), reported))
    }

    fn facts_for(
        &mut self,
        order: &Order,
        appliance: &ApplianceRow,
        now: Millis,
    ) -> Result<Known, CoreError> {
        let held = self.hold_over(appliance, now)?.map(|_| OPERATOR.to_owned());
        Ok(Known {
            identity: Identity {
                organization: self.settings.organization.clone(),
                tenant: appliance.tenant,
                appliance: appliance.id,
            },
            policy: self.policy_at(appliance.tenant, appliance.site)?,
            taken_before: self.may_have_run(order.core.id)?,
            history: self.history(order, now)?,
            hold: held.or_else(|| appliance.heartbeat.as_ref().and_then(|beat| beat.hold.clone())),
        })
    }

    fn facts<'a>(
        &'a self,
        order: &Order,
        appliance: &ApplianceRow,
        watch: &'a BTreeMap<WatchId, WatchKind>,
        known: &'a Known,
        now: Millis,
    ) -> Facts<'a> {
        Facts {
            identity: &known.identity,
            incarnation: appliance.incarnation,
            charter: &self.charter.document,
            catalogue: &self.catalogue.document,
            policy: &known.policy,
            policy_serial: order.policy_serial,
            watch,
            now: Some(now),
            wall: None,
            order_high: order.sequence.saturating_sub(1),
            taken_before: known.taken_before,
            history: known.history,
            hold: known.hold.clone(),
        }
    }

    /// Whether an order with this ID was signed before, and is not known not to have run.
    fn may_have_run(&self, id: OrderId) -> Result<bool, CoreError> {
        let ran = |row: OrderRow| matches!(row.state, OrderState::Issued | OrderState::Executed);
        Ok(self.store.order(id)?.is_some_and(ran))
    }

    fn sign_and_keep(&mut self, order: &Order, row: &IncidentRow, now: Millis) -> Result<(), CoreError> {
        let envelope = match self.seal(&order.unsigned()) {
            Ok(envelope) => envelope,
            Err(CoreError::Signer(error)) => {
                tracing::warn!(incident = %row.id, error = chain(&error), "no order for incident {}", row.id);
                return self.hold_back(row, &error.to_string(), now);
            }
            Err(error) => return Err(error),
        };
        let digest = Digest::of(&order.encode());
        let (runbook, target) = history_key(&order.core);
        self.keep_orders(order.core.tenant, &[(digest, envelope.clone())], now)?;
        self.counted.orders += 1;
        self.store.raise_issued_high(order.core.appliance, order.sequence)?;
        self.store.add_order(&NewOrder {
            id: order.core.id,
            tenant: order.core.tenant,
            appliance: order.core.appliance,
            incident: order.core.incident,
            incarnation: order.core.incarnation,
            sequence: order.sequence,
            runbook: &runbook,
            target: &target,
            digest,
            envelope: &envelope,
            issued: now,
            expires: order.expires,
        })?;
        let reason = format!("order {} runs {runbook} on {target}", order.core.id);
        self.move_incident(row, Input::OrderSigned, &reason, now)?;
        self.approval_was_used(order.core.id, now)
    }

    /// Evidence: an order was carried out, or broke off.
    pub(super) fn order_was_executed(
        &mut self,
        signer: &IncarnationRow,
        execution: &Execution,
        now: Millis,
    ) -> Result<(), CoreError> {
        if let Some(used) = &execution.order.standing {
            return self.standing_was_used(signer, execution, used, now);
        }
        let Some(order) = self.own_order(signer, execution.order.id, execution.order.digest)? else {
            return Ok(());
        };
        let word = verdict_word(execution.verdict);
        if !self.store.end_order(order.id, OrderState::Executed, word, now)? {
            return Ok(());
        }
        let Some(row) = self.store.incident(order.incident)? else { return Ok(()) };
        let reason = format!("{} on {}: {word}", order.runbook, order.target);
        let input = if execution.verdict.is_good() { Input::Repaired } else { Input::NotRepaired };
        self.move_incident(&row, input, &reason, now)
    }

    /// Evidence: a guardrail of the executor refused an order.
    pub(super) fn order_was_refused(
        &mut self,
        signer: &IncarnationRow,
        refusal: &proto::evidence::Refusal,
        now: Millis,
    ) -> Result<(), CoreError> {
        let Some(facts) = &refusal.order else { return Ok(()) };
        if let Some(used) = &facts.standing {
            return self.standing_was_refused(signer, facts.digest, used, now);
        }
        let Some(order) = self.own_order(signer, facts.id, facts.digest)? else { return Ok(()) };
        // By its number: the name and the words are whatever the box says.
        let guardrail = Guardrail::ALL.iter().copied().find(|g| g.number() == refusal.guardrail);
        let name = guardrail.map_or("unknown", Guardrail::name);
        let replayed = guardrail == Some(Guardrail::Replay);
        // A second delivery of an order that was taken says nothing about the first.
        if replayed || !self.store.end_order(order.id, OrderState::Refused, name, now)? {
            return Ok(());
        }
        // It came late, and another took its place.
        if self.store.order_out(order.incident)?.is_some() {
            return Ok(());
        }
        let Some(row) = self.store.incident(order.incident)? else { return Ok(()) };
        let said: String = refusal.reason.chars().filter(|c| !c.is_control()).take(SAID_MAX).collect();
        let reason = format!("the appliance refused by guardrail {} ({name}): {said}", refusal.guardrail);
        if guardrail == Some(Guardrail::Precondition) {
            self.move_incident(&row, Input::GoneBefore, "the fault was gone before the first step", now)
        } else if guardrail.is_some_and(|g| g == Guardrail::Freshness || is_for_now(g)) {
            self.try_again(&row, Input::HeldBack, &reason, now)
        } else {
            self.move_incident(&row, Input::Refused, &reason, now)
        }
    }

    /// An order ran out and nothing was heard of it.
    pub(super) fn order_ran_out(&mut self, order: &OrderRow, now: Millis) -> Result<(), CoreError> {
        if !self.store.end_order(order.id, OrderState::Expired, "nothing heard", now)? {
            return Ok(());
        }
        let Some(row) = self.store.incident(order.incident)? else { return Ok(()) };
        self.try_again(
            &row,
            Input::RunOut,
            &format!("order {} ran out and nothing was heard of it", order.id),
            now,
        )
    }

    fn try_again(
        &mut self,
        row: &IncidentRow,
        input: Input,
        reason: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        let attempts = row.attempts + 1;
        if attempts >= TRIES {
            return self.move_incident(
                row,
                Input::OutOfTries,
                &format!("{reason}; that was try {attempts}"),
                now,
            );
        }
        let retry = now.plus(HELD_BACK);
        let change = IncidentChange { attempts: Some(attempts), retry: Some(retry), ..Default::default() };
        self.change(row, input, reason, change, now)
    }

    fn own_order(
        &self,
        signer: &IncarnationRow,
        id: OrderId,
        digest: Digest,
    ) -> Result<Option<OrderRow>, CoreError> {
        let order = self.store.order(id)?;
        Ok(order.filter(|row| row.appliance == signer.appliance && row.digest == digest))
    }
}

pub(super) fn watch_list(reported: &BTreeMap<WatchId, String>) -> BTreeMap<WatchId, WatchKind> {
    reported.iter().filter_map(|(id, kind)| Some((id.clone(), kind.parse().ok()?))).collect()
}

/// Whether a refusal may turn into consent by waiting.
fn is_for_now(guardrail: Guardrail) -> bool {
    matches!(guardrail, Guardrail::Cooldown | Guardrail::Budget | Guardrail::Window | Guardrail::Hold)
}

/// A verdict in a word.
pub(super) fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Repaired => "repaired",
        Verdict::Ineffective => "ineffective",
        Verdict::Failed => "failed",
        Verdict::Interrupted => "interrupted",
        Verdict::InterruptedRepaired => "interrupted, and yet repaired",
    }
}

pub(super) fn is_good_word(word: &str) -> bool {
    word == verdict_word(Verdict::Repaired) || word == verdict_word(Verdict::InterruptedRepaired)
}
