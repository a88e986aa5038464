//! Ports: clock, randomness, the machine that steps work on, and the executor as the agent sees it.
//!
//! The rule: a core never asks the world behind its arguments' back, so that a simulation can run the real cores in one
//! thread and replay them from a seed.

use std::{collections::BTreeMap, io, path::Path, sync::Arc, time::Duration};

use baseline::{Baseline, Exception, Finding, Verdict, judge_all};
use proto::{
    evidence::{Readings, StepResult, Synchronised, Token},
    ids::WatchId,
    local,
    time::Millis,
};
use runbooks::Step;

use crate::{config::WatchEntry, ipc::IpcError};

/// Which boot of the machine this is: drawn by the kernel with every boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootId(pub [u8; 16]);

/// The two clocks of a box.
pub trait Clock: Send + Sync {
    /// The wall clock: for people; proves nothing.
    fn wall(&self) -> Millis;
    /// Time since boot, sleep included (`CLOCK_BOOTTIME`): never jumps, begins anew with every boot.
    fn boot(&self) -> Duration;
    /// Which boot [`Self::boot`] counts from; `None`: the machine does not say, so it may be another one than before.
    fn boot_id(&self) -> Option<BootId> {
        None
    }
}

/// Random bytes.
pub trait Entropy: Send + Sync {
    /// Fills all of `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// `N` random bytes.
pub fn draw<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// What agent and executor alike are given.
#[derive(Clone)]
pub struct World {
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// The machine that an executor measures and works on. Called from several threads at once: a measurement may be asked
/// for while a step runs.
pub trait Host: Send + Sync {
    /// Why no order may run, when somebody at the box said so: `file`.
    fn held(&self) -> Option<String>;
    /// How the machine stands, apart from what is watched.
    fn stands(&self) -> Stands {
        Stands { synchronised: Synchronised::Unknown, system: None, generation: None }
    }
    /// What executor and agent use of the machine; `None`: nobody can say.
    fn cost(&self) -> Option<Cost> {
        None
    }
    /// Reads one entry of the watch list, now. What cannot be read is −1, never left out.
    fn measure(&self, entry: &WatchEntry, facts: &HostFacts) -> Readings;
    /// What people want to know beside a reading by which a fault holds: who it is. Not for evidence.
    fn note(&self, _entry: &WatchEntry, _readings: &Readings) -> String {
        String::new()
    }
    /// Looks at every control of the baseline, and judges them; where nobody can look, nobody can tell.
    fn scan(&self, now: Millis) -> Scanned {
        Scanned::of(judge_all(Baseline::hipaa_v1(), &BTreeMap::new(), &[], now), |_| Mender::Person)
    }
    /// What a step would do now, without doing it.
    fn foresee(&self, _step: &Step, _entry: &WatchEntry, _facts: &HostFacts) -> Foreseen {
        Foreseen::default()
    }
    /// Keeps a secret of the clinic in a file that only root may read, or removes it.
    fn place(&self, _path: &Path, _secret: Option<&[u8]>) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this machine keeps no secrets"))
    }
    /// From here on, this is watched: another list than the configuration's, when `text` says so.
    fn watch(&self, _entries: &BTreeMap<WatchId, WatchEntry>, _text: Option<&str>) {}
    /// From here on, the baseline is judged with these exceptions and no other.
    fn waive(&self, _exceptions: Vec<Exception>) {}
    /// Does one step on one entry, within that time.
    fn perform(&self, step: &Step, entry: &WatchEntry, facts: &HostFacts, within: Duration) -> StepOutcome;
}

/// Who can put right what has drifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mender {
    /// RB-DRIFT-001, on this box as it is.
    Here,
    /// Another runbook, for an entry that is on the watch list.
    Runbook,
    /// Nobody but a person.
    Person,
}

/// What a look at the whole baseline came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// Each control, in order.
    pub findings: Vec<Finding>,
    /// What the baseline's faults are judged by. What this box can mend and what it cannot are two faults: the one must not
    /// hold up the repair of the other.
    pub readings: Readings,
}

impl Scanned {
    /// Counts; `mender` says who can put right what has drifted.
    pub fn of(findings: Vec<Finding>, mender: impl Fn(&Finding) -> Mender) -> Self {
        let of = |verdict| findings.iter().filter(move |found| found.verdict == verdict);
        let by = |who| of(Verdict::Drifted).filter(|found| mender(found) == who).count();
        let count = |name: &str, n: usize| (name.to_owned(), i64::try_from(n).unwrap_or(i64::MAX));
        let readings = Readings::from([
            count("broken", by(Mender::Person)),
            count("controls", findings.len()),
            count("drifted", by(Mender::Here)),
            count("excepted", of(Verdict::Excepted).count()),
            count("not_evaluable", of(Verdict::NotEvaluable).count()),
            count("other_runbook", by(Mender::Runbook)),
        ]);
        Self { findings, readings }
    }
}

/// What the executor knows and a host needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostFacts {
    /// The best time at hand: by signed server time where there is one, else by the wall clock.
    pub now: Millis,
    /// How long ago a restore from this entry was last proven; `None`: never.
    pub restore_proven: Option<Duration>,
}

/// What every box is asked, whatever it watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stands {
    /// Whether its time service keeps its clock in step.
    pub synchronised: Synchronised,
    /// The operating system's closure, by its hash; `None`: it is no NixOS, or could not be read.
    pub system: Option<Token>,
    /// Number of the system profile's generation; `None`: likewise.
    pub generation: Option<u64>,
}

/// What the appliance's two processes use of their machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// This process.
    pub executor: Usage,
    /// The agent that belongs to it; `None`: none runs.
    pub agent: Option<Usage>,
}

/// What one process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Which process: its ID, and when it began, because an ID comes back.
    pub process: (u32, u64),
    /// In memory.
    pub resident_kb: u64,
    /// Processor time since it began, its ended children's included.
    pub cpu_ms: u64,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOutcome {
    /// How it ended.
    pub result: StepResult,
    /// What it counted: `files_removed`.
    pub counts: Readings,
    /// The end of what it printed, bounded; stays on the box. Its digest is evidence when the procedure says so.
    pub output: Vec<u8>,
}

/// What a step would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Foreseen {
    /// The first of what it would be done to, in order; names that stay on this box.
    pub chosen: Vec<String>,
    /// What it would count, over all of it.
    pub counts: Readings,
}

/// The executor as the agent sees it: over its socket, or called directly in a simulation.
pub trait Executor: Send {
    /// One request, one response. [`local::Failure`] comes back as a response, not as an error.
    fn call(&mut self, request: local::Request) -> Result<local::Response, IpcError>;
}
