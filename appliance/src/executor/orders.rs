//! Taking orders: verified from the signed bytes, admitted by the guardrails, and written down with their sequence in
//! one commit before anything else happens.
//!
//! The rule: a sequence is spent by the order that is accepted, and by the one that was next and is refused: what was
//! refused once does not run later because the moment is better, or because time turns out to be less late than it was
//! taken for. Every refusal is evidence, up to 60 an hour; the rest is counted, so that nobody fills the log. What no order
//! key signed has its own 60, and less room: forgeries must not keep a refusal of what is genuine out of the evidence.

use std::time::Duration;

use proto::{
    digest::Digest,
    dsse::{Envelope, Verified},
    evidence::{self, Body, Identity, OrderFacts},
    field::BadField,
    ids::RunbookId,
    local,
    order::{Order, sequence_follows},
};
use runbooks::{Facts, Guardrail, Refusal, admit, history_key, verify};

use super::{
    ExecutorCore, ExecutorError, history,
    store::{Accepted, Allowance, State, StoreError, Waiting},
    trust,
};

/// The most refusals of a kind, and holds, that are signed in an hour.
pub(super) const SIGNED_AN_HOUR: u64 = 60;
pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// Refusals may use this share of the room for evidence: a half.
const SHARE_OF_REFUSALS: u64 = 2;
/// While forgeries use more than this share, a quarter, no more of them are signed.
const SHARE_OF_FORGERIES: u64 = 4;

/// Where something stands in the journal, and what guardrail 4 must know of it.
pub(super) struct Place {
    pub(super) at: u64,
    pub(super) order_high: u64,
    pub(super) taken_before: bool,
}

impl ExecutorCore {
    /// Accepts or refuses one order.
    pub(super) fn take_order(&mut self, envelope: &[u8]) -> Result<local::Outcome, ExecutorError> {
        let digest = trust::payload_digest(envelope).unwrap_or_else(|| Digest::of(envelope));
        // Delivered again before it is over: the answer was lost, nothing else.
        if self.store.view().is_pending(digest)? {
            return Ok(accepted());
        }
        let now = self.time.now();
        let verified = match self.trust.charter().map(|charter| verify(envelope, charter, now)) {
            Some(Ok(verified)) => verified,
            Some(Err(refusal)) => return self.refuse(digest, None, refusal),
            None => {
                let reason = "there is no charter here that the pinned organization keys signed";
                return self.refuse(digest, None, Guardrail::Signature.refuses(reason));
            }
        };
        if now.is_none() {
            // Not judged, so not refused: with a time token it is delivered again.
            let refusal = "not judged yet: no trusted time since this executor began; deliver it again with a time token";
            return Ok(local::Outcome { accepted: false, refusal: refusal.to_owned() });
        }
        let order = verified.value().clone();
        let state = self.state()?;
        match self.admitted(verified, state.order_high)? {
            Ok(()) => self.accept(envelope, digest, &order, state.order_high),
            Err(refusal) => self.refuse(digest, Some(&order), refusal),
        }
    }

    fn accept(
        &mut self,
        envelope: &[u8],
        digest: Digest,
        order: &Order,
        seen: u64,
    ) -> Result<local::Outcome, ExecutorError> {
        let times = self.time.durable();
        let accepted_order = Accepted {
            waiting: Waiting {
                sequence: order.sequence,
                digest,
                envelope: envelope.to_vec(),
                standing: None,
            },
            id: order.core.id,
            key: history_key(&order.core),
            approved_until: order.core.approve_until.filter(|_| !order.approvals.is_empty()),
        };
        self.store.write(|tx| {
            tx.raise_order_high(seen, order.sequence)?;
            tx.accept(&accepted_order, times.active)?;
            tx.keep_times(&times)
        })?;
        Ok(accepted())
    }

    /// Guardrails 2 to 10 and 12, on what is known now; `order_high` as it was before this order.
    pub(super) fn admitted(
        &self,
        order: Verified<Order>,
        order_high: u64,
    ) -> Result<Result<(), Refusal>, ExecutorError> {
        self.with_facts(&order.value().clone(), order_high, |facts| admit(order, facts).map(|_| ()))
    }

