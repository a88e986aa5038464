//! Orders: signed when their appliance is there to take them, after every guardrail has said yes on this side too.

use std::{collections::BTreeMap, time::Duration};

use proto::{
    digest::Digest,
    evidence::{Execution, Identity, Verdict},
    ids::{OrderId, WatchId},
    order::{Core as OrderCore, Issuance, Order, Plan},
    sync::{IssueGate, IssueState, issue_gate},
    time::Millis,
};
use runbooks::{Facts, Fault, Guardrail, Presence, WatchKind, clear, history_key};

use super::{Core, CoreError, incident::Input};
use crate::store::{
    ApplianceRow, IncarnationRow, IncidentChange, IncidentRow, NewOrder, OrderRow, OrderState,
};

/// How long to wait after a guardrail said "not now".
const HELD_BACK: Duration = Duration::from_secs(60);
/// How much of a box's own words goes into an incident, in characters.
const SAID_MAX: usize = 300;
/// Orders that may run out before a person is told.
const TRIES: u64 = 3;

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
        let Some(entry) = self.catalogue.document.runbook(runbook) else {
            return self.move_incident(
                row,
                Input::Refused,
                &format!("runbook {runbook} left the catalogue"),
                now,
            );
        };
        let fault = row.kind.parse::<Fault>().ok();
        let Some(parameters) = fault.and_then(|fault| entry.runbook.parameters_for(fault, &row.watch)) else {
            let why = format!("{} on {} does not say all that runbook {runbook} needs", row.kind, row.watch);
            return self.move_incident(row, Input::Refused, &why, now);
        };
        let core = OrderCore {
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
            id: OrderId::new(now, self.random()),
        };
        let order = self.put_in_force(core, plan.clone(), sequence, now)?;
        match self.clear_order(&order, appliance, watch, row, now)? {
            Ok(()) => self.sign_and_keep(&order, row, now),
            Err(refusal) => {
                let reason = refusal.to_string();
                if refusal.guardrail == Guardrail::Precondition {
                    self.move_incident(
                        row,
                        Input::GoneBefore,
                        "the agent reports that the fault is gone",
                        now,
                    )
                } else if is_for_now(refusal.guardrail) {
                    let change = IncidentChange { retry: Some(now.plus(HELD_BACK)), ..Default::default() };
                    self.change(row, Input::HeldBack, &reason, change, now)
                } else {
                    self.move_incident(row, Input::Refused, &reason, now)
                }
            }
        }
    }

    fn put_in_force(
        &self,
        core: OrderCore,
        plan: Plan,
        sequence: u64,
        now: Millis,
    ) -> Result<Order, CoreError> {
        let tenant =
            self.store.tenant(core.tenant)?.ok_or_else(|| CoreError::NotFound("tenant is gone".into()))?;
        let issuance = Issuance {
            charter_serial: self.charter.document.serial,
            policy_serial: tenant.policy_serial,
            sequence,
            issued: now,
            lifetime: self.settings.order_lifetime,
        };
        Ok(Order::issue(core, &issuance, plan, Vec::new()))
    }

    fn clear_order(
        &mut self,
        order: &Order,
        appliance: &ApplianceRow,
        watch: &BTreeMap<WatchId, WatchKind>,
        row: &IncidentRow,
        now: Millis,
    ) -> Result<Result<(), runbooks::Refusal>, CoreError> {
        let identity = Identity {
            organization: self.settings.organization.clone(),
            tenant: appliance.tenant,
            appliance: appliance.id,
        };
        let policy = self.policy_of(appliance.tenant)?;
        let facts = Facts {
            identity: &identity,
            incarnation: appliance.incarnation,
            charter: &self.charter.document,
            catalogue: &self.catalogue.document,
            policy: &policy,
            policy_serial: order.policy_serial,
            watch,
            now: Some(now),
            wall: None,
            order_high: order.sequence - 1,
            taken_before: self.may_have_run(order.core.id)?,
            history: self.history(order, now)?,
            hold: appliance.heartbeat.as_ref().and_then(|beat| beat.hold.clone()),
        };
        let reported = if row.present { Presence::Present } else { Presence::Gone };
        Ok(clear(order, &facts, reported).map(|_| ()))
    }

    /// Whether an order with this ID was signed before, and is not known not to have run.
    fn may_have_run(&self, id: OrderId) -> Result<bool, CoreError> {
        let ran = |row: OrderRow| matches!(row.state, OrderState::Issued | OrderState::Executed);
        Ok(self.store.order(id)?.is_some_and(ran))
    }

    fn sign_and_keep(&mut self, order: &Order, row: &IncidentRow, now: Millis) -> Result<(), CoreError> {
        let (digest, envelope) = (Digest::of(&order.encode()), order.seal(&self.keys.order));
        let (runbook, target) = history_key(&order.core);
        self.keep_orders(order.core.tenant, &[(digest, envelope.clone())], now)?;
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
        self.move_incident(row, Input::OrderSigned, &reason, now)
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
