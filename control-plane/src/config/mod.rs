//! The control plane's settings: one strict TOML file, one struct, every default in this file.
//!
//! The rule: a key that is not known is refused, and every complaint names the key, its value and what is allowed.

use std::{net::SocketAddr, path::Path, time::Duration};

use http::Uri;
use proto::{charter::Charter, order::ORDER_LIFETIME_MAX};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    core::approvals::APPROVAL_MAX,
    files::{self, FileError},
    mode::{Brand, Running},
    vault::VaultError,
};

mod certificate;
mod channel;
mod escalation;
mod mail;
mod oidc;
mod order_key;
mod people;
mod planner;
mod running;
mod secret;
mod template;
#[cfg(test)]
mod tests;
mod timestamps;
mod token;
mod traces;
mod value;
mod vault;
mod witness;

pub use certificate::{Acme, Certificate};
pub use channel::{Channel, Secrets, Way};
pub use escalation::{Deadman, Escalation};
pub use mail::{Mail, MailTls};
pub use oidc::{Group, Oidc};
pub use order_key::{OrderKey, Transit};
pub use people::People;
pub use planner::Planner;
pub use secret::{Hidden, Secret};
pub use template::template;
pub use timestamps::Timestamps;
pub use token::TokenSource;
pub use traces::Traces;
use value::{address, bad, host, plain_host, socket, within};
pub use vault::{S3, Vault, VaultStore};
pub use witness::Witness;

/// Where appliances connect, unless said otherwise.
pub const APPLIANCES: &str = "0.0.0.0:8443";
/// Where people connect, unless said otherwise: this machine only.
pub const PEOPLE: &str = "127.0.0.1:8444";
const EVENTS_PER_HOUR: i64 = 2_000;
const EVENTS_PER_HOUR_MIN: i64 = 100;
const EVENTS_PER_HOUR_MAX: i64 = 1_000_000;
const LIFETIME_SECONDS: i64 = 600;
const APPROVAL_MINUTES: i64 = 240;

const CONFIG_MAX: u64 = 64 * 1024;
const LIFETIME_SECONDS_MIN: i64 = 10;
const APPROVAL_MINUTES_MIN: i64 = 5;
const APPROVAL_MINUTES_MAX: i64 = APPROVAL_MAX.as_secs() as i64 / 60;

/// The settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Trust domain; the charter's.
    pub organization: String,
    /// Where to listen.
    pub listen: Listen,
    /// Whom to tell.
    pub escalation: Escalation,
    /// How orders are made.
    pub orders: Orders,
    /// What one box may take of what all share.
    pub limits: Limits,
    /// Where evidence is kept for good.
    pub vault: Vault,
    /// Whom to ask to cosign the logs.
    pub witnesses: Vec<Witness>,
    /// Whom to ask for the time of the logs.
    pub timestamps: Option<Timestamps>,
    /// Through which mail server packets go out; `None`: they do not.
    pub mail: Option<Mail>,
    /// Where the order key is.
    pub order_key: OrderKey,
    /// Where traces go; `None`: nowhere.
    pub traces: Option<Traces>,
    /// What the people's listener shows.
    pub certificate: Certificate,
    /// Whose word lets people in, beside passkeys.
    pub oidc: Option<Oidc>,
    /// Where people reach it.
    pub people: People,
    /// Which model is asked where several runbooks are allowed; `None`: none.
    pub planner: Option<Planner>,
    /// In which mode it is run, under which name, with whose approvers.
    pub running: Running,
}

/// `[listen]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Mutual TLS: gRPC by appliances.
    pub appliances: SocketAddr,
    /// TLS: gRPC-web and HTTP by people, with API tokens.
    pub people: SocketAddr,
    /// What appliances are told to connect to: an https URL.
    pub address: String,
    /// More host names and IP addresses that the server's certificate is to be good for.
    pub names: Vec<String>,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The most events of one box that are kept, an hour; five times as many a day.
    pub events_per_hour: u64,
}

