//! `appliance check-config`: the configuration has been read and is good; what this machine lacks for it is said here.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use proto::time::Millis;
use runbooks::WatchKind;

use crate::config::Config;

use super::Failure;

/// Says what the configuration watches.
pub(super) fn run(config: &Config, path: &Path, now: Millis) -> Result<ExitCode, Failure> {
    for exception in &config.exceptions {
        let of = || format!("exception of {} in {}", exception.control, config.paths.exceptions.display());
        exception.holds(now).with_context(of).map_err(Failure::bad_input)?;
    }
    for (key, user) in
        [("agent.user", &config.agent.user), ("executor.agent_user", &config.executor.agent_user)]
    {
        if let Some(user) = user {
            let named = || format!("configuration {}: {key} = {user}", path.display());
            user.resolve().with_context(named).map_err(Failure::bad_input)?;
        }
    }
    println!("{} is good: this box talks to {}", path.display(), config.control_plane.address);
    for kind in WatchKind::ALL {
        let of_kind = config.watch.values().filter(|entry| entry.kind() == *kind);
        let ids: Vec<&str> = of_kind.map(|entry| entry.id().as_str()).collect();
        if !ids.is_empty() {
            println!("  {kind}: {}", ids.join(", "));
        }
    }
    for hours in config.limits.clinic_hours.iter() {
        println!("  people work {hours}: what disturbs them waits");
    }
    if config.watch.is_empty() {
        println!("  it watches nothing yet; add [[watch.directory]] and the like");
    }
    Ok(ExitCode::SUCCESS)
}
