//! `appliance status`: how this box stands, for a person or a program.

use std::process::ExitCode;

use crate::{
    agent::executor::Reconnecting,
    config::Config,
    status::{self, Status},
    world::World,
};

use super::Failure;

/// Looks, and says it.
pub(super) fn run(config: &Config, world: &World, json: bool) -> Result<ExitCode, Failure> {
    let mut executor = Reconnecting::new(config.paths.socket.clone());
    let status: Status = status::gather(&config.paths.agent(), &mut executor, world.clock.as_ref());
    if json {
        println!("{}", serde_json::to_string_pretty(&status).map_err(Failure::of)?);
    } else {
        print!("{status}");
    }
    Ok(ExitCode::from(u8::from(!status.complete)))
}
