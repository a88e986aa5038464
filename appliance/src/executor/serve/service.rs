//! Threads around a core: callers are answered while a step runs, and whoever waits for evidence is woken at once.
//!
//! ```text
//!  listener ─ thread per caller ─┐            ┌─ worker: next, perform (without the lock), conclude
//!                                └─> Mutex <──┘
//!                                    Condvar: something changed
//! ```

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    os::{
        fd::AsFd as _,
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use super::{
    super::{
        ExecutorCore, Next, chain_of,
        steps::Stop,
        work::{Done, Work},
    },
    ServeError,
    respond::respond,
};
use crate::ipc::{self, IpcError};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::SigSet,
        socket::{getsockopt, sockopt::PeerCredentials},
    },
    unistd::Uid,
};

/// The most callers at once.
const CALLERS_MAX: usize = 16;
/// The longest that a caller may wait for evidence.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);
/// Requests of more bytes than this are decoded and answered one at a time.
const LARGE: usize = 64 << 10;
/// How long the worker waits after something that it could not do.
const AFTER_A_FAILURE: Duration = Duration::from_secs(5);

/// A running executor.
pub struct Service {
    shared: Arc<Shared>,
    worker: JoinHandle<()>,
    worker_ended: Receiver<()>,
    events: (Sender<Event>, Receiver<Event>),
    wake_listener: UnixStream,
    stop: Stop,
}

enum Event {
    Signal,
    BrokeDown,
}

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
    callers: AtomicUsize,
    /// Held from decoding a large request to its answer.
    large: Mutex<()>,
    pub(super) trust: PathBuf,
}

pub(super) struct State {
    pub(super) core: Result<Box<ExecutorCore>, String>,
    pub(super) is_ending: bool,
    /// Entries of the watch list that somebody is measuring: whoever else asks for one waits.
    pub(super) measuring: BTreeSet<String>,
}

/// Somebody panicked while holding the state.
pub(super) struct Poisoned;

impl Shared {
    pub(super) fn lock(&self) -> Result<MutexGuard<'_, State>, Poisoned> {
        self.state.lock().map_err(|_| Poisoned)
    }
}

/// Whether the executor still answers: for the watchdog. Has the worker look at once: for the hold key.
#[derive(Clone)]
pub(super) struct Heart(Arc<Shared>);

impl Heart {
    pub(super) fn beats(&self) -> bool {
        self.0.lock().is_ok()
    }
    pub(super) fn wake(&self) {
        self.0.changed.notify_all();
    }
}

impl Service {
    /// Starts the threads. `core`: what could be opened, or why not. `allowed`: who may call. `trust`: the file with the
    /// organization's keys, should they not be pinned yet.
    pub fn start(
        core: Result<ExecutorCore, String>,
        listener: UnixListener,
        allowed: Vec<Uid>,
        trust: PathBuf,
        stop: Stop,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                core: core.map(Box::new),
                is_ending: false,
                measuring: BTreeSet::new(),
            }),
            changed: Condvar::new(),
            callers: AtomicUsize::new(0),
            large: Mutex::new(()),
            trust,
        });
        let events = channel();
        let (wake_listener, woken) = UnixStream::pair()?;
        let (ended, worker_ended) = channel();
        let worker = {
            let (shared, events) = (shared.clone(), events.0.clone());
            let watch = Watch { events, ended };
            Builder::new().name("worker".into()).spawn(move || work(&shared, watch))?
        };
        {
            let (shared, events) = (shared.clone(), events.0.clone());
            let listen = move || accept(&shared, &listener, &woken, &allowed, &events);
            Builder::new().name("listener".into()).spawn(listen)?;
        }
        Ok(Self { shared, worker, worker_ended, events, wake_listener, stop })
    }

    pub(super) fn heart(&self) -> Heart {
        Heart(self.shared.clone())
    }

    /// Waits for one of `signals`, or until a thread breaks down.
    pub(super) fn wait(&self, signals: SigSet) -> Result<(), ServeError> {
        let events = self.events.0.clone();
        let listen = move || {
            if signals.wait().is_ok() {
                // Whoever waited may be gone, then there is nothing to end.
                let _ = events.send(Event::Signal);
            }
        };
        Builder::new().name("signals".into()).spawn(listen).map_err(ServeError::Begin)?;
        match self.events.1.recv() {
            Ok(Event::Signal) => Ok(()),
            Ok(Event::BrokeDown) | Err(_) => Err(ServeError::BrokeDown),
        }
    }

    /// Ends: nothing new is begun; what runs may end by itself within `grace`, else it is stopped, which is evidence.
    pub fn drain(self, grace: Duration) -> Result<(), ServeError> {
        if let Ok(mut state) = self.shared.lock() {
            state.is_ending = true;
        }
        self.shared.changed.notify_all();
        let _ = (&self.wake_listener).write(b"e");
        if self.worker_ended.recv_timeout(grace) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the running step is stopped; its evidence will say so");
            self.stop.stop();
        }
        self.worker.join().map_err(|_| ServeError::BrokeDown)?;
        // Closed here, so that the database is one whole file; threads of callers may outlive us.
        self.shared.lock().map_err(|_| ServeError::BrokeDown)?.core = Err("has ended".to_owned());
        Ok(())
    }
}

