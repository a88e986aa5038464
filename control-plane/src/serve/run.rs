//! The running service: the core and its writer, the services, the doors, what runs beside them; started in that order and
//! stopped in the other.

use std::path::Path;

use anyhow::Result;
use tokio::{sync::watch, task::JoinSet};

use super::{
    doors::{self, Certificates, Doors},
    open::{Opened, open_core},
    services::Services,
    shared::Shared,
    tasks::{self, Outward},
    writer::Writer,
};
use crate::{
    access::passkeys::approvers_here, clock, config::Config, directory::Directory, metrics::Metrics,
};

/// Serves until `stop` completes; then answers what is under way, stores what is queued, and returns.
pub async fn run(
    directory: &Directory,
    config: Config,
    doors: Doors,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let outward = Outward::of(&config)?;
    let metrics = Metrics::default();
    let Opened { core, trust, authorities } = open_core(directory, &config, &metrics)?;
    if let Some(warning) = core.charter().warning(clock::now()) {
        tracing::warn!("{warning}");
    }
    let (at_appliances, at_people) = (doors.appliances.local_addr()?, doors.people.local_addr()?);
    if let Some(warning) = approvers_here(core.charter(), &config.people_address(at_people.port())) {
        tracing::warn!("{warning}");
    }
    let (writer, thread) = Writer::spawn_counted(core, clock::now, metrics)?;
    let (stopping, stopped) = watch::channel(false);
    let shared = Shared::new(directory, config, writer, (trust, authorities), &doors, stopped)?;
    let certificates = Certificates::of(&shared)?;
    let services = Services::of(&shared, &certificates)?;
    let mut tasks = JoinSet::new();
    let connections = doors::open(doors, &shared, &certificates, services, &mut tasks)?;
    certificates.keep(&shared, &mut tasks);
    tasks::start(&shared, outward, &mut tasks)?;
    tracing::info!(appliances = %at_appliances, people = %at_people, connections, "serving");
    ready(directory.root());

    let mut writing = tokio::task::spawn_blocking(move || thread.join());
    let broke = tokio::select! {
        () = stop => None,
        ended = &mut writing => Some(ended),
    };
    tracing::info!("stopping: answering what is under way");
    let _ = stopping.send(true);
    while tasks.join_next().await.is_some() {}
    // The last that holds the writer: what is queued is stored, and the thread ends.
    drop(shared);
    let ended = match broke {
        // Nothing could be stored any more: whoever started this program must start it anew.
        Some(ended) => ended,
        None => writing.await,
    };
    ended?.map_err(|_| anyhow::anyhow!("the writer broke; the log says at what"))
}

fn ready(root: &Path) {
    // Without systemd there is nobody to notify; that is fine.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tracing::debug!(directory = %root.display(), "ready");
}
