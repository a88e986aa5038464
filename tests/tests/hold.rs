//! What people say no, yes and stop to, with the real programs: the hold key at the box, an operator's hold, an approval. The
//! key's device alone is a double: this kernel has no uinput, so a named pipe gives the bytes that an input device gives
//! (linux/input.h).

use std::{fs, io::Write as _, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{sys::stat::Mode, unistd::mkfifo};
use proto::evidence::{Body, peek};
use serde_json::Value;
use tests::rig::{
    Passkey, Practice, Watch,
    practice::{Folder, TENANT},
    wait,
};

const LIMIT: Duration = Duration::from_secs(60);
const POWER: u16 = 116;

fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
    [&[0; 16][..], &kind.to_ne_bytes(), &code.to_ne_bytes(), &value.to_ne_bytes()].concat()
}

/// Down, a report, up, a report: as a keyboard says it.
fn press(device: &mut fs::File) -> Result<()> {
    let all = [event(1, POWER, 1), event(0, 0, 0), event(1, POWER, 0), event(0, 0, 0)].concat();
    Ok(device.write_all(&all)?)
}

/// What the evidence says of holds, in order: held or released, and how.
fn holds(practice: &Practice) -> Result<Vec<(bool, String)>> {
    let db = practice.provider.database()?;
    let mut query = db.prepare("SELECT envelope FROM evidence WHERE kind = 'hold' ORDER BY log_index")?;
    let envelopes: Vec<Vec<u8>> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let hold = |envelope: &Vec<u8>| match peek(envelope)?.body {
        Body::Hold(hold) => Ok((hold.held, hold.by)),
        other => bail!("a hold is {other:?}"),
    };
    envelopes.iter().map(hold).collect()
}

fn fill(directory: &Path) -> Result<()> {
    Ok(fs::write(directory.join("file"), vec![0; 5000])?)
}

#[test]
fn a_key_at_the_box_holds_all_orders_and_releases_them() -> Result<()> {
    let folder = Folder::new()?;
    let (uploads, device) = (folder.join("uploads"), folder.join("event0"));
    fs::create_dir(&uploads)?;
    mkfifo(&device, Mode::from_bits_truncate(0o600))?;
    let mut practice = Practice::open(folder, 600, &[("uploads", Watch::Directory(&uploads, 1000))])?;
    practice.clinic.stop()?;
    let config = practice.clinic.dir.join("config.toml");
    let key = format!("[executor]\nhold_key = {{ device = {device:?}, code = {POWER} }}\n");
    fs::write(&config, fs::read_to_string(&config)?.replace("[executor]\n", &key))?;
    practice.clinic.start_executor()?;
    practice.start_agent()?;
    // Waits until the executor has opened the other end.
    let mut pressed = fs::File::options().write(true).open(&device)?;
    pressed.write_all(&[event(1, 30, 1), event(0, 0, 0)].concat())?;
    press(&mut pressed)?;
    let hold = |practice: &Practice| {
        Ok::<Value, anyhow::Error>(practice.clinic.status()?["executor"]["hold"].clone())
    };
    wait::until("the press is noticed", Duration::from_secs(10), || {
        Ok((!hold(&practice)?.is_null()).then_some(()))
    })?;
    wait::until("it is evidence", LIMIT, || {
        practice.check()?;
        Ok((holds(&practice)?.len() == 1).then_some(()))
    })?;
    ensure!(holds(&practice)? == [(true, "key".to_owned())], "{:?}", holds(&practice)?);
    fill(&uploads)?;
    let incident =
        practice.provider.incident("uploads", &["planned", "escalated", "ordered", "refused"], LIMIT)?;
    ensure!(uploads.join("file").exists(), "{incident:#}");

    // Held through a restart of the executor; the key that is pressed afterwards releases.
    drop(pressed);
    practice.clinic.kill_executor()?;
    practice.clinic.start_executor()?;
    ensure!(!hold(&practice)?.is_null(), "a restart has released it");
    ensure!(uploads.join("file").exists(), "an order ran while it was held");
    let mut pressed = fs::File::options().write(true).open(&device)?;
    press(&mut pressed)?;
    wait::until("it is released", LIMIT, || Ok(hold(&practice)?.is_null().then_some(())))?;
    wait::until("that is evidence, too", LIMIT, || {
        practice.check()?;
        Ok((holds(&practice)?.len() == 2).then_some(()))
    })
    .with_context(|| format!("{:?}", holds(&practice)))?;
    ensure!(holds(&practice)?[1] == (false, "key".to_owned()), "{:?}", holds(&practice)?);
    practice.clinic.stop()?;
    practice.provider.stop()
}

/// The only order that waits for approval.
fn asked(practice: &mut Practice) -> Result<Value> {
    wait::until("approvers are asked", LIMIT, || {
        practice.check()?;
        let list = practice.provider.ask(&["approval", "list"])?;
        Ok(list["approvals"].as_array().and_then(|all| all.first()).cloned())
    })
}

fn word<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("{key} in {value:#}"))
}

