//! Entries that lie on the network, or lead to it: certificates, services, the uplink.

use std::{path::PathBuf, time::Duration};

use proto::ids::WatchId;
use serde::Deserialize;

use crate::config::seconds;

/// `[[watch.certificate]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Its ID.
    pub id: WatchId,
    /// A file in PEM, the server's own certificate first; or `server`.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// `host:port` of a server that shows it; or `file`.
    #[serde(default)]
    pub server: Option<String>,
    /// The DNS name or address that it must be for.
    pub name: String,
    /// Whom to believe, PEM.
    #[serde(default = "everybody_debian_believes")]
    pub roots: PathBuf,
    /// It must last at least this much longer.
    #[serde(rename = "wanted_seconds", default = "three_weeks", deserialize_with = "seconds::read")]
    pub wanted: Duration,
    /// The systemd unit that gets a new one, such as `acme-portal.service`.
    #[serde(default)]
    pub unit: Option<String>,
}

/// `[[watch.service]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its ID.
    pub id: WatchId,
    /// `tcp://host:port`, `http://host:port/path`, `https://host:port/path` or `dns://server/name`.
    pub target: String,
    /// How long it may take to answer.
    #[serde(rename = "timeout_seconds", default = "five_seconds", deserialize_with = "seconds::read")]
    pub timeout: Duration,
}

/// `[[watch.uplink]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uplink {
    /// Its ID.
    pub id: WatchId,
    /// The interface: `enp1s0`.
    pub interface: String,
    /// The unit that keeps it, restarted when there is no way out.
    #[serde(default = "networkd")]
    pub unit: String,
}

fn everybody_debian_believes() -> PathBuf {
    "/etc/ssl/certs/ca-certificates.crt".into()
}

fn three_weeks() -> Duration {
    Duration::from_secs(21 * 24 * 3600)
}

fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

fn networkd() -> String {
    "systemd-networkd.service".to_owned()
}
