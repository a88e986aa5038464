//! The real machine: the readings and steps that the catalogue's closed vocabulary names, each done here and nowhere
//! else.
//!
//! The rule: what a step works on comes from the watch list alone. Nothing is run through a shell; programs get a fixed
//! environment, no secret in an argument, no descriptor of ours, a deadline, and die as a group.

mod act;
mod beneath;
mod cgroups;
mod check;
mod drift;
mod fence;
mod foresee;
mod manager;
mod names;
mod prune;
mod readers;
mod rebuild;
mod relieve;
mod repository;
mod restic;
mod restore;
pub(super) mod spawn;
mod stop;
#[cfg(test)]
mod tests;
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

use baseline::Exception;
use proto::{
    evidence::{Readings, StepResult},
    ids::WatchId,
    time::Millis,
};
use runbooks::{Fault, Step};

use crate::{
    config::{APPROVED, Backup, Config, DEFAULT_PATH, Repository, WatchEntry},
    files,
    world::{Cost, Foreseen, Host, HostFacts, Scanned, Stands, StepOutcome, World},
};

pub use self::stop::Stop;

/// How long a look at something that should answer at once may take.
const BRIEF: Duration = Duration::from_secs(10);
/// How long a program may take that has nothing to look for. An order may be waiting.
const ANSWERING: Duration = Duration::from_secs(2);
/// How long a server may take to show a new certificate, or an interface to get its address and route.
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
    /// Who can mend what of the baseline.
    menders: drift::Menders,
    /// Times of the snapshots of each repository, as long as nothing changes in it.
    snapshots: Mutex<BTreeMap<WatchId, repository::Seen>>,
    checks: check::Checks,
    last_look: readers::store::LastLook,
    counters: readers::unit::Counters,
}

impl SystemHost {
    /// `state`: the executor's own folder, for caches and scratch space. `hold`: while this file exists, no order runs.
    #[must_use]
    pub fn new(world: World, programs: Programs, state: PathBuf, hold: PathBuf, stop: Stop) -> Self {
        let (root, config) = ("/".into(), DEFAULT_PATH.into());
        let repositories = drift::Repositories::default();
        let checks = check::Checks::kept_in(state.join("checks"));
        let (snapshots, last_look) = (Mutex::default(), readers::store::LastLook::default());
        Self {
            world,
            programs,
            root,
            config,
            state,
            hold,
            stop,
            repositories,
            menders: drift::Menders::default(),
            snapshots,
            checks,
            last_look,
            counters: readers::unit::Counters::default(),
        }
    }

    /// With the paths of a configuration.
    #[must_use]
    pub fn from_config(config: &Config, world: World, stop: Stop) -> Self {
        let (state, hold) = (config.paths.executor(), config.paths.hold.clone());
        let host = Self::new(world, Programs::default(), state, hold, stop);
        host.repositories.watch(config.watch.values());
        host.menders.watch(config.watch.values());
        host.waive(config.exceptions.clone());
        Self { config: config.file.clone(), ..host }
    }

    /// Removes what a restore left behind when the power failed: it is somebody's records. An older version had it elsewhere.
    pub fn clear_scratch(&self) {
        for left in [self.drill(), self.state.join("scratch")] {
            if let Err(error) = restore::clear(&left) {
                tracing::error!("what the last test restore left behind cannot be removed: {error}");
            }
        }
    }

    /// How names go into evidence; without its key they do not.
    fn names(&self) -> Option<names::Names> {
        let opened = names::Names::open(&self.state, &*self.world.entropy);
        opened.inspect_err(|error| tracing::error!("names cannot be put into evidence: {error}")).ok()
    }

    /// The agent's folder, beside the executor's.
    fn agent(&self) -> PathBuf {
        self.state.with_file_name("agent")
    }

    /// All that a test restore may write to.
    fn drill(&self) -> PathBuf {
        self.state.join("drill")
    }

