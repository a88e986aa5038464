//! The real machine: the readings and steps that the catalogue's closed vocabulary names, each done here and nowhere
//! else.
//!
//! The rule: what a step works on comes from the watch list alone. Nothing is run through a shell; programs get a fixed
//! environment, no secret in an argument, no descriptor of ours, a deadline, and die as a group.

mod beneath;
mod drift;
mod prune;
mod readers;
mod relieve;
mod repository;
mod restic;
mod restore;
pub(super) mod spawn;
mod stop;
mod tidy;
mod unit;
mod walk;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use baseline::Finding;
use proto::{
    evidence::{Readings, StepResult},
    ids::WatchId,
    time::Millis,
};
use runbooks::{Action, Fault, Step};

use crate::{
    config::{Backup, Config, DEFAULT_PATH, Repository, WatchEntry},
    world::{Cost, Host, HostFacts, StepOutcome, World},
};

pub(super) use self::drift::readings as drift_readings;
pub use self::stop::Stop;

/// How long a look at something that should answer at once may take.
const BRIEF: Duration = Duration::from_secs(10);
/// How long a server may take to show a new certificate.
const TAKING_UP: Duration = Duration::from_secs(40);
/// How long a look at the network may take, beside what a service itself may.
const LOOKING: Duration = Duration::from_secs(20);

/// The programs that are run, by name or by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// `restic`.
    pub restic: PathBuf,
    /// `systemctl`.
    pub systemctl: PathBuf,
    /// `journalctl`.
    pub journalctl: PathBuf,
    /// `chronyc`.
    pub chronyc: PathBuf,
    /// `smartctl`.
    pub smartctl: PathBuf,
    /// `nix-collect-garbage`.
    pub nix_collect_garbage: PathBuf,
    /// `systemd-run`.
    pub systemd_run: PathBuf,
    /// `sshd`.
    pub sshd: PathBuf,
    /// `auditctl`.
    pub auditctl: PathBuf,
    /// `nft`.
    pub nft: PathBuf,
    /// `cryptsetup`.
    pub cryptsetup: PathBuf,
}

impl Default for Programs {
    fn default() -> Self {
        Self {
            restic: "restic".into(),
            systemctl: "systemctl".into(),
            journalctl: "journalctl".into(),
            chronyc: "chronyc".into(),
            smartctl: "smartctl".into(),
            nix_collect_garbage: "nix-collect-garbage".into(),
            systemd_run: "systemd-run".into(),
            sshd: "sshd".into(),
            auditctl: "auditctl".into(),
            nft: "nft".into(),
            cryptsetup: "cryptsetup".into(),
        }
    }
}

/// In the executor's folder: there while orders are held by the key.
pub(super) const HELD_BY_KEY: &str = "held-by-key";

/// This machine.
pub struct SystemHost {
    world: World,
    programs: Programs,
    /// Where `/proc` and `/sys` are found.
    root: PathBuf,
    /// The configuration, for a second process of this program.
    config: PathBuf,
    state: PathBuf,
    hold: PathBuf,
    stop: Stop,
    /// The watch list, and what was last read of its repositories.
    repositories: drift::Repositories,
    /// Times of the snapshots of each repository, as long as nothing changes in it.
    snapshots: Mutex<BTreeMap<WatchId, repository::Seen>>,
}

impl SystemHost {
    /// `state`: the executor's own folder, for caches and scratch space. `hold`: while this file exists, no order runs.
    #[must_use]
    pub fn new(world: World, programs: Programs, state: PathBuf, hold: PathBuf, stop: Stop) -> Self {
        let (root, config) = ("/".into(), DEFAULT_PATH.into());
        let repositories = drift::Repositories::default();
        Self { world, programs, root, config, state, hold, stop, repositories, snapshots: Mutex::default() }
    }

    /// With the paths of a configuration.
    #[must_use]
    pub fn from_config(config: &Config, world: World, stop: Stop) -> Self {
        let (state, hold) = (config.paths.executor(), config.paths.hold.clone());
        let repositories = drift::Repositories::of(config.watch.values());
        let host = Self::new(world, Programs::default(), state, hold, stop);
        Self { config: config.file.clone(), repositories, ..host }
    }

    /// Removes what a restore left behind when the power failed: it is somebody's records.
    pub fn clear_scratch(&self) {
        if let Err(error) = restore::clear(&self.scratch()) {
            tracing::error!("what the last test restore left behind cannot be removed: {error}");
        }
    }

    fn scratch(&self) -> PathBuf {
        self.state.join("scratch")
    }

