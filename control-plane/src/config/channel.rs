//! `[[escalation.channel]]`: one way to people.

use http::{HeaderName, HeaderValue, Method, Uri};
use lettre::Address;
use proto::digest::Digest;
use runbooks::Window;
use serde::Deserialize;

use super::{
    ConfigError, secret,
    token::{FileToken, TokenSource},
    value::{bad, private, webhook},
};
use crate::telling::{
    hook::Secret,
    pager, quiet,
    ticket::{Body, Call, Link, Template},
};

const HEADERS_MAX: usize = 20;

/// A way to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// What it is called.
    pub name: String,
    /// When it is not to be disturbed.
    pub quiet: Vec<Window>,
    /// The only tenants that it hears of, by name or ID; empty: all.
    pub tenants: Vec<String>,
    /// How it is reached.
    pub way: Way,
}

/// How a channel is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By mail, through `[mail]`.
    Mail {
        /// One address: whoever else is to be told is a channel of their own.
        to: Address,
    },
    /// By mail, to each of a clinic's own recipients.
    Recipients,
    /// POSTs of JSON, as Standard Webhooks has them.
    Webhook {
        /// Where to.
        url: Uri,
        /// Where the secret is; `None`: they are not signed.
        secret: Option<secret::Secret>,
    },
    /// PagerDuty's Events API v2.
    PagerDuty {
        /// Where to.
        url: Uri,
        /// Where the integration key is.
        key: secret::Secret,
    },
    /// A ticket system with a REST interface.
    Ticket {
        /// How it is spoken to.
        template: Box<Template>,
        /// Headers of every request.
        headers: Vec<(HeaderName, HeaderValue)>,
        /// Where more of them are, which nobody else may read.
        secret: Option<secret::Secret>,
        /// Who gives tokens, where one must go along that does not last.
        token: Option<TokenSource>,
    },
}

