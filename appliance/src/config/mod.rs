//! The one configuration file that agent and executor both read: strict, and every complaint names key, value and what
//! is allowed.
//!
//! The rule: nothing is bound, spawned or written before the configuration is good; and what the box watches, where it
//! lies and how much is too much stands here and nowhere else, so that no order can name a path of its own.

mod check;
mod exceptions;
mod hours;
mod seconds;
mod user;
mod watch;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use baseline::{BadSource, Exception};
use nix::unistd::Uid;
use proto::ids::WatchId;
use runbooks::ClinicHours;
use serde::Deserialize;

pub use self::{
    user::{UnknownUser, User},
    watch::{
        Backup, Baseline, Certificate, Clock, Directory, Drive, Eyes, Filesystem, Footprint, Forward,
        Journal, Log, Metric, MetricName, Pressure, Repository, Sensor, Service, Store, Unit, Uplink,
        WatchEntry,
    },
};

/// Where the configuration lies unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/orderly/appliance.toml";
/// What the watch list is called that an approver signed.
pub const APPROVED: &str = "watch.toml";

/// All of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whom the agent talks to.
    pub control_plane: ControlPlane,
    /// What is pinned.
    #[serde(default)]
    pub trust: Trust,
    /// Where things lie.
    #[serde(default)]
    pub paths: Paths,
    /// The agent's settings.
    #[serde(default)]
    pub agent: Agent,
    /// The executor's settings.
    #[serde(default)]
    pub executor: Executor,
    /// Local policy; it can only tighten.
    #[serde(default)]
    pub limits: Limits,
    /// Where secrets of the clinic that are sent sealed to this box are kept, by name.
    #[serde(default)]
    pub secrets: BTreeMap<String, PathBuf>,
    /// What is watched, by ID.
    #[serde(default, deserialize_with = "watch::list")]
    pub watch: BTreeMap<WatchId, WatchEntry>,
    /// The file that it was read from.
    #[serde(skip)]
    pub file: PathBuf,
    /// Exceptions from the baseline that are baked into the image; only [`Config::load`] reads them.
    #[serde(skip)]
    pub exceptions: Vec<Exception>,
}

/// `[control_plane]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlPlane {
    /// `https://host:port`, as the ticket gave it.
    pub address: String,
    /// `http://host:port` of the clinic's HTTP proxy, where nobody gets out without.
    #[serde(default)]
    pub proxy: Option<String>,
    /// A file with `USER:PASSWORD` for it, mode 0600, the agent's or root's.
    #[serde(default)]
    pub proxy_credentials: Option<PathBuf>,
}

/// `[trust]`: files that the enrolment ticket fills; the pins themselves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// The organization's public keys, JSON ([`proto::charter::OrganizationKeys`]).
    pub organization_keys: PathBuf,
    /// The certificate authority of the control plane's server certificate, PEM, until a charter came over the link.
    pub ca: PathBuf,
}

/// `[paths]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Paths {
    /// State of both processes; see [`Paths::agent`] and [`Paths::executor`].
    pub state: PathBuf,
    /// The executor's socket.
    pub socket: PathBuf,
    /// While this file exists no order runs (guardrail 12).
    pub hold: PathBuf,
    /// Folder of exceptions from the baseline, one JSON file each; where it is not there, there are none.
    pub exceptions: PathBuf,
}

/// `[agent]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// Who owns the agent's files when root enrols; absent: whoever enrols.
    pub user: Option<User>,
    /// Time between two samples of everything watched.
    #[serde(rename = "sample_seconds", deserialize_with = "seconds::read")]
    pub sample: Duration,
    /// The most that the outbox may hold, in MiB.
    pub outbox_max_mb: u64,
    /// How much of that only evidence may use, in MiB.
    pub evidence_reserve_mb: u64,
    /// How long one exchange may be held open.
    #[serde(rename = "hold_seconds", deserialize_with = "seconds::read")]
    pub hold: Duration,
}

/// `[executor]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Executor {
    /// Who may connect to the socket, besides the executor's own user.
    pub agent_user: Option<User>,
    /// Time between two heartbeats.
    #[serde(rename = "heartbeat_seconds", deserialize_with = "seconds::read")]
    pub heartbeat: Duration,
    /// The most that unproven evidence may hold, in MiB; without room nothing is executed.
    pub evidence_max_mb: u64,
    /// Kind of the evidence key when it is made.
    pub evidence_key: KeyKind,
    /// How long a fault is there before a standing order is drawn on; meanwhile an order may come.
    #[serde(rename = "standing_after_seconds", deserialize_with = "seconds::read")]
    pub standing_after: Duration,
    /// A key at the box that holds all orders, and releases them when it is pressed again.
    pub hold_key: Option<HoldKey>,
}

