//! Tells people: takes what is due from the core's outbox and sends it, over and over until somebody has taken it.
//!
//! The rule: each channel is served by itself, so that one which hangs holds up no other. What an answer means is decided in
//! [`crate::telling`]; here it is only carried.

use std::{sync::Arc, time::Duration};

use http::{Method, Request, Uri, header};
use lettre::Address;
use proto::time::Millis;
use serde_json::Value;
use tokio::task::JoinSet;

use super::{
    desk::Desk,
    listener::Stop,
    mail::Mailer,
    outside::{Answer, Outside, Reply},
    rounds::Rounds,
    token::Tokens,
    writer::Writer,
};
use crate::{
    config::{Channel, ConfigError, Secrets, Way},
    core::{deliveries::Posted, letters::Outgoing},
    telling::{Outcome, hook, judge, mail, pager, ticket::Change},
};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long one answer may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A way to one channel.
#[derive(Clone)]
pub struct Teller {
    channel: String,
    means: Means,
    outside: Outside,
    clock: fn() -> Millis,
}

#[derive(Clone)]
enum Means {
    /// To one address; `None`: to whom the letter says.
    Mail {
        to: Option<Address>,
        mailer: Arc<Mailer>,
        host: String,
    },
    Webhook {
        url: Uri,
        secret: Option<hook::Secret>,
    },
    PagerDuty {
        url: Uri,
        key: String,
    },
    Ticket(Arc<Desk>),
}

impl Teller {
    /// To `channel`, with what its files have. `mailer` is for those who get mail, `host` whose names their mails have.
    pub fn new(
        channel: &Channel,
        mailer: Option<&Arc<Mailer>>,
        host: &str,
        outside: Outside,
        clock: fn() -> Millis,
    ) -> Result<Self, ConfigError> {
        let secrets = channel.secrets()?;
        let means = match (&channel.way, secrets) {
            (Way::Mail { .. } | Way::Recipients, _) => {
                let to = if let Way::Mail { to } = &channel.way { Some(to.clone()) } else { None };
                let mailer = mailer.ok_or_else(|| ConfigError::Value {
                    key: "escalation.channel.kind",
                    value: "mail".to_owned(),
                    allowed: "along with [mail]".to_owned(),
                })?;
                Means::Mail { to, mailer: mailer.clone(), host: host.to_owned() }
            }
            (Way::Webhook { url, .. }, secrets) => {
                let secret = if let Secrets::Webhook(secret) = secrets { Some(secret) } else { None };
                Means::Webhook { url: url.clone(), secret }
            }
            (Way::PagerDuty { url, .. }, secrets) => {
                let key = if let Secrets::PagerDuty(key) = secrets { key } else { String::new() };
                Means::PagerDuty { url: url.clone(), key }
            }
            (Way::Ticket { template, headers, token, .. }, secrets) => {
                let mut headers = headers.clone();
                if let Secrets::Ticket(more) = secrets {
                    headers.extend(more);
                }
                let tokens = token.clone().map(|source| Tokens::new(source, clock)).transpose()?;
                Means::Ticket(Arc::new(Desk { template: template.as_ref().clone(), headers, tokens }))
            }
        };
        Ok(Self { channel: channel.name.clone(), means, outside, clock })
    }

    /// Sends one letter.
    pub async fn send(&self, letter: &Outgoing) -> Outcome {
        match &self.means {
            Means::Mail { to, mailer, host } => {
                let (row, message) = (&letter.row, &letter.message);
                let to = to.as_ref().map_or(message.to.as_str(), |address| address.as_ref());
                let letter = mail::letter(to, host, (&row.key, &row.thread), row.news, message);
                match mailer.post_letter(&letter, (self.clock)()).await {
                    Posted::Taken => Outcome::Taken(Change::None),
                    Posted::Later(why) => Outcome::Later(why, None),
                    Posted::Never(why) => Outcome::Never(why),
                }
            }
            Means::Webhook { url, secret } => {
                let (key, body) = (&letter.row.key, letter.row.body.clone().into_bytes());
                let seconds = (self.clock)().0.div_euclid(1000);
                let mut request = json(Method::POST, url, key)
                    .header("webhook-id", key)
                    .header("webhook-timestamp", seconds);
                if let Some(secret) = secret {
                    request = request.header("webhook-signature", secret.sign(key, seconds, &body));
                }
                taken(self.outside.call(request, body).await)
            }
            Means::PagerDuty { url, key } => {
                let row = &letter.row;
                let event = pager::event(key, &row.thread, row.news, &letter.message);
                let request = json(Method::POST, url, &row.key);
                taken(self.outside.call(request, event.to_string().into_bytes()).await)
            }
            Means::Ticket(desk) => desk.take(&self.outside, letter).await,
        }
    }
}

/// A request of JSON. The key is the same whenever the same letter is sent, so that it can be told apart.
pub(super) fn json(
    method: Method,
    url: impl TryInto<Uri, Error: Into<http::Error>>,
    key: &str,
) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", key)
}

/// The answer, if it judged well; else its status, if there was one, and what that means.
pub(super) fn answered(reply: Reply) -> Result<Answer, (Option<u16>, Outcome)> {
    match reply {
        Reply::Answered(answer) => match judge(answer.status, &answer.said(), answer.retry_after) {
            Ok(()) => Ok(answer),
            Err(outcome) => Err((Some(answer.status), outcome)),
        },
        Reply::TimedOut => {
            Err((None, Outcome::Later("the receiver did not answer in time".to_owned(), None)))
        }
        Reply::Unreachable { reason } => Err((None, Outcome::Later(reason, None))),
    }
}

fn taken(reply: Reply) -> Outcome {
    answered(reply).map_or_else(|(_, outcome)| outcome, |_| Outcome::Taken(Change::None))
}

pub(super) fn value(answer: &Answer) -> Option<Value> {
    serde_json::from_slice(answer.body.as_ref()?).ok()
}

/// Sends what is due until `stopped`.
pub async fn tell(writer: Writer, teller: Teller, stopped: Stop) {
    let mut rounds = Rounds::every(LOOK_EVERY, stopped);
    while rounds.next().await {
        // What is left off is told again after the next start, under the same key.
        rounds.unless_stopped(round(&writer, &teller)).await;
    }
}

/// Everything that is due now to a channel, once.
pub async fn round(writer: &Writer, teller: &Teller) {
    let channel = teller.channel.clone();
    let Ok(due) = writer.run(move |core, now| core.to_tell(&channel, now)).await else { return };
    // All at once: what is slow to be told delays the next round, and nothing else of this one.
    let mut posts: JoinSet<(Outgoing, Outcome)> = due
        .into_iter()
        .map(|letter| {
            let teller = teller.clone();
            async move {
                let outcome = teller.send(&letter).await;
                (letter, outcome)
            }
        })
        .collect();
    while let Some(posted) = posts.join_next().await {
        let Ok((letter, outcome)) = posted else { continue };
        // If this is not stored it is told again, under the same key.
        let _ = writer.run(move |core, now| core.told(&letter.row, &outcome, now)).await;
    }
}
