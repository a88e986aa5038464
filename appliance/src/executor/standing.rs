//! Standing orders: taken in advance, and drawn on when this executor itself has seen their fault for long enough.
//!
//! The rule: nothing that the agent says opens anything here. Only entries that a standing order names are looked at, on the
//! executor's own timer; a use is counted durably in the commit that puts it into the journal, and from there on it runs, breaks
//! off and is evidence like any other order. Whatever an order could still do meanwhile, it is given the time to do.
//!
//! ```text
//!  fault seen ──> held for standing_after ──admit (1 to 10, 12)──> count + accepted, one commit ──> Check, Run: lifecycle
//!      └─ gone, or an order at work: begin anew     └─ refused: evidence, once for as long as the fault is there
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proto::{
    charter::Charter,
    digest::Digest,
    dsse::Envelope,
    evidence::{self, OrderFacts, SeenBy},
    field::BadField,
    ids::{RunbookId, WatchId},
    order::Order,
    standing::{StandingOrder, set_digest},
};
use runbooks::{
    Admitted, Fault, Guardrail, Refusal, Runbook, admit_standing, derive, fits, history_key, verify_standing,
};

use super::{
    ExecutorCore, ExecutorError, Measurement,
    measure::Taken,
    orders::Place,
    store::{NewStanding, NewUse, StoreError, Use, View, Waiting},
    trust,
    work::{Targets, Task, Work},
};
use crate::config::Eyes;

/// How often an entry is looked at.
const EVERY: Duration = Duration::from_secs(60);
/// How many refused ones are remembered, so that none is refused twice in evidence.
const REFUSED_MAX: usize = 256;
/// Where a use stands that is not in the journal yet: below all that are.
const NOT_YET: u64 = 1 << 63;

/// Runbook and watch entry: of each pair, one standing order lives.
pub(super) type Key = (RunbookId, WatchId);

/// One look at what a standing order names.
pub(super) struct Look {
    pub(super) key: Key,
    pub(super) measurement: Measurement,
}

/// What there is to look at.
pub(super) enum Looking {
    Now(Work),
    In(Duration),
    Never,
}

/// The standing orders that are kept, and what was seen of their faults.
#[derive(Default)]
pub(super) struct Guard {
    kept: BTreeMap<Key, Kept>,
    seen: BTreeMap<Key, Seen>,
    refused: BTreeSet<Digest>,
}

struct Kept {
    standing: StandingOrder,
    digest: Digest,
    envelope: Vec<u8>,
    used: u32,
}

/// By the boot-time clock.
#[derive(Default)]
struct Seen {
    /// When to look again.
    next: Duration,
    /// Since when the fault is there.
    since: Option<Duration>,
    /// Which guardrail's refusal is evidence already.
    said: Option<Guardrail>,
}

impl Guard {
    /// Goes on from what is kept.
    pub(super) fn resume(view: &View<'_>) -> Result<Self, StoreError> {
        let mut guard = Self::default();
        guard.read(view)?;
        Ok(guard)
    }

    fn read(&mut self, view: &View<'_>) -> Result<(), StoreError> {
        self.kept.clear();
        for row in view.standing()? {
            let standing = opened(&row.envelope)?;
            let key = (standing.runbook.clone(), standing.watch.clone());
            let kept = Kept { standing, digest: row.digest, envelope: row.envelope, used: row.used };
            self.kept.insert(key, kept);
        }
        Ok(())
    }

    /// What the set is called by; `None` while there are none.
    pub(super) fn set(&self) -> Option<Digest> {
        (!self.kept.is_empty()).then(|| set_digest(self.kept.values().map(|kept| kept.digest)))
    }
}

/// A standing order that was verified when it was taken.
fn opened(envelope: &[u8]) -> Result<StandingOrder, BadField> {
    let envelope = Envelope::parse(envelope).map_err(|e| BadField::new("standing", e.to_string()))?;
    StandingOrder::decode(envelope.unverified_payload())
}

