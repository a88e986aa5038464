//! One morning of a provider with two clinics: their operators, tokens, an approval, a ticket, an assistant; and each clinic's
//! bundle, in which nothing of the other stands. All of it real programs, and the assistant's client is none of ours.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::rig::{
    Clinic, Passkey, Practice, Provider, Receiver, Watch, binary,
    practice::{Folder, TENANT},
    process::run,
    wait,
};

const HILL: &str = "Hill Clinic";
const LIMIT: Duration = Duration::from_secs(60);
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/mcp-venv/bin/python");
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/mcp/client.py");

/// Somebody with an API token, who reaches the control plane over the network as people do.
struct Operator {
    address: String,
    ca: PathBuf,
    token: PathBuf,
}

impl Operator {
    fn of(provider: &Provider, name: &str, tenant: &str, folder: &Path) -> Result<Self> {
        let token = folder.join(format!("{name}.token"));
        let out = token.to_str().context("UTF-8")?;
        let made = ["operator", "token", "--name", name, "--role", "operator", "--tenant", tenant];
        provider.ask(&[&made[..], &["--out", out]].concat())?;
        let ca = provider.dir.join("keys/ca.pem");
        Ok(Self { address: format!("https://{}", provider.people), ca, token })
    }

    fn command(&self, args: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary("control-plane")?);
        command.args(["--address", &self.address, "--json", "--token-file"]).arg(&self.token);
        command.arg("--ca").arg(&self.ca).args(args);
        Ok(command)
    }

    fn ask(&self, args: &[&str]) -> Result<Value> {
        Ok(serde_json::from_slice(&run(&mut self.command(args)?, &[0])?.stdout)?)
    }

    /// What is said to a call that is refused.
    fn refused(&self, args: &[&str]) -> Result<String> {
        let output = run(&mut self.command(args)?, &[1, 2])?;
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The only incident on an entry, once it is in that state.
    fn incident(&self, watch: &str, state: &str) -> Result<Value> {
        wait::until(&format!("the incident on {watch} is {state}"), LIMIT, || {
            let all = self.ask(&["incident", "list"])?;
            let all = all["incidents"].as_array().cloned().unwrap_or_default();
            let of_watch = |one: &Value| one["watch"] == watch && one["state"] == state;
            Ok(all.into_iter().find(of_watch))
        })
    }

    /// What this operator's assistant gets: for each tool, whether it failed, and what it said.
    fn assistant(&self, calls: &Value) -> Result<Vec<(bool, String)>> {
        let asked = json!({
            "url": format!("{}/mcp", self.address),
            "token": fs::read_to_string(&self.token)?.trim(),
            "ca": self.ca,
            "calls": calls,
        });
        let mut client =
            Command::new(PYTHON).arg(CLIENT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        client.stdin.take().context("a pipe")?.write_all(asked.to_string().as_bytes())?;
        let said: Value = serde_json::from_slice(&client.wait_with_output()?.stdout)?;
        let answers = said["answers"].as_array().with_context(|| said.to_string())?;
        let answer = |one: &Value| Some((one["failed"].as_bool()?, one["text"].as_str()?.to_owned()));
        answers.iter().map(|one| answer(one).with_context(|| one.to_string())).collect()
    }
}

fn fill(directory: &Path) -> Result<()> {
    Ok(fs::write(directory.join("file"), vec![0; 5000])?)
}

fn word<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("{key} in {value:#}"))
}

