//! Telling people: who hears of what, when, and in which words. No clock, no socket, no database: those are arguments.
//!
//! The rule: whatever is to be told is a letter in the outbox, written with the change that it tells of. A letter has one
//! key, the same at every try; letters of one thread (one condition of one box) reach a channel in their order. A letter
//! that cannot be delivered ends as a dead letter, and an operator sees it.
//!
//! ```text
//! incident ──> chain: which channels now ──> quiet: not before ──> outbox ──> webhook, mail, pager, ticket
//!                │ nobody acknowledged                              │ retry: again at
//!                └──> the next step                                 └──> dead letter ──> an operator
//! ```

pub mod chain;
pub mod hook;
pub mod mail;
pub mod pager;
pub mod quiet;
pub mod retry;
pub mod ticket;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proto::{
    digest::Digest,
    ids::{ApplianceId, IncidentId, TenantId, WatchId},
    time::Millis,
};
use runbooks::{Risk, Window};
use serde::{Deserialize, Serialize};

/// The channel by which a clinic's own recipients hear of its incidents, where the mode says that they do.
pub const RECIPIENTS: &str = "recipients";

/// Who is told of what needs a person, in which order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// Channels by name, and when each is not to be disturbed.
    pub channels: BTreeMap<String, Vec<Window>>,
    /// Channels that hear of some tenants alone: their names or IDs. All others hear of all.
    pub only: BTreeMap<String, Vec<String>>,
    /// Where the tickets of channels are that open some: another system, or another account of it, is another desk.
    pub desks: BTreeMap<String, String>,
    /// The chain: whom first, whom when nobody took it on.
    pub steps: Vec<Step>,
    /// How long after the last step it begins anew; `None`: it has an end.
    pub again: Option<Duration>,
    /// Faults that do not wait until quiet hours are over: `log.halted`, or `log.*`.
    pub urgent: Vec<String>,
}

/// One step of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// How long after the step before, if nobody acknowledged.
    pub after: Duration,
    /// Which channels.
    pub tell: Vec<String>,
}

proto::vocabulary! {
    /// What a letter is about.
    pub enum News as "news" {
        /// It needs a person.
        Raised = "raised",
        /// An order waits for approval.
        Asked = "asked",
        /// There is more of it than was told.
        Grown = "grown",
        /// A person took it on.
        Acknowledged = "acknowledged",
        /// The fault is gone.
        Gone = "gone",
    }
}

/// What is told, as it was when it was written. As JSON it is what webhooks get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `incident.escalated` and its like.
    #[serde(rename = "type")]
    pub kind: String,
    /// About which incident.
    pub incident: IncidentId,
    /// Whose.
    pub tenant: Named,
    /// Where it stands; empty: nobody knows.
    #[serde(default)]
    pub site: String,
    /// Which box.
    pub appliance: ApplianceId,
    /// The fault.
    pub fault: String,
    /// On what.
    pub watch: WatchId,
    /// Why a person must hear of it, or what became of it.
    pub reason: String,
    /// Since when.
    pub opened: Millis,
    /// When this was written.
    pub at: Millis,
    /// Whether it does not wait.
    #[serde(default)]
    pub urgent: bool,
    /// Who acknowledged it; empty: nobody.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Which of a clinic's recipients it goes to; empty: it goes where its channel goes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to: String,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its ID.
    pub id: TenantId,
    /// What people call it.
    pub name: String,
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken; and what that means for the thread's ticket.
    Taken(ticket::Change),
    /// Not now; and for how long we were asked to wait.
    Later(String, Option<Duration>),
    /// Never.
    Never(String),
    /// The thread's ticket is not there any more: another is to be opened.
    TicketLost,
}

impl News {
    /// Whether it calls somebody.
    #[must_use]
    pub fn calls(self) -> bool {
        matches!(self, Self::Raised | Self::Asked | Self::Grown)
    }

    /// What webhooks call it.
    #[must_use]
    pub fn event(self) -> &'static str {
        match self {
            Self::Raised => "incident.escalated",
            Self::Asked => "approval.asked",
            Self::Grown => "incident.grown",
            Self::Acknowledged => "incident.acknowledged",
            Self::Gone => "incident.gone",
        }
    }
}