impl ExecutorCore {
    /// Keeps a standing order for its time; it is verified and judged again at every use.
    pub(super) fn take_standing(&mut self, envelope: &[u8]) -> Result<(), ExecutorError> {
        let digest = trust::payload_digest(envelope).unwrap_or_else(|| Digest::of(envelope));
        if self.standing.kept.values().any(|kept| kept.digest == digest) {
            return Ok(());
        }
        let now = self.time.now();
        if now.is_none() {
            return Err(not_taken("is not judged yet: no trusted time since this executor began"));
        }
        let Some(charter) = self.trust.charter() else {
            return Err(not_taken("no charter is believed here"));
        };
        let verified = match verify_standing(envelope, charter, now) {
            Ok(verified) => verified.into_value(),
            Err(refusal) => return self.refuse_standing(digest, None, refusal),
        };
        let runbook = self.trust.catalogue().runbook(&verified.runbook).map(|entry| &entry.runbook);
        let order = derive(&verified, 1, runbook);
        let place = Place { at: NOT_YET, order_high: 0, taken_before: false };
        let judged = self.with_facts_at(&history_key(&order.core), place, |facts| {
            fits(&verified, facts)?;
            self.own_eyes(&verified.watch)
        })?;
        if let Err(refusal) = judged {
            return self.refuse_standing(digest, Some((order, verified)), refusal);
        }
        let new = NewStanding {
            runbook: &verified.runbook,
            watch: &verified.watch,
            issued: verified.issued,
            expires: verified.expires,
            digest,
            envelope,
        };
        if !self.store.write(|tx| tx.keep_standing(&new))? {
            let reason = "one as new is kept for this runbook and watch entry; sign a newer one";
            let refusal = Guardrail::Replay.refuses(reason);
            return self.refuse_standing(digest, Some((order, verified)), refusal);
        }
        self.standing.read(&self.store.view())?;
        Ok(())
    }

    /// The rest of guardrail 7: what the agent measures opens nothing.
    fn own_eyes(&self, watch: &WatchId) -> Result<(), Refusal> {
        match self.settings.watch.get(watch).map(crate::config::WatchEntry::eyes) {
            Some(Eyes::Executor) => Ok(()),
            _ => Err(Guardrail::Parameters.refuses(format!(
                "watch entry `{watch}` is not measured by the executor itself; a standing order must not rest on it"
            ))),
        }
    }

    fn refuse_standing(
        &mut self,
        digest: Digest,
        what: Option<(Order, StandingOrder)>,
        refusal: Refusal,
    ) -> Result<(), ExecutorError> {
        let said = not_taken(&refusal.to_string());
        let Some(identity) = self.identity.clone() else { return Err(said) };
        if self.standing.refused.len() >= REFUSED_MAX {
            self.standing.refused.clear();
        }
        if self.standing.refused.insert(digest) {
            let facts = what.map(|(order, standing)| {
                let unused = Use { count: 0, held: Duration::ZERO };
                self.standing_facts(digest, &order, &standing, unused)
            });
            let is_genuine = facts.is_some();
            let body = self.refusal_body(digest, facts, &refusal);
            self.sign_refusal(identity, body, is_genuine, None)?;
        }
        Err(said)
    }

    /// The next look that is due.
    pub(super) fn next_look(&mut self) -> Result<Looking, ExecutorError> {
        if self.identity.is_none() || self.standing.kept.is_empty() || self.store.view().pending()? > 0 {
            return Ok(Looking::Never);
        }
        let boot = self.time.boot();
        let (charter, _, policy) = self.trust.serials();
        let mut soonest: Option<(Duration, Key)> = None;
        for (key, kept) in &self.standing.kept {
            let in_force = kept.standing.charter_serial == charter && kept.standing.policy_serial == policy;
            let is_over = self.time.now().is_some_and(|now| now >= kept.standing.expires);
            if kept.used >= kept.standing.most || !in_force || is_over {
                continue;
            }
            let due = self.standing.seen.get(key).map_or(Duration::ZERO, |seen| seen.next);
            if soonest.as_ref().is_none_or(|(soonest, _)| due < *soonest) {
                soonest = Some((due, key.clone()));
            }
        }
        let Some((due, key)) = soonest else { return Ok(Looking::Never) };
        if due > boot {
            return Ok(Looking::In(due - boot));
        }
        self.standing.seen.entry(key.clone()).or_default().next = boot + self.look_every();
        match self.measurement_of(&key.1) {
            Ok(measurement) => {
                let look = Task::Look(Box::new(Look { key, measurement }));
                Ok(Looking::Now(self.work(look, Targets::new())))
            }
            // It left the watch list; guardrail 7 would say so.
            Err(ExecutorError::Refused(_)) => Ok(Looking::In(Duration::ZERO)),
            Err(error) => Err(error),
        }
    }

    fn look_every(&self) -> Duration {
        EVERY.min(self.settings.standing_after / 2).max(Duration::from_secs(1))
    }

    /// Takes what was seen; draws on the standing order when its fault is there for long enough.
    pub(super) fn looked(&mut self, key: &Key, taken: &Taken) -> Result<(), ExecutorError> {
        self.remember(taken);
        let Some(kept) = self.standing.kept.get(key) else { return Ok(()) };
        let fault = kept.standing.trigger.parse::<Fault>().ok();
        let is_there = fault.and_then(|fault| fault.holds(taken.readings())) == Some(true);
        let boot = self.time.boot();
        let seen = self.standing.seen.entry(key.clone()).or_default();
        if !is_there {
            (seen.since, seen.said) = (None, None);
            return Ok(());
        }
        let held = boot.saturating_sub(*seen.since.get_or_insert(boot));
        if held < self.settings.standing_after || self.store.view().pending()? > 0 {
            return Ok(());
        }
        self.draw(key, held)
    }

