//! An appliance in a clinic's network, with the real programs: what is wrong with the network is named by its code, and
//! nothing else is. As root.
//!
//! This host's kernel need not know 802.1Q: another VLAN is another bridge that the machine's port is led to, which is
//! what an access port in the wrong VLAN comes to for the box.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::rig::{
    Machine, Network, Provider, Tree,
    installed::not_enrolled,
    machine,
    network::{ADDRESS, GATEWAY, OUTSIDE},
    practice::{Folder, TENANT},
    process::{Process, run},
    wait,
};

const LIMIT: Duration = Duration::from_secs(60);
const NAME: &str = "cp.msp.test";
const PORT: u16 = 8443;
const PROXY_PORT: u16 = 3128;
const CONFIG: &str = "/etc/orderly/appliance.toml";

/// A clinic with a network, an appliance in it, and a control plane outside.
struct Story {
    provider: Provider,
    machine: Machine,
    dns: Option<Process>,
    network: Network,
    ticket: String,
    _folder: Folder,
}

impl Story {
    fn open() -> Result<Option<Self>> {
        if let Some(why) = machine::unavailable()? {
            println!("skipped: {why}");
            return Ok(None);
        }
        let folder = Folder::new()?;
        let network =
            Network::open(&folder.join("network"), &format!("127.0.0.1 localhost\n{OUTSIDE} {NAME}\n"))?;
        let public = format!("{NAME}:{PORT}");
        let mut provider =
            Provider::init_outside(&folder.join("control-plane"), "msp.example", &network, &public)?;
        provider.start()?;
        provider.ask(&["tenant", "create", TENANT])?;
        provider.ask(&["site", "create", "--tenant", TENANT, "Main"])?;
        let shared = folder.join("machine");
        fs::create_dir_all(&shared)?;
        let ticket = shared.join("ticket.json").to_str().context("a path in UTF-8")?.to_owned();
        provider.ask(&["appliance", "token", "--tenant", TENANT, "--site", "Main", "--out", &ticket])?;
        let resolver = format!("nameserver {GATEWAY}\nsearch clinic.test\n");
        let tree =
            Tree::new()?.file("etc/resolv.conf", &resolver)?.file("etc/hosts", "127.0.0.1 localhost\n")?;
        let machine = not_enrolled(&shared, tree, &format!("https://{public}"), "")?;
        network.plug(&machine)?;
        let mut story = Self { provider, machine, dns: None, network, ticket, _folder: folder };
        story.address()?;
        story.dns(&[&format!("--address=/{NAME}/{OUTSIDE}")])?;
        Ok(Some(story))
    }

    /// A static address and a gateway.
    fn address(&self) -> Result<()> {
        self.machine.run("ip", &["address", "replace", &format!("{ADDRESS}/24"), "dev", "eth0"])?;
        self.machine.run("ip", &["route", "replace", "default", "via", GATEWAY])?;
        Ok(())
    }

    /// A DNS server that knows nothing but `more`.
    fn dns(&mut self, more: &[&str]) -> Result<()> {
        self.dns = None;
        let listen = format!("--listen-address={GATEWAY}");
        let mut args =
            vec!["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file="];
        args.extend(["--user=root", "--bind-interfaces", "--port=53", &listen, "--local=/invalid/"]);
        args.push("--local=/test/");
        args.extend(more);
        self.dns = Some(self.network.daemon("dnsmasq", &args, 53)?);
        Ok(())
    }

    fn enrol(&self) -> Result<()> {
        self.machine.run("appliance", &["enroll", "--token-file", &self.ticket])?;
        self.machine.run("systemctl", &["start", "orderly-agent.service"]).map(drop)
    }

    /// What `appliance doctor --json` says, with `env` around it.
    fn doctor_in(&self, env: &[&str]) -> Result<Value> {
        let command = [env, &["appliance", "doctor", "--json"]].concat();
        let output = run(&mut self.machine.command("env", &command), &[0, 1])?;
        let report: Value = serde_json::from_slice(&output.stdout).context("doctor printed no JSON")?;
        ensure!(
            report["well"] == (output.status.code() == Some(0)),
            "exit code and verdict differ: {report:#}"
        );
        Ok(report)
    }