/// The second clinic, with a box of its own.
fn hill(practice: &Practice, watch: &[(&str, Watch<'_>)]) -> Result<Clinic> {
    let provider = &practice.provider;
    provider.ask(&["tenant", "create", HILL])?;
    provider.ask(&["site", "create", "--tenant", HILL, "Main"])?;
    let ticket = practice.folder.join("hill.ticket.json");
    let out = ticket.to_str().context("UTF-8")?;
    let token = provider.ask(&["appliance", "token", "--tenant", HILL, "--site", "Main", "--out", out])?;
    ensure!(!token.is_null(), "there is a token");
    let text: Value = serde_json::from_slice(&fs::read(&ticket)?)?;
    let mut clinic = Clinic::create(&practice.folder.join("hill"), word(&text, "address")?, 600, watch)?;
    clinic.start_executor()?;
    clinic.enroll(&ticket)?;
    clinic.start_agent()?;
    wait::until("Hill's first heartbeat is in its log", LIMIT, || {
        Ok(provider.evidence(HILL)?.iter().any(|one| one["kind"] == "heartbeat").then_some(()))
    })?;
    Ok(clinic)
}

/// What the ticket system was asked with a method.
fn tickets(receiver: &Receiver, method: &str) -> Vec<Value> {
    let all = receiver.tickets().into_iter();
    all.filter(|(what, _)| what.starts_with(method)).map(|(_, said)| said).collect()
}

/// A clinic's bundle, verified offline, as one text.
fn bundle(practice: &Practice, tenant: &str) -> Result<String> {
    let out = practice.folder.join(&format!("bundle of {tenant}"));
    let trust = practice.provider.dir.join("trust/organization.keys.json");
    let (path, trust) = (out.to_str().context("UTF-8")?, trust.to_str().context("UTF-8")?);
    practice.provider.run(&["evidence", "export", "--tenant", tenant, "--out", path], &[0])?;
    practice.provider.run(&["evidence", "verify", "--trust", trust, path], &[0, 3])?;
    let (mut text, mut folders) = (String::new(), vec![out]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => text.push_str(&String::from_utf8_lossy(&fs::read(path)?)),
            }
        }
    }
    Ok(text)
}