/// `[executor] hold_key = { device = "/dev/input/by-path/…-event-kbd", code = 116 }`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldKey {
    /// The input device.
    pub device: PathBuf,
    /// The key's code (linux/input-event-codes.h): 116 is a power key.
    pub code: u16,
}

/// Kind of a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// RFC 8032.
    Ed25519,
    /// FIPS 186-5, as TPMs do it.
    P256,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The most executions in an hour.
    pub orders_per_hour: u32,
    /// When people work here: then nothing runs that disturbs them, whatever the control plane says.
    #[serde(deserialize_with = "hours::read")]
    pub clinic_hours: ClinicHours,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            organization_keys: "/etc/orderly/organization.keys.json".into(),
            ca: "/etc/orderly/ca.pem".into(),
        }
    }
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            state: "/var/lib/orderly".into(),
            socket: "/run/orderly/executor.sock".into(),
            hold: "/var/lib/orderly/hold".into(),
            exceptions: "/etc/orderly/exceptions".into(),
        }
    }
}

impl Paths {
    /// The agent's own folder.
    #[must_use]
    pub fn agent(&self) -> PathBuf {
        self.state.join("agent")
    }

    /// Where the executor keeps the watch list that an approver signed, for the programs that it starts.
    #[must_use]
    pub fn approved_watch_list(&self) -> PathBuf {
        self.executor().join(APPROVED)
    }

    /// The executor's own folder.
    #[must_use]
    pub fn executor(&self) -> PathBuf {
        self.state.join("executor")
    }
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            user: None,
            sample: Duration::from_secs(15),
            outbox_max_mb: 96,
            evidence_reserve_mb: 16,
            hold: Duration::from_secs(30),
        }
    }
}

impl Default for Executor {
    fn default() -> Self {
        Self {
            agent_user: None,
            heartbeat: Duration::from_secs(3600),
            evidence_max_mb: 64,
            evidence_key: KeyKind::Ed25519,
            standing_after: Duration::from_secs(120),
            hold_key: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { orders_per_hour: 20, clinic_hours: ClinicHours::default() }
    }
}

/// Why a configuration is not used. Exit code 2: starting again does not help.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not TOML, an unknown key, a missing one, or a value of another type; the source shows the line.
    #[error("configuration {path} is not as it must be")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Line, key, value, and what is allowed.
        #[source]
        source: toml::de::Error,
    },
    /// An exception that must not be.
    #[error("an exception of the image is not as it must be")]
    Exception(#[source] BadSource),
    /// A value that must not be.
    #[error("configuration {path}: {key} = {value}: {allowed}")]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which key: `watch.directory.uploads.path`.
        key: String,
        /// Its value.
        value: String,
        /// What would be right.
        allowed: String,
    },
}

impl Config {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config = Self::parse(&text, path)?;
        config.exceptions = exceptions::read(&config.paths.exceptions)?;
        Ok(config)
    }

    /// The same with another watch list: TOML that holds `[[watch.…]]` and nothing else. `path` is for the complaint.
    pub fn with_watch(&self, text: &str, path: &Path) -> Result<Self, ConfigError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Only {
            #[serde(default, deserialize_with = "watch::list")]
            watch: BTreeMap<WatchId, WatchEntry>,
        }
        let only: Only =
            toml::from_str(text).map_err(|source| ConfigError::Syntax { path: path.to_owned(), source })?;
        let config = Self { watch: only.watch, ..self.clone() };
        config.check(path)?;
        Ok(config)
    }

    /// The same with the watch list that an approver signed, where there is one: what the executor handed over as a
    /// credential (systemd.exec(5)), and for root what it keeps.
    pub fn as_approved(self) -> Result<Self, ConfigError> {
        let handed_over =
            std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| PathBuf::from(dir).join(APPROVED));
        let path = handed_over.unwrap_or_else(|| self.paths.approved_watch_list());
        match fs::read_to_string(&path) {
            Ok(text) => self.with_watch(&text, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self),
            // Whoever may not look into the executor's folder was handed none: there is none.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !Uid::effective().is_root() => {
                Ok(self)
            }
            Err(source) => Err(ConfigError::Read { path, source }),
        }
    }

    /// Reads and checks `text`; `path` is for the complaint.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self =
            toml::from_str(text).map_err(|source| ConfigError::Syntax { path: path.to_owned(), source })?;
        config.file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        check::check(self).map_err(|bad| ConfigError::Value {
            path: path.to_owned(),
            key: bad.key,
            value: bad.value,
            allowed: bad.allowed,
        })
    }
}

#[cfg(test)]
mod tests;