/// What places of their own have.
pub enum Secrets {
    /// Nothing.
    None,
    /// What webhooks are signed with.
    Webhook(Secret),
    /// PagerDuty's integration key.
    PagerDuty(String),
    /// Headers.
    Ticket(Vec<(HeaderName, HeaderValue)>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileChannel {
    name: String,
    kind: String,
    #[serde(default)]
    quiet: Vec<String>,
    #[serde(default)]
    tenants: Vec<String>,
    to: Option<String>,
    url: Option<String>,
    secret_file: Option<String>,
    #[serde(default)]
    headers: Vec<String>,
    token: Option<FileToken>,
    find: Option<FileCall>,
    open: Option<FileCall>,
    update: Option<FileCall>,
    reopen: Option<FileCall>,
    close: Option<FileCall>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCall {
    method: String,
    url: String,
    body: Option<String>,
    id: Option<String>,
}

impl FileChannel {
    pub(super) fn check(mut self, sends_mail: bool) -> Result<Channel, ConfigError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        if !(1..=40).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            let allowed = "1 to 40 letters, digits, - and _, such as \"desk\"";
            return Err(bad("escalation.channel.name", &self.name, allowed));
        }
        let quiet: Vec<Window> = self.quiet.drain(..).map(window).collect::<Result<_, _>>()?;
        if !quiet::ends(&quiet) {
            let all = quiet.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            return Err(bad("escalation.channel.quiet", &all, "hours that end: these would never be over"));
        }
        let (name, tenants) = (self.name.clone(), std::mem::take(&mut self.tenants));
        Ok(Channel { name, quiet, tenants, way: self.way(sends_mail)? })
    }

    fn way(mut self, sends_mail: bool) -> Result<Way, ConfigError> {
        let name = self.name.clone();
        let need = |key: &'static str, what: &str| bad(key, &name, format!("along with {what}"));
        let way = match self.kind.as_str() {
            "mail" if !sends_mail => {
                return Err(need("escalation.channel.kind", "[mail], which names a server"));
            }
            "mail" => {
                let to = self.to.take().ok_or_else(|| need("escalation.channel.name", "`to`, an address"))?;
                let address = to.parse();
                let to = address.map_err(|_| {
                    bad("escalation.channel.to", &to, "one address, such as desk@msp.example")
                })?;
                Way::Mail { to }
            }
            "webhook" => {
                let url = self.url.take().ok_or_else(|| need("escalation.channel.name", "`url`"))?;
                Way::Webhook { url: webhook("escalation.channel.url", url)?, secret: self.secret()? }
            }
            "pagerduty" => {
                let url = self.url.take().unwrap_or_else(|| pager::URL.to_owned());
                let key = self.secret()?.ok_or_else(|| {
                    need("escalation.channel.name", "`secret_file`, with the integration key")
                })?;
                Way::PagerDuty { url: private("escalation.channel.url", url)?, key }
            }
            "ticket" => {
                let one = |call: &mut Option<FileCall>, key, what: &str| {
                    call.take().ok_or_else(|| need(key, what)).and_then(FileCall::check)
                };
                let template = Box::new(Template {
                    open: one(&mut self.open, "escalation.channel.open", "`open`")?,
                    update: one(&mut self.update, "escalation.channel.update", "`update`")?,
                    reopen: one(&mut self.reopen, "escalation.channel.reopen", "`reopen`")?,
                    close: one(&mut self.close, "escalation.channel.close", "`close`")?,
                    find: self.find.take().map(FileCall::check).transpose()?,
                });
                if template.open.id.is_empty()
                    || template.find.as_ref().is_some_and(|find| find.id.is_empty())
                {
                    return Err(need(
                        "escalation.channel.open",
                        "`id`: where in the answer the ticket's ID stands",
                    ));
                }
                let headers = std::mem::take(&mut self.headers);
                let headers = headers.iter().map(|line| header(line)).collect::<Result<_, _>>()?;
                let token = self.token.take().map(FileToken::check).transpose()?;
                Way::Ticket { template, headers, secret: self.secret()?, token }
            }
            other => {
                let allowed = "\"mail\", \"webhook\", \"pagerduty\" or \"ticket\"";
                return Err(bad("escalation.channel.kind", other, allowed));
            }
        };
        let calls = [&self.find, &self.open, &self.update, &self.reopen, &self.close];
        let left = [
            ("escalation.channel.to", self.to.is_some()),
            ("escalation.channel.url", self.url.is_some()),
            ("escalation.channel.secret_file", self.secret_file.is_some()),
            ("escalation.channel.headers", !self.headers.is_empty()),
            ("escalation.channel.token", self.token.is_some()),
            ("escalation.channel.open", calls.iter().any(|call| call.is_some())),
        ];
        match left.into_iter().find(|(_, is_left)| *is_left) {
            Some((key, _)) => Err(bad(key, &name, format!("left out where kind is {:?}", self.kind))),
            None => Ok(way),
        }
    }

    fn secret(&mut self) -> Result<Option<secret::Secret>, ConfigError> {
        let place = self.secret_file.take();
        place.map(|place| secret::Secret::parse("escalation.channel.secret_file", &place)).transpose()
    }
}

fn window(text: String) -> Result<Window, ConfigError> {
    Window::typed(&text).map_err(|error| {
        let allowed =
            format!("days, hours and a time zone, such as \"daily 20:00-07:00 America/Chicago\": {error}");
        bad("escalation.channel.quiet", &text, allowed)
    })
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let read = line.split_once(':').and_then(|(name, value)| {
        Some((name.trim().parse::<HeaderName>().ok()?, value.trim().parse::<HeaderValue>().ok()?))
    });
    // What it says may be a secret: to the log too.
    let read = read.map(|(name, mut value)| {
        value.set_sensitive(true);
        (name, value)
    });
    read.ok_or_else(|| bad("escalation.channel.headers", "", "lines such as \"Accept: application/json\""))
}

impl FileCall {
    fn check(self) -> Result<Call, ConfigError> {
        let wrong = |key, value: &str, error: crate::telling::ticket::TemplateError| {
            bad(key, value, error.to_string())
        };
        let method = match self.method.as_str() {
            "GET" => Method::GET,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            other => {
                let allowed = "\"GET\", \"POST\", \"PUT\", \"PATCH\" or \"DELETE\"";
                return Err(bad("escalation.channel.method", other, allowed));
            }
        };
        const URL: &str = "escalation.channel.url";
        let link = Link::parse(&self.url).map_err(|error| wrong(URL, &self.url, error))?;
        private(URL, self.url.replace(['{', '}'], ""))?;
        let body = self
            .body
            .as_deref()
            .map(|body| Body::parse(body).map_err(|error| wrong("escalation.channel.body", body, error)));
        let id = self.id.unwrap_or_default();
        if !id.is_empty() && !id.starts_with('/') {
            return Err(bad("escalation.channel.id", &id, "a JSON pointer, such as \"/id\""));
        }
        Ok(Call { method, url: link, body: body.transpose()?, id })
    }
}

impl Channel {
    /// Where its tickets are: the numbers of one system, or of one account there, mean nothing in another. What opens and
    /// updates them, and the place that says who we are, tell them apart; keys in that place may be changed for new ones.
    pub(super) fn desk(&self) -> Option<String> {
        let Way::Ticket { template, secret, token, .. } = &self.way else { return None };
        let secret = secret.as_ref().map(ToString::to_string).unwrap_or_default();
        let who = token.as_ref().map_or("", |token| &token.client_id);
        let told_by = [template.open.url.as_str(), template.update.url.as_str(), &secret, who].join("\n");
        Some(format!("{} {}", self.name, &Digest::of(told_by.as_bytes()).to_string()[..16]))
    }

