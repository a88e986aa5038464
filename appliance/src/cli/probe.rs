//! `appliance probe`: one look at an entry that lies on the network.

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use proto::{ids::WatchId, time::Millis};

use crate::{config::Config, probe, world::World};

use super::Failure;

/// Looks, and prints what was read.
pub(super) fn run(
    config: &Config,
    world: &World,
    id: &WatchId,
    at: Option<Millis>,
) -> Result<ExitCode, Failure> {
    let entry = config.watch.get(id).with_context(|| format!("{id} is not on the watch list"));
    let entry = entry.map_err(Failure::bad_input)?;
    let now = at.unwrap_or_else(|| world.clock.wall());
    let readings = probe::look(entry, world, now)
        .ok_or_else(|| anyhow!("{id} is a {}, which does not lie on the network", entry.kind()))
        .map_err(Failure::bad_input)?;
    println!("{}", serde_json::to_string(&readings).map_err(Failure::of)?);
    Ok(ExitCode::SUCCESS)
}
