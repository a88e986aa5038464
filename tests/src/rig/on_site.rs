//! A clinic with a network, an appliance in it, and a control plane outside: what `appliance doctor` looks at.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    Machine, Network, Provider, Tree,
    installed::not_enrolled,
    machine,
    network::{ADDRESS, GATEWAY, OUTSIDE},
    practice::{Folder, TENANT},
    process::{Process, run},
    wait,
};

const LIMIT: Duration = Duration::from_secs(180);
const CONFIG: &str = "/etc/orderly/appliance.toml";
/// The control plane's name.
pub const NAME: &str = "cp.msp.test";
/// Its port.
pub const PORT: u16 = 8443;
/// The clinic's proxy's.
pub const PROXY_PORT: u16 = 3128;

/// The clinic.
pub struct OnSite {
    /// The control plane.
    pub provider: Provider,
    /// The appliance's machine.
    pub machine: Machine,
    /// The clinic's network, and the outside.
    pub network: Network,
    /// A ticket to enrol with.
    pub ticket: String,
    /// Everything lies in it.
    pub folder: Folder,
    dns: Option<Process>,
}

impl OnSite {
    /// Opens it, with the appliance not enrolled yet; `None`: no machine can be booted here, which is said.
    pub fn open() -> Result<Option<Self>> {
        if let Some(why) = machine::unavailable()? {
            println!("skipped: {why}");
            return Ok(None);
        }
        let folder = Folder::new()?;
        let hosts = format!("127.0.0.1 localhost\n{OUTSIDE} {NAME}\n");
        let network = Network::open(&folder.join("network"), &hosts)?;
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
        let mut site = Self { provider, machine, network, ticket, folder, dns: None };
        site.address()?;
        site.good_dns()?;
        Ok(Some(site))
    }

    /// The same, enrolled and in good health.
    pub fn enrolled() -> Result<Option<Self>> {
        let Some(mut site) = Self::open()? else { return Ok(None) };
        site.enrol()?;
        site.syncs()?;
        site.is_well()?;
        Ok(Some(site))
    }

    /// A static address and a gateway.
    pub fn address(&self) -> Result<()> {
        self.machine.run("ip", &["address", "replace", &format!("{ADDRESS}/24"), "dev", "eth0"])?;
        self.machine.run("ip", &["route", "replace", "default", "via", GATEWAY]).map(drop)
    }

    /// A DNS server that knows what `more` (of dnsmasq) says.
    pub fn dns(&mut self, more: &[&str]) -> Result<()> {
        self.dns = None;
        let listen = format!("--listen-address={GATEWAY}");
        let mut args =
            vec!["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file="];
        args.extend(["--user=root", "--bind-interfaces", "--port=53", &listen]);
        args.extend(more);
        self.dns = Some(self.network.daemon("dnsmasq", &args, 53)?);
        Ok(())
    }

    /// One that knows the control plane and `more`, and of everything else that it does not exist.
    pub fn dns_that_knows(&mut self, more: &[&str]) -> Result<()> {
        self.dns(&[&["--local=/test/", "--local=/invalid/"], more].concat())
    }

    /// One that knows the control plane.
    pub fn good_dns(&mut self) -> Result<()> {
        self.dns_that_knows(&[&format!("--address=/{NAME}/{OUTSIDE}")])
    }

    /// Enrols the appliance and starts its agent.
    pub fn enrol(&self) -> Result<()> {
        self.machine.run("appliance", &["enroll", "--token-file", &self.ticket])?;
        self.machine.run("systemctl", &["start", "orderly-agent.service"]).map(drop)
    }

    /// What `appliance doctor --json` says, with `env` around it.
    pub fn doctor(&self, env: &[&str]) -> Result<Value> {
        let command = [env, &["appliance", "doctor", "--json"]].concat();
        let output = run(&mut self.machine.command("env", &command), &[0, 1])?;
        let report: Value = serde_json::from_slice(&output.stdout).context("doctor printed no JSON")?;
        let is_well = output.status.code() == Some(0);
        ensure!(report["well"] == is_well, "exit code and verdict differ: {report:#}");
        Ok(report)
    }