    /// What the place of its secrets has.
    pub fn secrets(&self) -> Result<Secrets, ConfigError> {
        let place = match &self.way {
            Way::Mail { .. }
            | Way::Recipients
            | Way::Webhook { secret: None, .. }
            | Way::Ticket { secret: None, .. } => return Ok(Secrets::None),
            Way::Webhook { secret: Some(place), .. }
            | Way::PagerDuty { key: place, .. }
            | Way::Ticket { secret: Some(place), .. } => place,
        };
        let wrong = |what: &str, error: String| {
            bad(place.key(), &place.to_string(), format!("where {what} is, and nothing else: {error}"))
        };
        let read = place.read()?;
        let text = read.expose();
        match &self.way {
            Way::PagerDuty { .. } => {
                const WHAT: &str = "PagerDuty's integration key";
                let found = text.trim();
                if found.is_empty() || !found.bytes().all(|b| b.is_ascii_alphanumeric()) {
                    return Err(wrong(WHAT, "letters and digits are expected".to_owned()));
                }
                Ok(Secrets::PagerDuty(found.to_owned()))
            }
            Way::Ticket { .. } => {
                const WHAT: &str = "a text of headers, such as Authorization: Basic ..., one a line,";
                let lines = text.lines().filter(|line| !line.trim().is_empty());
                let headers: Vec<_> = lines
                    .map(|line| header(line).map_err(|_| wrong(WHAT, "a line is none".to_owned())))
                    .collect::<Result<_, _>>()?;
                if headers.len() > HEADERS_MAX {
                    return Err(wrong(WHAT, format!("at most {HEADERS_MAX}")));
                }
                Ok(Secrets::Ticket(headers))
            }
            Way::Webhook { .. } | Way::Mail { .. } | Way::Recipients => {
                const WHAT: &str = "a secret for Standard Webhooks";
                Secret::parse(text).map(Secrets::Webhook).map_err(|error| wrong(WHAT, error.to_string()))
            }
        }
    }
}

/// This part of the file that `init` writes.
pub(super) const TEMPLATE: &str = r#"
# Channels: one block for each person or system. quiet: when it waits (unless it is urgent), by the clock there. tenants: the
# only clinics that it hears of, by name or ID; left out, all.
# [[escalation.channel]]
# name = "desk"
# kind = "mail"                     # through the server under [mail]
# to = "desk@msp.example"
# quiet = ["daily 20:00-07:00 America/Chicago"]
#
# [[escalation.channel]]
# name = "chat"
# kind = "webhook"                  # the same as `webhook` above
# url = "https://chat.example/hooks/orderly"
# secret_file = "/etc/orderly/chat.secret"
#
# [[escalation.channel]]
# name = "pager"
# kind = "pagerduty"                # Events API v2
# tenants = ["Elm Street Clinic"]
# secret_file = "/etc/orderly/pagerduty.key"
# url = "https://events.pagerduty.com/v2/enqueue"
#
# A ticket in any system with a REST interface: one for each fault of each appliance, updated, closed and opened again as it
# goes. In values stand {title}, {text}, {reason}, {tenant}, {tenant_id}, {site}, {appliance}, {fault}, {watch}, {incident},
# {severity} (normal or urgent), {opened}, {at}, {by}, {key} (the same for all of one ticket) and {ticket} (its ID there); id
# says where in an answer that ID stands. find looks for a ticket that is not known here, before another is opened; without
# it, there may be two. Where secrets go along, URLs are https, or http to this machine. This example is ConnectWise Manage's; the IDs of board, statuses and company are those of your installation.
# [[escalation.channel]]
# name = "psa"
# kind = "ticket"
# headers = ["Accept: application/vnd.connectwise.com+json; version=2024.1"]
# Where the headers are that are secret, one a line: Authorization: Basic ... and clientId: ...
# secret_file = "/etc/orderly/psa.headers"
# Where a token must go along that does not last (OAuth 2.0 client credentials, as HaloPSA has it), it is asked for here:
# [escalation.channel.token]
# url = "https://msp.halopsa.com/auth/token"
# client_id = "..."
# client_secret_file = "/etc/orderly/psa.client"
# scope = "all"
# [escalation.channel.find]
# method = "GET"
# url = "https://na.myconnectwise.net/v4_6_release/apis/3.0/service/tickets?conditions=externalXRef=%22{key}%22"
# id = "/0/id"
# [escalation.channel.open]
# method = "POST"
# url = "https://na.myconnectwise.net/v4_6_release/apis/3.0/service/tickets"
# body = '''{ "summary": "{title}", "initialDescription": "{text}", "externalXRef": "{key}",
#   "board": { "name": "Orderly" }, "company": { "identifier": "YourCompany" } }'''
# id = "/id"
# [escalation.channel.update]
# method = "POST"
# url = "https://na.myconnectwise.net/v4_6_release/apis/3.0/service/tickets/{ticket}/notes"
# body = '{ "text": "{text}", "internalAnalysisFlag": true }'
# [escalation.channel.reopen]
# method = "PATCH"
# url = "https://na.myconnectwise.net/v4_6_release/apis/3.0/service/tickets/{ticket}"
# body = '[{ "op": "replace", "path": "status/name", "value": "Re-Opened" }]'
# [escalation.channel.close]
# method = "PATCH"
# url = "https://na.myconnectwise.net/v4_6_release/apis/3.0/service/tickets/{ticket}"
# body = '[{ "op": "replace", "path": "status/name", "value": "Closed" }]'
"#;