    /// A second process of this program, which reads its entry itself.
    fn second(&self) -> readers::served::Second<'_> {
        let approved = self.state.join(APPROVED);
        readers::served::Second { systemd_run: &self.programs.systemd_run, config: &self.config, approved }
    }

    fn scratch(&self) -> PathBuf {
        self.drill().join("scratch")
    }

    fn restic_cache(&self) -> PathBuf {
        self.state.join("restic-cache")
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
                cache: self.restic_cache(),
            }),
            _ => None,
        }
    }

    fn measure_backup(&self, backup: &Backup, facts: &HostFacts) -> Readings {
        let mut readings = Readings::new();
        let limit = self.limit(repository::PATIENCE);
        let restic = self.restic(backup);
        let found = restic
            .as_ref()
            .and_then(|restic| repository::read(restic, &backup.id, &self.snapshots, facts.now, &limit));
        let age = match (&restic, found) {
            (Some(_), found) => found.and_then(|found| found.newest).map(|newest| facts.now.since(newest)),
            (None, _) => backup
                .unit
                .as_deref()
                .and_then(|unit| unit::succeeded(&self.programs.systemctl, unit, &limit))
                .and_then(|ended| unit::age(ended, self.world.clock.wall())),
        };
        let mut say = |name: &str, value| readings.insert(name.to_owned(), value);
        say("age_seconds", age.map_or(-1, seconds));
        say("max_age_seconds", seconds(backup.max_age));
        if let Some(oldest) = found.and_then(|found| found.oldest) {
            say("oldest_seconds", seconds(facts.now.since(oldest)));
        }
        if let Some(bytes) = found.and_then(|found| found.bytes) {
            say("size_bytes", i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        // Where there is no snapshot nothing can be restored, and that there is none is another fault.
        let is_empty = age.is_none() && facts.restore_proven.is_none();
        if let Some(every) = backup.restore_every().filter(|_| !is_empty) {
            say("restore_age_seconds", facts.restore_proven.map_or(-1, seconds));
            say("restore_every_seconds", seconds(every));
        }
        if let (Some(restic), Some(_), Some(every)) = (&restic, found, backup.check_every()) {
            let (world, stop) = (&self.world, &self.stop);
            if let Some(damaged) = self.checks.look(restic, &backup.id, every, facts.now, world, stop) {
                say("damaged", damaged);
            }
        }
        readings
    }

    fn measure_entry(&self, entry: &WatchEntry, facts: &HostFacts) -> Readings {
        match entry {
            WatchEntry::Directory(directory) => prune::measure(directory, &self.limit(repository::PATIENCE)),
            WatchEntry::Backup(backup) => {
                let readings = self.measure_backup(backup, facts);
                self.repositories.remember(&backup.id, &readings);
                readings
            }
            WatchEntry::Baseline(_) => self.scan_baseline(facts.now).readings,
            WatchEntry::Unit(entry) => {
                readers::unit::read(&self.root, entry, &self.counters, &self.limit(BRIEF))
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
                readers::served::certificate(&self.second(), entry, facts.now, &self.limit(LOOKING))
            }
            WatchEntry::Certificate(entry) => readers::certificate::read(entry, facts.now),
            WatchEntry::Service(entry) => {
                let limit = self.limit(LOOKING + entry.timeout);
                readers::served::service(&self.second(), entry, facts.now, &limit)
            }
            WatchEntry::Uplink(entry) => readers::uplink::read(&self.root, entry),
            WatchEntry::Store(entry) => {
                let (executor, outbox) = (self.state.join("executor.db"), self.agent().join(rebuild::OUTBOX));
                readers::store::read(&executor, &outbox, entry, &self.last_look, self.world.clock.boot())
            }
            WatchEntry::Footprint(entry) => readers::footprint::read(&self.root, entry),
            // The agent reads these itself; nobody else can say how they stand.
            WatchEntry::Log(_) | WatchEntry::Metric(_) | WatchEntry::Journal(_) => Readings::new(),
        }
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

    fn place(&self, path: &Path, secret: Option<&[u8]>) -> io::Result<()> {
        let Some(secret) = secret else {
            return match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        };
        // Written once, not at each start: what reads it may go by its age.
        if files::read_secret(path).is_ok_and(|kept| kept.as_bytes() == secret) {
            return Ok(());
        }
        files::replace(path, secret).map_err(io::Error::other)
    }

    fn watch(&self, entries: &BTreeMap<WatchId, WatchEntry>, text: Option<&str>) {
        self.repositories.watch(entries.values());
        self.menders.watch(entries.values());
        // For the second processes of this program, which read their entry themselves.
        let path = self.state.join(APPROVED);
        let kept = match text {
            Some(text) => files::replace(&path, text.as_bytes()).map_err(|error| error.to_string()),
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.to_string()),
                _ => Ok(()),
            },
        };
        if let Err(error) = kept {
            tracing::error!("what looks from outside goes by another watch list: {error}");
        }
    }

    fn waive(&self, exceptions: Vec<Exception>) {
        *self.menders.waived() = exceptions;
    }

    fn stands(&self) -> Stands {
        let (system, generation) = readers::system::read(&self.root);
        let synchronised = readers::clock::kept(&self.programs.chronyc, &self.limit(ANSWERING));
        Stands { synchronised, system, generation }
    }

    fn cost(&self) -> Option<Cost> {
        readers::cost::read(&self.root.join("proc"))
    }

    fn measure(&self, entry: &WatchEntry, facts: &HostFacts) -> Readings {
        self.measure_entry(entry, facts)
    }

    fn note(&self, entry: &WatchEntry, readings: &Readings) -> String {
        match entry {
            WatchEntry::Processor(_) if Fault::ProcessorPressed.holds(readings) == Some(true) => {
                relieve::who_burns(&self.root, &self.limit(BRIEF))
            }
            WatchEntry::Memory(_) if Fault::MemoryPressed.holds(readings) == Some(true) => {
                relieve::who_holds(&self.root)
            }
            _ => String::new(),
        }
    }

    fn scan(&self, now: Millis) -> Scanned {
        self.scan_baseline(now)
    }

    fn foresee(&self, step: &Step, entry: &WatchEntry, facts: &HostFacts) -> Foreseen {
        self.foresee_step(step, entry, facts)
    }

    fn perform(&self, step: &Step, entry: &WatchEntry, facts: &HostFacts, within: Duration) -> StepOutcome {
        self.do_step(step.action, entry, facts, &self.limit(within))
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
