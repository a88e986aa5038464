//! Entries that are parts of this machine: what it measures of itself, its units, drives and clock.

use std::{path::PathBuf, time::Duration};

use proto::ids::WatchId;
use serde::Deserialize;

use crate::config::seconds;

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

/// `[[watch.journal]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Its ID.
    pub id: WatchId,
    /// Only entries of these units; empty: of all.
    #[serde(default)]
    pub units: Vec<String>,
    /// Plain substrings; a message with one of them is a match.
    #[serde(default)]
    pub raise: Vec<String>,
    /// Entries of this priority or worse match, whatever they say: 0 (emergency) to 7 (debug); absent: none.
    #[serde(default)]
    pub priority: Option<u8>,
}

/// `[[watch.unit]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Its ID.
    pub id: WatchId,
    /// The systemd unit that is to be active.
    pub unit: String,
    /// The most restarts by systemd itself in ten minutes; with more, it crashes again and again.
    #[serde(default = "a_few")]
    pub restarts_limit: u32,
}

/// `[[watch.filesystem]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filesystem {
    /// Its ID.
    pub id: WatchId,
    /// Where it is mounted.
    pub path: PathBuf,
    /// From more than this on it is full.
    #[serde(default = "most_of_it")]
    pub limit_percent: u8,
    /// The same for its inodes.
    #[serde(default = "most_of_it")]
    pub inodes_limit_percent: u8,
    /// What of the journal is kept when it is full; absent: the journal is not touched.
    #[serde(default)]
    pub keep_journal_mb: Option<u64>,
    /// Folders whose files may all go when it is full: caches, and nothing else.
    #[serde(default)]
    pub caches: Vec<PathBuf>,
    /// Whether Nix may collect its garbage when it is full.
    #[serde(default)]
    pub nix_garbage: bool,
}

/// `[[watch.processor]]` and `[[watch.memory]]`: pressure stall information (Documentation/accounting/psi.rst).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pressure {
    /// Its ID.
    pub id: WatchId,
    /// The share of the last minute that work waited (`some avg60`), in percent; above this it is a fault.
    pub limit_percent: u8,
    /// Units that may be held back: given at most `throttle_percent` of one processor until the next boot.
    #[serde(default)]
    pub may_throttle: Vec<String>,
    /// What is left to a unit that is held back.
    #[serde(default = "half")]
    pub throttle_percent: u8,
    /// Units that may be restarted when nothing else helps.
    #[serde(default)]
    pub may_restart: Vec<String>,
}

/// `[[watch.drive]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drive {
    /// Its ID.
    pub id: WatchId,
    /// Its device: `/dev/nvme0`.
    pub device: PathBuf,
}

/// `[[watch.sensor]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sensor {
    /// Its ID.
    pub id: WatchId,
    /// The name of the chip, as `/sys/class/hwmon/*/name` says it: `coretemp`. The hottest of its thermometers counts.
    pub chip: String,
    /// Above this it is too hot, in degrees Celsius.
    pub above_celsius: i32,
}

/// `[[watch.clock]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Its ID.
    pub id: WatchId,
    /// How far off it may be, in milliseconds.
    #[serde(default = "a_second")]
    pub limit_ms: u32,
    /// The unit that keeps it.
    #[serde(default = "chronyd")]
    pub unit: String,
}

/// `[[watch.store]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Its ID.
    pub id: WatchId,
    /// How often the executor's database is looked through; the outbox is at every look.
    #[serde(rename = "every_seconds", default = "a_day", deserialize_with = "seconds::read")]
    pub every: Duration,
    /// The unit that the agent runs in, for beginning a damaged outbox anew.
    #[serde(default = "the_agent")]
    pub unit: String,
}

/// `[[watch.footprint]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footprint {
    /// Its ID.
    pub id: WatchId,
    /// The most that agent and executor may have in memory together, in MiB.
    pub resident_limit_mb: u32,
}

/// `[[watch.baseline]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Its ID.
    pub id: WatchId,
    /// How often all controls are looked at.
    #[serde(rename = "every_seconds", default = "an_hour", deserialize_with = "seconds::read")]
    pub every: Duration,
}

fn a_few() -> u32 {
    3
}

fn most_of_it() -> u8 {
    90
}

fn half() -> u8 {
    50
}

fn a_second() -> u32 {
    1000
}

fn an_hour() -> Duration {
    Duration::from_secs(3600)
}

fn a_day() -> Duration {
    Duration::from_secs(24 * 3600)
}

fn the_agent() -> String {
    "orderly-agent.service".to_owned()
}

fn chronyd() -> String {
    "chronyd.service".to_owned()
}
