//! `appliance agent`: puts the agent together and runs it until SIGTERM.

use std::{
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use proto::{digest::Digest, ids::StreamId};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    time::interval,
};

use crate::{
    agent::{
        authorities::Authorities,
        confine::{self, Fence, Held},
        core::{AgentCore, Watching},
        credentials::{self, Folder, TlsKey},
        executor::{Reconnecting, watch_list},
        link::{GrpcLink, Identity, Pins, Proxy},
        outbox::{Limits, Outbox},
        run::{self, Parts},
    },
    config::Config,
    files,
    probe::background::Probes,
    world::{Executor, World, draw},
};

use super::Failure;

/// Runs the agent.
pub(super) fn run(config: &Config, world: World) -> Result<ExitCode, Failure> {
    agent(config, world).map(|()| ExitCode::SUCCESS).map_err(Failure::of)
}

fn agent(config: &Config, world: World) -> anyhow::Result<()> {
    let folder = Folder::at(config.paths.agent());
    let (_, certificate) = credentials::certificate(&folder)?;
    TlsKey::load(&folder)?;
    let socket = config.paths.socket.clone();
    let executor = || Box::new(Reconnecting::new(socket.clone()));
    let (config, watching) = &approved(config, executor().as_mut())?;
    let fence = confine::around_agent(config).context("cannot shut this process in (Landlock)")?;
    match fence.held {
        Held::Wholly => {
            tracing::info!("shut in: the kernel lets the agent open what it needs and nothing else")
        }
        Held::Partly => {
            tracing::warn!("shut in as far as this kernel can: it knows not all of Landlock's rights")
        }
        Held::NotAtAll => tracing::warn!("not shut in: this kernel has no Landlock"),
    }
    let _alone = files::lock(&folder.lock())?;
    let limits = Limits::new(config.agent.outbox_max_mb << 20, config.agent.evidence_reserve_mb << 20);
    let outbox = Outbox::open(&folder.outbox(), limits, StreamId(draw(world.entropy.as_ref())))?;
    let core = AgentCore::new(config, outbox, executor(), world.entropy.clone()).watching(watching.clone());
    let pins = Pins {
        authorities: Authorities::of(config),
        identity: Identity::Folder(folder.clone()),
        clock: Arc::clone(&world.clock),
    };
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let ended = runtime.block_on(async {
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
        );
        let (outdated, sample) = (Arc::new(AtomicBool::new(false)), config.agent.sample);
        let is_outdated = Arc::clone(&outdated);
        let watched = Arc::clone(&watching.is_outdated);
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = until_outdated(&fence, &watched, sample) => is_outdated.store(true, Ordering::Relaxed),
            }
            tracing::info!("stopping: a last exchange, then the end");
        };
        // The channel starts its worker when it is made, so it is made inside the runtime.
        let proxy = Proxy::of(&config.control_plane, None);
        let link = GrpcLink::new(&config.control_plane.address, pins)?.through(proxy);
        tracing::info!(appliance.id = %certificate.spiffe.appliance, "agent of {} begins", certificate.spiffe);
        let (measurer, waiter) = (executor(), executor());
        let probes = Probes::new(config.watch.values(), sample, world.clone());
        let parts = Parts { core, link, measurer, probes, waiter, world, folder, sample };
        run::run(parts, stop).await?;
        if outdated.load(Ordering::Relaxed) {
            bail!("the watch list, or a file or folder that the agent reads, was replaced, so it must begin anew");
        }
        Ok(())
    });
    // What still blocks holds nothing that a crash could harm.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// The configuration with the watch list that an approver signed, if the executor has one. An executor that cannot be asked
/// yet says with the first exchange whether there is one; then the agent begins anew.
fn approved(config: &Config, executor: &mut dyn Executor) -> anyhow::Result<(Config, Watching)> {
    let content = match watch_list(executor) {
        Ok(content) => content,
        Err(error) => {
            tracing::warn!("the configuration's own watch list is gone by, for now: {error}");
            Vec::new()
        }
    };
    if content.is_empty() {
        return Ok((config.clone(), Watching::default()));
    }
    let text = std::str::from_utf8(&content).context("the approved watch list is not UTF-8")?;
    let config = config.with_watch(text, Path::new("(the watch list that an approver signed)"))?;
    tracing::info!("going by the watch list that an approver signed");
    Ok((config, Watching { digest: Digest::of(&content).to_vec(), ..Watching::default() }))
}

async fn until_outdated(fence: &Fence, watched: &AtomicBool, sample: Duration) {
    let mut tick = interval(sample);
    while !fence.is_outdated() && !watched.load(Ordering::Relaxed) {
        tick.tick().await;
    }
}