/// Tells when the worker ends, and whether by a panic.
struct Watch {
    events: Sender<Event>,
    ended: Sender<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.ended.send(());
        if std::thread::panicking() {
            let _ = self.events.send(Event::BrokeDown);
        }
    }
}

/// The worker's loop. It ends when the executor does, or when another thread panicked.
fn work(shared: &Shared, watch: Watch) {
    let result = work_on(shared);
    if result.is_err() {
        let _ = watch.events.send(Event::BrokeDown);
    }
}

fn work_on(shared: &Shared) -> Result<(), Poisoned> {
    loop {
        let mut state = shared.lock()?;
        if state.is_ending {
            return Ok(());
        }
        let Ok(core) = &mut state.core else {
            drop(wait(shared, state, WAIT_MAX)?);
            continue;
        };
        match core.next_work() {
            Ok(Next::Idle(span)) => drop(wait(shared, state, span)?),
            Ok(Next::Progress) => shared.changed.notify_all(),
            Ok(Next::Work(work)) => {
                drop(state);
                do_all(shared, work)?;
                shared.changed.notify_all();
            }
            Err(error) => {
                tracing::error!("{}", chain_of(&error));
                drop(wait(shared, state, AFTER_A_FAILURE)?);
            }
        }
    }
}

/// Does a piece of work and what follows from it, holding the core only in between.
fn do_all(shared: &Shared, mut work: Work) -> Result<(), Poisoned> {
    loop {
        let done: Done = work.perform();
        let mut state = shared.lock()?;
        if state.is_ending && done.is_before_the_start() {
            // Begins when the executor does.
            return Ok(());
        }
        let Ok(core) = &mut state.core else { return Ok(()) };
        match core.conclude(done) {
            Ok(Some(more)) => work = more,
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::error!("{}", chain_of(&error));
                // What could not be begun would be tried again at once: the disk is full, say.
                drop(wait(shared, state, AFTER_A_FAILURE)?);
                return Ok(());
            }
        }
    }
}

fn wait<'a>(
    shared: &'a Shared,
    state: MutexGuard<'a, State>,
    span: Duration,
) -> Result<MutexGuard<'a, State>, Poisoned> {
    shared.changed.wait_timeout(state, span).map(|(state, _)| state).map_err(|_| Poisoned)
}

/// The listener's loop: a thread for each caller.
fn accept(
    shared: &Arc<Shared>,
    listener: &UnixListener,
    woken: &UnixStream,
    allowed: &[Uid],
    events: &Sender<Event>,
) {
    loop {
        let mut fds =
            [PollFd::new(listener.as_fd(), PollFlags::POLLIN), PollFd::new(woken.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            continue;
        }
        if fds[1].revents().is_some_and(|events| !events.is_empty()) {
            return;
        }
        let stream = match ipc::accept(listener, allowed) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!("a caller was not let in: {}", chain_of(&error));
                continue;
            }
        };
        let Some(seat) = Seat::take(shared) else {
            tracing::warn!("a caller was not let in: {CALLERS_MAX} are there already");
            continue;
        };
        let events = events.clone();
        let serve = move || {
            if attend(&seat.0, stream).is_err() {
                let _ = events.send(Event::BrokeDown);
            }
        };
        if let Err(error) = Builder::new().name("caller".into()).spawn(serve) {
            tracing::warn!("a caller was not let in: {error}");
        }
    }
}

/// A caller's place, given back however its thread ends, or if there is none for it.
struct Seat(Arc<Shared>);

impl Seat {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let seat = Self(shared.clone());
        (shared.callers.fetch_add(1, Ordering::SeqCst) < CALLERS_MAX).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.callers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Answers one caller until it hangs up or says something that is no request.
fn attend(shared: &Shared, mut stream: UnixStream) -> Result<(), Poisoned> {
    let peer = getsockopt(&stream, PeerCredentials);
    let is_owner = peer.is_ok_and(|peer| peer.uid() == Uid::effective().as_raw());
    loop {
        // Between two requests a caller may be silent for as long as it likes, within one it may not.
        let mut fds = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            continue;
        }
        let frame = match ipc::receive(&mut stream) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(()),
            Err(error) => return send_away(&error),
        };
        // Decoded it is larger still; sixteen of them at once would not fit into a small box.
        let alone = match frame.len() > LARGE {
            true => Some(shared.large.lock().map_err(|_| Poisoned)?),
            false => None,
        };
        let request = match ipc::read_request(&frame) {
            Ok(request) => request,
            Err(error) => return send_away(&error),
        };
        drop(frame);
        let response = respond(shared, request, is_owner)?;
        drop(alone);
        if ipc::send(&mut stream, &response).is_err() {
            return Ok(());
        }
    }
}

fn send_away(error: &IpcError) -> Result<(), Poisoned> {
    tracing::warn!("a caller is sent away: {}", chain_of(error));
    Ok(())
}