/// A policy that wants approval, an order that is refused, one that two people were asked about, a hold on everything.
#[test]
fn people_decide_what_is_done_and_an_operator_pauses_it() -> Result<()> {
    let folder = Folder::new()?;
    let (uploads, scans, papers) = (folder.join("uploads"), folder.join("scans"), folder.join("papers"));
    for made in [&uploads, &scans, &papers] {
        fs::create_dir(made)?;
    }
    let watch = [("uploads", Watch::Directory(&uploads, 1000)), ("scans", Watch::Directory(&scans, 1000))];
    let mut practice = Practice::open(folder, 600, &watch)?;
    let (ann, eve) = (Passkey::of("ann"), Passkey::of("eve"));
    Passkey::into_charter(&[&ann], &practice.provider, &papers)?;
    practice.start_agent()?;
    let list = practice.provider.ask(&["appliance", "list"])?;
    let id = word(&list["appliances"][0], "id")?.to_owned();

    // The organization wants to be asked; the clinic cannot say otherwise.
    practice.provider.ask(&["policy", "set", "--organization", "--runbook", "RB-DISK-002=approval"])?;
    let shown = practice.provider.ask(&[
        "policy",
        "set",
        "--tenant",
        TENANT,
        "--runbook",
        "RB-DISK-002=automatic",
    ])?;
    ensure!(shown["effective"]["runbook_modes"]["RB-DISK-002"] == "approval", "{shown:#}");
    ensure!(
        shown["said_by"]["runbook_modes.RB-DISK-002"] == serde_json::json!(["organization"]),
        "{shown:#}"
    );
    let plan = ["order", "plan", "--appliance", &id, "--fault", "directory.over-limit", "--on", "uploads"];
    let plan = practice.provider.ask(&[&plan[..], &["--dry-run"]].concat())?;
    ensure!(plan["approvers"] == 1 && plan["guardrails"][9]["refusal"].is_string(), "{plan:#}");

    // Asked, and rejected.
    fill(&uploads)?;
    let first = asked(&mut practice)?;
    let order = word(&first, "order")?;
    ensure!(first["parameters"]["directory"] == "uploads", "{first:#}");
    let no = ["approval", "reject", order, "--reason", "they are being copied"];
    practice.provider.ask(&no)?;
    let incident = practice.provider.incident("uploads", &["escalated"], LIMIT)?;
    ensure!(word(&incident, "reason")?.ends_with("they are being copied"), "{incident:#}");
    ensure!(uploads.join("file").exists(), "what was rejected was done");

    // Asked, and approved: by nobody of the charter, over another order, and then rightly, just before a power cut.
    fill(&scans)?;
    let second = asked(&mut practice)?;
    let order = word(&second, "order")?;
    for wrong in [eve.approve(&second, &papers)?, ann.approve(&first, &papers)?] {
        practice.provider.run(&["approval", "approve", order, "--approval", &wrong], &[2, 1])?;
    }
    let shown = practice.provider.ask(&["approval", "show", order])?;
    ensure!(
        shown["plan"]["runbook"] == "RB-DISK-002" && shown["approvers"] == serde_json::json!([]),
        "{shown:#}"
    );
    practice.clinic.stop()?;
    let right = ann.approve(&shown, &papers)?;
    practice.provider.ask(&["approval", "approve", order, "--approval", &right])?;
    practice.provider.kill()?;
    practice.provider.start()?;
    practice.clinic.start_executor()?;
    practice.clinic.start_agent()?;
    practice.provider.incident("scans", &["resolved"], LIMIT)?;
    ensure!(!scans.join("file").exists(), "what was approved was not done");
    let by_ann = |body: &Body| matches!(body, Body::Execution(done) if done.order.approvers == ["ann"]);
    let db = practice.provider.database()?;
    let done: Vec<u8> =
        db.query_row("SELECT envelope FROM evidence WHERE kind = 'execution'", [], |row| row.get(0))?;
    ensure!(by_ann(&peek(&done)?.body), "the evidence says who approved it");

    // Everything is held, and let go. Why, the box of a clinic is not told.
    practice.provider.ask(&["policy", "set", "--organization", "--unset", "runbook_modes"])?;
    practice.provider.ask(&["policy", "set", "--tenant", TENANT, "--unset", "runbook_modes"])?;
    practice.provider.ask(&["hold", "set", "--everything", "--reason", "we look into something"])?;
    let hold = |practice: &Practice| {
        Ok::<Value, anyhow::Error>(practice.clinic.status()?["executor"]["hold"].clone())
    };
    wait::until("the box is held", LIMIT, || {
        practice.check()?;
        Ok(hold(&practice)?.as_str().is_some_and(|why| why.contains("the organization holds")).then_some(()))
    })?;
    wait::until("that is evidence", LIMIT, || {
        Ok((holds(&practice)? == [(true, "operator".to_owned())]).then_some(()))
    })?;
    practice.provider.ask(&["hold", "release", "--everything"])?;
    wait::until("the box is let go", LIMIT, || {
        practice.check()?;
        Ok(hold(&practice)?.is_null().then_some(()))
    })?;
    let kinds: Vec<String> = practice
        .provider
        .evidence(TENANT)?
        .iter()
        .filter_map(|one| Some(one["kind"].as_str()?.to_owned()))
        .filter(|kind| ["decision", "policy", "hold", "release"].contains(&kind.as_str()))
        .collect();
    let count = |wanted: &str| kinds.iter().filter(|kind| *kind == wanted).count();
    // Asked twice, rejected, approved; and a hold as an act and as the box's own record.
    ensure!((count("decision"), count("policy"), count("release")) == (4, 4, 1), "{kinds:?}");
    practice.clinic.stop()?;
    practice.provider.stop()
}