    /// It comes to exactly these codes; gives what it says was seen. Asked again and again, because on a busy machine an
    /// answer may come too late for one look.
    pub fn finds_all(&self, env: &[&str], codes: &[&str]) -> Result<String> {
        let mut last = Value::Null;
        wait::until(&format!("exactly {codes:?} is found"), LIMIT, || {
            last = self.doctor(env)?;
            let findings = last["findings"].as_array().context("findings are a list")?;
            let found: Vec<_> = findings.iter().filter_map(|finding| finding["code"].as_str()).collect();
            Ok((found == codes).then(|| last["findings"].to_string()))
        })
        .inspect(|found| println!("{found}"))
        .with_context(|| format!("{last:#}"))
    }

    /// It finds exactly that one.
    pub fn finds(&self, code: &str) -> Result<String> {
        self.finds_all(&[], &[code])
    }

    /// It finds nothing.
    pub fn is_well(&self) -> Result<()> {
        self.finds_all(&[], &[]).map(drop)
    }

    /// What a technician reads: the text of `appliance doctor`, without asking for JSON.
    pub fn text(&self) -> Result<String> {
        let output = run(&mut self.machine.command("appliance", &["doctor"]), &[0, 1])?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What `appliance status` says.
    pub fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.machine.run("appliance", &["status", "--json"])?)?)
    }

    /// The agent's own link comes to the same code; `null`: it is well.
    pub fn agent_says(&self, code: &Value) -> Result<()> {
        wait::until(&format!("the agent says {code}"), LIMIT, || {
            Ok((self.status()?["link"]["code"] == *code).then_some(()))
        })
        .with_context(|| format!("{:#}", self.status().unwrap_or_default()))
    }

    /// New evidence comes through.
    pub fn syncs(&mut self) -> Result<()> {
        let before = self.heartbeats()?;
        wait::until("new evidence is in the log", LIMIT, || {
            self.provider.check()?;
            Ok((self.heartbeats()? > before + 1).then_some(()))
        })
    }

    fn heartbeats(&self) -> Result<usize> {
        Ok(self.provider.evidence(TENANT)?.iter().filter(|record| record["kind"] == "heartbeat").count())
    }

    /// Sets lines of `[control_plane]` besides the address.
    pub fn configure(&self, lines: &str) -> Result<()> {
        let edit = format!(
            "sed -i '/^proxy/d' {CONFIG} && sed -i '/^address/a {}' {CONFIG} && appliance check-config",
            lines.replace('\n', "\\n")
        );
        self.machine.run("sh", &["-c", &edit]).map(drop)
    }

    /// The clinic's proxy, with `more` in its configuration.
    pub fn proxy(&self, more: &str) -> Result<Process> {
        let text =
            format!("User root\nPort {PROXY_PORT}\nListen {GATEWAY}\nTimeout 600\nMaxClients 20\n{more}\n");
        let file = self.network.file("tinyproxy.conf", &text)?;
        self.network.daemon("tinyproxy", &["-d", "-c", &file], PROXY_PORT)
    }

    /// A web server in the way, on port 8080, for which every request is `answer` (nginx's words).
    pub fn web_server(&self, answer: &str) -> Result<Process> {
        let temporary = self.folder.join("network");
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!(" {name}_temp_path {}/{name};\n", temporary.display()))
            .concat();
        let text = format!(
            "user root;\nevents {{}}\nerror_log stderr;\npid /dev/null;\ndaemon off;\nhttp {{\n access_log off;\n{paths} \
             server {{\n  listen 8080;\n  {answer};\n }}\n}}\n"
        );
        let file = self.network.file("nginx.conf", &text)?;
        self.network.daemon("nginx", &["-e", "stderr", "-c", &file], 8080)
    }
}

/// Rules for what comes from the clinic's side.
#[must_use]
pub fn from_the_clinic(rule: &str) -> String {
    format!(
        "table inet f {{\n chain i {{\n type filter hook input priority 0;\n iifname clinic {rule}\n }}\n}}\n"
    )
}

/// Rules that lead what is for one port to another.
#[must_use]
pub fn redirected(from: u16, to: u16) -> String {
    format!(
        "table ip n {{\n chain p {{\n type nat hook prerouting priority -100;\n \
         iifname clinic tcp dport {from} redirect to :{to}\n }}\n}}\n"
    )
}
