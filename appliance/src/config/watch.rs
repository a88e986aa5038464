//! The watch list: what this box looks after, each entry under an ID that its owner chose.
//!
//! The rule: an order names an ID, never a path, a unit or a URL. What the ID stands for is said here alone.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use proto::ids::WatchId;
use runbooks::WatchKind;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::seconds;

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEntry {
    /// A directory with a limit on its bytes.
    Directory(Directory),
    /// A restic repository.
    Backup(Backup),
    /// A log file with patterns.
    Log(Log),
    /// A number of the machine with a limit.
    Metric(Metric),
}

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
    /// How often a restore is to be proven; absent: never.
    #[serde(rename = "restore_every_seconds", default, deserialize_with = "seconds::read_some")]
    pub restore_every: Option<Duration>,
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
    pub raise: Vec<String>,
}

/// `[[watch.metric]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Its ID.
    pub id: WatchId,
    /// Which number.
    pub metric: MetricName,
    /// Above this it is a fault.
    pub above: i64,
}

/// Numbers that a machine measures of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricName {
    /// Memory in use, of all there is.
    MemoryUsedPercent,
    /// Swap in use, of all there is.
    SwapUsedPercent,
    /// Busy processor time, over all cores.
    CpuUsedPercent,
    /// Space in use on the file system of `/`.
    DiskUsedPercent,
}

fn an_hour() -> Duration {
    Duration::from_secs(3600)
}

impl WatchEntry {
    /// Its ID.
    #[must_use]
    pub fn id(&self) -> &WatchId {
        match self {
            Self::Directory(entry) => &entry.id,
            Self::Backup(entry) => &entry.id,
            Self::Log(entry) => &entry.id,
            Self::Metric(entry) => &entry.id,
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> WatchKind {
        match self {
            Self::Directory(_) => WatchKind::Directory,
            Self::Backup(_) => WatchKind::Backup,
            Self::Log(_) => WatchKind::Log,
            Self::Metric(_) => WatchKind::Metric,
        }
    }
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    #[serde(default)]
    directory: Vec<Directory>,
    #[serde(default)]
    backup: Vec<Backup>,
    #[serde(default)]
    log: Vec<Log>,
    #[serde(default)]
    metric: Vec<Metric>,
}

/// Reads the four lists into one, in which every ID stands once.
pub(super) fn list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<WatchId, WatchEntry>, D::Error> {
    let lists = Lists::deserialize(deserializer)?;
    let all = (lists.directory.into_iter().map(WatchEntry::Directory))
        .chain(lists.backup.into_iter().map(WatchEntry::Backup))
        .chain(lists.log.into_iter().map(WatchEntry::Log))
        .chain(lists.metric.into_iter().map(WatchEntry::Metric));
    let mut by_id = BTreeMap::new();
    for entry in all {
        let (id, kind) = (entry.id().clone(), entry.kind());
        if let Some(other) = by_id.insert(id.clone(), entry) {
            return Err(D::Error::custom(format!(
                "watch.{kind}.id = \"{id}\": must be used once in the whole watch list, is also the ID of a {}",
                other.kind()
            )));
        }
    }
    Ok(by_id)
}