impl Message {
    /// In one line, at most `most` characters: for a subject, a summary, a title.
    #[must_use]
    pub fn title(&self, most: usize) -> String {
        let said = match self.kind.as_str() {
            "incident.gone" => "Over: ",
            "incident.acknowledged" => "Taken on: ",
            "approval.asked" => "Approval: ",
            _ if self.urgent => "URGENT: ",
            _ => "",
        };
        plain(&format!("{said}{} on {} at {}", self.fault, self.watch, self.tenant.name), most)
    }

    /// In a few lines.
    #[must_use]
    pub fn text(&self) -> String {
        let place = if self.site.is_empty() { String::new() } else { format!(", {}", self.site) };
        let said = match self.kind.as_str() {
            "incident.gone" => "It is over",
            "incident.acknowledged" => "A person took it on",
            "incident.grown" => "There is more of it",
            "approval.asked" => "It needs people to agree",
            _ => "It needs a person",
        };
        let by = if self.by.is_empty() { String::new() } else { format!(" ({})", self.by) };
        format!(
            "{said}{by}: {}\n\nClinic: {}{place}\nAppliance: {}\nFault: {} on {}\nSince: {}\nIncident: {}\n",
            self.reason, self.tenant.name, self.appliance, self.fault, self.watch, self.opened, self.incident
        )
    }
}

/// What all letters about one condition of one box have in common, for ever.
#[must_use]
pub fn thread(appliance: ApplianceId, fault: &str, watch: &WatchId) -> String {
    Digest::of(format!("{appliance} {fault} {watch}").as_bytes()).to_string()[..32].to_owned()
}

/// The same of the letters to one of a clinic's recipients.
#[must_use]
pub fn thread_to(thread: &str, to: &str) -> String {
    Digest::of(format!("{thread} {to}").as_bytes()).to_string()[..32].to_owned()
}

impl Rules {
    /// All of these channels at once, and that is all.
    #[must_use]
    pub fn at_once(channels: BTreeMap<String, Vec<Window>>) -> Self {
        let all = Step { after: Duration::ZERO, tell: channels.keys().cloned().collect() };
        Self { steps: if channels.is_empty() { vec![] } else { vec![all] }, channels, ..Self::default() }
    }

    /// Whether a channel is there and hears of a tenant. Nothing about a tenant is written, kept or sent to one that does not.
    #[must_use]
    pub fn hears(&self, channel: &str, tenant: &Named) -> bool {
        let only = self.only.get(channel);
        let is_meant = |one: &String| *one == tenant.name || *one == tenant.id.to_string();
        self.channels.contains_key(channel) && only.is_none_or(|only| only.iter().any(is_meant))
    }

    /// Channels, and by which names they are to hear of tenants that there are not; `known` has the names and IDs of those
    /// that there are.
    #[must_use]
    pub fn strangers(&self, known: &BTreeSet<String>) -> Vec<(String, String)> {
        let pairs = self.only.iter().flat_map(|(channel, only)| only.iter().map(move |name| (channel, name)));
        let strange = pairs.filter(|(_, name)| !known.contains(*name));
        strange.map(|(channel, name)| (channel.clone(), name.clone())).collect()
    }

    /// Where a channel's tickets are; one that opens none has none.
    #[must_use]
    pub fn desk<'d>(&'d self, channel: &'d str) -> &'d str {
        self.desks.get(channel).map_or(channel, String::as_str)
    }

    /// The chain of a tenant: who does not hear of it is not in it, nor is a step that would tell nobody.
    #[must_use]
    pub fn steps_of(&self, tenant: &Named) -> Vec<Step> {
        let of_tenant = |step: &Step| Step {
            after: step.after,
            tell: step.tell.iter().filter(|channel| self.hears(channel, tenant)).cloned().collect(),
        };
        self.steps.iter().map(of_tenant).filter(|step| !step.tell.is_empty()).collect()
    }

    /// Whether a fault does not wait until quiet hours are over: it is on the list, or what would mend it needs an approver.
    #[must_use]
    pub fn is_urgent(&self, fault: &str, risk: Option<Risk>) -> bool {
        let named = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => fault.starts_with(beginning),
            None => pattern == fault,
        };
        self.urgent.iter().any(named) || matches!(risk, Some(Risk::High | Risk::Destructive))
    }
}

/// What an answer over HTTP means for a letter: whether it was taken, may be later, or never will be.
pub fn judge(status: u16, said: &str, asked: Option<Duration>) -> Result<(), Outcome> {
    let why = || format!("the receiver answered {status}: {said}");
    match status {
        200..=299 => Ok(()),
        // It has read the letter, and will say the same again. About keys, places and haste an operator or time can help.
        400 | 405 | 406 | 410 | 411 | 413 | 414 | 415 | 422 => Err(Outcome::Never(why())),
        300..=399 => {
            let why = format!(
                "the receiver answered {status}: redirects are not followed; configure the final URL"
            );
            Err(Outcome::Later(why, None))
        }
        _ => Err(Outcome::Later(why(), asked)),
    }
}

