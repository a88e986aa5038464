//! `appliance doctor`: looks at the way to the control plane, and says what is wrong with it.

use std::process::ExitCode;

use crate::{config::Config, doctor, world::World};

use super::Failure;

/// Looks, and says it; exit code 1 when something is wrong.
pub(super) fn run(config: &Config, world: &World, json: bool) -> Result<ExitCode, Failure> {
    let report = doctor::examine(config, world);
    if json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(Failure::of)?);
    } else {
        print!("{report}");
    }
    Ok(ExitCode::from(u8::from(!report.well)))
}
