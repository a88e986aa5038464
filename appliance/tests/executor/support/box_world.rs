//! A box whose clock, randomness and disk the test holds in hand, and which counts what is done to it.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use appliance::{
    config::{Config, WatchEntry},
    executor::{ExecutorCore, OpenError, Settings, Setup},
    world::{Clock, Entropy, Host, HostFacts, Mender, Scanned, Stands, StepOutcome, World},
};
use baseline::{Baseline, ControlId, Exception, Looked, Reading, judge_all};
use proto::{
    charter::OrganizationKeys,
    evidence::{Readings, StepResult, Synchronised},
    identity::KeyProtection,
    keys::SecretKey,
    time::Millis,
};
use runbooks::Step;
use rusqlite::Connection;

/// The watch list of the box in every test.
pub const CONFIG: &str = r#"
control_plane.address = "https://127.0.0.1:1"
secrets.restic = "/etc/orderly/restic.password"
[[watch.directory]]
id = "uploads"
path = "/srv/uploads"
limit_bytes = 100
keep_newer_than_seconds = 0
[[watch.directory]]
id = "scans"
path = "/srv/scans"
limit_bytes = 100
[[watch.backup]]
id = "records"
repository = "/srv/backup"
password_file = "/etc/orderly/restic.password"
sources = ["/srv/records"]
max_age_seconds = 60
restore_every_seconds = 600
"#;

/// Settings of the box.
pub fn settings() -> Settings {
    Settings::from(&Config::parse(CONFIG, Path::new("appliance.toml")).unwrap())
}

/// Clocks that go on only when told to.
pub struct Hands(Mutex<(Millis, Duration)>);

impl Hands {
    pub fn new(wall: Millis) -> Arc<Self> {
        Arc::new(Self(Mutex::new((wall, Duration::from_secs(1000)))))
    }

    pub fn pass(&self, span: Duration) {
        let mut hands = self.0.lock().unwrap();
        *hands = (hands.0.plus(span), hands.1 + span);
    }
}

impl Clock for Hands {
    fn wall(&self) -> Millis {
        self.0.lock().unwrap().0
    }
    fn boot(&self) -> Duration {
        self.0.lock().unwrap().1
    }
}

