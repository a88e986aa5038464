//! The control plane's settings: one strict TOML file, one struct, every default in this file.
//!
//! The rule: a key that is not known is refused, and every complaint names the key, its value and what is allowed.

use std::{net::SocketAddr, path::Path, time::Duration};

use http::Uri;
use proto::{charter::Charter, order::ORDER_LIFETIME_MAX};
use serde::{Deserialize, de::DeserializeOwned};

use crate::files::{self, FileError};

/// Where appliances connect, unless said otherwise.
pub const APPLIANCES: &str = "0.0.0.0:8443";
/// Where people connect, unless said otherwise: this machine only.
pub const PEOPLE: &str = "127.0.0.1:8444";
const STALL_MINUTES: i64 = 30;
const EVENTS_PER_HOUR: i64 = 2_000;
const EVENTS_PER_HOUR_MIN: i64 = 100;
const EVENTS_PER_HOUR_MAX: i64 = 1_000_000;
const LIFETIME_SECONDS: i64 = 600;

const CONFIG_MAX: u64 = 64 * 1024;
const STALL_MINUTES_MAX: i64 = 7 * 24 * 60;
const LIFETIME_SECONDS_MIN: i64 = 10;

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

/// `[escalation]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// Gets a POST for every incident that needs a human.
    pub webhook: Option<Uri>,
    /// An incident that has not moved for this long is escalated.
    pub stall: Duration,
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    organization: String,
    listen: FileListen,
    #[serde(default)]
    escalation: FileEscalation,
    #[serde(default)]
    orders: FileOrders,
    #[serde(default)]
    limits: FileLimits,
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
struct FileEscalation {
    webhook: Option<String>,
    stall_minutes: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct FileOrders {
    lifetime_seconds: Option<i64>,
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
        let stall = within(
            "escalation.stall_minutes",
            file.escalation.stall_minutes.unwrap_or(STALL_MINUTES),
            (1, STALL_MINUTES_MAX),
        )?;
        let lifetime = within(
            "orders.lifetime_seconds",
            file.orders.lifetime_seconds.unwrap_or(LIFETIME_SECONDS),
            (LIFETIME_SECONDS_MIN, ORDER_LIFETIME_MAX.as_secs() as i64),
        )?;
        let events_per_hour = within(
            "limits.events_per_hour",
            file.limits.events_per_hour.unwrap_or(EVENTS_PER_HOUR),
            (EVENTS_PER_HOUR_MIN, EVENTS_PER_HOUR_MAX),
        )?;
        Ok(Self {
            organization: host("organization", file.organization)?,
            listen,
            escalation: Escalation {
                webhook: file.escalation.webhook.map(|url| webhook("escalation.webhook", url)).transpose()?,
                stall: Duration::from_secs(stall * 60),
            },
            orders: Orders { lifetime: Duration::from_secs(lifetime) },
            limits: Limits { events_per_hour },
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

/// The text of a new configuration file: every key with its meaning and default.
#[must_use]
pub fn template(
    organization: &str,
    address: &str,
    appliances: &str,
    people: &str,
    webhook: Option<&str>,
) -> String {
    let text = |value: &str| toml::Value::from(value).to_string();
    let webhook = match webhook {
        Some(url) => format!("webhook = {}", text(url)),
        None => "# webhook = \"https://alerts.example/orderly\"".to_owned(),
    };
    format!(
        r#"# Settings of this control plane. `control-plane serve --check-config` says whether they are right.
# Changes take effect when the server is started again.

# Trust domain: who you are. The charter says the same; it cannot be changed here alone.
organization = {organization}

[listen]
# Appliances, by mutual TLS. Port 8443 must be reachable from the clinics.
appliances = {appliances}
# People: gRPC-web and HTTP over TLS, with API tokens. As long as it is a loopback address, only from this machine.
people = {people}
# What appliances are told to connect to. It is written into enrolment tickets.
address = {address}
# More host names and IP addresses that the server's certificate is to be good for.
names = []

[escalation]
# Gets a POST (JSON) for every incident that needs a human. Without it, look at `control-plane incident list`.
{webhook}
# An incident that has not moved for this long is escalated: 1 to {STALL_MINUTES_MAX}.
stall_minutes = {STALL_MINUTES}

[orders]
# How long an order may be begun after it was signed: {LIFETIME_SECONDS_MIN} to {lifetime_max}.
lifetime_seconds = {LIFETIME_SECONDS}

[limits]
# The most events of one appliance that are kept, an hour (five times as many a day): {EVENTS_PER_HOUR_MIN} to {EVENTS_PER_HOUR_MAX}.
# What is over is counted, and a person is told. Evidence has no such limit.
events_per_hour = {EVENTS_PER_HOUR}
"#,
        organization = text(organization),
        appliances = text(appliances),
        people = text(people),
        address = text(address),
        lifetime_max = ORDER_LIFETIME_MAX.as_secs(),
    )
}

fn parse_toml<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(ConfigError::Syntax)
}

fn bad(key: &'static str, value: &str, allowed: impl Into<String>) -> ConfigError {
    ConfigError::Value { key, value: value.to_owned(), allowed: allowed.into() }
}

fn socket(key: &'static str, value: &str) -> Result<SocketAddr, ConfigError> {
    value.parse().map_err(|_| bad(key, value, "an IP address and a port, such as 0.0.0.0:8443 or [::]:8443"))
}

fn within(key: &'static str, value: i64, (least, most): (i64, i64)) -> Result<u64, ConfigError> {
    u64::try_from(value)
        .ok()
        .filter(|_| (least..=most).contains(&value))
        .ok_or_else(|| bad(key, &value.to_string(), format!("a whole number from {least} to {most}")))
}

fn host(key: &'static str, value: String) -> Result<String, ConfigError> {
    match rustls_pki_types::ServerName::try_from(value.as_str()) {
        Ok(_) => Ok(value),
        Err(_) => Err(bad(key, &value, "a host name or an IP address, such as msp.example or 192.0.2.7")),
    }
}

fn address(key: &'static str, value: &str) -> Result<String, ConfigError> {
    let right = |uri: &Uri| {
        uri.scheme_str() == Some("https")
            && uri.host().is_some_and(|h| rustls_pki_types::ServerName::try_from(plain_host(h)).is_ok())
            && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
            && uri.path_and_query().is_none_or(|p| p == "/")
    };
    match value.parse::<Uri>() {
        Ok(uri) if right(&uri) => Ok(value.trim_end_matches('/').to_owned()),
        _ => Err(bad(key, value, "an https URL without a path, such as https://control.msp.example:8443")),
    }
}

fn webhook(key: &'static str, value: String) -> Result<Uri, ConfigError> {
    let right = |uri: &Uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|h| !h.is_empty())
            // They would be ignored, silently.
            && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
    };
    match value.parse::<Uri>() {
        Ok(uri) if right(&uri) => Ok(uri),
        _ => Err(bad(
            key,
            &value,
            "an http or https URL without a user, such as https://alerts.example/orderly",
        )),
    }
}

/// A host as certificates have it: IPv6 without brackets.
fn plain_host(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str =
        "organization = \"msp.example\"\n[listen]\naddress = \"https://control.msp.example:8443\"\n";

    fn refused(text: &str) -> String {
        Config::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_template_says_the_defaults() {
        let text = template("msp.example", "https://control.msp.example:8443", APPLIANCES, PEOPLE, None);
        assert_eq!(Config::parse(&text).unwrap(), Config::parse(LEAST).unwrap());
        let hook = "http://a/\"\nstall_minutes = 5\n";
        let text =
            template("msp.example", "https://control.msp.example:8443", APPLIANCES, PEOPLE, Some(hook));
        let refused = Config::parse(&text).unwrap_err();
        assert!(
            matches!(&refused, ConfigError::Value { key: "escalation.webhook", value, .. } if value == hook),
            "a quote or a line break stays within its value: {refused}"
        );
    }

    #[test]
    fn every_complaint_names_key_value_and_what_is_allowed() {
        for (more, key, value, allowed) in [
            ("people = \"localhost\"", "listen.people", "localhost", "an IP address and a port"),
            ("appliances = \"0.0.0.0\"", "listen.appliances", "0.0.0.0", "an IP address and a port"),
            ("names = [\"a b\"]", "listen.names", "a b", "a host name"),
            (
                "[escalation]\nwebhook = \"ftp://x/\"",
                "escalation.webhook",
                "ftp://x/",
                "an http or https URL",
            ),
            (
                "[escalation]\nwebhook = \"https://me:pw@x/\"",
                "escalation.webhook",
                "me:pw@x",
                "without a user",
            ),
            ("[escalation]\nstall_minutes = 0", "escalation.stall_minutes", "0", "from 1 to 10080"),
            ("[limits]\nevents_per_hour = 99", "limits.events_per_hour", "99", "from 100 to 1000000"),
            ("[orders]\nlifetime_seconds = 901", "orders.lifetime_seconds", "901", "from 10 to 900"),
            ("[orders]\nlifetime_seconds = -5", "orders.lifetime_seconds", "-5", "from 10 to 900"),
            // What the parser itself finds shows the line.
            ("[orders]\nlifetime_seconds = \"ten\"", "lifetime_seconds", "\"ten\"", "expected i64"),
            ("[orders]\nlifetime = 5", "lifetime", "5", "expected `lifetime_seconds`"),
            ("colour = \"red\"", "colour", "red", "expected one of `appliances`"),
        ] {
            let error = refused(&format!("{LEAST}{more}\n"));
            for part in [key, value, allowed] {
                assert!(error.contains(part), "{more:?} -> {error:?} lacks {part:?}");
            }
        }
    }

    #[test]
    fn addresses_are_https_and_nothing_more() {
        let with = |url: &str| Config::parse(&LEAST.replace("https://control.msp.example:8443", url));
        for right in [
            "https://127.0.0.1:8443",
            "https://[::1]:8443",
            "https://control",
            "https://control.msp.example:8443/",
        ] {
            with(right).unwrap();
        }
        for wrong in [
            "http://a:8443",
            "https://a/path",
            "https://a/?q",
            "https://user@a",
            "a:8443",
            "https://",
            "https://a b",
        ] {
            let error = with(wrong).unwrap_err().to_string();
            assert!(error.contains("listen.address") && error.contains("an https URL"), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(refused("").contains("missing field `organization`"));
        assert!(refused("organization = \"a\"\n[listen]\n").contains("missing field `address`"));
    }

    #[test]
    fn the_certificate_covers_where_the_server_can_be_reached() {
        let text = "organization = \"a\"\n[listen]\nappliances = \"0.0.0.0:1\"\npeople = \"192.0.2.7:1\"\naddress = \"https://[2001:db8::1]:8443\"\nnames = [\"dashboard.example\"]\n";
        let names = Config::parse(text).unwrap().server_names();
        assert_eq!(names, ["127.0.0.1", "192.0.2.7", "2001:db8::1", "::1", "dashboard.example", "localhost"]);
    }
}
