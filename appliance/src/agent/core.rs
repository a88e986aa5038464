//! The agent without its network: what to look at, what to send, what to do with an answer.
//!
//! Synchronous, and without a clock of its own: the shell in [`super::run`] and the simulation drive the same core. The
//! rule: nothing here is trusted by anyone. What the control plane signed goes to the executor unread (but for the charter's
//! certificate authorities), and what the executor signed goes to the control plane unread; the agent only sees to it that
//! each arrives once.
//!
//! ```text
//!  collect(now) ──> outbox        next_request() ──> [the link] ──> absorb(asked, answer) ──> outbox, executor
//! ```

mod answer;
mod look;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use proto::{
    field::BadField,
    ids::Incarnation,
    local, pb,
    sync::{HOLD_MAX_MS, UNPROVEN_MAX},
};

use super::{
    authorities::Authorities,
    executor::{self, AskError},
    outbox::{Outbox, OutboxError},
    sources::{journal::Journal, log_file::LogFile, metrics::Metrics, readings::Measured},
};
use crate::{
    config::{Config, WatchEntry},
    files::FileError,
    world::{Entropy, Executor, draw},
};

pub use answer::Absorbed;
pub use look::Collected;

/// The version that the agent reports.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const JOURNALCTL: &str = "journalctl";

/// What went wrong with the outbox, the executor, or an answer.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The executor.
    #[error(transparent)]
    Executor(#[from] AskError),
    /// The executor said something that cannot be.
    #[error("the executor's description is wrong")]
    Description(#[source] BadField),
    /// The charter cannot be written down.
    #[error("cannot keep the newest charter")]
    Charter(#[source] FileError),
}

/// A request, and which it was: an answer to an older one may acknowledge, but not move anything back.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// What to send.
    pub request: pb::SyncRequest,
    turn: u64,
}

/// By which watch list an agent goes, and whether the executor goes by another meanwhile.
#[derive(Debug, Clone, Default)]
pub struct Watching {
    /// SHA-256 of the one that an approver signed; empty: the configuration's own.
    pub digest: Vec<u8>,
    /// Set when the agent must begin anew.
    pub is_outdated: Arc<AtomicBool>,
}

/// The core.
pub struct AgentCore {
    outbox: Outbox,
    executor: Box<dyn Executor>,
    entropy: Arc<dyn Entropy>,
    hold_ms: u32,
    logs: Vec<LogFile>,
    journals: Vec<Journal>,
    metrics: Metrics,
    measured: Measured,
    /// Counts requests, from anywhere, so that no answer to an earlier life passes for one to this; the newest is open
    /// until it is absorbed.
    turn: u64,
    open: bool,
    /// Highest sequence that this executor says it was handed.
    delivered: Option<(Incarnation, u64)>,
    /// The last move back: (what the server missed, where we went), and at which turn. Should it not help, it is not made
    /// again for a while.
    moved_back: Option<((u64, u64), u64)>,
    watching: Watching,
    /// Whose certificate the control plane may show.
    authorities: Authorities,
}

impl AgentCore {
    /// Puts the parts together; touches nothing.
    #[must_use]
    pub fn new(
        config: &Config,
        outbox: Outbox,
        executor: Box<dyn Executor>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let (mut logs, mut journals, mut metrics) = (Vec::new(), Vec::new(), Vec::new());
        for entry in config.watch.values() {
            match entry {
                WatchEntry::Log(log) => {
                    logs.push(LogFile::watcher(log.clone()));
                    logs.extend(LogFile::forwarder(log.clone()));
                }
                WatchEntry::Journal(journal) => {
                    journals.push(Journal::new(journal.clone(), JOURNALCTL.into()));
                }
                WatchEntry::Metric(metric) => metrics.push(metric.clone()),
                _ => {}
            }
        }
        Self {
            outbox,
            executor,
            hold_ms: u32::try_from(config.agent.hold.as_millis()).unwrap_or(HOLD_MAX_MS).min(HOLD_MAX_MS),
            logs,
            journals,
            metrics: Metrics::new(metrics),
            measured: Measured::new(config.watch.values()),
            turn: u64::from_be_bytes(draw(entropy.as_ref())),
            open: false,
            delivered: None,
            moved_back: None,
            watching: Watching::default(),
            authorities: Authorities::of(config),
            entropy,
        }
    }

    /// The same, going by that watch list.
    #[must_use]
    pub fn watching(self, watching: Watching) -> Self {
        Self { watching, ..self }
    }

    /// The next thing to say to the control plane. Freezes a batch when records wait and none is on its way.
    pub fn next_request(&mut self) -> Result<Asked, AgentError> {
        let description = executor::describe(self.executor.as_mut())?;
        if description.watch_list != self.watching.digest {
            self.watching.is_outdated.store(true, Ordering::Relaxed);
        }
        let incarnation = incarnation(&description)?;
        let batch = self.outbox.freeze()?;
        let handed = self.delivered.filter(|(whose, _)| *whose == incarnation).map_or(0, |(_, high)| high);
        self.turn = self.turn.wrapping_add(1);
        self.open = true;
        let mut unproven = description.unproven;
        unproven.truncate(UNPROVEN_MAX);
        let request = pb::SyncRequest {
            // With a batch there is something to say: that it arrived.
            hold_ms: if batch.is_some() { 0 } else { self.hold_ms },
            batch: batch.map(Into::into),
            incarnation: description.incarnation,
            nonce: description.nonce,
            checkpoint_size: description.checkpoint_size,
            unproven,
            order_high: description.order_high.max(handed),
            charter_serial: description.charter_serial,
            catalogue_version: description.catalogue_version,
            policy_serial: description.policy_serial,
            standing: description.standing,
            stop_serial: description.stop_serial,
            documents: description.documents,
            log: description.log,
            version: VERSION.to_owned(),
        };
        Ok(Asked { request, turn: self.turn })
    }

    /// The outbox, to look at.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The files of all logs.
    #[must_use]
    pub fn log_files(&self) -> Vec<PathBuf> {
        self.logs.iter().map(|log| log.path().to_owned()).collect()
    }

    /// What the executor measures for it, to be measured beside.
    #[must_use]
    pub fn measured(&self) -> &Measured {
        &self.measured
    }

    /// The executor, to ask for what a renewal needs.
    pub fn executor(&mut self) -> &mut dyn Executor {
        self.executor.as_mut()
    }
}

fn incarnation(description: &local::Description) -> Result<Incarnation, AgentError> {
    Incarnation::from_field("incarnation", &description.incarnation).map_err(AgentError::Description)
}
