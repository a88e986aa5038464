//! `appliance enroll`: the ticket in, an appliance out.

use std::{path::Path, process::ExitCode};

use tokio::runtime::Builder;

use crate::{
    agent::{
        authorities::Authorities,
        enroll::{EnrollError, Ticket, enroll},
        executor::Reconnecting,
        link::{GrpcLink, Identity, Pins, Proxy},
    },
    config::Config,
    world::World,
};

use super::Failure;

/// Enrols, and says who this box now is.
pub(super) fn run(config: &Config, world: World, token_file: &Path) -> Result<ExitCode, Failure> {
    let ticket = Ticket::read(token_file).map_err(Failure::bad_input)?;
    let (address, now) = (&config.control_plane.address, world.clock.wall());
    if *address != ticket.address {
        eprintln!(
            "note: the ticket says {}, control_plane.address says {address}; asking the latter",
            ticket.address
        );
    }
    if ticket.expires <= now {
        eprintln!(
            "note: by this machine's clock ({now}) the ticket ended on {}; asking all the same",
            ticket.expires
        );
    }
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::of)?;
    let authorities = Authorities::pinned(&config.trust.ca);
    let pins = Pins { authorities, identity: Identity::None, clock: world.clock };
    let proxy = Proxy::of(&config.control_plane, config.agent.user.as_ref());
    let mut executor = Reconnecting::new(config.paths.socket.clone());
    let enrolled = enroll(config, &ticket, &mut executor, |request| {
        runtime.block_on(async { GrpcLink::new(address, pins)?.through(proxy).enroll(request).await })
    })
    .map_err(|error| match error {
        EnrollError::Pin(_) | EnrollError::User { .. } => Failure::bad_input(error),
        error => Failure::of(error),
    })?;
    let who = &enrolled.certificate.spiffe;
    if enrolled.already {
        println!("already enrolled as {who}");
    } else {
        println!("enrolled as {who}");
        println!("next: start the agent (`systemctl start orderly-agent`, or `appliance agent`)");
    }
    Ok(ExitCode::SUCCESS)
}
