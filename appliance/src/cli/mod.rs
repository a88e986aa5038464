//! The command line: reads arguments, runs one of the programs, and says once what went wrong.
//!
//! The rule: exit code 2 is bad input, which starting again does not mend (systemd: `RestartPreventExitStatus=2`); 1 is
//! everything else. Nothing is bound, spawned or written before the configuration is good.

mod agent;
mod check_config;
mod doctor;
mod enroll;
mod failure;
mod probe;
mod rehearse;
mod scan;
mod status;

use std::{
    io::{IsTerminal as _, stderr},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use proto::{
    ids::{RunbookId, WatchId},
    time::Millis,
};
use tracing_subscriber::EnvFilter;

use crate::{
    clock,
    config::{Config, DEFAULT_PATH},
    executor::serve::{self, ServeError},
};

use failure::Failure;

/// Looks after this box: watches what it is told to, runs what its control plane orders, and proves it.
#[derive(Debug, Parser)]
#[command(name = "appliance", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Arguments {
    /// The configuration of this box
    #[arg(long, global = true, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Collect, detect and sync: faces the network, has no privileges
    #[command(after_help = "Example:\n  appliance --config /etc/orderly/appliance.toml agent")]
    Agent,
    /// Verify orders, run them, sign evidence: privileged, has no network
    #[command(after_help = "Example:\n  appliance --config /etc/orderly/appliance.toml executor")]
    Executor,
    /// Make this box an appliance, by a ticket from `control-plane appliance token`
    #[command(
        after_help = "May be run again after it was cut off. The executor must run.\n\nExample:\n  appliance enroll --token-file ticket.json"
    )]
    Enroll {
        /// The ticket
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
    },
    /// Say how this box stands; exit code 1 when something could not be looked at
    #[command(after_help = "Examples:\n  appliance status\n  appliance status --json | jq .outbox.oldest")]
    Status {
        /// As JSON, whose fields are only ever added to
        #[arg(long)]
        json: bool,
    },
    /// Look at the way to the control plane and say what is wrong with it, and what to do; exit code 1 when something is
    #[command(
        after_help = "As root. Asks neither agent nor executor, and changes nothing.\n\nExamples:\n  appliance doctor\n  appliance doctor --json | jq -r '.findings[].code'"
    )]
    Doctor {
        /// As JSON, whose fields are only ever added to
        #[arg(long)]
        json: bool,
    },
    /// Look once at an entry that lies on the network, and print the readings as JSON
    #[command(
        after_help = "For a technician, and for the executor, which has no network of its own.\n\nExample:\n  appliance probe portal | jq .reachable"
    )]
    Probe {
        /// The entry's ID in the watch list: a service, or a certificate with a server
        id: WatchId,
        /// The time that certificates are judged by; absent: this machine's clock
        #[arg(long, value_name = "RFC 3339")]
        at: Option<Millis>,
    },
    /// Say what a runbook would do on an entry of the watch list, and do nothing; as root
    #[command(
        after_help = "The executor must run, and have a catalogue. To run it takes an order of the control plane.\n\nExample:\n  appliance run RB-DISK-002 --on uploads --dry-run"
    )]
    Run {
        /// The runbook
        runbook: RunbookId,
        /// The entry's ID in the watch list
        #[arg(long, value_name = "ID")]
        on: WatchId,
        /// Only say what would be done
        #[arg(long, required = true)]
        dry_run: bool,
    },
    /// Look at every control of the baseline and say how it stands; as root
    #[command(
        after_help = "Signs nothing and changes nothing.\n\nExamples:\n  appliance scan\n  appliance scan --json | jq -r '.[] | select(.verdict == \"drifted\") | .control'"
    )]
    Scan {
        /// As JSON: control, verdict, reading
        #[arg(long)]
        json: bool,
    },
    /// What of a scan shows only from within the machine's own network, for the executor, which has none
    #[command(hide = true, after_help = "Example:\n  appliance look")]
    Look,
    /// Read the configuration and say what is wrong with it: exit code 2 when something is
    #[command(after_help = "Example:\n  appliance --config ./appliance.toml check-config")]
    CheckConfig,
}

const EXAMPLES: &str = "Examples:
  appliance check-config
  appliance enroll --token-file ticket.json
  appliance status --json

RUST_LOG=debug says more; NO_COLOR=1 takes the colour away.";

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    listen();
    match run(&arguments) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let world = clock::system();
    if let Command::Look = arguments.command {
        // Whatever this box is configured to do, this looks at the same.
        return scan::look(world);
    }
    let config = Config::load(&arguments.config).map_err(Failure::bad_input)?;
    match &arguments.command {
        Command::Agent => agent::run(&config, world),
        Command::Executor => {
            serve::run(&config, world).map_err(|error| match error {
                ServeError::User(_) => Failure::bad_input(error),
                error => Failure::of(error),
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Enroll { token_file } => enroll::run(&config, world, token_file),
        Command::Status { json } => status::run(&config, &world, *json),
        Command::Doctor { json } => doctor::run(&config, &world, *json),
        Command::Probe { id, at } => {
            let config = config.as_approved().map_err(Failure::bad_input)?;
            probe::run(&config, &world, id, *at)
        }
        Command::Run { runbook, on, dry_run: _ } => rehearse::run(&config, runbook, on),
        Command::Scan { json } => {
            let config = config.as_approved().map_err(Failure::bad_input)?;
            scan::run(&config, world, *json)
        }
        Command::Look => scan::look(world),
        Command::CheckConfig => check_config::run(&config, &arguments.config, world.clock.wall()),
    }
}

/// Whether a person is looking who wants colour (no-color.org).
fn colour(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn listen() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(colour(stderr().is_terminal()))
        .with_target(false);
    // The journal knows the time itself.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        subscriber.without_time().init();
    } else {
        subscriber.init();
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_makes_sense() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Arguments::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{}", command.get_name());
        }
    }
}