    /// Calls `judge` with all that guardrails look at, as of now.
    pub(super) fn with_facts<T>(
        &self,
        order: &Order,
        order_high: u64,
        judge: impl FnOnce(&Facts<'_>) -> Result<T, Refusal>,
    ) -> Result<Result<T, Refusal>, ExecutorError> {
        let taken_before = self.store.view().was_taken(order.core.id, order.sequence)?;
        let place = Place { at: order.sequence, order_high, taken_before };
        self.with_facts_at(&history_key(&order.core), place, judge)
    }

    /// The same for what stands at a place of the journal, or would.
    pub(super) fn with_facts_at<T>(
        &self,
        key: &(RunbookId, String),
        place: Place,
        judge: impl FnOnce(&Facts<'_>) -> Result<T, Refusal>,
    ) -> Result<Result<T, Refusal>, ExecutorError> {
        let (Some(identity), Some(charter)) = (&self.identity, self.trust.charter()) else {
            return Err(BadField::new("identity", "this executor is not enrolled").into());
        };
        let remote = self.trust.policy();
        let policy = remote.map_or_else(|| self.local.clone(), |remote| self.local.tightened_by(remote));
        let facts = Facts {
            identity,
            incarnation: self.incarnation,
            charter,
            catalogue: self.trust.catalogue(),
            policy: &policy,
            policy_serial: remote.map_or(0, |policy| policy.serial),
            watch: &self.kinds,
            now: self.time.now(),
            wall: Some(self.time.wall()),
            order_high: place.order_high,
            taken_before: place.taken_before,
            history: history::read(&self.store.view(), key, place.at, self.time.active())?,
            hold: self.held()?.map(|why| why.word),
        };
        Ok(judge(&facts))
    }

    /// Makes a refusal evidence, or counts it when there were too many.
    fn refuse(
        &mut self,
        digest: Digest,
        order: Option<&Order>,
        refusal: Refusal,
    ) -> Result<local::Outcome, ExecutorError> {
        let outcome = local::Outcome { accepted: false, refusal: refusal.to_string() };
        let Some(identity) = self.identity.clone() else { return Ok(outcome) };
        let state = self.state()?;
        // Guardrails are asked in order: from freshness on it is known to be for this incarnation.
        let in_turn = |order: &&Order| {
            refusal.guardrail >= Guardrail::Freshness
                && refusal.guardrail != Guardrail::Replay
                && sequence_follows(state.order_high, order.sequence).is_ok()
        };
        let spent = order.filter(in_turn).map(|order| (state.order_high, order.sequence));
        let body = self.refusal_body(digest, order.map(|order| self.order_facts(digest, order)), &refusal);
        self.sign_refusal(identity, body, order.is_some(), spent)?;
        Ok(outcome)
    }

    /// Signs a refusal, or counts it. `spent`: the sequence that it uses up, and the highest before it.
    pub(super) fn sign_refusal(
        &mut self,
        identity: Identity,
        body: Body,
        is_genuine: bool,
        spent: Option<(u64, u64)>,
    ) -> Result<(), ExecutorError> {
        let active = self.time.active();
        let since = active.checked_sub(HOUR);
        let (allowance, share) = if is_genuine {
            (Allowance::Refusal, SHARE_OF_REFUSALS)
        } else {
            (Allowance::Forgery, SHARE_OF_FORGERIES)
        };
        let sign =
            self.store.view().signed_since(allowance, since)? < SIGNED_AN_HOUR && self.has_room(share)?;
        let sealer = self.sealer(identity);
        self.store.write(|tx| {
            if let Some((seen, sequence)) = spent {
                tx.raise_order_high(seen, sequence)?;
            }
            if sign {
                sealer.append(tx, body)?;
                tx.count_signed(allowance, active, since)?;
            } else {
                tx.count_refusal()?;
            }
            tx.keep_times(sealer.times()).map_err(ExecutorError::from)
        })
    }

    /// A refusal as evidence says it.
    pub(super) fn refusal_body(&self, digest: Digest, order: Option<OrderFacts>, refusal: &Refusal) -> Body {
        Body::Refusal(evidence::Refusal {
            order_digest: digest,
            order,
            guardrail: refusal.guardrail.number(),
            name: refusal.guardrail.name().to_owned(),
            reason: refusal.reason.clone(),
        })
    }

    /// An order as evidence keeps it. The contract bounds every text and list of an order, so the record has room for it.
    pub(super) fn order_facts(&self, digest: Digest, order: &Order) -> OrderFacts {
        let core = &order.core;
        let known = self.trust.charter().map(|charter| charter.approvers.as_slice()).unwrap_or_default();
        // Of approvals that were not checked, only names that the charter knows.
        let mut approvers: Vec<String> =
            order.approvals.iter().map(|approval| approval.approver.clone()).collect();
        approvers.retain(|name| known.iter().any(|approver| approver.name == *name));
        approvers.sort();
        approvers.dedup();
        OrderFacts {
            digest,
            id: core.id,
            incident: core.incident,
            sequence: order.sequence,
            charter_serial: order.charter_serial,
            policy_serial: order.policy_serial,
            runbook: core.runbook.clone(),
            runbook_digest: core.runbook_digest,
            parameters: core.parameters.clone(),
            plan: order.plan.clone(),
            approvers,
            standing: None,
        }
    }

    pub(super) fn state(&self) -> Result<State, StoreError> {
        self.store.view().state()?.ok_or(StoreError::Conflict("there is no incarnation"))
    }
}

fn accepted() -> local::Outcome {
    local::Outcome { accepted: true, refusal: String::new() }
}

/// An order out of the journal: verified when it was accepted.
pub(super) fn stored(envelope: &[u8]) -> Result<Order, BadField> {
    let envelope = Envelope::parse(envelope).map_err(|e| BadField::new("journal.envelope", e.to_string()))?;
    Order::decode(envelope.unverified_payload()).map_err(|bad| bad.within("journal"))
}