    /// A limit in time that ends early when the executor is stopped.
    fn limit(&self, within: Duration) -> Limit<'_> {
        let clock = &*self.world.clock;
        Limit { clock, stop: &self.stop, ends: clock.boot().saturating_add(within) }
    }

    fn restic<'a>(&'a self, backup: &'a Backup) -> Option<restic::Restic<'a>> {
        match (&backup.repository, &backup.password_file) {
            (Repository::Local(repository), Some(password_file)) => Some(restic::Restic {
                program: &self.programs.restic,
                repository,
                password_file,
                cache: self.state.join("restic-cache"),
            }),
            _ => None,
        }
    }

    fn measure_backup(&self, backup: &Backup, facts: &HostFacts) -> Readings {
        let mut readings = Readings::new();
        let limit = self.limit(repository::PATIENCE);
        let age = match self.restic(backup) {
            Some(restic) => repository::newest(&restic, &backup.id, &self.snapshots, facts.now, &limit)
                .map(|newest| facts.now.since(newest)),
            None => backup
                .unit
                .as_deref()
                .and_then(|unit| unit::succeeded(&self.programs.systemctl, unit, &limit))
                .and_then(|ended| unit::age(ended, self.world.clock.wall())),
        };
        readings.insert("age_seconds".into(), age.map_or(-1, seconds));
        readings.insert("max_age_seconds".into(), seconds(backup.max_age));
        if let Some(every) = backup.restore_every {
            readings.insert("restore_age_seconds".into(), facts.restore_proven.map_or(-1, seconds));
            readings.insert("restore_every_seconds".into(), seconds(every));
        }
        readings
    }

    fn perform_backup(&self, backup: &Backup, facts: &HostFacts, limit: &Limit<'_>) -> StepOutcome {
        match (&backup.unit, self.restic(backup)) {
            (Some(unit), _) => unit::start(&self.programs.systemctl, unit, limit),
            (None, Some(restic)) => restic.backup(&backup.sources, facts.now, limit),
            (None, None) => failed(-1),
        }
    }

    /// Gives what was done time to show.
    fn settle(
        &self,
        fault: Fault,
        entry: &WatchEntry,
        facts: &HostFacts,
        limit: &Limit<'_>,
        outcome: StepOutcome,
    ) -> StepOutcome {
        // The reading afterwards must fall within the time, too.
        let limit = Limit { ends: limit.ends.saturating_sub(BRIEF), ..*limit };
        if outcome.result == StepResult::Done {
            relieve::settle(&limit, || fault.holds(&self.measure(entry, facts)) == Some(false));
        }
        outcome
    }

    /// Corrects the clock at once; a keeper that does not answer is restarted, and corrects it at its start.
    fn step_clock(&self, keeper: &str, limit: &Limit<'_>) -> StepOutcome {
        let stepped = unit::run(&self.programs.chronyc, &["makestep"], limit);
        match stepped.result {
            StepResult::Failed => unit::restart(&self.programs.systemctl, keeper, limit),
            _ => stepped,
        }
    }

    fn perform_test_restore(&self, backup: &Backup, facts: &HostFacts, limit: &Limit<'_>) -> StepOutcome {
        let Some(restic) = self.restic(backup) else { return failed(-1) };
        let scratch = self.scratch();
        let entropy = &*self.world.entropy;
        restore::TestRestore { restic, sources: &backup.sources, scratch: &scratch, entropy, now: facts.now }
            .run(limit)
    }
}

impl Host for SystemHost {
    fn held(&self) -> Option<String> {
        // There, or nobody can say that it is not.
        let is_there = |path: &Path| match fs::symlink_metadata(path) {
            Err(e) => e.kind() != io::ErrorKind::NotFound,
            Ok(_) => true,
        };
        let by = [(self.hold.clone(), "file"), (self.state.join(HELD_BY_KEY), "key")];
        by.iter().find(|(path, _)| is_there(path)).map(|(_, word)| (*word).to_owned())
    }

    fn cost(&self) -> Option<Cost> {
        readers::cost::read(&self.root.join("proc"))
    }

    fn measure(&self, entry: &WatchEntry, facts: &HostFacts) -> Readings {
        match entry {
            WatchEntry::Directory(directory) => prune::measure(directory, &self.limit(repository::PATIENCE)),
            WatchEntry::Backup(backup) => {
                let readings = self.measure_backup(backup, facts);
                self.repositories.remember(&backup.id, &readings);
                readings
            }
            WatchEntry::Baseline(_) => drift::readings(&self.scan(facts.now)),
            WatchEntry::Unit(entry) => {
                readers::unit::read(&self.programs.systemctl, &entry.unit, &self.limit(BRIEF))
            }
            WatchEntry::Filesystem(entry) => readers::filesystem::read(entry),
            WatchEntry::Processor(entry) => readers::pressure::read(&self.root, "cpu", entry),
            WatchEntry::Memory(entry) => readers::pressure::read(&self.root, "memory", entry),
            WatchEntry::Drive(entry) => {
                readers::drive::read(&self.programs.smartctl, entry, &self.limit(BRIEF))
            }
            WatchEntry::Sensor(entry) => readers::sensor::read(&self.root, entry),
            WatchEntry::Clock(entry) => {
                readers::clock::read(&self.programs.chronyc, entry, &self.limit(BRIEF))
            }
            WatchEntry::Certificate(entry) if entry.server.is_some() => {
                let (run, limit) = (&self.programs.systemd_run, self.limit(LOOKING));
                readers::served::certificate(run, &self.config, entry, facts.now, &limit)
            }
            WatchEntry::Certificate(entry) => readers::certificate::read(entry, facts.now),
            WatchEntry::Service(entry) => {
                let (run, limit) = (&self.programs.systemd_run, self.limit(LOOKING + entry.timeout));
                readers::served::service(run, &self.config, entry, facts.now, &limit)
            }
            WatchEntry::Uplink(entry) => readers::uplink::read(&self.root, entry),
            WatchEntry::Store(_) => {
                let outbox = self.state.with_file_name("agent").join("outbox.db");
                readers::store::read(&[&self.state.join("executor.db"), &outbox])
            }
            WatchEntry::Footprint(entry) => readers::footprint::read(&self.root, entry),
            // The agent reads these itself; nobody else can say how they stand.
            WatchEntry::Log(_) | WatchEntry::Metric(_) | WatchEntry::Journal(_) => Readings::new(),
        }
    }

