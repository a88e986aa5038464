//! Letters to people: written with the change that they tell of, taken out by the senders, and what became of them.
//!
//! The rule: a try is noted before it begins. One that a power cut broke off is made again under the same key, and the sender
//! knows that somebody may have the letter already. Whoever takes an incident on stops the chain, and that is an act.

use std::time::Duration;

use proto::{act::Deed, field::BadField, ids::TenantId, time::Millis};
use serde_json::{Value, json};

use super::{Core, CoreError, admin::limit, asking, incident::State};
use crate::{
    store::{EscalationRow, IncidentRow, NewNotification, NotificationRow, Telling, ToldRow},
    telling::{
        Message, Named, News, Outcome, chain, retry, thread,
        ticket::{Change, Ticket},
    },
};

/// Letters of one channel that are taken out at once.
const AT_ONCE: u32 = 16;
/// A try of which nothing was heard for so long was broken off.
const TRY_FOR: Duration = Duration::from_secs(180);

/// What became of telling people of an incident.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Whether they were; `None`: nobody was to be.
    pub told: Option<ToldRow>,
    /// Where the chain stands; `None`: there is none.
    pub escalation: Option<EscalationRow>,
}

/// A letter that is to be sent now.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// What it is.
    pub row: NotificationRow,
    /// What it says.
    pub message: Message,
    /// The ticket of its thread.
    pub ticket: Option<Ticket>,
    /// Whether a letter of its thread was tried before, so that there may be a ticket which we do not know of.
    pub is_repeated: bool,
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
        let round = chain::round(&self.settings.telling, &self.clinic_of(row.tenant)?, 0, urgent, now);
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
            let clinic = self.clinic_of(row.tenant)?;
            let round = chain::round(&self.settings.telling, &clinic, step, escalation.urgent, now);
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

    /// A clinic leaves: nobody is called for it any more, and who was hears so.
    pub(super) fn end_chains(&mut self, tenant: TenantId, why: &str, now: Millis) -> Result<(), CoreError> {
        for escalation in self.store.escalations_of(tenant)? {
            if let Some(row) = self.store.incident(escalation.incident)? {
                self.fault_is_gone(&row, why, now)?;
            }
        }
        Ok(())
    }

    fn clinic_of(&self, tenant: TenantId) -> Result<Named, CoreError> {
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
        let known = self.store.channels_of(row.id)?;
        let known = known.into_iter().filter(|channel| rules.channels.contains_key(channel));
        let letters: Vec<(String, Millis)> = known
            .map(|channel| {
                let heard = chain::heard(rules, &channel, escalation.urgent, now);
                (channel, heard)
            })
            .collect();
        self.write(row, escalation, news, reason, &letters, now)
    }

    fn write(
        &mut self,
        row: &IncidentRow,
        escalation: &EscalationRow,
        news: News,
        reason: &str,
        letters: &[(String, Millis)],
        now: Millis,
    ) -> Result<(), CoreError> {
        let site = match self.store.appliance(row.appliance)? {
            Some(appliance) => {
                self.store.sites(row.tenant)?.into_iter().find(|site| site.id == appliance.site)
            }
            None => None,
        };
        let message = Message {
            kind: news.event().to_owned(),
            incident: row.id,
            tenant: self.clinic_of(row.tenant)?,
            site: site.map(|site| site.name).unwrap_or_default(),
            appliance: row.appliance,
            fault: row.kind.clone(),
            watch: row.watch.clone(),
            reason: reason.to_owned(),
            opened: row.opened,
            at: now,
            urgent: escalation.urgent,
            by: escalation.acknowledged_by.clone(),
        };
        let body = serde_json::to_string(&message)
            .map_err(|_| CoreError::Precondition("a letter cannot be written".into()))?;
        for (channel, due) in letters {
            let key = format!("msg_{}", hex::encode(self.random::<16>()));
            self.store.add_notification(
                &NewNotification {
                    key: &key,
                    tenant: row.tenant,
                    incident: row.id,
                    channel,
                    thread: &escalation.thread,
                    news,
                    body: &body,
                    due: *due,
                },
                now,
            )?;
        }
        Ok(())
    }

    /// What a channel is to tell now. A try of each begins.
    pub fn to_tell(&mut self, channel: &str, now: Millis) -> Result<Vec<Outgoing>, CoreError> {
        let mut all = Vec::new();
        for row in self.store.notifications_due(channel, now, AT_ONCE)? {
            let Ok(message) = serde_json::from_str(&row.body) else {
                self.store.notification_failed(row.id, None, "it cannot be read in the database")?;
                continue;
            };
            let is_repeated = self.store.was_begun(channel, &row.thread)?;
            self.store.notification_begun(row.id, now.plus(TRY_FOR))?;
            let ticket = self.store.ticket(channel, &row.thread)?;
            all.push(Outgoing { row, message, ticket, is_repeated });
        }
        Ok(all)
    }

    /// What became of a try.
    pub fn told(&mut self, note: &NotificationRow, outcome: &Outcome, now: Millis) -> Result<(), CoreError> {
        let (channel, incident) = (&note.channel, note.incident);
        let (error, next) = match outcome {
            Outcome::Taken(change) => {
                match change {
                    Change::None => {}
                    Change::Open(number) => {
                        let ticket = Ticket { number: number.clone(), closed: false };
                        self.store.put_ticket(channel, &note.thread, &ticket, now)?;
                    }
                    Change::Closed => {
                        if let Some(ticket) = self.store.ticket(channel, &note.thread)? {
                            let ticket = Ticket { closed: true, ..ticket };
                            self.store.put_ticket(channel, &note.thread, &ticket, now)?;
                        }
                    }
                }
                return Ok(self.store.notification_sent(note.id)?);
            }
            Outcome::Later(error, asked) => (error.as_str(), retry::LETTERS.again(note.attempts + 1, *asked)),
            Outcome::Never(error) => (error.as_str(), None),
            Outcome::TicketLost => {
                self.store.forget_ticket(channel, &note.thread)?;
                ("its ticket is not there any more", retry::LETTERS.again(note.attempts + 1, None))
            }
        };
        self.store.notification_failed(note.id, next.map(|wait| now.plus(wait)), error)?;
        match next {
            Some(_) => {
                tracing::warn!(%incident, channel, error, "{channel} could not be told of incident {incident}");
            }
            None => {
                tracing::error!(%incident, channel, error, "{channel} is not told of incident {incident}: a dead letter");
                self.store.add_timeline(incident, now, "untold", &format!("{channel}: {error}"))?;
            }
        }
        Ok(())
    }

    /// Letters, newest first.
    pub fn notifications(
        &self,
        tenant: &str,
        state: &str,
        most: u32,
    ) -> Result<Vec<NotificationRow>, CoreError> {
        let state = if state.is_empty() { None } else { Some(state.parse::<Telling>()?) };
        Ok(self.store.notifications(self.within(tenant)?, state, limit(most))?)
    }

    /// Tries a dead letter again, from the beginning.
    pub fn retry_notification(&mut self, key: &str, now: Millis) -> Result<NotificationRow, CoreError> {
        let missing = || CoreError::NotFound(format!("there is no notification {key:?}"));
        let row = self.store.notification(key)?.ok_or_else(missing)?;
        self.seen_incident("key", &row.incident.to_string()).map_err(|_| missing())?;
        if !self.settings.telling.channels.contains_key(&row.channel) {
            let problem =
                format!("is a letter to {:?}, a channel that the settings do not name", row.channel);
            return Err(BadField::new("key", problem).into());
        }
        if !self.store.revive_notification(row.id, now)? {
            let state = row.telling;
            return Err(CoreError::Precondition(format!(
                "notification {key} is {state}; only a dead one is tried again"
            )));
        }
        self.changed(Some(row.tenant), "notification", json!("dead"), json!("due"));
        // What is over by now must not look as if it were not, where its end was told before its beginning.
        let escalation = self.store.escalation(row.incident)?.filter(|escalation| escalation.gone);
        if let (Some(escalation), true) = (escalation, row.news.calls()) {
            let (incident, _) = self.incident(&row.incident.to_string())?;
            let letters = [(row.channel.clone(), now)];
            self.write(
                &incident,
                &escalation,
                News::Gone,
                "it was over before it could be told",
                &letters,
                now,
            )?;
        }
        self.store.notification(key)?.ok_or_else(missing)
    }

    /// Letters to channels that the settings do not name any more are nobody's to send.
    pub(super) fn bury_strangers(&self) -> Result<(), CoreError> {
        let clinics = self.store.tenants()?;
        for (channel, only) in &self.settings.telling.only {
            for name in only {
                if !clinics.iter().any(|clinic| *name == clinic.name || *name == clinic.id.to_string()) {
                    tracing::warn!(
                        channel,
                        clinic = name,
                        "channel {channel} is for {name:?}, and there is no such clinic"
                    );
                }
            }
        }
        for channel in self.store.channels_waited_for()? {
            if !self.settings.telling.channels.contains_key(&channel) {
                self.store.bury_notifications(&channel, "the settings do not name this channel any more")?;
            }
        }
        Ok(())
    }
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
