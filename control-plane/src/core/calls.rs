//! Who is called about an incident, one after the other until somebody takes it on, and who hears that it is over.
//!
//! The rule: whoever takes an incident on stops the chain, and that is an act. Whoever was told of a fault hears that it is
//! gone, by the same channels, and its ticket is closed.

use proto::{
    act::Deed,
    ids::{ApplianceId, TenantId},
    time::Millis,
};
use serde_json::{Value, json};

use super::{Core, CoreError, LOG_HALTED, asking, incident::State, quarantine::WATCH};
use crate::{
    store::{ApplianceRow, EscalationRow, IncidentChange, IncidentRow, ToldRow},
    telling::{Named, News, chain, thread},
};

/// What became of telling people of an incident.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Whether they were; `None`: nobody was to be.
    pub told: Option<ToldRow>,
    /// Where the chain stands; `None`: there is none.
    pub escalation: Option<EscalationRow>,
}

impl Core {
    /// Calls people about an incident that is theirs, where there is a way to: the chain begins.
    pub(super) fn notify(&mut self, row: &IncidentRow, reason: &str, now: Millis) -> Result<(), CoreError> {
        let risk = row.runbook.as_ref().and_then(|id| self.catalogue.document.runbook(id));
        let urgent = self.settings.telling.is_urgent(&row.kind, risk.map(|entry| entry.runbook.risk));
        self.begin_chain(row, News::Raised, urgent, reason, now)
    }

    /// Asks people for their approval. A question runs out: it does not wait until quiet hours are over.
    pub(super) fn notify_of_question(
        &mut self,
        row: &IncidentRow,
        reason: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        self.begin_chain(row, News::Asked, true, reason, now)
    }

    fn begin_chain(
        &mut self,
        row: &IncidentRow,
        news: News,
        urgent: bool,
        reason: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        let round = chain::round(&self.settings.telling, &self.tenant_named(row.tenant)?, 0, urgent, now);
        if round.letters.is_empty() {
            return Ok(());
        }
        let mut escalation = EscalationRow { urgent, ..beginning(row) };
        go_on(&mut escalation, round.next);
        self.store.put_escalation(&escalation)?;
        self.write(row, &escalation, news, reason, &round.letters, now)
    }

    /// Tells those who were called that there is more of it.
    pub(super) fn notify_of_more(
        &mut self,
        row: &IncidentRow,
        reason: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        match self.store.escalation(row.id)? {
            Some(escalation) => self.tell_those_who_know(row, &escalation, News::Grown, reason, now),
            None => self.notify(row, reason, now),
        }
    }

    /// The fault of an incident that people were called for is gone.
    pub(super) fn fault_is_gone(
        &mut self,
        row: &IncidentRow,
        why: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        let Some(mut escalation) = self.store.escalation(row.id)?.filter(|it| !it.gone) else {
            return Ok(());
        };
        (escalation.gone, escalation.due) = (true, None);
        self.store.put_escalation(&escalation)?;
        self.tell_those_who_know(row, &escalation, News::Gone, why, now)
    }

    /// An operator takes an incident on: nobody else is called for it.
    pub fn acknowledge(&mut self, id: &str, now: Millis) -> Result<IncidentRow, CoreError> {
        let (row, _) = self.incident(id)?;
        if self.calls_for(&row)?.is_none() {
            let state = row.state.name();
            return Err(CoreError::Precondition(format!(
                "incident {id} is {state}; only what people were called for (escalated, or waiting for approval) can \
                 be acknowledged"
            )));
        }
        let by = self.acting.actor.to_string();
        let mut escalation = self.store.escalation(row.id)?.unwrap_or_else(|| beginning(&row));
        if let Some(at) = escalation.acknowledged {
            // Whoever asks again after a lost answer is not refused.
            return match escalation.acknowledged_by == by {
                true => Ok(row),
                false => Err(CoreError::Precondition(format!(
                    "incident {id} was acknowledged by {} at {at}",
                    escalation.acknowledged_by
                ))),
            };
        }
        escalation.acknowledged = Some(now);
        escalation.acknowledged_by.clone_from(&by);
        escalation.due = None;
        self.store.put_escalation(&escalation)?;
        self.store.add_timeline(row.id, now, "acknowledged", &format!("by {by}"))?;
        self.changed(
            Some(row.tenant),
            "acknowledgement",
            Value::Null,
            json!({ "incident": row.id, "by": by }),
        );
        self.note_act(row.tenant, Deed::Acknowledgement { id: row.id, appliance: row.appliance }, now);
        let why = format!("acknowledged by {by}");
        self.tell_those_who_know(&row, &escalation, News::Acknowledged, &why, now)?;
        Ok(row)
    }

    /// What became of telling people of an incident, and who took it on.
    pub fn told_of(&self, incident: &IncidentRow) -> Result<Told, CoreError> {
        Ok(Told { told: self.store.told(incident.id)?, escalation: self.store.escalation(incident.id)? })
    }