/// Printable, on one line, at most so many characters.
#[must_use]
pub fn plain(text: &str, most: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = text.trim();
    match text.chars().count() > most {
        true => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Something to tell.
    pub(crate) fn message(news: News) -> Message {
        Message {
            kind: news.event().into(),
            incident: "0190a0c0-0000-7000-8000-000000000005".parse().unwrap(),
            tenant: Named {
                id: "0190a0c0-0000-7000-8000-000000000001".parse().unwrap(),
                name: "Elm Street Clinic".into(),
            },
            site: "Main".into(),
            appliance: "0190a0c0-0000-7000-8000-000000000003".parse().unwrap(),
            fault: "backup.stale".into(),
            watch: "records".parse().unwrap(),
            reason: "no runbook mends it".into(),
            opened: Millis(1_795_000_000_000),
            at: Millis(1_795_000_060_000),
            urgent: false,
            by: String::new(),
            to: String::new(),
        }
    }

    #[test]
    fn what_is_urgent_is_on_the_list_or_needs_an_approver() {
        let rules = Rules { urgent: vec!["log.*".into(), "appliance.silent".into()], ..Rules::default() };
        for (fault, risk, is) in [
            ("log.halted", None, true),
            ("appliance.silent", None, true),
            ("appliance.silently", None, false),
            ("backup.stale", Some(Risk::Medium), false),
            ("backup.stale", Some(Risk::High), true),
            ("backup.stale", Some(Risk::Destructive), true),
        ] {
            assert_eq!(rules.is_urgent(fault, risk), is, "{fault} {risk:?}");
        }
    }

    #[test]
    fn an_answer_is_taken_later_or_never() {
        let wait = Some(Duration::from_secs(30));
        for status in [200, 202, 204] {
            assert_eq!(judge(status, "", None), Ok(()));
        }
        for status in [401, 403, 404, 408, 425, 429, 500, 503, 599, 100] {
            assert!(
                matches!(judge(status, "no", wait), Err(Outcome::Later(_, asked)) if asked == wait),
                "{status}"
            );
        }
        for status in [301, 307] {
            assert!(
                matches!(judge(status, "", wait), Err(Outcome::Later(why, None)) if why.contains("final"))
            );
        }
        for status in [400, 410, 413, 422] {
            assert!(matches!(judge(status, "no", wait), Err(Outcome::Never(why)) if why.ends_with("no")));
        }
    }

    #[test]
    fn a_condition_of_a_box_is_one_thread() {
        let of = |fault: &str, watch: &str| {
            thread(message(News::Raised).appliance, fault, &watch.parse().unwrap())
        };
        assert_eq!(of("backup.stale", "records"), of("backup.stale", "records"));
        assert_ne!(of("backup.stale", "records"), of("backup.stale", "images"));
        assert_ne!(of("backup.stale", "records"), of("backup.failed", "records"));
        assert_eq!(of("backup.stale", "records").len(), 32);
    }

    #[test]
    fn letters_of_before_are_still_read() {
        let old = r#"{"type":"incident.escalated","incident":"0190a0c0-0000-7000-8000-000000000005",
            "tenant":{"id":"0190a0c0-0000-7000-8000-000000000001","name":"Elm"},
            "appliance":"0190a0c0-0000-7000-8000-000000000003","fault":"backup.stale","watch":"records",
            "reason":"why","opened":"2026-11-18T22:13:20.000Z","at":"2026-11-18T22:13:20.000Z"}"#;
        let read: Message = serde_json::from_str(old).unwrap();
        assert_eq!((read.site.as_str(), read.urgent), ("", false));
    }

    #[test]
    fn a_title_is_one_line_and_as_long_as_it_may_be() {
        let mut message = message(News::Raised);
        assert_eq!(message.title(100), "backup.stale on records at Elm Street Clinic");
        message.urgent = true;
        message.tenant.name = "Elm\r\nBcc: everybody@example".into();
        assert_eq!(message.title(100), "URGENT: backup.stale on records at Elm  Bcc: everybody@example");
        assert_eq!(message.title(20), "URGENT: backup.stal…");
    }
}
