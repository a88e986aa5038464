//! One box: a machine with its clocks, its disks, and on it the real agent's core and the real executor's core.
//!
//! A process is an object. Killing it drops the object and leaves its disk; starting it opens the disk again.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use appliance::{
    agent::{
        core::{AgentCore, Asked},
        executor::AskError,
        outbox::{Limits, Outbox},
        sources::Produced,
    },
    config::Config,
    executor::{Done, ExecutorCore, Settings, Setup},
    ipc::IpcError,
    world::{Clock as _, Entropy as _, Executor, Host as _, HostFacts, World},
};
use proto::{
    digest::Digest,
    identity::{KeyProtection, csr_spki},
    ids::{ApplianceId, StreamId, TenantId, WatchId},
    keys::SecretKey,
    local,
};
use runbooks::Fault;

use super::{
    chance::{Chance, Entropy},
    clock::{BEGIN, MachineClock, Time},
    disk::Disk,
    host::{SimulatedHost, Thing},
    ledger,
    life::Life,
    organization,
};

/// The most bytes of telemetry and of evidence in an outbox: small enough to overflow.
pub(super) const OUTBOX: Limits = Limits { telemetry: 1_200, evidence: 8_000, lines: 0 };
/// The most bytes of evidence with an executor.
pub(super) const EVIDENCE_MAX: u64 = 600_000;
/// Time between two looks.
pub(super) const SAMPLE: Duration = Duration::from_secs(30);
/// The limit of every directory.
pub(super) const LIMIT: u64 = 1_000;

const CONFIG: &str = r#"
control_plane.address = "https://127.0.0.1:1"
agent.sample_seconds = 30
agent.hold_seconds = 60
executor.heartbeat_seconds = 1200
[[watch.directory]]
id = "uploads"
path = "/srv/uploads"
limit_bytes = 1000
[[watch.directory]]
id = "scans"
path = "/srv/scans"
limit_bytes = 1000
[[watch.directory]]
id = "spool"
path = "/srv/spool"
limit_bytes = 1000
[[watch.backup]]
id = "records"
repository = "/srv/backup/records"
password_file = "/etc/orderly/records"
sources = ["/srv/records"]
max_age_seconds = 3000
restore_every_seconds = 2400
[[watch.backup]]
id = "images"
repository = "/srv/backup/images"
password_file = "/etc/orderly/images"
sources = ["/srv/images"]
max_age_seconds = 4000
"#;

/// A running agent.
pub(super) struct Agent {
    pub(super) core: AgentCore,
    pub(super) life: Arc<Life>,
    /// Requests whose answer may still come.
    pub(super) calls: BTreeMap<u64, Asked>,
    /// The request that is waited for, and whether it carries a batch.
    pub(super) waits_for: Option<(u64, bool)>,
    pub(super) failures: u32,
    /// What was measured, on its way to the core.
    pub(super) readings: Option<Readings>,
}

/// What the agent's measuring thread brings.
pub(super) type Readings = (Produced, Vec<AskError>);

/// An executor and the process it lives in.
type Running = (ExecutorCore, Arc<Life>);

/// A running executor: shared with the agent's way to it.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Option<Running>>>);

/// A box.
pub(super) struct Machine {
    pub(super) number: usize,
    pub(super) clock: Arc<MachineClock>,
    pub(super) host: Arc<SimulatedHost>,
    pub(super) outbox: Disk,
    pub(super) database: Disk,
    pub(super) agent: Option<Agent>,
    pub(super) executor: Slot,
    /// Work that was done and is not concluded yet.
    pub(super) work: Option<Done>,
    pub(super) on: bool,
    /// Rise with every start, so that what was meant for an earlier process does not reach a later one.
    pub(super) agent_starts: u64,
    pub(super) executor_starts: u64,
    pub(super) identity: Option<(TenantId, ApplianceId)>,
    pub(super) csr: Vec<u8>,
    pub(super) spki: Digest,
    entropy: Arc<Entropy>,
    config: Config,
}

impl Machine {
    /// A box that was never switched on.
    pub(super) fn new(number: usize, seed: u64, time: &Time) -> anyhow::Result<Self> {
        let mut chance = Chance::new(seed, &format!("box {number}"));
        let drift = i64::try_from(chance.number(0, 201))? - 100;
        let clock = MachineClock::new(time, drift, off(&mut chance));
        let config = Config::parse(CONFIG, Path::new("simulation"))?;
        let things = config.watch.iter().map(|(id, entry)| {
            let thing = match entry.kind() {
                runbooks::WatchKind::Backup => Thing::Repository(-600),
                _ => Thing::Directory(LIMIT / 2),
            };
            (id.clone(), thing)
        });
        let host = SimulatedHost::new(things.collect(), chance, &clock, time);
        let csr = organization::request(number)?;
        let mut machine = Self {
            number,
            host,
            clock,
            outbox: Disk::new()?,
            database: Disk::new()?,
            agent: None,
            executor: Slot::default(),
            work: None,
            on: true,
            agent_starts: 0,
            executor_starts: 0,
            identity: None,
            spki: csr_spki(&csr)?,
            csr,
            entropy: Arc::new(Entropy::new(seed, &format!("entropy of box {number}"))),
            config,
        };
        machine.start_executor(None)?;
        machine.start_agent(None)?;
        ledger::install_executor(machine.database.eye())?;
        ledger::install_agent(machine.outbox.eye())?;
        Ok(machine)
    }