    /// Calls the next of each chain that nobody has stopped.
    pub(super) fn climb(&mut self, now: Millis) -> Result<(), CoreError> {
        for mut escalation in self.store.escalations_due(now)? {
            let row = self.store.incident(escalation.incident)?;
            let news = row.as_ref().map_or(Ok(None), |row| self.calls_for(row))?;
            let (Some(row), Some(news)) = (row, news) else {
                escalation.due = None;
                self.store.put_escalation(&escalation)?;
                continue;
            };
            let step = usize::try_from(escalation.step).unwrap_or(usize::MAX);
            let tenant = self.tenant_named(row.tenant)?;
            let round = chain::round(&self.settings.telling, &tenant, step, escalation.urgent, now);
            go_on(&mut escalation, round.next);
            self.store.put_escalation(&escalation)?;
            if round.letters.is_empty() {
                continue;
            }
            let called: Vec<&str> = round.letters.iter().map(|(channel, _)| channel.as_str()).collect();
            let detail = format!("nobody acknowledged it; step {}: {}", step + 1, called.join(", "));
            self.store.add_timeline(row.id, now, "called", &detail)?;
            let reason = format!("{}; nobody has acknowledged it yet", row.reason);
            self.write(&row, &escalation, news, &reason, &round.letters, now)?;
        }
        Ok(())
    }

    /// What people are called for; `None`: nothing, or not any more.
    fn calls_for(&self, row: &IncidentRow) -> Result<Option<News>, CoreError> {
        Ok(match row.state {
            State::Escalated => Some(News::Raised),
            State::Planned => {
                let asked = self.store.asked_about(row.id)?;
                asked.iter().any(|asked| asked.state == asking::State::Waiting).then_some(News::Asked)
            }
            State::Open | State::Ordered | State::Resolved | State::Withdrawn => None,
        })
    }

    /// What people were called for about a box as a whole is over.
    pub(super) fn is_over(
        &mut self,
        appliance: ApplianceId,
        kind: &str,
        why: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        let escalations = self.store.escalations_in(&thread(appliance, kind, &WATCH.parse()?))?;
        self.end_all(escalations, |_| true, why, now)
    }

    /// A box is shut out for good: what people were called for about it is over. What is its clinic's and not its own goes on.
    pub(super) fn box_is_gone(
        &mut self,
        appliance: &ApplianceRow,
        why: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        let escalations = self.store.escalations_of(appliance.tenant)?;
        let its = |row: &IncidentRow| row.appliance == appliance.id && !is_of_tenant(&row.kind);
        self.end_all(escalations, its, why, now)
    }

    /// A clinic's log goes on after it was halted.
    pub(super) fn log_goes_on(&mut self, tenant: TenantId, why: &str, now: Millis) -> Result<(), CoreError> {
        let escalations = self.store.escalations_of(tenant)?;
        self.end_all(escalations, |row| row.kind == LOG_HALTED, why, now)
    }

    /// A clinic leaves: nobody is called for it any more, and who was hears so.
    pub(super) fn end_chains(&mut self, tenant: TenantId, why: &str, now: Millis) -> Result<(), CoreError> {
        let escalations = self.store.escalations_of(tenant)?;
        self.end_all(escalations, |_| true, why, now)
    }

    fn end_all(
        &mut self,
        escalations: Vec<EscalationRow>,
        is_meant: impl Fn(&IncidentRow) -> bool,
        why: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        for escalation in escalations {
            let Some(row) = self.store.incident(escalation.incident)?.filter(&is_meant) else { continue };
            // It stays a person's, as any fault does that goes away by itself after somebody was called.
            let gone = IncidentChange { present: Some(false), ..IncidentChange::default() };
            self.store.change_incident(&row, &gone, now)?;
            self.store.add_timeline(row.id, now, "over", why)?;
            self.fault_is_gone(&row, why, now)?;
        }
        Ok(())
    }

    pub(super) fn tenant_named(&self, tenant: TenantId) -> Result<Named, CoreError> {
        let name = self.store.tenant(tenant)?.map(|tenant| tenant.name).unwrap_or_default();
        Ok(Named { id: tenant, name })
    }

    fn tell_those_who_know(
        &mut self,
        row: &IncidentRow,
        escalation: &EscalationRow,
        news: News,
        reason: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        let rules = &self.settings.telling;
        let tenant = self.tenant_named(row.tenant)?;
        let known = self.store.channels_of(row.id)?.into_iter();
        let known = known.filter(|channel| rules.hears(channel, &tenant));
        let letters: Vec<(String, Millis)> = known
            .map(|channel| {
                let heard = chain::heard(rules, &channel, escalation.urgent, now);
                (channel, heard)
            })
            .collect();
        self.write(row, escalation, news, reason, &letters, now)
    }
}

/// Whether an incident is about the clinic, and hangs on one of its boxes because it must on some.
fn is_of_tenant(kind: &str) -> bool {
    kind.starts_with("log.") || kind.starts_with("packet.")
}

/// Nobody was called yet.
fn beginning(row: &IncidentRow) -> EscalationRow {
    EscalationRow {
        incident: row.id,
        tenant: row.tenant,
        thread: thread(row.appliance, &row.kind, &row.watch),
        urgent: false,
        step: 0,
        due: None,
        acknowledged: None,
        acknowledged_by: String::new(),
        gone: false,
    }
}

fn go_on(escalation: &mut EscalationRow, next: Option<(usize, Millis)>) {
    escalation.step = next.map_or(0, |(step, _)| step as u64);
    escalation.due = next.map(|(_, at)| at);
}
