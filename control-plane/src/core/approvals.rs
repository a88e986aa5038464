//! Asking people whether an order may be given.
//!
//! The rule: what approvers sign is kept as the bytes that it is, and an order is those bytes or none. This server checks an
//! assertion when it comes, guardrail 10 checks it again with all the others before the order is signed, and the executor
//! does by itself. When the box, the catalogue, the charter or the policy is not what it was when people were asked, the
//! question is void and asked anew, with the reason. It is asked a bounded number of times; then the incident is a person's.

use std::{collections::BTreeSet, time::Duration};

use proto::{
    act::{Deed, Verdict},
    approval::{Approval, approvers},
    digest::Digest,
    field::{BadField, text},
    ids::{IncidentId, OrderId},
    order::Core as OrderCore,
    time::Millis,
};

use serde_json::{Value, json};

use super::{
    Core, CoreError,
    asking::{Input as Said, State},
    chain,
    incident::Input,
};
use crate::store::{ApplianceRow, AskedRow, IncidentChange, IncidentRow};

/// How often people are asked about one incident, for whatever reason.
const ASKED_MOST: usize = 4;
/// How often they may let the time run out: asked again once.
const IN_VAIN_MOST: usize = 2;
/// The longest that people may be given: a box looks no further ahead than a day, by its own clock.
pub const APPROVAL_MAX: Duration = Duration::from_secs(23 * 3600);

/// Whether people must agree to an order, and what they said.
pub(super) enum Consulted {
    /// Nobody needs to.
    Nobody(OrderCore),
    /// They are to be asked about this; so many must agree.
    Ask(OrderCore, usize),
    /// They were asked.
    Wait,
    /// They agreed, to these bytes.
    Agreed(AskedRow, Vec<Approval>),
}

impl Core {
    /// Where an incident stands with the people who must agree. `core`: what would be done now.
    pub(super) fn consult(
        &mut self,
        appliance: &ApplianceRow,
        row: &IncidentRow,
        core: OrderCore,
        now: Millis,
    ) -> Result<Consulted, CoreError> {
        let policy = self.policy_at(appliance.tenant, appliance.site)?;
        let entry = self.catalogue.document.runbook(&core.runbook);
        // What policy never runs is asked about no more; guardrail 10 says so.
        let needed = entry.and_then(|entry| policy.approvers_for(&entry.runbook)).unwrap_or(0);
        let open = self.store.asked_about(row.id)?.into_iter().find(|asked| !asked.state.is_over());
        let Some(asked) = open else {
            return Ok(if needed == 0 { Consulted::Nobody(core) } else { Consulted::Ask(core, needed) });
        };
        if now >= asked.until {
            self.asked_in_vain(&asked, now)?;
            return Ok(Consulted::Wait);
        }
        if let Err(why) = self.is_still_asked(&asked, &core, needed)? {
            self.decide(&asked, Said::Changed, &why, None, now)?;
            return Ok(if needed == 0 { Consulted::Nobody(core) } else { Consulted::Ask(core, needed) });
        }
        let consents = self.store.consents(asked.order)?;
        if asked.state == State::Granted {
            return Ok(Consulted::Agreed(asked, consents));
        }
        self.hold_back(row, &waits_for(&asked, consents.len()), now)?;
        Ok(Consulted::Wait)
    }

    /// Whether what people were asked is what would be done now, and what they said still counts.
    fn is_still_asked(
        &self,
        asked: &AskedRow,
        now: &OrderCore,
        needed: usize,
    ) -> Result<Result<(), String>, CoreError> {
        let then = OrderCore::decode(&asked.core)?;
        let same = OrderCore { id: then.id, approve_until: then.approve_until, ..now.clone() } == then;
        let consents = self.store.consents(asked.order)?;
        let known = self.approvers_in(asked.tenant)?;
        let holds = approvers(&consents, &known, Digest::of(&asked.core)).is_ok();
        Ok(Err(if then.incarnation != now.incarnation {
            "the box was enrolled anew since people were asked".to_owned()
        } else if then.runbook_digest != now.runbook_digest {
            format!("the catalogue has another version of {} than people were asked about", then.runbook)
        } else if !same {
            "what would be done is not what people were asked about".to_owned()
        } else if !holds {
            "the charter does not name an approver any more who had agreed, or not for this clinic".to_owned()
        } else if asked.needed != needed as u64 {
            format!("policy wants {needed} approvers by now, not {}; or it never runs it", asked.needed)
        } else {
            return Ok(Ok(()));
        }))
    }

