//! The executor's program: a socket, a thread for each caller, one worker for orders, and an orderly end.
//!
//! The rule: threads are all there is here. What is decided is decided in [`super::ExecutorCore`]; a database that cannot be
//! read makes an executor that says so to every caller and runs nothing.

mod begin;
mod key;
mod notify;
mod respond;
mod service;

use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use nix::{
    errno::Errno,
    sys::signal::{SigSet, Signal},
    unistd::Uid,
};

use super::{
    chain_of,
    steps::{HELD_BY_KEY, Stop, SystemHost},
};
use crate::{
    config::{Config, UnknownUser},
    files::FileError,
    world::World,
};

pub use self::{
    begin::{BeginError, open_core},
    service::Service,
};

/// How long a running step may go on after SIGTERM before it is stopped; well within systemd's 90 s.
const GRACE: Duration = Duration::from_secs(20);

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// `executor.agent_user` names nobody.
    #[error("executor.agent_user")]
    User(#[from] UnknownUser),
    /// The state folder cannot be used, or another executor uses it.
    #[error("the executor's state")]
    State(#[from] FileError),
    /// Nobody could reach it.
    #[error("paths.socket = {path:?}")]
    Socket {
        /// Where it was to be.
        path: PathBuf,
        /// Why it is not.
        #[source]
        cause: io::Error,
    },
    /// No threads, or no signals.
    #[error("cannot begin")]
    Begin(#[source] io::Error),
    /// A thread broke down; nothing is sure any more, so the program ends and begins anew from what is durable.
    #[error("a thread of the executor broke down")]
    BrokeDown,
}

/// Runs until SIGTERM or SIGINT.
pub fn run(config: &Config, world: World) -> Result<(), ServeError> {
    // Before any other thread is there: they inherit that they do not handle these.
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    signals.thread_block().map_err(|errno: Errno| ServeError::Begin(errno.into()))?;
    let me = Uid::effective();
    let agent = match &config.executor.agent_user {
        Some(user) => user.resolve()?.0,
        None => me,
    };
    let folder = config.paths.executor();
    crate::files::private_folder(&folder)?;
    let _alone = crate::files::lock(&folder.join("lock"))?;
    let stop = Stop::default();
    let host = Arc::new(SystemHost::from_config(config, world.clone(), stop.clone()));
    host.clear_scratch();
    let core = open_core(config, world, host).map_err(|error| chain_of(&error));
    if let Err(problem) = &core {
        tracing::error!("no order runs: {problem}");
    }
    let status =
        core.as_ref().map_or_else(|problem| format!("no order runs: {problem}"), |_| "ready".to_owned());
    let path = &config.paths.socket;
    let listener =
        begin::listener(path, agent).map_err(|cause| ServeError::Socket { path: path.clone(), cause })?;
    let trust = config.trust.organization_keys.clone();
    let service =
        Service::start(core, listener.socket, vec![agent, me], trust, stop).map_err(ServeError::Begin)?;
    if let Some(key) = &config.executor.hold_key {
        let heart = service.heart();
        key::watch(key.clone(), folder.join(HELD_BY_KEY), move || heart.wake()).map_err(ServeError::Begin)?;
    }
    let notifier = notify::begin(&status, service.heart()).map_err(ServeError::Begin)?;
    tracing::info!("executor listens at {}", config.paths.socket.display());
    let ended = service.wait(signals);
    notifier.ending();
    let drained = service.drain(GRACE);
    if listener.is_ours {
        // Somebody may have removed it already.
        let _ = fs::remove_file(&config.paths.socket);
    }
    ended.and(drained)
}