    /// It finds exactly that; gives what it says was seen.
    fn finds(&self, code: &str) -> Result<String> {
        self.finds_in(&[], code)
    }

    fn finds_in(&self, env: &[&str], code: &str) -> Result<String> {
        let report = self.doctor_in(env)?;
        let findings = report["findings"].as_array().context("findings are a list")?;
        ensure!(findings.len() == 1 && findings[0]["code"] == code, "not exactly {code}: {report:#}");
        println!("{code}: {}", findings[0]["what"]);
        Ok(findings[0]["what"].to_string())
    }

    fn is_well(&self) -> Result<()> {
        let report = self.doctor_in(&[])?;
        ensure!(report["well"] == true, "{report:#}");
        Ok(())
    }

    fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.machine.run("appliance", &["status", "--json"])?)?)
    }

    /// The agent's own link comes to the same code; `null`: it is well.
    fn agent_says(&self, code: &Value) -> Result<()> {
        wait::until(&format!("the agent says {code}"), LIMIT, || {
            Ok((self.status()?["link"]["code"] == *code).then_some(()))
        })
        .with_context(|| format!("{:#}", self.status().unwrap_or_default()))
    }

    fn heartbeats(&self) -> Result<usize> {
        Ok(self.provider.evidence(TENANT)?.iter().filter(|record| record["kind"] == "heartbeat").count())
    }

    /// New evidence comes through.
    fn syncs(&mut self) -> Result<()> {
        let before = self.heartbeats()?;
        wait::until("new evidence is in the log", LIMIT, || {
            self.provider.check()?;
            Ok((self.heartbeats()? > before + 1).then_some(()))
        })
    }

    /// Sets lines of `[control_plane]` besides the address.
    fn configure(&self, lines: &str) -> Result<()> {
        let edit = format!(
            "sed -i '/^proxy/d' {CONFIG} && sed -i '/^address/a {}' {CONFIG} && appliance check-config",
            lines.replace('\n', "\\n")
        );
        let edit = if lines.is_empty() { format!("sed -i '/^proxy/d' {CONFIG}") } else { edit };
        self.machine.run("sh", &["-c", &edit]).map(drop)
    }

    fn proxy(&self, more: &str) -> Result<Process> {
        let text =
            format!("User root\nPort {PROXY_PORT}\nListen {GATEWAY}\nTimeout 600\nMaxClients 20\n{more}\n");
        let file = self.network.file("tinyproxy.conf", &text)?;
        self.network.daemon("tinyproxy", &["-d", "-c", &file], PROXY_PORT)
    }
}

/// Rules for what comes from the clinic's side.
fn from_the_clinic(rule: &str) -> String {
    format!(
        "table inet f {{\n chain i {{\n type filter hook input priority 0;\n iifname clinic {rule}\n }}\n}}\n"
    )
}

#[test]
fn each_trouble_of_a_network_is_named() -> Result<()> {
    let Some(mut it) = Story::open()? else { return Ok(()) };
    it.finds("not-enrolled")?;
    it.enrol()?;
    it.syncs()?;
    it.is_well()?;

    // Cable, address, route, wire.
    it.network.run("ip", &["link", "set", "port", "down"])?;
    it.finds("no-link")?;
    it.network.run("ip", &["link", "set", "port", "up"])?;
    it.machine.run("ip", &["address", "flush", "dev", "eth0"])?;
    it.finds("no-address")?;
    it.machine.run("ip", &["address", "add", &format!("{ADDRESS}/24"), "dev", "eth0"])?;
    it.finds("no-route")?;
    it.address()?;
    it.network.replug("other")?;
    let seen = it.finds("gateway-silent")?;
    ensure!(seen.contains(GATEWAY) && seen.contains(ADDRESS), "{seen}");
    it.network.replug("clinic")?;
    it.address()?;
    // A static address of another network: its gateway is not on this wire.
    it.machine.run("sh", &["-c", "ip address flush dev eth0 && ip address add 10.99.0.7/24 dev eth0 && ip route add default via 10.99.0.1"])?;
    ensure!(it.finds("gateway-silent")?.contains("10.99.0.7"));
    it.machine.run("ip", &["address", "flush", "dev", "eth0"])?;
    it.address()?;
    it.is_well()?;

    // DNS.
    it.network.firewall(&from_the_clinic("udp dport 53 drop"))?;
    it.finds("dns-silent")?;
    it.network.firewall("")?;
    it.dns(&[])?;
    it.finds("dns-unknown-name")?;
    it.dns(&[&format!("--address=/{NAME}/{OUTSIDE}")])?;
    it.is_well()
}

