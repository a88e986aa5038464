//! `appliance agent`: puts the agent together and runs it until SIGTERM.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use proto::ids::StreamId;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use crate::{
    agent::{
        core::AgentCore,
        credentials::{self, Folder, TlsKey},
        executor::Reconnecting,
        link::{GrpcLink, Identity, Pins},
        outbox::{Limits, Outbox},
        run::{self, Parts},
    },
    config::Config,
    files,
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
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping: a last exchange, then the end");
        };
        // The channel starts its worker when it is made, so it is made inside the runtime.
        let link = GrpcLink::new(&config.control_plane.address, pins)?;
        tracing::info!(appliance.id = %certificate.spiffe.appliance, "agent of {} begins", certificate.spiffe);
        let (measurer, waiter, sample) = (executor(), executor(), config.agent.sample);
        let parts = Parts { core, link, measurer, waiter, world, folder, sample };
        run::run(parts, stop).await.map_err(anyhow::Error::from)
    });
    // What still blocks holds nothing that a crash could harm.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}
