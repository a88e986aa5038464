//! Faults: the closed vocabulary of what can be wrong, used alike for events, triggers and checks.
//!
//! Whether a fault holds is a pure function of readings, so agent, executor and control plane cannot disagree on it.
//! What cannot be read counts as wrong: silence is not health.

use std::time::Duration;

use proto::evidence::Readings;

vocabulary! {
    /// What an entry of a box's watch list is.
    pub enum WatchKind as "watch kind" {
        /// A directory with a limit on its bytes.
        Directory = "directory",
        /// A restic repository.
        Backup = "backup",
        /// A log file with patterns.
        Log = "log",
        /// A number that the machine measures, with a limit.
        Metric = "metric",
    }
}

vocabulary! {
    /// Something that can be wrong with an entry of the watch list.
    ///
    /// | fault | holds when | readings |
    /// | --- | --- | --- |
    /// | `directory.over-limit` | bytes > limit | `bytes`, `limit_bytes` |
    /// | `backup.stale` | age > most | `age_seconds` (−1: none, or cannot be read), `max_age_seconds` |
    /// | `restore.due` | age ≥ interval | `restore_age_seconds` (−1: never), `restore_every_seconds` |
    /// | `log.match` | any line matched | `lines` |
    /// | `metric.over-limit` | value > limit | `value`, `limit` |
    pub enum Fault as "fault" {
        /// A watched directory holds more bytes than its limit.
        DirectoryOverLimit = "directory.over-limit",
        /// The newest snapshot of a repository is too old, or there is none that can be read.
        BackupStale = "backup.stale",
        /// No restore from a repository has been proven for too long.
        RestoreDue = "restore.due",
        /// A pattern was found in a log.
        LogMatch = "log.match",
        /// A metric is above its limit.
        MetricOverLimit = "metric.over-limit",
    }
}

vocabulary! {
    /// Whether what a runbook repairs is there.
    pub enum Presence as "presence" {
        /// It is.
        Present = "present",
        /// It is not.
        Gone = "gone",
        /// Nobody can tell: a reading is missing.
        Unknown = "unknown",
    }
}

impl Fault {
    /// The kind of watch-list entry that can have it.
    #[must_use]
    pub fn kind(self) -> WatchKind {
        match self {
            Self::DirectoryOverLimit => WatchKind::Directory,
            Self::BackupStale | Self::RestoreDue => WatchKind::Backup,
            Self::LogMatch => WatchKind::Log,
            Self::MetricOverLimit => WatchKind::Metric,
        }
    }

    /// Whether it holds by `readings`; `None` when they do not say.
    #[must_use]
    pub fn holds(self, readings: &Readings) -> Option<bool> {
        let read = |name: &str| readings.get(name).copied();
        // A limit is configuration; a negative one was never configured.
        let limit = |name: &str| read(name).filter(|limit| *limit >= 0);
        let unreadable_or = |value: i64, wrong: bool| Some(value < 0 || wrong);
        match self {
            Self::DirectoryOverLimit => {
                let (bytes, most) = (read("bytes")?, limit("limit_bytes")?);
                unreadable_or(bytes, bytes > most)
            }
            Self::BackupStale => {
                let (age, most) = (read("age_seconds")?, limit("max_age_seconds")?);
                unreadable_or(age, age > most)
            }
            Self::RestoreDue => {
                let (age, every) = (read("restore_age_seconds")?, limit("restore_every_seconds")?);
                unreadable_or(age, age >= every)
            }
            Self::LogMatch => {
                let lines = read("lines")?;
                unreadable_or(lines, lines > 0)
            }
            // A metric may be below zero (a temperature), so −1 is a value like any other here.
            Self::MetricOverLimit => Some(read("value")? > read("limit")?),
        }
    }
}

/// Whole seconds for people: `90 s`, `15 min`, `7 h`, `30 days`.
pub(crate) fn spoken(span: Duration) -> String {
    // Rounded up: "0 s left" would read as none.
    let seconds = span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0));
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds.div_ceil(60)),
        7_200..=172_799 => format!("{} h", seconds.div_ceil(3_600)),
        _ => format!("{} days", seconds.div_ceil(86_400)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_by_readings() {
        for (fault, readings, expected) in [
            (Fault::DirectoryOverLimit, &[("bytes", 11), ("limit_bytes", 10)][..], Some(true)),
            (Fault::DirectoryOverLimit, &[("bytes", 10), ("limit_bytes", 10)], Some(false)),
            (Fault::DirectoryOverLimit, &[("bytes", -1), ("limit_bytes", 10)], Some(true)),
            (Fault::DirectoryOverLimit, &[("bytes", 11)], None),
            (Fault::DirectoryOverLimit, &[("limit_bytes", 10)], None),
            (Fault::DirectoryOverLimit, &[("bytes", 11), ("limit_bytes", -1)], None),
            (Fault::BackupStale, &[("age_seconds", 61), ("max_age_seconds", 60)], Some(true)),
            (Fault::BackupStale, &[("age_seconds", 60), ("max_age_seconds", 60)], Some(false)),
            (Fault::BackupStale, &[("age_seconds", -1), ("max_age_seconds", 60)], Some(true)),
            (Fault::BackupStale, &[], None),
            (Fault::RestoreDue, &[("restore_age_seconds", 60), ("restore_every_seconds", 60)], Some(true)),
            (Fault::RestoreDue, &[("restore_age_seconds", 59), ("restore_every_seconds", 60)], Some(false)),
            (Fault::RestoreDue, &[("restore_age_seconds", -1), ("restore_every_seconds", 60)], Some(true)),
            (Fault::RestoreDue, &[("restore_every_seconds", 60)], None),
            (Fault::LogMatch, &[("lines", 1)], Some(true)),
            (Fault::LogMatch, &[("lines", 0)], Some(false)),
            (Fault::LogMatch, &[("lines", -1)], Some(true)),
            (Fault::MetricOverLimit, &[("value", -1), ("limit", -2)], Some(true)),
            (Fault::MetricOverLimit, &[("value", -1), ("limit", 0)], Some(false)),
            (Fault::MetricOverLimit, &[("value", -1)], None),
        ] {
            let map: Readings = readings.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            assert_eq!(fault.holds(&map), expected, "{fault} {readings:?}");
        }
    }

    #[test]
    fn every_word_reads_back_and_nothing_else_does() {
        for fault in Fault::ALL {
            assert_eq!(fault.to_string().parse::<Fault>().unwrap(), *fault);
            assert_eq!(serde_json::to_string(fault).unwrap(), format!("\"{fault}\""));
            assert!(fault.as_str().starts_with(&format!("{}.", fault.kind())) || *fault == Fault::RestoreDue);
        }
        let refused = "directory.full".parse::<Fault>().unwrap_err().to_string();
        assert!(refused.contains("directory.over-limit, backup.stale, restore.due"), "{refused}");
        assert!("Directory".parse::<WatchKind>().is_err());
    }

    #[test]
    fn spans_are_spoken_and_never_nothing() {
        for (ms, expected) in [
            (0, "0 s"),
            (1, "1 s"),
            (90_000, "90 s"),
            (900_000, "15 min"),
            (25_200_000, "7 h"),
            (2_592_000_000, "30 days"),
        ] {
            assert_eq!(spoken(Duration::from_millis(ms)), expected);
        }
    }
}
