//! The command line: one noun per thing an operator handles, one file per noun.
//!
//! The rule: a command is thin. It asks the server (or reads files), and gives an [`Answer`] that reads for people and
//! for programs; what is decided is decided elsewhere. Exit codes: 0 done, 1 failed or a fault was found, 2 wrong usage
//! or settings, 3 sound but incomplete.

mod appliance;
mod approval;
mod catalogue;
mod charter;
mod connection;
mod draft;
mod evidence;
mod exception;
mod hold;
mod incident;
mod init;
mod key;
mod mcp;
mod notification;
mod operator;
mod order;
mod output;
mod packet;
mod person;
mod planner;
mod policy;
mod secret;
mod serve;
mod site;
mod succession;
mod tenant;
mod usage;
mod watch_list;
mod witness;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use proto::time::Millis;

use crate::{
    config::ConfigError,
    directory::Directory,
    offline::{Misuse, is_misuse, misuse},
    witness::Folder,
};

pub use output::Answer;

const EXAMPLES: &str = "\
Examples:
  control-plane init --dir /srv/orderly --organization msp.example
  control-plane serve --dir /srv/orderly
  control-plane --dir /srv/orderly tenant create \"Elm Street Clinic\"
  control-plane --dir /srv/orderly appliance token --tenant \"Elm Street Clinic\" --site Main --out ticket.json
  control-plane --address https://control.msp.example:8444 --ca ca.pem --token-file me.token incident list

Exit codes: 0 done; 1 failed, or a fault was found; 2 wrong usage or settings; 3 sound but incomplete.";

/// Orderly's control plane: events in, signed orders out, evidence kept.
#[derive(Debug, Parser)]
#[command(name = "control-plane", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    noun: Noun,
}

/// Where the installation is, and how to reach its server.
#[derive(Debug, Clone, Args)]
struct Global {
    /// Folder of the installation; its server is reached through admin.sock in it
    #[arg(long, global = true, value_name = "DIR", default_value = "/var/lib/orderly-control-plane")]
    dir: PathBuf,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Reach the server over the network instead: https://HOST:PORT of its people's listener
    #[arg(long, global = true, value_name = "URL", help_heading = "Over the network")]
    address: Option<String>,
    /// API token for --address, as `operator token` wrote it
    #[arg(long, global = true, value_name = "FILE", help_heading = "Over the network")]
    token_file: Option<PathBuf>,
    /// Certificate authority of the server at --address [default: keys/ca.pem in --dir]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Over the network")]
    ca: Option<PathBuf>,
}