/// `[orders]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// How long an order may be begun after it was signed.
    pub lifetime: Duration,
    /// How long people may agree to one that they are asked about.
    pub approval: Duration,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file.
    #[error("cannot load the configuration")]
    File(#[source] FileError),
    /// Not TOML, an unknown or missing key, or a value of another type; says where, and what was expected.
    #[error("configuration is not valid:\n{0}")]
    Syntax(#[source] toml::de::Error),
    /// A value that is not allowed.
    #[error("{key} is {value:?}, must be {allowed}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What it says.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// The vault that they name is none.
    #[error("vault in the configuration")]
    Vault(#[source] VaultError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    organization: String,
    mode: Option<String>,
    #[serde(default)]
    brand: Brand,
    #[serde(default)]
    approver: Vec<running::FileApprover>,
    listen: FileListen,
    #[serde(default)]
    escalation: escalation::FileEscalation,
    #[serde(default)]
    orders: FileOrders,
    #[serde(default)]
    limits: FileLimits,
    #[serde(default)]
    vault: vault::FileVault,
    #[serde(default)]
    witness: Vec<witness::FileWitness>,
    timestamps: Option<timestamps::FileTimestamps>,
    mail: Option<mail::FileMail>,
    #[serde(default)]
    order_key: order_key::FileOrderKey,
    traces: Option<traces::FileTraces>,
    #[serde(default)]
    certificate: certificate::FileCertificate,
    oidc: Option<oidc::FileOidc>,
    #[serde(default)]
    people: people::FilePeople,
    planner: Option<planner::FilePlanner>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileListen {
    appliances: Option<String>,
    people: Option<String>,
    address: String,
    #[serde(default)]
    names: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct FileOrders {
    lifetime_seconds: Option<i64>,
    approval_minutes: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct FileLimits {
    events_per_hour: Option<i64>,
}

impl Config {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&files::read_text(path, CONFIG_MAX).map_err(ConfigError::File)?)
    }

    /// Checks the text.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file: File = parse_toml(text)?;
        let listen = Listen {
            appliances: socket("listen.appliances", file.listen.appliances.as_deref().unwrap_or(APPLIANCES))?,
            people: socket("listen.people", file.listen.people.as_deref().unwrap_or(PEOPLE))?,
            address: address("listen.address", &file.listen.address)?,
            names: file
                .listen
                .names
                .into_iter()
                .map(|name| host("listen.names", name))
                .collect::<Result<_, _>>()?,
        };
        let lifetime = within(
            "orders.lifetime_seconds",
            file.orders.lifetime_seconds.unwrap_or(LIFETIME_SECONDS),
            (LIFETIME_SECONDS_MIN, ORDER_LIFETIME_MAX.as_secs() as i64),
        )?;
        let approval = within(
            "orders.approval_minutes",
            file.orders.approval_minutes.unwrap_or(APPROVAL_MINUTES),
            (APPROVAL_MINUTES_MIN, APPROVAL_MINUTES_MAX),
        )?;
        let events_per_hour = within(
            "limits.events_per_hour",
            file.limits.events_per_hour.unwrap_or(EVENTS_PER_HOUR),
            (EVENTS_PER_HOUR_MIN, EVENTS_PER_HOUR_MAX),
        )?;
        let running = running::running(file.mode, file.brand, file.approver)?;
        Ok(Self {
            organization: host("organization", file.organization)?,
            listen,
            escalation: file.escalation.check(file.mail.is_some(), &running)?,
            orders: Orders {
                lifetime: Duration::from_secs(lifetime),
                approval: Duration::from_secs(approval * 60),
            },
            limits: Limits { events_per_hour },
            vault: file.vault.check()?,
            witnesses: witness::witnesses(file.witness)?,
            timestamps: file.timestamps.map(timestamps::FileTimestamps::check).transpose()?,
            mail: file.mail.map(mail::FileMail::check).transpose()?,
            order_key: file.order_key.check()?,
            traces: file.traces.map(traces::FileTraces::check).transpose()?,
            certificate: file.certificate.check()?,
            oidc: file.oidc.map(oidc::FileOidc::check).transpose()?,
            people: file.people.check()?,
            planner: file.planner.map(planner::FilePlanner::check).transpose()?,
            running,
        })
    }

    /// The charter decides who the organization is; the file must agree.
    pub fn agrees_with(&self, charter: &Charter) -> Result<(), ConfigError> {
        if self.organization == charter.organization {
            return Ok(());
        }
        Err(bad(
            "organization",
            &self.organization,
            format!("{:?}, as the charter says", charter.organization),
        ))
    }

    /// All that the server's certificate is to be good for: the address that appliances are told, the addresses that
    /// are listened on, the names asked for, and this machine.
    #[must_use]
    pub fn server_names(&self) -> Vec<String> {
        let told = self.listen.address.parse::<Uri>().ok().and_then(|uri| uri.host().map(plain_host));
        let bound = [self.listen.appliances, self.listen.people].map(|address| address.ip());
        let here = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut names: Vec<String> = told
            .into_iter()
            .chain(self.listen.names.iter().cloned())
            .chain(bound.iter().filter(|ip| !ip.is_unspecified()).map(ToString::to_string))
            .chain(here)
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

fn parse_toml<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(ConfigError::Syntax)
}
