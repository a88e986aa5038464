//! The agent's loop: threads and the network around [`super::core`].
//!
//! The rule: everything durable happens in the core, so that this loop may be cut anywhere. A call that is held open
//! while nothing waits is dropped when something does; what it would have answered comes again.
//!
//! ```text
//!  sampler (thread) ── collect ──┐                              ┌── Sync, held ──> control plane
//!                                ├──> core ──> fresh ──> loop ──┤
//!  logs (thread) ───── collect ──┤                              └── absorb ──> core
//!  evidence (thread) ─ collect ──┘
//! ```

mod exchange;
mod threads;
mod wakes;

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::{
    sync::watch,
    task::JoinError,
    time::{interval, timeout},
};

use super::{
    core::{AgentCore, Collected},
    credentials::Folder,
    link::Link,
};
use crate::{
    probe::background::Probes,
    world::{Executor, World},
};

use exchange::Shell;
pub use exchange::backoff;
use wakes::{Bell, Wakes};

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
    /// No inotify: the limit of this user's instances.
    #[error("cannot watch log files for changes (fs.inotify.max_user_instances?)")]
    Watch(#[source] std::io::Error),
    /// Something panicked. The state on disk is whole; start again.
    #[error("a part of the agent broke")]
    Broken(#[source] JoinError),
}

/// When everything was last looked at, by the boot clock in milliseconds; before the first look, since when we look.
struct Looks(AtomicU64);

impl Looks {
    /// The shortest time that one look may take.
    const PATIENCE: Duration = Duration::from_secs(300);

    fn begin(boot: Duration) -> Self {
        let looks = Self(AtomicU64::new(0));
        looks.ended(boot);
        looks
    }

    fn ended(&self, boot: Duration) {
        self.0.store(u64::try_from(boot.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether they have not come to a stop, with `sample` between two of them.
    fn go_on(&self, boot: Duration, sample: Duration) -> bool {
        let ended = Duration::from_millis(self.0.load(Ordering::Relaxed));
        boot.saturating_sub(ended) < (sample * 4).max(Self::PATIENCE)
    }
}

/// What threads and loop share.
struct Shared {
    core: Mutex<AgentCore>,
    /// Counts looks that found something new.
    fresh: watch::Sender<u64>,
    /// When everything was last looked at.
    looks: Looks,
    /// Wakes whoever follows logs.
    bell: Bell,
    /// Whether a log waits for room: an acknowledgement makes some.
    waits: AtomicBool,
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

    /// Looks, and remembers whether a log waits: inside, so that no acknowledgement comes between the two.
    fn look(&self, look: impl FnOnce(&mut AgentCore) -> Collected) -> Collected {
        let mut core = self.core();
        let collected = look(&mut core);
        self.waits.fetch_or(collected.waits, Ordering::Relaxed);
        collected
    }

    /// Has logs read on if they waited for room.
    fn made_room(&self) {
        if self.waits.swap(false, Ordering::Relaxed) {
            self.bell.ring();
        }
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
    let (wakes, bell) = Wakes::new(parts.core.log_files()).map_err(RunError::Watch)?;
    let shared = Arc::new(Shared {
        core: Mutex::new(parts.core),
        fresh: watch::Sender::new(0),
        looks: Looks::begin(parts.world.clock.boot()),
        bell,
        waits: AtomicBool::new(false),
        world: parts.world,
    });
    let (quit, until) = mpsc::channel();
    let sampler = threads::sample(shared.clone(), parts.measurer, parts.probes, parts.sample, until)
        .map_err(RunError::Thread)?;
    // Never joined: they may be waiting, and hold nothing that a crash could harm.
    threads::follow_logs(shared.clone(), wakes, parts.sample).map_err(RunError::Thread)?;
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
    let mut tick = interval(limit / 2);
    loop {
        tick.tick().await;
        if shared.looks.go_on(shared.world.clock.boot(), sample) {
            notify(&[NotifyState::Watchdog]);
        }
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(state) {
        tracing::debug!("systemd does not listen: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A first look may take minutes (a repository far away), and the box may have been up for months.
    #[test]
    fn systemd_hears_of_us_from_the_start_and_no_more_once_looks_have_stopped() {
        let (up, sample) = (Duration::from_secs(90 * 24 * 3600), Duration::from_secs(15));
        let looks = Looks::begin(up);
        assert!(looks.go_on(up, sample));
        assert!(looks.go_on(up + Looks::PATIENCE - sample, sample));
        assert!(!looks.go_on(up + Looks::PATIENCE, sample));
        looks.ended(up + Looks::PATIENCE);
        assert!(looks.go_on(up + Looks::PATIENCE, sample));
        // Where looks are rare, four of them may be missed.
        assert!(looks.go_on(up + Looks::PATIENCE * 3, Duration::from_secs(600)));
    }
}
