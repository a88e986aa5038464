//! `[escalation]`: who is told of what needs a person, by which channels, in which order, and who is not to be disturbed when.
//!
//! No secret stands here: places of their own have them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use http::Uri;
use runbooks::Window;
use serde::Deserialize;

use super::{
    ConfigError, Secret,
    channel::{Channel, FileChannel, Way},
    value::{bad, webhook, within},
};
use crate::{
    mode::{self, Running},
    telling::{RECIPIENTS, Rules, Step},
};

pub(super) const STALL_MINUTES: i64 = 30;
pub(super) const STALL_MINUTES_MAX: i64 = 7 * 24 * 60;
pub(super) const SILENT_MINUTES: i64 = 30;
pub(super) const SILENT_MINUTES_MIN: i64 = 10;
const REPEAT_MINUTES_MIN: i64 = 5;
const FEED_MINUTES: i64 = 5;
/// Of such a fault a person must hear at once, unless said otherwise.
const URGENT: [&str; 4] = ["appliance.quarantined", "appliance.silent", "baseline.broken", "log.*"];
/// The channel that `webhook` under `[escalation]` is.
const WEBHOOK: &str = "webhook";
const STEPS_MAX: usize = 10;

/// `[escalation]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// Ways to people, by name.
    pub channels: Vec<Channel>,
    /// Who is told when.
    pub rules: Rules,
    /// An incident that has not moved for this long is escalated.
    pub stall: Duration,
    /// A box of which nothing was heard for so long is silent.
    pub silent: Duration,
    /// Whom to tell that this server is well, so that somebody else rings when it is not.
    pub deadman: Option<Deadman>,
}

/// `[escalation.deadman]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadman {
    /// What is asked for.
    pub url: Uri,
    /// By GET, or by POST.
    pub post: bool,
    /// How often.
    pub every: Duration,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct FileEscalation {
    webhook: Option<String>,
    webhook_secret_file: Option<String>,
    stall_minutes: Option<i64>,
    silent_minutes: Option<i64>,
    urgent: Option<Vec<String>>,
    repeat_minutes: Option<i64>,
    #[serde(default)]
    channel: Vec<FileChannel>,
    #[serde(default)]
    step: Vec<FileStep>,
    deadman: Option<FileDeadman>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStep {
    after_minutes: Option<i64>,
    tell: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileDeadman {
    url: String,
    method: Option<String>,
    every_minutes: Option<i64>,
}

impl FileEscalation {
    pub(super) fn check(self, sends_mail: bool, running: &Running) -> Result<Escalation, ConfigError> {
        let minutes =
            |key, value, bounds| within(key, value, bounds).map(|all| Duration::from_secs(all * 60));
        let mut channels = Vec::new();
        match (self.webhook, self.webhook_secret_file) {
            (Some(url), secret) => channels.push(Channel {
                name: WEBHOOK.to_owned(),
                quiet: Vec::new(),
                tenants: Vec::new(),
                way: Way::Webhook {
                    url: webhook("escalation.webhook", url)?,
                    secret: secret
                        .map(|place| Secret::parse("escalation.webhook_secret_file", &place))
                        .transpose()?,
                },
            }),
            (None, Some(_)) => {
                let allowed = "given along with escalation.webhook";
                return Err(bad("escalation.webhook_secret_file", "alone", allowed));
            }
            (None, None) => {}
        }
        for channel in self.channel {
            channels.push(channel.check(sends_mail)?);
        }
        // The chain is of those that the file names; who hears beside them hears with the first.
        let beside = sends_mail && mode::of(running.mode).tells_recipients;
        if beside {
            let (name, way) = (RECIPIENTS.to_owned(), Way::Recipients);
            channels.push(Channel { name, quiet: Vec::new(), tenants: Vec::new(), way });
        }
        let names: BTreeMap<String, Vec<Window>> =
            channels.iter().map(|channel| (channel.name.clone(), channel.quiet.clone())).collect();
        if names.len() < channels.len() {
            let twice = channels.iter().enumerate().find_map(|(at, channel)| {
                channels[..at].iter().any(|other| other.name == channel.name).then_some(&channel.name)
            });
            let name = twice.map_or("", String::as_str);
            return Err(bad("escalation.channel.name", name, "another name for each channel"));
        }
        let again = self
            .repeat_minutes
            .map(|all| minutes("escalation.repeat_minutes", all, (REPEAT_MINUTES_MIN, STALL_MINUTES_MAX)));
        let rules = Rules {
            steps: steps(self.step, &names, beside)?,
            channels: names,
            only: channels
                .iter()
                .filter(|channel| !channel.tenants.is_empty())
                .map(|channel| (channel.name.clone(), channel.tenants.clone()))
                .collect(),
            desks: channels.iter().filter_map(|it| Some((it.name.clone(), it.desk()?))).collect(),
            again: again.transpose()?,
            urgent: match self.urgent {
                Some(urgent) => urgent.into_iter().map(pattern).collect::<Result<_, _>>()?,
                None => URGENT.map(str::to_owned).to_vec(),
            },
        };
        Ok(Escalation {
            channels,
            rules,
            stall: minutes(
                "escalation.stall_minutes",
                self.stall_minutes.unwrap_or(STALL_MINUTES),
                (1, STALL_MINUTES_MAX),
            )?,
            silent: minutes(
                "escalation.silent_minutes",
                self.silent_minutes.unwrap_or(SILENT_MINUTES),
                (SILENT_MINUTES_MIN, STALL_MINUTES_MAX),
            )?,
            deadman: self.deadman.map(FileDeadman::check).transpose()?,
        })
    }
}

/// The chain; without one, everybody is told at once.
fn steps(
    mut steps: Vec<FileStep>,
    names: &BTreeMap<String, Vec<Window>>,
    beside: bool,
) -> Result<Vec<Step>, ConfigError> {
    if steps.is_empty() {
        return Ok(Rules::at_once(names.clone()).steps);
    }
    if steps.len() > STEPS_MAX {
        let allowed = format!("at most {STEPS_MAX} steps");
        return Err(bad("escalation.step", &steps.len().to_string(), allowed));
    }
    let first = steps.first_mut().filter(|first| beside && !first.tell.iter().any(|name| name == RECIPIENTS));
    if let Some(first) = first {
        first.tell.push(RECIPIENTS.to_owned());
    }
    let steps: Vec<Step> = steps
        .into_iter()
        .enumerate()
        .map(|(at, step)| {
            let minutes = step.after_minutes.unwrap_or(0);
            let bounds = if at == 0 { (0, 0) } else { (1, STALL_MINUTES_MAX) };
            let after = within("escalation.step.after_minutes", minutes, bounds)?;
            if step.tell.is_empty() {
                return Err(bad("escalation.step.tell", "[]", "one channel or more"));
            }
            if let Some(stranger) = step.tell.iter().find(|name| !names.contains_key(*name)) {
                let known: Vec<&str> = names.keys().map(String::as_str).collect();
                let allowed = format!("the name of a channel: {}", known.join(", "));
                return Err(bad("escalation.step.tell", stranger, allowed));
            }
            Ok(Step { after: Duration::from_secs(after * 60), tell: step.tell })
        })
        .collect::<Result<_, _>>()?;
    match names.keys().find(|name| !steps.iter().any(|step| step.tell.contains(*name))) {
        Some(idle) => {
            Err(bad("escalation.step.tell", idle, "in some step, or no channel: it would never be told"))
        }
        None => Ok(steps),
    }
}

fn pattern(text: String) -> Result<String, ConfigError> {
    let fault = text.strip_suffix('*').unwrap_or(&text);
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    if fault.bytes().all(plain) && !text.is_empty() {
        return Ok(text);
    }
    Err(bad(
        "escalation.urgent",
        &text,
        "faults, such as \"backup.stale\", or their beginning, such as \"log.*\"",
    ))
}

impl FileDeadman {
    fn check(self) -> Result<Deadman, ConfigError> {
        let every = within(
            "escalation.deadman.every_minutes",
            self.every_minutes.unwrap_or(FEED_MINUTES),
            (1, 24 * 60),
        )?;
        Ok(Deadman {
            url: webhook("escalation.deadman.url", self.url)?,
            post: match self.method.as_deref() {
                None | Some("GET") => false,
                Some("POST") => true,
                Some(other) => return Err(bad("escalation.deadman.method", other, "\"GET\" or \"POST\"")),
            },
            every: Duration::from_secs(every * 60),
        })
    }
}

impl Escalation {
    /// Whether the secrets that the settings name are there.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.channels.iter().try_for_each(|channel| {
            channel.secrets()?;
            match &channel.way {
                Way::Ticket { token: Some(token), .. } => token.client_secret.read().map(drop),
                _ => Ok(()),
            }
        })
    }

    /// Whether there are the tenants that channels are to hear of; `known` has the names and IDs of all. A server starts
    /// without them, and says so: one that is still to come may be named before it is there.
    pub fn check_tenants(&self, known: &BTreeSet<String>) -> Result<(), ConfigError> {
        match self.rules.strangers(known).into_iter().next() {
            None => Ok(()),
            Some((channel, name)) => {
                let right = format!(
                    "the name or ID of a clinic that this installation has, for channel {channel:?} to hear of; \
                     `control-plane tenant list` shows them"
                );
                Err(bad("escalation.channel.tenants", &name, right))
            }
        }
    }
}