    /// Asks people about an order that no guardrail but the tenth refuses.
    pub(super) fn ask_people(
        &mut self,
        row: &IncidentRow,
        core: &OrderCore,
        needed: usize,
        now: Millis,
    ) -> Result<(), CoreError> {
        let before = self.store.asked_about(row.id)?;
        if before.len() >= ASKED_MOST {
            let last = before.last().map(|asked| asked.reason.as_str()).unwrap_or_default();
            let why = format!("approvers were asked {} times; the last time: {last}", before.len());
            return self.move_incident(row, Input::Unapproved, &why, now);
        }
        let known = self.approvers_in(core.tenant)?;
        let keys: BTreeSet<_> = known.iter().map(|one| &one.key).collect();
        if keys.len() < needed {
            let why = format!(
                "{} needs {needed} approvers, and the charter names {} for this clinic; see `control-plane charter renew \
                 --approver`",
                core.runbook,
                keys.len()
            );
            return self.move_incident(row, Input::Refused, &why, now);
        }
        let until = now.plus(self.settings.approval.min(APPROVAL_MAX));
        let core = OrderCore { approve_until: Some(until), ..core.clone() };
        let asked = AskedRow {
            order: core.id,
            tenant: core.tenant,
            appliance: core.appliance,
            incident: row.id,
            runbook: core.runbook.clone(),
            core: core.encode(),
            needed: needed as u64,
            asked: now,
            until,
            state: State::Waiting,
            reason: String::new(),
            ended: None,
        };
        self.store.add_asked(&asked)?;
        self.note_decision(&asked, Verdict::Asked, None, now);
        let reason = waits_for(&asked, 0);
        self.hold_back(row, &reason, now)?;
        self.notify_of_question(row, &reason, now)
    }

    /// Takes an approver's assertion over the core of an order that waits for it.
    pub fn approve(&mut self, order: &str, approval: Approval, now: Millis) -> Result<AskedRow, CoreError> {
        let asked = self.asked(order)?;
        if asked.state != State::Waiting || now >= asked.until {
            return Err(over(&asked, now));
        }
        // What came into the way is said now; the question is void at the box's next exchange, and asked anew.
        if let (Some(row), Some(box_)) =
            (self.store.incident(asked.incident)?, self.store.appliance(asked.appliance)?)
            && let Ok(core) = self.core_of(&box_, &row, &asked.runbook, now)
        {
            let needed = usize::try_from(asked.needed).unwrap_or(usize::MAX);
            self.is_still_asked(&asked, &core, needed)?.map_err(|why| {
                CoreError::Precondition(format!("{why}; they are asked anew when it calls next"))
            })?;
        }
        let known = &self.charter.document.approvers;
        let name = approval.approver.clone();
        self.must_approve_in(asked.tenant, &name)?;
        approvers(std::slice::from_ref(&approval), known, Digest::of(&asked.core))
            .map_err(|error| BadField::new("approval", chain(&error)))?;
        if !self.store.add_consent(asked.order, &approval, now)? {
            return Err(CoreError::Exists(format!(
                "{name} has agreed already; {} different people must",
                asked.needed
            )));
        }
        self.note_decision(&asked, Verdict::Approved, Some(name.clone()), now);
        self.changed(
            Some(asked.tenant),
            "approval",
            Value::Null,
            json!({ "order": asked.order, "approver": name }),
        );
        self.store.add_timeline(asked.incident, now, "approved", &format!("by {name}"))?;
        let agreed = self.store.consents(asked.order)?.len();
        let reason = if (agreed as u64) < asked.needed {
            waits_for(&asked, agreed)
        } else {
            let why = format!("approved by {agreed}; waits for its appliance until {}", asked.until);
            self.decide(&asked, Said::Enough, &why, None, now)?;
            self.wake.insert(asked.appliance);
            why
        };
        if let Some(row) = self.store.incident(asked.incident)? {
            let change = IncidentChange { retry: Some(now), ..Default::default() };
            self.change(&row, Input::HeldBack, &reason, change, now)?;
        }
        self.asked(order)
    }

    /// Somebody says no: the incident is a person's, and the reason stands there.
    pub fn reject(&mut self, order: &str, reason: &str, now: Millis) -> Result<AskedRow, CoreError> {
        let reason = text("reason", reason, 200)?;
        let asked = self.asked(order)?;
        if asked.state.is_over() {
            return Err(over(&asked, now));
        }
        let why = format!("rejected by {}: {reason}", self.acting.actor);
        self.decide(&asked, Said::No, &why, Some(Verdict::Rejected), now)?;
        if let Some(row) = self.store.incident(asked.incident)? {
            self.move_incident(&row, Input::Rejected, &why, now)?;
        }
        self.asked(order)
    }

    /// One question.
    pub fn asked(&self, order: &str) -> Result<AskedRow, CoreError> {
        let id = OrderId::from_field("order", order)?;
        let found = match self.store.asked(id)? {
            Some(row) => self.seen_appliance(row.appliance)?.map(|_| row),
            None => None,
        };
        found.ok_or_else(|| {
            CoreError::NotFound(format!(
                "nobody was asked about an order {id}; `control-plane approval list` shows what waits"
            ))
        })
    }