#[test]
fn two_clinics_share_a_provider_and_nothing_else() -> Result<()> {
    if !Path::new(PYTHON).exists() {
        ensure!(std::env::var_os("CI").is_none(), "in CI nothing is skipped, but {PYTHON} is missing");
        eprintln!("skipped: {PYTHON} is missing; `make setup-test` installs it");
        return Ok(());
    }
    let folder = Folder::new()?;
    let made = |name: &str| -> Result<PathBuf> {
        let path = folder.join(name);
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
        Ok(path)
    };
    let (uploads, letters, scans, papers) =
        (made("uploads")?, made("letters")?, made("scans")?, made("papers")?);
    let receiver = Receiver::start()?;
    let told = |provider: &Provider| {
        let config = provider.dir.join("config.toml");
        Ok(fs::write(&config, fs::read_to_string(&config)? + &receiver.channel())?)
    };
    let watch = [("uploads", Watch::Directory(&uploads, 1000))];
    let mut practice = Practice::prepared(folder, 600, &watch, None, &told)?;
    let ann = Passkey::of("ann");
    Passkey::into_charter(&[&ann], &practice.provider, &papers)?;
    practice.start_agent()?;
    let watch = [("letters", Watch::Directory(&letters, 1000)), ("scans", Watch::Directory(&scans, 1000))];
    let mut hills_box = hill(&practice, &watch)?;

    // Each clinic has an operator, to whom the other does not exist.
    let elm = Operator::of(&practice.provider, "elm-operator", TENANT, &papers)?;
    let hill = Operator::of(&practice.provider, "hill-operator", HILL, &papers)?;
    for (operator, own) in [(&elm, TENANT), (&hill, HILL)] {
        let all = operator.ask(&["tenant", "list"])?["tenants"].as_array().cloned().unwrap_or_default();
        ensure!(all.len() == 1 && all[0]["name"] == own, "{all:?}");
    }
    let asks_first = ["policy", "set", "--tenant", TENANT, "--runbook", "RB-DISK-002=approval"];
    ensure!(hill.refused(&asks_first)?.contains("there is no tenant"), "Hill's operator set Elm's policy");
    elm.ask(&asks_first)?;

    // The same fault in both: Hill's box mends it, Elm's waits for a person, of whom Hill's operator hears nothing.
    fill(&letters)?;
    fill(&uploads)?;
    hill.incident("letters", "resolved")?;
    ensure!(!letters.join("file").exists(), "Hill's fault is not mended");
    let question = wait::until("Elm's approvers are asked", LIMIT, || {
        practice.check()?;
        let list = elm.ask(&["approval", "list"])?;
        Ok(list["approvals"].as_array().and_then(|all| all.first()).cloned())
    })?;
    let order = word(&question, "order")?;
    ensure!(
        hill.ask(&["approval", "list"])?["approvals"] == json!([]),
        "Hill's operator hears of Elm's question"
    );
    let no = hill.refused(&["approval", "reject", order, "--reason", "none of mine"])?;
    ensure!(no.contains("nobody was asked"), "{no}");
    ensure!(uploads.join("file").exists(), "it was done before anybody agreed");
    elm.ask(&["approval", "approve", order, "--approval", &ann.approve(&question, &papers)?])?;
    elm.incident("uploads", "resolved")?;
    ensure!(!uploads.join("file").exists(), "what was approved was not done");

    // What Hill lets nobody do is a person's: one ticket, and one operator who takes it on.
    hill.ask(&["policy", "set", "--tenant", HILL, "--runbook", "RB-DISK-002=never"])?;
    fill(&scans)?;
    let incident = hill.incident("scans", "escalated")?;
    let id = word(&incident, "id")?;
    let opened = wait::until("a ticket is opened", LIMIT, || {
        Ok(tickets(&receiver, "POST").into_iter().find(|said| said.to_string().contains("scans")))
    })?;
    ensure!(opened.to_string().contains(HILL) && !opened.to_string().contains(TENANT), "{opened}");
    ensure!(
        elm.refused(&["incident", "acknowledge", id])?.contains("no incident"),
        "Elm's operator took it on"
    );
    hill.ask(&["incident", "acknowledge", id])?;

    // Their assistants: Hill's finds it and may propose what policy allows, Elm's finds nothing.
    let propose = json!(["propose_runbook", { "incident": id, "runbook": "RB-DISK-002", "why": "it is full of scans" }]);
    let look = json!([["list_incidents", { "state": "escalated" }], ["get_incident", { "id": id }], propose]);
    let answers = elm.assistant(&look)?;
    ensure!(!answers[0].0 && !answers[0].1.contains("scans"), "{answers:?}");
    ensure!(answers[1].0 && answers[2].0 && !format!("{answers:?}").contains(HILL), "{answers:?}");
    let answers = hill.assistant(&look)?;
    ensure!(!answers[0].0 && answers[0].1.contains(id) && answers[0].1.contains(HILL), "{answers:?}");
    ensure!(!answers[1].0 && answers[2].0, "policy never runs it, and the assistant may: {answers:?}");
    ensure!(scans.join("file").exists(), "what was refused was done");
    hill.ask(&["policy", "set", "--tenant", HILL, "--unset", "runbook_modes"])?;
    let answers = hill.assistant(&json!([propose]))?;
    ensure!(!answers[0].0, "{answers:?}");
    hill.incident("scans", "resolved")?;
    ensure!(!scans.join("file").exists(), "what was proposed was not done");
    wait::until("the ticket is closed", LIMIT, || {
        hills_box.check()?;
        Ok(tickets(&receiver, "PATCH").into_iter().find(|said| said["state"] == "closed"))
    })?;
    let about_scans =
        tickets(&receiver, "POST").into_iter().filter(|said| said.to_string().contains("scans"));
    ensure!(about_scans.count() == 1, "{:?}", receiver.tickets());

    // Who did what stands in the trail; each clinic's evidence is proven, and says nothing of the other.
    let trail = practice.provider.ask(&["operator", "audit"])?.to_string();
    ensure!(["elm-operator", "hill-operator"].iter().all(|name| trail.contains(name)), "{trail}");
    hills_box.stop()?;
    practice.clinic.stop()?;
    let ids = practice.provider.ask(&["tenant", "list"])?["tenants"].clone();
    let id_of = |name: &str| ids.as_array()?.iter().find(|one| one["name"] == name)?["id"].as_str();
    for (own, other) in [(TENANT, HILL), (HILL, TENANT)] {
        let text = bundle(&practice, own)?;
        let (own, other) = (id_of(own).context("an ID")?, [other, id_of(other).context("an ID")?]);
        ensure!(text.contains(own), "the bundle says whose it is");
        ensure!(other.iter().all(|other| !text.contains(other)), "the bundle of {own} speaks of {other:?}");
    }
    practice.provider.stop()
}
