//! The one thread that owns the core: commands in, one durable transaction for as many as are waiting, answers out.
//!
//! The rule: no answer leaves before the transaction that it speaks of is durable and the checkpoints that it speaks of
//! are in the vault. While the vault is away nothing is acknowledged that must lie there; all else goes on, once one group has
//! found out and was told to send again as a whole.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use proto::{
    ids::{ApplianceId, TenantId},
    time::Millis,
};
use tokio::sync::{Notify, oneshot};
use tonic::Status;

use crate::{
    clock,
    core::{Core, CoreError, Published, chain},
    metrics::Metrics,
};

/// The most commands in one transaction, and how long more are taken into it: bounds how long the first waits for the last.
const GROUP_MAX: usize = 256;
const GROUP_TIME: Duration = Duration::from_millis(50);
/// The most commands waiting; beyond it callers wait outside.
const QUEUE_MAX: usize = 4096;

/// Of a group that is durable, the clinics whose checkpoint is not in the vault; `None`: it is not durable.
type Stored<'a> = Option<&'a BTreeSet<TenantId>>;
type Release = Box<dyn FnOnce(Stored<'_>) + Send>;
type Command = Box<dyn FnOnce(&mut Core, Millis) -> Release + Send>;

/// A handle to the writer thread. When the last is dropped the thread finishes what is queued and ends.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::SyncSender<Command>,
    /// Whose held calls to answer.
    pub wakes: Wakes,
    /// Who counts.
    pub metrics: Metrics,
}

impl Writer {
    /// Starts the thread.
    pub fn spawn(
        core: Core,
        clock: impl Fn() -> Millis + Send + 'static,
    ) -> std::io::Result<(Self, thread::JoinHandle<()>)> {
        Self::spawn_counted(core, clock, Metrics::default())
    }

    /// The same; what it does is counted in `metrics`.
    pub fn spawn_counted(
        core: Core,
        clock: impl Fn() -> Millis + Send + 'static,
        metrics: Metrics,
    ) -> std::io::Result<(Self, thread::JoinHandle<()>)> {
        let (queue, commands) = mpsc::sync_channel(QUEUE_MAX);
        let wakes = Wakes::default();
        let (rung, counted) = (wakes.clone(), metrics.clone());
        let thread = thread::Builder::new()
            .name("writer".into())
            .spawn(move || work(core, &commands, &clock, &rung, &counted))?;
        Ok((Self { queue, wakes, metrics }, thread))
    }

    /// Runs a command and waits until it is durable.
    pub async fn run<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Core, Millis) -> Result<T, CoreError> + Send + 'static,
    ) -> Result<T, Status> {
        let (answer, answered) = oneshot::channel();
        let boxed: Command = Box::new(move |core, now| {
            let outcome = core.attempt(|core| command(core, now));
            let spoken_of = core.take_spoken_of();
            Box::new(move |stored| {
                let may_leave = stored.is_some_and(|without| without.is_disjoint(&spoken_of));
                let outcome = if may_leave { outcome.map_err(Status::from) } else { Err(not_stored()) };
                let _ = answer.send(outcome); // nobody waits any more: the caller hung up
            })
        });
        let queue = self.queue.clone();
        self.metrics.waits(1);
        let sent = match queue.try_send(boxed) {
            Ok(()) => true,
            Err(mpsc::TrySendError::Full(boxed)) => {
                tokio::task::spawn_blocking(move || queue.send(boxed).is_ok()).await.unwrap_or(false)
            }
            Err(mpsc::TrySendError::Disconnected(_)) => false,
        };
        if !sent {
            self.metrics.waits(-1);
            return Err(Status::unavailable("the server is stopping; call again"));
        }
        answered.await.unwrap_or_else(|_| Err(not_stored()))
    }
}

fn not_stored() -> Status {
    Status::unavailable("the server could not store this now; send it again")
}

fn work(
    mut core: Core,
    commands: &mpsc::Receiver<Command>,
    now_is: &impl Fn() -> Millis,
    wakes: &Wakes,
    metrics: &Metrics,
) {
    while let Ok(first) = commands.recv() {
        metrics.waits(-1);
        let (now, begun) = (now_is(), clock::stopwatch());
        let mut releases = Vec::new();
        let stored = match core.begin() {
            Ok(()) => {
                releases.push(first(&mut core, now));
                while releases.len() < GROUP_MAX && now_is().since(now) < GROUP_TIME {
                    let Ok(next) = commands.try_recv() else { break };
                    metrics.waits(-1);
                    releases.push(next(&mut core, now));
                }
                let started = clock::stopwatch();
                let stored = core.commit_group(now);
                metrics.committed(releases.len(), started.elapsed());
                stored.map_err(|error| chain(&error))
            }
            Err(error) => Err(chain(&error)),
        };
        match &stored {
            Err(error) => {
                metrics.not_durable();
                tracing::error!(error, "a group of {} commands is not durable", releases.len());
            }
            Ok(Published { without, why: Some(why) }) => {
                metrics.not_durable();
                tracing::error!(error = %chain(why), "checkpoints of {} clinics wait", without.len());
            }
            Ok(_) => {}
        }
        let (counted, steps) = (core.take_counted(), core.take_steps());
        if stored.is_ok() {
            metrics.done(&counted, steps, begun.elapsed());
        }
        for release in releases {
            release(stored.as_ref().ok().map(|published| &published.without));
        }
        for appliance in core.take_wakes() {
            wakes.wake(appliance);
        }
    }
}

/// Calls that are held open, by appliance.
#[derive(Clone, Default)]
pub struct Wakes(Arc<Mutex<HashMap<ApplianceId, Arc<Notify>>>>);

impl Wakes {
    /// A bell of this call's own that rings when there may be something for this appliance. It keeps one ring that nobody
    /// waited for. The newest call has it: one that hangs in a broken connection must not take the ring from it.
    #[must_use]
    pub fn bell(&self, appliance: ApplianceId) -> Arc<Notify> {
        let bell = Arc::new(Notify::new());
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(appliance, bell.clone());
        if let Some(before) = before {
            before.notify_one();
        }
        bell
    }

    /// Whether no newer call has taken the place of this bell's.
    #[must_use]
    pub fn is_newest(&self, appliance: ApplianceId, bell: &Arc<Notify>) -> bool {
        let bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bells.get(&appliance).is_some_and(|newest| Arc::ptr_eq(newest, bell))
    }

    /// Rings.
    fn wake(&self, appliance: ApplianceId) {
        if let Some(bell) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&appliance) {
            bell.notify_one();
        }
    }
}
