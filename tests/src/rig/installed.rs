//! An appliance as it is installed: its units under real systemd, on a machine of its own.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    Machine, Relay, Tree,
    practice::{Folder, TENANT},
    process::binary,
    provider::Provider,
    wait,
};

const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../appliance/units");
const LIMIT: Duration = Duration::from_secs(120);

/// A control plane on this host, and an appliance on a machine that shares its network.
pub struct Installed {
    /// The control plane.
    pub provider: Provider,
    /// The machine.
    pub machine: Machine,
    /// Both lie in it.
    pub folder: Folder,
}

impl Installed {
    /// Installs, enrols and starts it. `watch`: the watch list, TOML. `tree`: what else the machine has.
    pub fn open(tree: Tree, watch: &str) -> Result<Self> {
        Self::begin(tree.with_this_network(), watch).map(|(all, _)| all)
    }

    /// The same on a machine with a network of its own, out of which nothing leads but the relay to the control plane.
    pub fn apart(tree: Tree, watch: &str) -> Result<(Self, Relay)> {
        let (all, relay) = Self::begin(tree, watch)?;
        Ok((all, relay.context("a network of its own has a relay")?))
    }

    fn begin(tree: Tree, watch: &str) -> Result<(Self, Option<Relay>)> {
        let folder = Folder::new()?;
        let mut provider = Provider::init(&folder.join("control-plane"), "msp.example", None)?;
        provider.start()?;
        provider.ask(&["tenant", "create", TENANT])?;
        provider.ask(&["site", "create", "--tenant", TENANT, "Main"])?;
        let (machine, relay) = place(&provider, &folder.join("machine"), tree, watch)?;
        let mut all = Self { provider, machine, folder };
        wait::until("the first heartbeat is in the log", LIMIT, || {
            all.provider.check()?;
            Ok(all.provider.evidence(TENANT)?.iter().any(|e| e["kind"] == "heartbeat").then_some(()))
        })
        .with_context(|| all.journal())?;
        Ok((all, relay))
    }

    /// What both programs have said.
    #[must_use]
    pub fn journal(&self) -> String {
        let args = ["-u", "orderly-agent", "-u", "orderly-executor", "-o", "cat", "--no-pager"];
        self.machine.run("journalctl", &args).unwrap_or_else(|error| error.to_string())
    }

    /// What `appliance status` says.
    pub fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.machine.run("appliance", &["status", "--json"])?)?)
    }
}

/// A machine in `shared` with an appliance of the one clinic's one site, installed, enrolled and started. `watch`: more
/// of the table `executor`, if anything, and the watch list.
pub fn install(provider: &Provider, shared: &Path, tree: Tree, watch: &str) -> Result<Machine> {
    place(provider, shared, tree.with_this_network(), watch).map(|(machine, _)| machine)
}

/// As [`install`]; a machine with a network of its own gets a relay to the control plane.
fn place(provider: &Provider, shared: &Path, tree: Tree, watch: &str) -> Result<(Machine, Option<Relay>)> {
    fs::create_dir_all(shared)?;
    let ticket = shared.join("ticket.json");
    let out = ticket.to_str().context("a path in UTF-8")?;
    provider.ask(&["appliance", "token", "--tenant", TENANT, "--site", "Main", "--out", out])?;
    let text: Value = serde_json::from_slice(&fs::read(&ticket)?)?;
    let address = text["address"].as_str().context("a ticket has an address")?;
    let is_apart = !tree.shares_network();
    // Who is by himself is to help himself soon.
    let alone = if is_apart { "standing_after_seconds = 4\n" } else { "" };
    let machine = not_enrolled(shared, tree, address, &format!("{alone}\n{watch}"))?;
    let port = address.rsplit_once(':').context("an address has a port")?.1.parse()?;
    let relay = if is_apart { Some(Relay::open(&machine, port)?) } else { None };
    machine.run("appliance", &["enroll", "--token-file", out])?;
    fs::remove_file(&ticket)?;
    machine.run("systemctl", &["start", "orderly-agent.service"])?;
    Ok((machine, relay))
}

/// A machine in `shared` with an appliance installed, not enrolled yet, and its agent not started.
pub fn not_enrolled(shared: &Path, tree: Tree, address: &str, watch: &str) -> Result<Machine> {
    let machine = Machine::boot(shared, installed(tree, address, watch)?, &[])?;
    machine.run("systemd-sysusers", &["/usr/lib/sysusers.d/orderly.conf"])?;
    machine.run("appliance", &["check-config"])?;
    machine.run("systemctl", &["start", "orderly-executor.socket"])?;
    Ok(machine)
}

/// The program, its units and its configuration.
fn installed(tree: Tree, address: &str, rest: &str) -> Result<Tree> {
    let text = |name: &str| fs::read_to_string(Path::new(UNITS).join(name)).with_context(|| name.to_owned());
    let mut tree = tree.program("usr/bin/appliance", &binary("appliance")?)?;
    for name in ["orderly-agent.service", "orderly-executor.service", "orderly-executor.socket"] {
        tree = tree.unit(name, &text(name)?)?;
    }
    let config = format!(
        "[control_plane]\naddress = \"{address}\"\n\n[agent]\nuser = \"orderly-agent\"\nsample_seconds = 0.5\n\n\
         [executor]\nagent_user = \"orderly-agent\"\nheartbeat_seconds = 15\n{rest}"
    );
    tree.file("usr/lib/sysusers.d/orderly.conf", &text("orderly.sysusers")?)?
        .file("etc/orderly/appliance.toml", &config)
}
