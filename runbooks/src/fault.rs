//! Faults: the closed vocabulary of what can be wrong, used alike for events, triggers and checks.
//!
//! Whether a fault holds is a pure function of readings, so agent, executor and control plane cannot disagree on it.
//! What cannot be read counts as wrong: silence is not health.

use std::time::Duration;

use proto::evidence::Readings;

proto::vocabulary! {
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
        /// The journal, by patterns.
        Journal = "journal",
        /// A systemd unit that is to be up.
        Unit = "unit",
        /// A mounted file system.
        Filesystem = "filesystem",
        /// How long work waits for the processor.
        Processor = "processor",
        /// How long work waits for memory.
        Memory = "memory",
        /// A drive that tells of its health.
        Drive = "drive",
        /// A thermometer.
        Sensor = "sensor",
        /// The machine's clock and what keeps it.
        Clock = "clock",
        /// A TLS certificate, in a file or as a server shows it.
        Certificate = "certificate",
        /// Something of the clinic that must be reachable.
        Service = "service",
        /// The way out: a network interface and its default route.
        Uplink = "uplink",
        /// The appliance's own databases.
        Store = "store",
        /// The appliance's own share of processor, memory and disk.
        Footprint = "footprint",
        /// The baseline's controls.
        Baseline = "baseline",
    }
}

proto::vocabulary! {
    /// Something that can be wrong with an entry of the watch list.
    ///
    /// | fault | holds when | readings |
    /// | --- | --- | --- |
    /// | `directory.over-limit` | bytes > limit | `bytes`, `limit_bytes` |
    /// | `backup.stale` | age > most | `age_seconds` (−1: none, or cannot be read), `max_age_seconds` |
    /// | `restore.due` | age ≥ interval | `restore_age_seconds` (−1: never), `restore_every_seconds` |
    /// | `log.match` | any line matched | `lines` |
    /// | `metric.over-limit` | value > limit | `value`, `limit` |
    /// | `journal.match` | any entry matched | `lines` |
    /// | `unit.down` | not active | `active` (1, 0; −1: no such unit) |
    /// | `unit.crashing` | restarts of late > limit | `restarted`, `restarts_limit` |
    /// | `filesystem.full` | used > limit | `used_percent`, `limit_percent` |
    /// | `filesystem.inodes-used` | used > limit | `inodes_used_percent`, `inodes_limit_percent` |
    /// | `processor.pressed` | waiting > limit | `waiting_percent`, `limit_percent` |
    /// | `memory.pressed` | waiting > limit | `waiting_percent`, `limit_percent` |
    /// | `drive.failing` | it says so, or cannot be asked | `failing` (0, 1; −1: cannot be asked) |
    /// | `sensor.hot` | hotter than the limit | `millidegrees`, `limit_millidegrees` |
    /// | `clock.unsynchronised` | not synchronised, or too far off | `synchronised` (1, 0; −1), `offset_us`, `limit_us` |
    /// | `certificate.expiring` | fewer days left than wanted | `left_seconds` (−1: over, or cannot be read), `wanted_seconds` |
    /// | `certificate.wrong` | chain or name do not hold | `chain` and `name` (1, 0; −1: cannot be read) |
    /// | `service.unreachable` | it did not answer | `reachable` (1, 0) |
    /// | `uplink.lost` | no carrier or no default route | `carrier`, `route` (1, 0) |
    /// | `store.damaged` | the executor's database is not whole | `damaged` (0, 1; −1: cannot be read) |
    /// | `store.outbox-damaged` | the agent's outbox is not whole | `outbox_damaged` (0, 1; −1: cannot be read) |
    /// | `backup.damaged` | a check of the repository found something | `damaged` (0, 1; −1: it did not end) |
    /// | `footprint.over-limit` | the appliance uses more than it may | `resident_kb`, `resident_limit_kb` |
    /// | `baseline.drifted` | a control drifted that this box can set again | `drifted`, `controls` |
    /// | `baseline.broken` | a control drifted that only a person can put right | `broken`, `controls` |
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
        /// A pattern was found in the journal.
        JournalMatch = "journal.match",
        /// A unit that is to be up is not.
        UnitDown = "unit.down",
        /// A unit crashes again and again, and is up in between.
        UnitCrashing = "unit.crashing",
        /// A file system is almost full.
        FilesystemFull = "filesystem.full",
        /// A file system has hardly any inodes left.
        FilesystemInodesUsed = "filesystem.inodes-used",
        /// Work waits for the processor.
        ProcessorPressed = "processor.pressed",
        /// Work waits for memory.
        MemoryPressed = "memory.pressed",
        /// A drive says that it is failing.
        DriveFailing = "drive.failing",
        /// Something is too hot.
        SensorHot = "sensor.hot",
        /// The clock is not kept.
        ClockUnsynchronised = "clock.unsynchronised",
        /// A certificate ends soon.
        CertificateExpiring = "certificate.expiring",
        /// A certificate is for another name, or nobody trusted vouches for it.
        CertificateWrong = "certificate.wrong",
        /// A service does not answer.
        ServiceUnreachable = "service.unreachable",
        /// There is no way out.
        UplinkLost = "uplink.lost",
        /// The executor's database is damaged.
        StoreDamaged = "store.damaged",
        /// The agent's outbox is damaged.
        OutboxDamaged = "store.outbox-damaged",
        /// A repository is damaged.
        BackupDamaged = "backup.damaged",
        /// The appliance itself uses too much.
        FootprintOverLimit = "footprint.over-limit",
        /// A control of the baseline does not hold, and this box can set it again.
        BaselineDrifted = "baseline.drifted",
        /// A control of the baseline does not hold, and no runbook can put it right.
        BaselineBroken = "baseline.broken",
    }
}