/// Counts instead of being random, so that a run can be repeated.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::SeqCst).wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
            chunk.copy_from_slice(&next.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// What is there, and what was done to it.
#[derive(Default)]
pub struct Things {
    /// Bytes of each directory; seconds since the last snapshot of each repository.
    pub levels: BTreeMap<String, i64>,
    /// Every step that began: action and watch-list entry.
    pub performed: Vec<(String, String)>,
    /// How steps end.
    pub steps_end: Option<StepResult>,
    /// Whether a step mends what it is meant to.
    pub steps_help: bool,
    pub held: bool,
    /// What is seen of controls; of the others nothing.
    pub seen: BTreeMap<ControlId, Reading>,
    /// When all controls were looked at.
    pub scans: Vec<Millis>,
    /// Secrets, by where they are kept.
    pub secrets: BTreeMap<PathBuf, Vec<u8>>,
    /// The exceptions in force.
    pub waived: Vec<Exception>,
    /// What runs, and how the clock is kept; `None`: nobody can say.
    pub stands: Option<Stands>,
    /// Calls until the power fails.
    pub calls_left: Option<u64>,
}

/// The box's disk: it survives power cuts.
#[derive(Clone)]
pub struct Machine(pub Arc<Mutex<Things>>);

impl Machine {
    pub fn new() -> Self {
        let levels = [("uploads", 500), ("scans", 500), ("records", 3600)];
        Self(Arc::new(Mutex::new(Things {
            levels: levels.map(|(id, level)| (id.to_owned(), level)).into(),
            steps_help: true,
            ..Things::default()
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, Things> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How often this was begun.
    pub fn count(&self, action: &str, watch: &str) -> usize {
        self.lock().performed.iter().filter(|done| **done == (action.to_owned(), watch.to_owned())).count()
    }

    fn call(&self) {
        let mut things = self.lock();
        if let Some(left) = &mut things.calls_left {
            if *left == 0 {
                drop(things);
                panic!("the power failed");
            }
            *left -= 1;
        }
    }
}

impl Host for Machine {
    fn stands(&self) -> Stands {
        let unknown = Stands { synchronised: Synchronised::Unknown, system: None, generation: None };
        self.lock().stands.clone().unwrap_or(unknown)
    }

    fn held(&self) -> Option<String> {
        self.lock().held.then(|| "file".to_owned())
    }

    fn measure(&self, entry: &WatchEntry, facts: &HostFacts) -> Readings {
        self.call();
        let level = self.lock().levels[entry.id().as_str()];
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap();
        let readings = match entry {
            WatchEntry::Directory(directory) => vec![
                ("bytes", level),
                ("limit_bytes", i64::try_from(directory.limit_bytes).unwrap()),
                ("files", 3),
            ],
            WatchEntry::Backup(backup) => vec![
                ("age_seconds", level),
                ("max_age_seconds", seconds(backup.max_age)),
                ("restore_age_seconds", facts.restore_proven.map_or(-1, seconds)),
                ("restore_every_seconds", backup.restore_every().map_or(-1, seconds)),
            ],
            _ => Vec::new(),
        };
        readings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn scan(&self, now: Millis) -> Scanned {
        let mut things = self.lock();
        things.scans.push(now);
        let baseline = Baseline::hipaa_v1();
        let saw = |(control, reading): (&ControlId, &Reading)| {
            (baseline.control(*control).unwrap().probe.clone(), Looked::Saw(reading.clone()))
        };
        let looked = things.seen.iter().map(saw).collect();
        Scanned::of(judge_all(baseline, &looked, &things.waived, now), |_| Mender::Here)
    }

    fn place(&self, path: &Path, secret: Option<&[u8]>) -> io::Result<()> {
        let mut things = self.lock();
        match secret {
            Some(secret) => things.secrets.insert(path.to_owned(), secret.to_vec()),
            None => things.secrets.remove(path),
        };
        Ok(())
    }

    fn waive(&self, exceptions: Vec<Exception>) {
        self.lock().waived = exceptions;
    }

    fn perform(&self, step: &Step, entry: &WatchEntry, _: &HostFacts, _: Duration) -> StepOutcome {
        self.call();
        let mut things = self.lock();
        things.performed.push((step.action.to_string(), entry.id().to_string()));
        drop(things);
        // The power may fail before anything came of it, or after.
        self.call();
        let mut things = self.lock();
        if things.steps_help {
            things.levels.insert(entry.id().to_string(), 0);
        }
        StepOutcome {
            result: things.steps_end.unwrap_or(StepResult::Done),
            counts: [("files_removed".to_owned(), 2)].into(),
            output: b"restored the chart, ssn=123-45-6789".to_vec(),
        }
    }
}

/// A box, power and all.
pub struct Appliance {
    pub clock: Arc<Hands>,
    pub machine: Machine,
    pub entropy: Arc<Counter>,
    pub settings: Settings,
    pub trust: OrganizationKeys,
    folder: tempfile::TempDir,
}

impl Appliance {
    pub fn new(trust: OrganizationKeys, wall: Millis) -> Self {
        Self {
            clock: Hands::new(wall),
            machine: Machine::new(),
            entropy: Arc::default(),
            settings: settings(),
            trust,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The box's evidence key.
    pub fn key() -> SecretKey {
        SecretKey::ed25519([77; 32])
    }

    pub fn connection(&self) -> Connection {
        Connection::open(self.folder.path().join("executor.db")).unwrap()
    }

    /// Every byte of its database, as it lies on the disk.
    pub fn database(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    /// Switches it on.
    pub fn open(&self) -> ExecutorCore {
        self.open_with(self.connection()).unwrap()
    }

    /// Switches it on, with a connection that the test has prepared.
    ///
    /// A power cut is simulated by dropping everything: what SQLite has committed is there afterwards.
    pub fn open_with(&self, connection: Connection) -> Result<ExecutorCore, OpenError> {
        ExecutorCore::open(connection, self.setup(Arc::new(self.machine.clone())))
    }

    /// What it is opened with.
    pub fn setup(&self, host: Arc<dyn Host>) -> Setup {
        Setup {
            settings: self.settings.clone(),
            trust: Some(self.trust.clone()),
            evidence_key: Self::key(),
            protection: KeyProtection::File,
            world: World { clock: self.clock.clone(), entropy: self.entropy.clone() },
            host,
            build: Millis(0),
        }
    }
}
