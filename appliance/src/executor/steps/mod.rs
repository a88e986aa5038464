//! The real machine: the readings and steps that the catalogue's closed vocabulary names, each done here and nowhere
//! else.
//!
//! The rule: what a step works on comes from the watch list alone. Nothing is run through a shell; programs get a fixed
//! environment, no secret in an argument, no descriptor of ours, a deadline, and die as a group.

mod beneath;
mod prune;
mod repository;
mod restic;
mod restore;
mod spawn;
mod stop;
mod unit;
mod walk;

use std::{collections::BTreeMap, fs, io, path::PathBuf, sync::Mutex, time::Duration};

use proto::{
    evidence::{Readings, StepResult},
    ids::WatchId,
    time::Millis,
};
use runbooks::Step;

use crate::{
    config::{Backup, Config, Repository, WatchEntry},
    world::{Host, HostFacts, StepOutcome, World},
};

pub use self::stop::Stop;

/// The programs that are run, by name or by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// `restic`.
    pub restic: PathBuf,
    /// `systemctl`.
    pub systemctl: PathBuf,
}

impl Default for Programs {
    fn default() -> Self {
        Self { restic: "restic".into(), systemctl: "systemctl".into() }
    }
}

/// This machine.
pub struct SystemHost {
    world: World,
    programs: Programs,
    state: PathBuf,
    hold: PathBuf,
    stop: Stop,
    /// Times of the snapshots of each repository, as long as nothing changes in it.
    snapshots: Mutex<BTreeMap<WatchId, repository::Seen>>,
}

impl SystemHost {
    /// `state`: the executor's own folder, for caches and scratch space. `hold`: while this file exists, no order runs.
    #[must_use]
    pub fn new(world: World, programs: Programs, state: PathBuf, hold: PathBuf, stop: Stop) -> Self {
        Self { world, programs, state, hold, stop, snapshots: Mutex::default() }
    }

    /// With the paths of a configuration.
    #[must_use]
    pub fn from_config(config: &Config, world: World, stop: Stop) -> Self {
        Self::new(world, Programs::default(), config.paths.executor(), config.paths.hold.clone(), stop)
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

    fn perform_backup(&self, backup: &Backup, facts: &HostFacts, limit: &Limit<'_>) -> StepOutcome {
        match (&backup.unit, self.restic(backup)) {
            (Some(unit), _) => unit::start(&self.programs.systemctl, unit, limit),
            (None, Some(restic)) => restic.backup(&backup.sources, facts.now, limit),
            (None, None) => failed(-1),
        }
    }

    fn perform_test_restore(&self, backup: &Backup, facts: &HostFacts, limit: &Limit<'_>) -> StepOutcome {
        let Some(restic) = self.restic(backup) else { return failed(-1) };
        let scratch = self.state.join("scratch");
        let entropy = &*self.world.entropy;
        restore::TestRestore { restic, sources: &backup.sources, scratch: &scratch, entropy, now: facts.now }
            .run(limit)
    }
}

impl Host for SystemHost {
    fn held(&self) -> Option<String> {
        match fs::symlink_metadata(&self.hold) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            // There, or nobody can say that it is not.
            _ => Some("file".to_owned()),
        }
    }

    fn measure(&self, entry: &WatchEntry, facts: &HostFacts) -> Readings {
        match entry {
            WatchEntry::Directory(directory) => prune::measure(directory, &self.limit(repository::PATIENCE)),
            WatchEntry::Backup(backup) => {
                let mut readings = Readings::new();
                let limit = self.limit(repository::PATIENCE);
                let age = match self.restic(backup) {
                    Some(restic) => {
                        repository::newest(&restic, &backup.id, &self.snapshots, facts.now, &limit)
                            .map(|newest| facts.now.since(newest))
                    }
                    None => backup
                        .unit
                        .as_deref()
                        .and_then(|unit| unit::succeeded(&self.programs.systemctl, unit, &limit))
                        .map(|ended| self.world.clock.wall().since(ended)),
                };
                readings.insert("age_seconds".into(), age.map_or(-1, seconds));
                readings.insert("max_age_seconds".into(), seconds(backup.max_age));
                if let Some(every) = backup.restore_every {
                    readings.insert("restore_age_seconds".into(), facts.restore_proven.map_or(-1, seconds));
                    readings.insert("restore_every_seconds".into(), seconds(every));
                }
                readings
            }
            // The agent reads these itself.
            WatchEntry::Log(_) | WatchEntry::Metric(_) => Readings::new(),
        }
    }

    fn perform(&self, step: &Step, entry: &WatchEntry, facts: &HostFacts, within: Duration) -> StepOutcome {
        let limit = self.limit(within);
        match (step, entry) {
            (Step::FilesPrune { .. }, WatchEntry::Directory(directory)) => {
                // Whichever clock is behind: a file is never taken for older than it is.
                let now: Millis = facts.now.min(self.world.clock.wall());
                prune::prune(directory, now, &limit)
            }
            (Step::ResticBackup { .. }, WatchEntry::Backup(backup)) => {
                self.perform_backup(backup, facts, &limit)
            }
            (Step::ResticTestRestore { .. }, WatchEntry::Backup(backup)) => {
                self.perform_test_restore(backup, facts, &limit)
            }
            // Guardrail 7 has seen that kind of step and kind of entry belong together.
            _ => failed(-1),
        }
    }
}

/// How long something may take.
struct Limit<'a> {
    clock: &'a dyn crate::world::Clock,
    stop: &'a Stop,
    /// By the boot-time clock.
    ends: Duration,
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