#[test]
fn an_appliance_enrols_and_syncs_through_a_proxy() -> Result<()> {
    let Some(mut it) = Story::open()? else { return Ok(()) };
    // Nobody gets out directly, and nobody inside knows the names of the outside.
    it.network.firewall(&from_the_clinic(&format!("tcp dport {PORT} drop")))?;
    it.dns(&[&format!("--address=/{NAME}/{OUTSIDE}"), &format!("--address=/wpad.clinic.test/{GATEWAY}")])?;
    let findings = it.doctor_in(&[])?["findings"].clone();
    ensure!(findings[0]["code"] == "proxy-needed" && findings[1]["code"] == "not-enrolled", "{findings:#}");
    it.dns(&[])?;
    let plain = format!("proxy = \"http://{GATEWAY}:{PROXY_PORT}\"");
    it.configure(&plain)?;
    let code = |it: &Story| Ok::<_, anyhow::Error>(it.doctor_in(&[])?["findings"][0]["code"].clone());
    ensure!(code(&it)? == "proxy-unreachable");

    let proxy = it.proxy("BasicAuth clinic let-me-out")?;
    ensure!(code(&it)? == "proxy-authentication", "{:#}", it.doctor_in(&[])?);
    let enrol = ["enroll", "--token-file", &it.ticket];
    let refused = run(&mut it.machine.command("appliance", &enrol), &[1])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(said.contains("407") && said.contains("control_plane.proxy_credentials"), "{said}");

    let file = "/etc/orderly/proxy.credentials";
    let write = |secret: &str, mode: &str| {
        let write =
            format!("printf '{secret}\\n' > {file} && chown orderly-agent {file} && chmod {mode} {file}");
        it.machine.run("sh", &["-c", &write]).map(drop)
    };
    it.configure(&format!("{plain}\nproxy_credentials = \"{file}\""))?;
    write("clinic:let-me-out", "644")?;
    ensure!(code(&it)? == "proxy-authentication", "a password that others may read is not used");
    write("clinic:wrong", "600")?;
    ensure!(code(&it)? == "proxy-authentication");
    write("clinic:let-me-out", "600")?;
    it.finds("not-enrolled")?;
    it.enrol()?;
    it.syncs()?;
    it.is_well()?;
    let through = it.provider.dir.join("server.log");
    ensure!(!fs::read_to_string(through)?.contains("let-me-out") && !journal(&it)?.contains("let-me-out"));

    // The agent's own words, while the proxy changes beneath it.
    drop(proxy);
    it.agent_says(&"proxy-unreachable".into())?;
    let strict = it.proxy("BasicAuth clinic let-me-out\nConnectPort 443")?;
    it.finds("proxy-refuses")?;
    it.agent_says(&"proxy-refuses".into())?;
    drop(strict);
    let _other = it.proxy("BasicAuth clinic another")?;
    it.finds("proxy-authentication")?;
    it.agent_says(&"proxy-authentication".into())?;
    // A new password needs no restart.
    let new = format!("printf 'clinic:another\\n' > {file}");
    it.machine.run("sh", &["-c", &new])?;
    it.agent_says(&Value::Null)?;
    it.syncs()
}

fn journal(it: &Story) -> Result<String> {
    it.machine.run("journalctl", &["-o", "cat", "--no-pager"])
}

/// What the tests stand on: without the daemons they could not fail.
#[test]
fn the_daemons_are_there() -> Result<()> {
    if machine::unavailable()?.is_some() {
        return Ok(());
    }
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/packages/root/usr"));
    for program in ["sbin/dnsmasq", "sbin/nginx", "sbin/nft", "bin/tinyproxy"] {
        ensure!(root.join(program).exists(), "{program} is not unpacked; run `.ci/setup test`");
    }
    Ok(())
}