/// This part of the file that `init` writes.
pub(super) fn template(webhook: Option<&str>) -> String {
    let webhook = match webhook {
        Some(url) => format!("webhook = {}", toml::Value::from(url)),
        None => "# webhook = \"https://alerts.example/orderly\"".to_owned(),
    };
    let urgent: Vec<String> = URGENT.iter().map(|fault| format!("{fault:?}")).collect();
    format!(
        r#"[escalation]
# Gets a POST (JSON) for every incident that needs a human. Without any channel, look at `control-plane incident list`.
{webhook}
# Where the secret is that it is signed with (Standard Webhooks): whsec_ and the base64 of 24 to 64 random bytes.
# webhook_secret_file = "/etc/orderly/webhook.secret"
# An incident that has not moved for this long is escalated: 1 to {STALL_MINUTES_MAX}.
stall_minutes = {STALL_MINUTES}
# An appliance of which nothing was heard for so long is an incident of its own: {SILENT_MINUTES_MIN} to {STALL_MINUTES_MAX}.
silent_minutes = {SILENT_MINUTES}
# Faults that do not wait until quiet hours are over; what needs an approver does not wait either.
# urgent = [{urgent}]
{channels}
# The chain: nobody acknowledged (`control-plane incident acknowledge`), so the next are told. Without it, all at once.
# [[escalation.step]]
# tell = ["desk", "chat", "psa"]
# [[escalation.step]]
# after_minutes = 15
# tell = ["pager"]
# And from the beginning again, under [escalation] above, until somebody does: {REPEAT_MINUTES_MIN} to {STALL_MINUTES_MAX}.
# repeat_minutes = 60

# Told that this server is well, while it is: whoever is behind this URL rings when nothing comes any more. It must not be on
# this machine. "GET" or "POST", each so many minutes: 1 to 1440.
# [escalation.deadman]
# url = "https://hc-ping.com/00000000-0000-0000-0000-000000000000"
# method = "GET"
# every_minutes = {FEED_MINUTES}
"#,
        urgent = urgent.join(", "),
        channels = super::channel::TEMPLATE,
    )
}
