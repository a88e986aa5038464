//! `appliance run … --dry-run`: what a runbook would do now. Without `--dry-run` nothing runs from here: that takes an order.

use std::process::ExitCode;

use proto::{
    ids::{RunbookId, WatchId},
    local,
};

use crate::{
    agent::executor::{self, Reconnecting},
    config::Config,
};

use super::Failure;

/// Asks the executor, and prints what it says.
pub(super) fn run(config: &Config, runbook: &RunbookId, on: &WatchId) -> Result<ExitCode, Failure> {
    let mut executor = Reconnecting::new(config.paths.socket.clone());
    let foreseen = executor::foresee(&mut executor, runbook.to_string(), on).map_err(Failure::of)?;
    println!("{runbook} on {on}: {}", foreseen.title);
    println!("  measured: {}", numbers(&foreseen.readings));
    println!("  what it repairs is {}", foreseen.presence);
    for (at, step) in foreseen.steps.iter().enumerate() {
        println!("{}. {}", at + 1, step.action);
        if !step.counts.is_empty() {
            println!("     {}", numbers(&step.counts));
        }
        for chosen in &step.chosen {
            // Names are whatever somebody called a file.
            println!("     {}", chosen.escape_debug());
        }
    }
    println!("Nothing was done.");
    Ok(ExitCode::SUCCESS)
}

fn numbers(readings: &[local::Reading]) -> String {
    let each: Vec<String> =
        readings.iter().map(|reading| format!("{}={}", reading.name, reading.value)).collect();
    each.join(" ")
}