    /// Questions, newest first: those that wait, or all.
    pub fn all_asked(&self, tenant: &str, over: bool, most: u32) -> Result<Vec<AskedRow>, CoreError> {
        let most = if most == 0 { 100 } else { most.min(1000) };
        Ok(self.store.all_asked(self.within(tenant)?, over, most)?)
    }

    /// Who has agreed, by name in the charter.
    pub fn agreed(&self, asked: &AskedRow) -> Result<Vec<String>, CoreError> {
        Ok(self.store.consents(asked.order)?.into_iter().map(|consent| consent.approver).collect())
    }

    /// Whether people may still answer a question about an incident; or it was answered so lately that its box may not have
    /// called since.
    pub(super) fn is_asking(&self, incident: IncidentId, now: Millis) -> Result<bool, CoreError> {
        let stalls = |ended: Millis| ended.plus(self.settings.stall_after);
        let goes_on = |asked: &AskedRow| match asked.ended {
            None => now < asked.until,
            Some(ended) => now < stalls(ended),
        };
        Ok(self.store.asked_about(incident)?.iter().any(goes_on))
    }

    /// Ends questions whose time is over.
    pub(super) fn end_questions(&mut self, now: Millis) -> Result<(), CoreError> {
        for asked in self.store.asked_in_vain(now)? {
            self.asked_in_vain(&asked, now)?;
        }
        Ok(())
    }

    /// Nobody, or not enough, agreed in time, or the box did not call. They are asked again once.
    fn asked_in_vain(&mut self, asked: &AskedRow, now: Millis) -> Result<(), CoreError> {
        let why = match asked.state {
            State::Granted => format!("it was approved, but could not be ordered before {}", asked.until),
            _ => format!("not approved before {}", asked.until),
        };
        self.decide(asked, Said::TooLate, &why, Some(Verdict::Expired), now)?;
        let Some(row) = self.store.incident(asked.incident)? else { return Ok(()) };
        let all = self.store.asked_about(asked.incident)?;
        if all.iter().filter(|one| one.state == State::Expired).count() >= IN_VAIN_MOST {
            return self.move_incident(&row, Input::Unapproved, &format!("{why}, for the second time"), now);
        }
        let change = IncidentChange { retry: Some(now), ..Default::default() };
        self.change(&row, Input::HeldBack, &format!("{why}; approvers are asked once more"), change, now)?;
        self.wake.insert(asked.appliance);
        Ok(())
    }

    /// An incident is over: nobody needs to agree to anything any more.
    pub(super) fn asking_is_over(
        &mut self,
        incident: IncidentId,
        reason: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        for asked in self.store.asked_about(incident)?.iter().filter(|asked| !asked.state.is_over()) {
            self.decide(asked, Said::Changed, reason, None, now)?;
        }
        Ok(())
    }

    /// The order that people agreed to is signed; they have agreed to no other.
    pub(super) fn approval_was_used(&mut self, order: OrderId, now: Millis) -> Result<(), CoreError> {
        match self.store.asked(order)? {
            Some(asked) => self.decide(&asked, Said::Signed, "the order is signed", None, now),
            None => Ok(()),
        }
    }

    fn decide(
        &mut self,
        asked: &AskedRow,
        said: Said,
        why: &str,
        verdict: Option<Verdict>,
        now: Millis,
    ) -> Result<(), CoreError> {
        let next = asked.state.on(said).map_err(|error| CoreError::Precondition(error.to_string()))?;
        self.store.move_asked(asked, next, why, now)?;
        // Of what people did; the rest follows from it, or from time.
        if matches!(said, Said::No | Said::Enough) {
            let before = json!({ "order": asked.order, "state": asked.state.name() });
            let after = json!({ "order": asked.order, "state": next.name(), "reason": why });
            self.changed(Some(asked.tenant), "approval", before, after);
        }
        let verdict = if next == State::Void { Some(Verdict::Void) } else { verdict };
        if let Some(verdict) = verdict {
            self.note_decision(asked, verdict, None, now);
            let word = verdict.as_str();
            self.store.add_timeline(asked.incident, now, word, why)?;
        }
        Ok(())
    }

    fn note_decision(&mut self, asked: &AskedRow, verdict: Verdict, approver: Option<String>, now: Millis) {
        let deed = Deed::Decision {
            order: asked.order,
            incident: asked.incident,
            appliance: asked.appliance,
            runbook: asked.runbook.clone(),
            core: Digest::of(&asked.core),
            verdict,
            approver,
        };
        self.note_act(asked.tenant, deed, now);
    }
}

fn waits_for(asked: &AskedRow, agreed: usize) -> String {
    format!("waits for approval: order {}, {agreed} of {} until {}", asked.order, asked.needed, asked.until)
}

fn over(asked: &AskedRow, now: Millis) -> CoreError {
    CoreError::Precondition(match asked.state {
        State::Waiting => format!("its time was over {}; it is {now}", asked.until),
        state => format!("it is {}: {}", state.name(), asked.reason),
    })
}
