//! A clinic's network, and what lies behind it: one more network namespace, joined to a machine's by a pair of
//! interfaces. What runs in it are real daemons (`.ci/setup test` unpacks them); nothing of it is seen by this host.
//!
//! ```text
//!  machine ── eth0 ═ port ── clinic (bridge, the gateway) ── 198.51.100.10: everything outside
//!                      └──── other  (bridge, nobody)      another VLAN of the same switch
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{
    Machine,
    process::{Process, run},
    wait,
};

const LIMIT: Duration = Duration::from_secs(120);
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/packages/root");
/// The clinic's gateway, which is its DNS server and proxy too.
pub const GATEWAY: &str = "10.77.0.1";
/// The machine's address.
pub const ADDRESS: &str = "10.77.0.7";
/// An address outside the clinic: the control plane's.
pub const OUTSIDE: &str = "198.51.100.10";

/// A network with a gateway and an outside.
pub struct Network {
    holder: Process,
    dir: PathBuf,
}

impl Network {
    /// Makes it. `dir` is for its daemons' files; `hosts` is what they have as /etc/hosts.
    pub fn open(dir: &Path, hosts: &str) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let file = dir.join("hosts");
        fs::write(&file, hosts)?;
        let mut command = Command::new("unshare");
        let hold = "mount --make-rprivate / && mount --bind \"$0\" /etc/hosts && exec sleep infinity";
        command.args(["--net", "--mount", "sh", "-c", hold]).arg(file);
        let mut holder = Process::start("network", command, &dir.join("network.log"), None)?;
        let name = PathBuf::from(format!("/proc/{}/comm", holder.id()));
        wait::until("the network is there", LIMIT, || {
            holder.check()?;
            Ok((fs::read_to_string(&name)?.trim() == "sleep").then_some(()))
        })?;
        let network = Self { holder, dir: dir.to_owned() };
        network.run("ip", &["link", "set", "lo", "up"])?;
        network.run("ip", &["address", "add", &format!("{OUTSIDE}/32"), "dev", "lo"])?;
        for bridge in ["clinic", "other"] {
            network.run("ip", &["link", "add", bridge, "type", "bridge"])?;
            network.run("ip", &["link", "set", bridge, "up"])?;
        }
        network.run("ip", &["address", "add", &format!("{GATEWAY}/24"), "dev", "clinic"])?;
        Ok(network)
    }

    /// Plugs a machine in: its `eth0`, without an address yet.
    pub fn plug(&self, machine: &Machine) -> Result<()> {
        let (here, there) = (self.holder.id().to_string(), machine.init().to_string());
        let mut pair = Command::new("ip");
        pair.args(["link", "add", "name", "port", "netns", &here, "type", "veth"]);
        run(pair.args(["peer", "name", "eth0", "netns", &there]), &[0])?;
        self.replug("clinic")?;
        machine.run("ip", &["link", "set", "eth0", "up"]).map(drop)
    }

    /// Plugs the machine's cable into that switch: `clinic` or `other`.
    pub fn replug(&self, bridge: &str) -> Result<()> {
        self.run("ip", &["link", "set", "port", "down"])?;
        self.run("ip", &["link", "set", "port", "master", bridge])?;
        self.run("ip", &["link", "set", "port", "up"])
    }

    /// Its process ID: whose namespaces they are.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.holder.id()
    }

    /// A command in it; daemons that are not installed here are found where they were unpacked.
    #[must_use]
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--net", "--mount", "--wd=/", "--"]);
        let unpacked = ["usr/sbin", "usr/bin"].map(|folder| Path::new(PACKAGES).join(folder).join(program));
        match unpacked.iter().find(|path| path.exists()) {
            Some(path) => command.arg(path).env("LD_LIBRARY_PATH", libraries()),
            None => command.arg(program),
        };
        command.args(args);
        command
    }

    /// Runs a command in it to its good end.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<()> {
        run(&mut self.command(program, args), &[0]).map(drop)
    }

    /// Starts a daemon in it that stays in the foreground, and waits until it listens on `port`.
    pub fn daemon(&self, program: &str, args: &[&str], port: u16) -> Result<Process> {
        let log = self.dir.join(program).with_extension("log");
        let mut daemon = Process::start(program, self.command(program, args), &log, None)?;
        let wanted = format!(":{port:04X} ");
        wait::until(&format!("{program} listens on {port}"), LIMIT, || {
            daemon.check()?;
            let table = |name: &str| fs::read_to_string(format!("/proc/{}/net/{name}", self.holder.id()));
            let local = |line: &str| {
                line.split_whitespace().nth(1).is_some_and(|at| format!("{at} ").ends_with(&wanted))
            };
            let waits = |line: &&str| {
                line.split_whitespace().nth(3).is_some_and(|state| state == "0A" || state == "07")
            };
            Ok((table("tcp")? + &table("udp")?).lines().filter(waits).any(local).then_some(()))
        })?;
        Ok(daemon)
    }

    /// A file of its daemons.
    pub fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.dir.join(name);
        fs::write(&path, text)?;
        Ok(path.to_str().context("a path in UTF-8")?.to_owned())
    }

    /// The firewall's rules, in nft's language, in place of those before; empty: none.
    pub fn firewall(&self, rules: &str) -> Result<()> {
        let file = self.file("firewall.nft", &format!("flush ruleset\n{rules}"))?;
        self.run("nft", &["-f", &file])
    }
}

fn libraries() -> String {
    let folders = ["usr/lib", "lib"].map(|lib| Path::new(PACKAGES).join(lib));
    let inner = folders.iter().filter_map(|lib| fs::read_dir(lib).ok()).flatten().flatten();
    let paths = inner.map(|entry| entry.path()).filter(|path| path.is_dir());
    paths.map(|path| path.display().to_string()).collect::<Vec<_>>().join(":")
}