    fn scan(&self, now: Millis) -> Vec<Finding> {
        self.scan_baseline(now)
    }

    fn perform(&self, step: &Step, entry: &WatchEntry, facts: &HostFacts, within: Duration) -> StepOutcome {
        let limit = self.limit(within);
        match (step.action, entry) {
            (Action::FilesPrune, WatchEntry::Directory(directory)) => {
                // Whichever clock is behind: a file is never taken for older than it is.
                let now: Millis = facts.now.min(self.world.clock.wall());
                prune::prune(directory, now, &limit)
            }
            (Action::ResticBackup, WatchEntry::Backup(backup)) => self.perform_backup(backup, facts, &limit),
            (Action::ResticTestRestore, WatchEntry::Backup(backup)) => {
                self.perform_test_restore(backup, facts, &limit)
            }
            (Action::UnitRestart, WatchEntry::Unit(entry)) => {
                unit::restart(&self.programs.systemctl, &entry.unit, &limit)
            }
            (Action::JournalVacuum, WatchEntry::Filesystem(entry)) => {
                tidy::vacuum(&self.programs, entry, &limit)
            }
            (Action::CachesEmpty, WatchEntry::Filesystem(entry)) => {
                tidy::empty_caches(entry, facts.now.min(self.world.clock.wall()), &limit)
            }
            (Action::NixCollectGarbage, WatchEntry::Filesystem(entry)) => {
                tidy::collect_nix_garbage(&self.programs, entry, &limit)
            }
            (Action::CertificateRenew, WatchEntry::Certificate(renewed)) => {
                let Some(unit) = &renewed.unit else { return failed(-1) };
                let outcome = unit::start(&self.programs.systemctl, unit, &limit);
                // A server that was restarted does not listen at once.
                let ends = limit.ends.min(self.world.clock.boot() + TAKING_UP);
                let limit = Limit { ends, ..limit };
                match renewed.server {
                    Some(_) => self.settle(Fault::CertificateExpiring, entry, facts, &limit, outcome),
                    None => outcome,
                }
            }
            (Action::ProcessorRelieve, WatchEntry::Processor(pressed)) => {
                let outcome = relieve::processor(&self.programs, &self.root, pressed, &limit);
                self.settle(Fault::ProcessorPressed, entry, facts, &limit, outcome)
            }
            (Action::MemoryRelieve, WatchEntry::Memory(pressed)) => {
                let outcome = relieve::memory(&self.programs, &self.root, pressed, &limit);
                self.settle(Fault::MemoryPressed, entry, facts, &limit, outcome)
            }
            (Action::ClockStep, WatchEntry::Clock(kept)) => {
                let outcome = self.step_clock(&kept.unit, &limit);
                self.settle(Fault::ClockUnsynchronised, entry, facts, &limit, outcome)
            }
            (Action::UplinkRestart, WatchEntry::Uplink(entry)) => {
                unit::restart(&self.programs.systemctl, &entry.unit, &limit)
            }
            (Action::BaselineReapply, WatchEntry::Baseline(_)) => self.reapply_baseline(facts.now, &limit),
            // Guardrail 7 has seen that kind of step and kind of entry belong together.
            _ => failed(-1),
        }
    }
}

/// How long something may take.
pub(super) struct Limit<'a> {
    pub(super) clock: &'a dyn crate::world::Clock,
    pub(super) stop: &'a Stop,
    /// By the boot-time clock.
    pub(super) ends: Duration,
}

impl Limit<'_> {
    fn left(&self) -> Duration {
        self.ends.saturating_sub(self.clock.boot())
    }

    /// How a step ends that cannot go on; `None`: it can.
    fn over(&self) -> Option<StepResult> {
        if self.stop.is_stopped() {
            return Some(StepResult::Interrupted);
        }
        self.left().is_zero().then_some(StepResult::TimedOut)
    }
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

/// A step that could not be done.
fn failed(exit_code: i64) -> StepOutcome {
    StepOutcome {
        result: StepResult::Failed,
        counts: [("exit_code".to_owned(), exit_code)].into(),
        output: Vec::new(),
    }
}