/// Of what a list is asked for.
#[derive(Debug, Args)]
struct Of {
    /// Only of this clinic, by name or ID
    #[arg(long, default_value = "", hide_default_value = true)]
    tenant: String,
    /// At most this many
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

impl Global {
    fn directory(&self) -> Directory {
        Directory::new(&self.dir)
    }
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// Make a new installation: keys, certificate authority, charter, catalogue, settings
    Init(init::Init),
    /// Run the server until it is told to stop (SIGTERM, Ctrl-C)
    Serve(serve::Serve),
    /// The organization's charter: who may sign what, until when
    #[command(subcommand)]
    Charter(charter::Charter),
    /// The server's own signing keys: exchanged while it runs
    #[command(subcommand)]
    Key(key::Key),
    /// The catalogue of runbooks: build, sign offline, publish
    #[command(subcommand)]
    Catalogue(catalogue::Catalogue),
    /// Clinics
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Logs that cannot be continued: what follows them, by word of the organization's keys
    #[command(subcommand)]
    Succession(succession::Succession),
    /// Places of a clinic
    #[command(subcommand)]
    Site(site::Site),
    /// The boxes in the clinics
    #[command(subcommand)]
    Appliance(appliance::Appliance),
    /// Controls of the baseline that a clinic does not keep, and who answers for that
    #[command(subcommand)]
    Exception(exception::Exception),
    /// What may run by itself, what needs an approver, and when
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Orders that an approver of the charter must agree to
    #[command(subcommand)]
    Approval(approval::Approval),
    /// An operator's pause: of everything, a clinic, a place, a box
    #[command(subcommand)]
    Hold(hold::Hold),
    /// What went wrong, and what became of it
    #[command(subcommand)]
    Incident(incident::Incident),
    /// What people were told of it, and what they could not be told
    #[command(subcommand)]
    Notification(notification::Notification),
    /// Signed permissions to run one runbook once
    #[command(subcommand)]
    Order(order::Order),
    /// Secrets of a clinic, sealed to one box before they leave this program
    #[command(subcommand)]
    Secret(secret::Secret),
    /// The signed record of what was done
    #[command(subcommand)]
    Evidence(evidence::Evidence),
    /// The monthly report for an auditor
    #[command(subcommand)]
    Packet(packet::Packet),
    /// Which runbook is chosen for what, and how well
    #[command(subcommand)]
    Planner(planner::Planner),
    /// Who may use this server: people, and API tokens for programs
    #[command(subcommand)]
    Operator(operator::Operator),
    /// Tools for an assistant (Model Context Protocol), over standard input and output
    Mcp(mcp::Mcp),
    /// An outside witness of other people's logs (C2SP tlog-witness), in a folder of its own
    #[command(subcommand)]
    Witness(witness::Witness),
}

/// Time and randomness, for the few commands that make something themselves.
#[derive(Debug, Clone, Copy)]
pub struct World {
    /// The wall clock.
    pub now: fn() -> Millis,
    /// Fills bytes with randomness.
    pub random: fn(&mut [u8]),
}

impl Cli {
    /// Whether the answer is to be printed as JSON.
    #[must_use]
    pub fn wants_json(&self) -> bool {
        self.global.json
    }

    /// Does what was asked.
    pub fn run(self, world: World) -> anyhow::Result<Answer> {
        let global = &self.global;
        match self.noun {
            Noun::Init(init) => init.run(&global.directory(), world),
            Noun::Serve(serve) => serve.run(&global.directory()),
            Noun::Witness(witness) => witness.run(&Folder::new(&global.dir), world),
            noun => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(noun.ask(global, world))
            }
        }
    }
}

impl Noun {
    async fn ask(self, global: &Global, world: World) -> anyhow::Result<Answer> {
        match self {
            Self::Charter(charter) => charter.run(global, world).await,
            Self::Key(key) => key.run(global, world).await,
            Self::Catalogue(catalogue) => catalogue.run(global, world).await,
            Self::Tenant(tenant) => tenant.run(global).await,
            Self::Succession(succession) => succession.run(global).await,
            Self::Site(site) => site.run(global).await,
            Self::Appliance(appliance) => appliance.run(global).await,
            Self::Exception(exception) => exception.run(global, world).await,
            Self::Policy(policy) => policy.run(global).await,
            Self::Approval(approval) => approval.run(global).await,
            Self::Hold(hold) => hold.run(global).await,
            Self::Secret(secret) => secret.run(global).await,
            Self::Incident(incident) => incident.run(global).await,
            Self::Notification(notification) => notification.run(global).await,
            Self::Order(order) => order.run(global).await,
            Self::Evidence(evidence) => evidence.run(global, world).await,
            Self::Packet(packet) => packet.run(global).await,
            Self::Planner(planner) => planner.run(global, world).await,
            Self::Operator(operator) => operator.run(global).await,
            Self::Mcp(mcp) => mcp.run(global).await,
            Self::Init(_) | Self::Serve(_) | Self::Witness(_) => {
                unreachable!("these bring their own runtime")
            }
        }
    }
}

/// What to exit with after `error`: 2 when the fault is in what was typed or configured, else 1.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let is_theirs = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<ConfigError>()
            || cause.downcast_ref::<connection::Refused>().is_some_and(|refused| refused.is_misuse())
    };
    if is_misuse(error) || error.chain().any(is_theirs) { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does() {
        fn walk(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {} has no help",
                    command.get_name(),
                    argument.get_id()
                );
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }
}
