//! The agent's loop: threads and the network around [`super::core`].
//!
//! The rule: everything durable happens in the core, so that this loop may be cut anywhere. A call that is held open
//! while nothing waits is dropped when something does; what it would have answered comes again.
//!
//! ```text
//!  sampler (thread) ── collect ──┐                              ┌── Sync, held ──> control plane
//!                                ├──> core ──> fresh ──> loop ──┤
//!  evidence (thread) ─ collect ──┘                              └── absorb ──> core
//! ```

mod exchange;
mod threads;

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, mpsc},
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::{
    sync::watch,
    task::JoinError,
    time::{interval, timeout},
};

use super::{core::AgentCore, credentials::Folder, link::Link};
use crate::{
    probe::background::Probes,
    world::{Executor, World},
};

use exchange::Shell;
pub use exchange::backoff;

/// How long the last exchange may take once we were told to stop.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What the loop is given.
pub struct Parts<L> {
    /// The core.
    pub core: AgentCore,
    /// The network.
    pub link: L,
    /// A second way to the executor, to measure on: a reading may take seconds.
    pub measurer: Box<dyn Executor>,
    /// What looks at the network.
    pub probes: Probes,
    /// A third, to wait for evidence on.
    pub waiter: Box<dyn Executor>,
    /// Clock and randomness.
    pub world: World,
    /// The agent's files.
    pub folder: Folder,
    /// Time between two looks at everything.
    pub sample: Duration,
}

/// Why the loop ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// Something panicked. The state on disk is whole; start again.
    #[error("a part of the agent broke")]
    Broken(#[source] JoinError),
}

/// What threads and loop share.
struct Shared {
    core: Mutex<AgentCore>,
    /// Counts looks that found something new.
    fresh: watch::Sender<u64>,
    /// The boot clock, in milliseconds, when everything was last looked at.
    sampled: std::sync::atomic::AtomicU64,
    world: World,
}

impl Shared {
    /// The core, whoever else waits for it. After a panic in it the process must not go on: systemd starts another.
    fn core(&self) -> MutexGuard<'_, AgentCore> {
        self.core.lock().expect("a part of the agent broke while it held the core")
    }

    fn found_something(&self) {
        self.fresh.send_modify(|count| *count += 1);
    }

    /// Works with the core where it may block.
    async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut AgentCore) -> T + Send + 'static,
    ) -> Result<T, RunError> {
        let shared = self.clone();
        tokio::task::spawn_blocking(move || work(&mut shared.core())).await.map_err(RunError::Broken)
    }
}

/// Runs until `stop`, then has a last word with the control plane.
pub async fn run<L: Link>(parts: Parts<L>, stop: impl Future<Output = ()>) -> Result<(), RunError> {
    let shared = Arc::new(Shared {
        core: Mutex::new(parts.core),
        fresh: watch::Sender::new(0),
        sampled: std::sync::atomic::AtomicU64::new(0),
        world: parts.world,
    });
    let (quit, until) = mpsc::channel();
    let sampler = threads::sample(shared.clone(), parts.measurer, parts.probes, parts.sample, until)
        .map_err(RunError::Thread)?;
    // Never joined: it may be waiting for the executor, and holds nothing that a crash could harm.
    threads::await_evidence(shared.clone(), parts.waiter).map_err(RunError::Thread)?;
    notify(&[NotifyState::Ready]);
    let watchdog = tokio::spawn(watchdog(shared.clone(), parts.sample));
    let mut shell = Shell::new(shared.clone(), parts.link, parts.folder);
    let mut stop = pin!(stop);
    let ended = shell.converse(stop.as_mut()).await;
    notify(&[NotifyState::Stopping]);
    watchdog.abort();
    drop(quit);
    if ended.is_ok() {
        // A look that is under way is finished; a new one does not begin.
        let finished = tokio::task::spawn_blocking(move || sampler.join().is_ok());
        let _ = timeout(LAST_WORDS, finished).await;
        let _ = timeout(LAST_WORDS, shell.last_words()).await;
    }
    ended
}

/// Tells systemd that we live, for as long as everything is being looked at.
async fn watchdog(shared: Arc<Shared>, sample: Duration) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let patience = (sample * 4).max(Duration::from_secs(300));
    let mut tick = interval(limit / 2);
    loop {
        tick.tick().await;
        let sampled = Duration::from_millis(shared.sampled.load(std::sync::atomic::Ordering::Relaxed));
        if shared.world.clock.boot().saturating_sub(sampled) < patience {
            notify(&[NotifyState::Watchdog]);
        }
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(state) {
        tracing::debug!("systemd does not listen: {e}");
    }
}