    /// Starts the executor; it is killed after so many acts, if any. Fails when it could not live.
    pub(super) fn start_executor(&mut self, acts: Option<u64>) -> anyhow::Result<()> {
        self.executor_starts += 1;
        let life = begin(acts);
        self.host.serves(&life);
        let begin = BEGIN.parse::<proto::time::Millis>()?;
        let setup = Setup {
            settings: Settings { evidence_max: EVIDENCE_MAX, ..Settings::from(&self.config) },
            trust: Some(organization::trust()),
            evidence_key: SecretKey::ed25519([100 + u8::try_from(self.number)?; 32]),
            protection: KeyProtection::File,
            world: World { clock: self.clock.clone(), entropy: self.entropy.clone() },
            host: self.host.clone(),
            build: begin.minus(Duration::from_secs(86_400)),
        };
        let opened = ExecutorCore::open(self.database.open(&life)?, setup);
        let opened = if self.database.is_full() { Ok(opened.ok()) } else { survivor(opened, &life) };
        if let Some(core) = opened.context("the executor does not open")? {
            self.executor.put(Some((core, life)));
        }
        Ok(())
    }

    /// Starts the agent, likewise.
    pub(super) fn start_agent(&mut self, acts: Option<u64>) -> anyhow::Result<()> {
        self.agent_starts += 1;
        let life = begin(acts);
        let mut fresh = StreamId([0; 16]);
        self.entropy.fill(&mut fresh.0);
        let opened = Outbox::with_connection(self.outbox.open(&life)?, OUTBOX, fresh);
        let opened = if self.outbox.is_full() { Ok(opened.ok()) } else { survivor(opened, &life) };
        if let Some(outbox) = opened.context("the outbox does not open")? {
            let wire = Wire { slot: self.executor.clone(), life: life.clone() };
            let core = AgentCore::new(&self.config, outbox, Box::new(wire), self.entropy.clone());
            self.agent = Some(Agent {
                core,
                life,
                calls: BTreeMap::new(),
                waits_for: None,
                failures: 0,
                readings: None,
            });
        }
        Ok(())
    }

    /// The executor is gone, in the middle of whatever it did.
    pub(super) fn stop_executor(&mut self) {
        self.executor.put(None);
        if self.work.take().is_some() {
            self.host.work_was_cut_off();
        }
    }

    pub(super) fn watched(&self) -> Vec<WatchId> {
        self.config.watch.keys().cloned().collect()
    }

    /// What is wrong here now, in truth.
    pub(super) fn faults(&self) -> Vec<(WatchId, Fault)> {
        let faults = self.config.watch.values().flat_map(|entry| {
            let readings =
                self.host.measure(entry, &HostFacts { now: self.clock.wall(), restore_proven: None });
            let wrong =
                move |fault: &Fault| fault.holds(&readings) == Some(true) && *fault != Fault::RestoreDue;
            Fault::ALL
                .iter()
                .copied()
                .filter(wrong)
                .map(|fault| (entry.id().clone(), fault))
                .collect::<Vec<_>>()
        });
        faults.collect()
    }

    pub(super) fn is_directory(&self, id: &WatchId) -> bool {
        self.config.watch.get(id).is_some_and(|entry| entry.kind() == runbooks::WatchKind::Directory)
    }

    /// Random bytes of this machine, for what surrounds the cores.
    pub(super) fn draw(&self) -> u32 {
        u32::from_be_bytes(appliance::world::draw(&*self.entropy))
    }
}

impl Slot {
    pub(super) fn put(&self, executor: Option<(ExecutorCore, Arc<Life>)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = executor;
    }

    /// Does something with the executor, if one runs.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut ExecutorCore, &Arc<Life>) -> T) -> Option<T> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_mut().map(|(core, life)| act(core, life))
    }

    pub(super) fn life(&self) -> Option<Arc<Life>> {
        self.with(|_, life| life.clone())
    }
}

/// The agent's way to the executor: no socket, but either end can be dead.
struct Wire {
    slot: Slot,
    life: Arc<Life>,
}

impl Executor for Wire {
    fn call(&mut self, request: local::Request) -> Result<local::Response, IpcError> {
        if !self.life.act() {
            return Err(IpcError::HungUp);
        }
        let answered = self.slot.with(|core, life| {
            let response = (!life.has_ended()).then(|| core.handle(request))?;
            (!life.has_ended()).then_some(response)
        });
        answered.flatten().ok_or(IpcError::HungUp)
    }
}

/// How much a wall clock is off, in milliseconds: an hour either way.
pub(super) fn off(chance: &mut Chance) -> i64 {
    chance.number(0, 7_200_001).cast_signed() - 3_600_000
}

/// A new life.
pub(super) fn begin(acts: Option<u64>) -> Arc<Life> {
    let life = Life::new();
    if let Some(acts) = acts {
        life.end_after(acts);
    }
    life
}

/// What was opened; `None` when it was killed while it opened, which may look like any error.
pub(super) fn survivor<T, E>(opened: Result<T, E>, life: &Life) -> Result<Option<T>, E> {
    match opened {
        _ if life.has_ended() => Ok(None),
        opened => opened.map(Some),
    }
}