proto::vocabulary! {
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
            Self::BackupStale | Self::RestoreDue | Self::BackupDamaged => WatchKind::Backup,
            Self::LogMatch => WatchKind::Log,
            Self::MetricOverLimit => WatchKind::Metric,
            Self::JournalMatch => WatchKind::Journal,
            Self::UnitDown | Self::UnitCrashing => WatchKind::Unit,
            Self::FilesystemFull | Self::FilesystemInodesUsed => WatchKind::Filesystem,
            Self::ProcessorPressed => WatchKind::Processor,
            Self::MemoryPressed => WatchKind::Memory,
            Self::DriveFailing => WatchKind::Drive,
            Self::SensorHot => WatchKind::Sensor,
            Self::ClockUnsynchronised => WatchKind::Clock,
            Self::CertificateExpiring | Self::CertificateWrong => WatchKind::Certificate,
            Self::ServiceUnreachable => WatchKind::Service,
            Self::UplinkLost => WatchKind::Uplink,
            Self::StoreDamaged | Self::OutboxDamaged => WatchKind::Store,
            Self::FootprintOverLimit => WatchKind::Footprint,
            Self::BaselineDrifted | Self::BaselineBroken => WatchKind::Baseline,
        }
    }

    /// Whether it holds by `readings`; `None` when they do not say.
    #[must_use]
    pub fn holds(self, readings: &Readings) -> Option<bool> {
        let read = |name: &str| readings.get(name).copied();
        // A limit is configuration; a negative one was never configured.
        let limit = |name: &str| read(name).filter(|limit| *limit >= 0);
        // What cannot be read is −1, and wrong: silence is not health.
        let over = |value: &str, most: &str| {
            let (value, most) = (read(value)?, limit(most)?);
            Some(value < 0 || value > most)
        };
        let under = |value: &str, least: &str| {
            let (value, least) = (read(value)?, limit(least)?);
            Some(value < 0 || value < least)
        };
        let is_not = |value: &str, right: i64| Some(read(value)? != right);
        match self {
            Self::DirectoryOverLimit => over("bytes", "limit_bytes"),
            Self::BackupStale => over("age_seconds", "max_age_seconds"),
            Self::RestoreDue => {
                let (age, every) = (read("restore_age_seconds")?, limit("restore_every_seconds")?);
                Some(age < 0 || age >= every)
            }
            Self::LogMatch | Self::JournalMatch => is_not("lines", 0),
            Self::UnitDown => is_not("active", 1),
            Self::UnitCrashing => over("restarted", "restarts_limit"),
            Self::FilesystemFull => over("used_percent", "limit_percent"),
            Self::FilesystemInodesUsed => over("inodes_used_percent", "inodes_limit_percent"),
            Self::ProcessorPressed | Self::MemoryPressed => over("waiting_percent", "limit_percent"),
            Self::DriveFailing => is_not("failing", 0),
            Self::StoreDamaged | Self::BackupDamaged => is_not("damaged", 0),
            Self::OutboxDamaged => is_not("outbox_damaged", 0),
            Self::ClockUnsynchronised => {
                let synchronised = is_not("synchronised", 1)?;
                let (offset, most) = (read("offset_us")?, limit("limit_us")?);
                Some(synchronised || offset.unsigned_abs() > most.unsigned_abs())
            }
            Self::CertificateExpiring => under("left_seconds", "wanted_seconds"),
            Self::CertificateWrong => Some(is_not("chain", 1)? || is_not("name", 1)?),
            Self::ServiceUnreachable => is_not("reachable", 1),
            Self::UplinkLost => Some(is_not("carrier", 1)? || is_not("route", 1)?),
            Self::FootprintOverLimit => over("resident_kb", "resident_limit_kb"),
            Self::BaselineDrifted => is_not("drifted", 0),
            Self::BaselineBroken => is_not("broken", 0),
            // A temperature may be below zero too.
            Self::SensorHot => Some(read("millidegrees")? > read("limit_millidegrees")?),
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
            (Fault::JournalMatch, &[("lines", 2)], Some(true)),
            (Fault::UnitDown, &[("active", 1)], Some(false)),
            (Fault::UnitDown, &[("active", -1)], Some(true)),
            (Fault::UnitCrashing, &[("restarted", 3), ("restarts_limit", 3)], Some(false)),
            (Fault::UnitCrashing, &[("restarted", 4), ("restarts_limit", 3)], Some(true)),
            (Fault::UnitCrashing, &[("active", -1), ("restarts_limit", 3)], None),
            (Fault::FilesystemFull, &[("used_percent", 90), ("limit_percent", 90)], Some(false)),
            (Fault::FilesystemFull, &[("used_percent", 91), ("limit_percent", 90)], Some(true)),
            (Fault::FilesystemInodesUsed, &[("inodes_used_percent", 5)], None),
            (Fault::MemoryPressed, &[("waiting_percent", -1), ("limit_percent", 10)], Some(true)),
            (Fault::DriveFailing, &[("failing", 0)], Some(false)),
            (Fault::DriveFailing, &[("failing", -1)], Some(true)),
            (Fault::SensorHot, &[("millidegrees", -5000), ("limit_millidegrees", 90_000)], Some(false)),
            (
                Fault::ClockUnsynchronised,
                &[("synchronised", 1), ("offset_us", -9), ("limit_us", 8)],
                Some(true),
            ),
            (
                Fault::ClockUnsynchronised,
                &[("synchronised", 1), ("offset_us", -8), ("limit_us", 8)],
                Some(false),
            ),
            (
                Fault::ClockUnsynchronised,
                &[("synchronised", 0), ("offset_us", 0), ("limit_us", 8)],
                Some(true),
            ),
            (Fault::CertificateExpiring, &[("left_seconds", 9), ("wanted_seconds", 10)], Some(true)),
            (Fault::CertificateExpiring, &[("left_seconds", 10), ("wanted_seconds", 10)], Some(false)),
            (Fault::CertificateWrong, &[("chain", 1), ("name", 0)], Some(true)),
            (Fault::CertificateWrong, &[("chain", 1), ("name", 1)], Some(false)),
            (Fault::ServiceUnreachable, &[("reachable", 0)], Some(true)),
            (Fault::UplinkLost, &[("carrier", 1), ("route", 0)], Some(true)),
            (Fault::StoreDamaged, &[("damaged", -1)], Some(true)),
            (Fault::StoreDamaged, &[("outbox_damaged", 1)], None),
            (Fault::OutboxDamaged, &[("damaged", 1), ("outbox_damaged", 0)], Some(false)),
            (Fault::OutboxDamaged, &[("outbox_damaged", -1)], Some(true)),
            (Fault::BackupDamaged, &[("damaged", 1)], Some(true)),
            (Fault::FootprintOverLimit, &[("resident_kb", 10), ("resident_limit_kb", 16_384)], Some(false)),
            (Fault::BaselineDrifted, &[("drifted", 1), ("controls", 30)], Some(true)),
            (Fault::BaselineDrifted, &[("drifted", 0), ("broken", 1)], Some(false)),
            (Fault::BaselineBroken, &[("drifted", 1), ("broken", 0)], Some(false)),
            (Fault::BaselineBroken, &[("broken", 1)], Some(true)),
            (Fault::BaselineBroken, &[("drifted", 1)], None),
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
