//! Entries that are files: directories, restic repositories, logs.

use std::{fmt, path::PathBuf, time::Duration};

use proto::ids::WatchId;
use serde::Deserialize;

use crate::config::seconds;

/// `[[watch.directory]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Its ID.
    pub id: WatchId,
    /// Where it is.
    pub path: PathBuf,
    /// The most bytes that its regular files may have together.
    pub limit_bytes: u64,
    /// Files younger than this are never removed, whatever the limit says.
    #[serde(
        rename = "keep_newer_than_seconds",
        default = "an_hour",
        deserialize_with = "seconds::read_or_zero"
    )]
    pub keep_newer_than: Duration,
}

/// `[[watch.backup]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// Its ID.
    pub id: WatchId,
    /// Where it is.
    pub repository: Repository,
    /// File with the repository's password; needed unless a unit does the work.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// What is backed up; needed unless a unit does the work.
    #[serde(default)]
    pub sources: Vec<PathBuf>,
    /// From this age on the newest snapshot is too old.
    #[serde(rename = "max_age_seconds", deserialize_with = "seconds::read")]
    pub max_age: Duration,
    /// How often a restore is to be proven; absent: every week, where this machine reaches the repository.
    #[serde(rename = "restore_every_seconds", default, deserialize_with = "seconds::read_some")]
    pub restore_every: Option<Duration>,
    /// How often an eighth of the repository is read and checked (`restic check`); absent: every week, as above.
    #[serde(rename = "check_every_seconds", default, deserialize_with = "seconds::read_some")]
    pub check_every: Option<Duration>,
    /// The systemd unit that makes the backup instead of the executor: for what needs the network.
    #[serde(default)]
    pub unit: Option<String>,
}

/// A restic repository: a folder of this machine, or something that needs the network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Repository {
    /// A folder.
    Local(PathBuf),
    /// `sftp:…`, `rest:https://…`, `s3:…`: only its unit reaches it.
    Remote(String),
}

/// `[[watch.log]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Its ID.
    pub id: WatchId,
    /// Where it is.
    pub path: PathBuf,
    /// Plain substrings; a line with one of them is a match.
    #[serde(default)]
    pub raise: Vec<String>,
    /// Which lines travel to the control plane, redacted.
    #[serde(default)]
    pub forward: Forward,
}

/// Which lines of a log travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forward {
    /// None; only how many matched.
    None,
    /// Those that match.
    #[default]
    Matching,
    /// All of them.
    All,
}

impl Backup {
    /// How often a restore is to be proven; `None`: nobody here can.
    #[must_use]
    pub fn restore_every(&self) -> Option<Duration> {
        self.is_here().then(|| self.restore_every.unwrap_or(WEEK))
    }

    /// How often a part of it is to be checked; `None`: nobody here can.
    #[must_use]
    pub fn check_every(&self) -> Option<Duration> {
        self.is_here().then(|| self.check_every.unwrap_or(WEEK))
    }

    fn is_here(&self) -> bool {
        matches!(self.repository, Repository::Local(_))
    }
}

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

fn an_hour() -> Duration {
    Duration::from_secs(3600)
}

impl From<String> for Repository {
    fn from(text: String) -> Self {
        // A relative path lands with the remote ones, where the check asks for a unit or an absolute path.
        if text.starts_with('/') { Self::Local(text.into()) } else { Self::Remote(text) }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::Remote(location) => f.write_str(location),
        }
    }
}
