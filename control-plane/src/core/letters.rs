//! Letters to people: written with the change that they tell of, taken out by the senders, and what became of them.
//!
//! The rule: a try is noted before it begins. One that a power cut broke off is made again under the same key, and the sender
//! knows that somebody may have the letter already.

use std::time::Duration;

use proto::{field::BadField, time::Millis};
use serde_json::json;

use super::{Core, CoreError, admin::limit};
use crate::{
    store::{EscalationRow, IncidentRow, NewNotification, NotificationRow, Telling},
    telling::{
        Message, News, Outcome, RECIPIENTS, retry, thread_to,
        ticket::{Change, Ticket},
    },
};

/// Letters of one channel that are taken out at once.
const AT_ONCE: u32 = 16;
/// A try of which nothing was heard for so long was broken off.
const TRY_FOR: Duration = Duration::from_secs(180);

/// A letter that is to be sent now.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// What it is.
    pub row: NotificationRow,
    /// What it says.
    pub message: Message,
    /// The ticket of its thread.
    pub ticket: Option<Ticket>,
    /// Whether a ticket that is found can only be this letter's: it was tried before, and no other of its thread ever was.
    pub found_is_its_own: bool,
}

impl Core {
    /// Puts a letter to each of these channels into the outbox.
    pub(super) fn write(
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
            tenant: self.tenant_named(row.tenant)?,
            site: site.map(|site| site.name).unwrap_or_default(),
            appliance: row.appliance,
            fault: row.kind.clone(),
            watch: row.watch.clone(),
            reason: reason.to_owned(),
            opened: row.opened,
            at: now,
            urgent: escalation.urgent,
            by: escalation.acknowledged_by.clone(),
            to: String::new(),
        };
        for (channel, due) in letters {
            // Each of a clinic's recipients has letters of their own: one whose server refuses holds up no other.
            let ends = match channel.as_str() {
                RECIPIENTS => self.store.recipients(row.tenant)?,
                _ => vec![String::new()],
            };
            for to in ends {
                let thread = if to.is_empty() {
                    escalation.thread.clone()
                } else {
                    thread_to(&escalation.thread, &to)
                };
                let body = serde_json::to_string(&Message { to, ..message.clone() })
                    .map_err(|_| CoreError::Precondition("a letter cannot be written".into()))?;
                let key = format!("msg_{}", hex::encode(self.random::<16>()));
                self.store.add_notification(
                    &NewNotification {
                        key: &key,
                        tenant: row.tenant,
                        incident: row.id,
                        channel,
                        thread: &thread,
                        news,
                        body: &body,
                        due: *due,
                    },
                    now,
                )?;
            }
            self.bound_waiting(channel, row.tenant)?;
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
            let found_is_its_own = row.begun > 0 && !self.store.was_another_begun(&row)?;
            self.store.notification_begun(row.id, now.plus(TRY_FOR))?;
            let ticket = self.store.ticket(self.settings.telling.desk(channel), &row.thread)?;
            all.push(Outgoing { row, message, ticket, found_is_its_own });
        }
        Ok(all)
    }

    /// What became of a try.
    pub fn told(&mut self, note: &NotificationRow, outcome: &Outcome, now: Millis) -> Result<(), CoreError> {
        let (channel, incident) = (&note.channel, note.incident);
        let desk = self.settings.telling.desk(channel);
        let (error, next) = match outcome {
            Outcome::Taken(change) => {
                match change {
                    Change::None => {}
                    Change::Open(number) => {
                        let ticket = Ticket { number: number.clone(), closed: false };
                        self.store.put_ticket(desk, &note.thread, &ticket, now)?;
                    }
                    Change::Closed => {
                        if let Some(ticket) = self.store.ticket(desk, &note.thread)? {
                            let ticket = Ticket { closed: true, ..ticket };
                            self.store.put_ticket(desk, &note.thread, &ticket, now)?;
                        }
                    }
                }
                return Ok(self.store.notification_sent(note.id)?);
            }
            Outcome::Later(error, asked) => (error.as_str(), retry::LETTERS.again(note.attempts + 1, *asked)),
            Outcome::Never(error) => (error.as_str(), None),
            Outcome::TicketLost => {
                self.store.forget_ticket(desk, &note.thread)?;
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
        let tenant = self.tenant_named(row.tenant)?;
        if !self.settings.telling.hears(&row.channel, &tenant) {
            let problem = format!(
                "is a letter about {} to {:?}; the settings name no channel of that name that hears of it",
                tenant.name, row.channel
            );
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
}