    fn draw(&mut self, key: &Key, held: Duration) -> Result<(), ExecutorError> {
        let (Some(kept), Some(charter)) = (self.standing.kept.get(key), self.trust.charter()) else {
            return Ok(());
        };
        let used = kept.used;
        let catalogue = self.trust.catalogue();
        let runbook = catalogue.runbook(&kept.standing.runbook).map(|entry| &entry.runbook);
        let order = derive(&kept.standing, used.saturating_add(1), runbook);
        let target = history_key(&order.core);
        let place = Place { at: NOT_YET, order_high: 0, taken_before: false };
        let admitted = match verify_standing(&kept.envelope, charter, self.time.now()) {
            Ok(verified) => self.with_facts_at(&target, place, |facts| {
                admit_standing(&verified, used, facts)?;
                self.own_eyes(&key.1)
            })?,
            Err(refusal) => Err(refusal),
        };
        let (digest, standing) = (kept.digest, kept.standing.clone());
        if let Err(refusal) = admitted {
            let seen = self.standing.seen.entry(key.clone()).or_default();
            if seen.said.replace(refusal.guardrail) != Some(refusal.guardrail)
                && let Some(identity) = self.identity.clone()
            {
                let using = Use { count: used.saturating_add(1), held };
                let facts = self.standing_facts(digest, &order, &standing, using);
                let body = self.refusal_body(digest, Some(facts), &refusal);
                self.sign_refusal(identity, body, true, None)?;
            }
            return Ok(());
        }
        let new = NewUse {
            id: standing.id,
            digest,
            envelope: &kept.envelope,
            key: target,
            watch: &key.1,
            used,
            held,
        };
        let times = self.time.durable();
        self.store.write(|tx| {
            tx.draw(&new, times.active)?;
            tx.keep_times(&times)
        })?;
        self.standing.seen.remove(key);
        self.standing.read(&self.store.view())?;
        Ok(())
    }

    /// Guardrails on a use that stands in the journal, as of now; its own count is not one before it.
    pub(super) fn admit_standing_again<T>(
        &self,
        waiting: &Waiting,
        using: Use,
        charter: &Charter,
        confirm: impl FnOnce(Admitted) -> Result<T, Refusal>,
    ) -> Result<Result<T, Refusal>, ExecutorError> {
        let verified = match verify_standing(&waiting.envelope, charter, self.time.now()) {
            Ok(verified) => verified,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let order = self.stored(waiting, None)?;
        let place = Place { at: waiting.sequence, order_high: 0, taken_before: false };
        self.with_facts_at(&history_key(&order.core), place, |facts| {
            confirm(admit_standing(&verified, using.count.saturating_sub(1), facts)?)
        })
    }

    /// What stands in the journal as an order: verified when it was accepted. `runbook`: the procedure as it was begun.
    pub(super) fn stored(&self, waiting: &Waiting, runbook: Option<&Runbook>) -> Result<Order, BadField> {
        let Some(using) = waiting.standing else { return super::orders::stored(&waiting.envelope) };
        let standing = opened(&waiting.envelope)?;
        let entry = self.trust.catalogue().runbook(&standing.runbook);
        let runbook = runbook.or_else(|| entry.map(|entry| &entry.runbook));
        Ok(derive(&standing, using.count, runbook))
    }

    /// What stands in the journal as evidence keeps it.
    pub(super) fn waiting_facts(&self, waiting: &Waiting, order: &Order) -> Result<OrderFacts, BadField> {
        Ok(match waiting.standing {
            Some(using) => self.standing_facts(waiting.digest, order, &opened(&waiting.envelope)?, using),
            None => self.order_facts(waiting.digest, order),
        })
    }

    fn standing_facts(
        &self,
        digest: Digest,
        order: &Order,
        standing: &StandingOrder,
        using: Use,
    ) -> OrderFacts {
        let used = evidence::StandingUse {
            id: standing.id,
            count: using.count,
            most: standing.most,
            trigger: standing.trigger.clone(),
            held_ms: u64::try_from(using.held.as_millis()).unwrap_or(u64::MAX),
            seen_by: SeenBy::Executor,
        };
        OrderFacts { standing: Some(used), ..self.order_facts(digest, order) }
    }
}

fn not_taken(problem: &str) -> ExecutorError {
    BadField::new("standing", problem).into()
}
