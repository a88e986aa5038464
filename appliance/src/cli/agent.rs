//! `appliance agent`: puts the agent together and runs it until SIGTERM.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use proto::ids::StreamId;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    time::interval,
};

use crate::{
    agent::{
        confine::{self, Fence, Held},
        core::AgentCore,
        credentials::{self, Folder, TlsKey},
        executor::Reconnecting,
        link::{GrpcLink, Identity, Pins, Proxy},
        outbox::{Limits, Outbox},
        run::{self, Parts},
    },
    config::Config,
    files,
    probe::background::Probes,
    world::{World, draw},
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
    let executor = || Box::new(Reconnecting::new(config.paths.socket.clone()));
    let core = AgentCore::new(config, outbox, executor(), world.entropy.clone());
    let pins = Pins {
        authority: config.trust.ca.clone(),
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
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = until_outdated(&fence, sample) => is_outdated.store(true, Ordering::Relaxed),
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
            bail!("a file or folder that the agent reads was replaced, so it must begin anew");
        }
        Ok(())
    });
    // What still blocks holds nothing that a crash could harm.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn until_outdated(fence: &Fence, sample: Duration) {
    let mut tick = interval(sample);
    while !fence.is_outdated() {
        tick.tick().await;
    }
}
