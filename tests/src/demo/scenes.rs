//! Nine scenes, each with its fault and with what must come of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use proto::{
    dsse::Envelope,
    ids::{ApplianceId, OrderId},
    keys::SecretKey,
    order::{Issuance, Order},
};
use serde_json::Value;

use super::{
    Teller,
    stage::{LIMIT_BYTES, Stage, TENANT, fill, size},
};
use crate::{
    clock,
    rig::{Tree, attack::Intruder, install, machine, process::run, wait},
};

/// All of them, in order.
pub fn play(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    full_directory(stage, teller)?;
    stale_backup(stage, teller)?;
    proven_restore(stage, teller)?;
    broken_repository(stage, teller)?;
    no_control_plane(stage, teller)?;
    forged_orders(stage, teller)?;
    crashed_unit(stage, teller)?;
    packet_and_bundle(stage, teller)?;
    one_flipped_byte(stage, teller)
}

fn full_directory(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    teller.scene("1", "A directory grows over its limit");
    let start = clock::instant();
    if stage.plays(1) {
        fill(&stage.uploads, 6_000_000)?;
    }
    let incident = stage.provider.incident("uploads", &["resolved"], stage.patience)?;
    narrate(stage, teller, &incident)?;
    let left = size(&stage.uploads)?;
    ensure!(left <= LIMIT_BYTES, "{left} bytes are left in the directory");
    let how = format!("RB-DISK-002 pruned the oldest files: 6.0 MB before, {:.1} MB after", mega(left));
    teller.proved("full directory", how, clock::since(start));
    Ok(())
}

fn stale_backup(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    teller.scene("2", "The newest backup is months old");
    let start = clock::instant();
    let before = stage.records.snapshots()?.len();
    if stage.plays(2) {
        stage.records.make_stale()?;
    }
    let incident = stage.provider.incident("records", &["resolved"], stage.patience)?;
    narrate(stage, teller, &incident)?;
    let after = stage.records.snapshots()?.len();
    ensure!(after > before, "{after} snapshots, there were {before}");
    teller.proved(
        "stale backup",
        "RB-BACKUP-001 made a snapshot, restic itself lists it",
        clock::since(start),
    );
    Ok(())
}

fn proven_restore(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    teller.scene("3", "No restore was ever proven");
    let start = clock::instant();
    let incident = stage.provider.incident("archive", &["resolved"], stage.patience)?;
    ensure!(incident["kind"] == "restore.due", "the incident is {}", incident["kind"]);
    narrate(stage, teller, &incident)?;
    teller.proved(
        "test restore",
        "RB-RESTORE-001 restored a sample and compared SHA-256",
        clock::since(start),
    );
    Ok(())
}

fn broken_repository(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    teller.scene("4", "A repository that cannot be repaired");
    let start = clock::instant();
    if stage.plays(4) {
        stage.images.break_it()?;
    }
    let incident = stage.provider.incident("images", &["escalated"], stage.patience)?;
    narrate(stage, teller, &incident)?;
    let told = wait::until("the webhook is called", stage.patience, || {
        Ok(stage.receiver.got().into_iter().find(|alert| alert["incident"] == incident["id"]))
    })?;
    ensure!(told["watch"] == "images" && told["tenant"]["name"] == TENANT, "the webhook got {told}");
    teller.proved(
        "escalation",
        "tried once, did not help, a person was told by webhook",
        clock::since(start),
    );
    Ok(())
}

fn no_control_plane(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    teller.scene("5", "The control plane is down");
    let start = clock::instant();
    stage.provider.stop()?;
    teller.say("control plane stopped");
    if stage.plays(5) {
        fill(&stage.spool, 6_000_000)?;
    }
    wait::until("the event waits in the outbox", stage.patience, || {
        stage.clinic.check()?;
        let status = stage.clinic.status()?;
        Ok(status["faults"]
            .as_array()
            .is_some_and(|all| all.iter().any(|f| f["watch"] == "spool"))
            .then_some(()))
    })?;
    teller.say("the appliance saw the fault and keeps it");
    stage.provider.start()?;
    teller.say("control plane started again");
    let incident = stage.provider.incident("spool", &["resolved"], stage.patience)?;
    narrate(stage, teller, &incident)?;
    ensure!(size(&stage.spool)? <= LIMIT_BYTES, "the directory is still over its limit");
    teller.proved("outage survived", "nothing was lost; handled when it returned", clock::since(start));
    Ok(())
}

fn forged_orders(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    teller.scene("6", "Somebody owns the agent, and even the order key");
    let start = clock::instant();
    let seen = export(stage, "seen")?;
    let (envelope, order) = newest_order(&seen)?;
    let real_key = fs::read_to_string(stage.provider.dir.join("keys/order.key"))?;
    let real_key = SecretKey::from_file(&real_key)?;
    let mut intruder = Intruder::enter(&stage.clinic.socket())?;
    let high = intruder.describe()?.order_high;
    let again = |change: &dyn Fn(&mut proto::order::Core), key: &SecretKey| {
        let now = clock::now();
        let mut core = order.core.clone();
        core.id = OrderId::new(now, [7; 10]);
        change(&mut core);
        let issuance = Issuance {
            charter_serial: order.charter_serial,
            policy_serial: order.policy_serial,
            sequence: high + 1,
            issued: now,
            lifetime: Duration::from_secs(600),
        };
        Order::issue(core, &issuance, order.plan.clone(), Vec::new()).seal(key)
    };
    let unlisted: proto::ids::WatchId = "etc".parse()?;
    let attempts = [
        ("forged with another key", again(&|_| {}, &SecretKey::ed25519([9; 32])), 1),
        (
            "for another appliance",
            again(&|core| core.appliance = ApplianceId::new(clock::now(), [1; 10]), &real_key),
            2,
        ),
        ("replayed", envelope, 4),
        (
            "real key, unlisted directory",
            again(
                &|core| core.parameters.values_mut().for_each(|watch| *watch = unlisted.clone()),
                &real_key,
            ),
            7,
        ),
    ];
    let before = refusals(stage)?;
    for (what, order, guardrail) in attempts {
        let outcome = intruder.deliver(order)?.outcomes.into_iter().next().context("an outcome")?;
        let expected = format!("guardrail {guardrail} ");
        ensure!(!outcome.accepted && outcome.refusal.starts_with(&expected), "{what}: {outcome:?}");
        teller.say(format!("{what}: {}", outcome.refusal));
    }
    wait::until("the refusals are in the log", stage.patience, || {
        Ok((refusals(stage)? >= before + 4).then_some(()))
    })?;
    fs::remove_dir_all(seen)?;
    teller.proved(
        "forged orders",
        "4 of 4 refused, each by its guardrail; each refusal is evidence",
        clock::since(start),
    );
    Ok(())
}

/// A second box, installed as a clinic's are: its units under real systemd, in namespaces. Only root can boot that.
fn crashed_unit(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    teller.scene("7", "A service crashes, and stays down");
    if let Some(why) = machine::unavailable()? {
        teller.left_out("crashed service", &why);
        return Ok(());
    }
    let start = clock::instant();
    let watch = "[[watch.unit]]\nid = \"frontdesk\"\nunit = \"frontdesk.service\"\n";
    let tree = Tree::new()?.started("frontdesk.service", "[Service]\nExecStart=/bin/sleep infinity\n")?;
    let box_of_its_own = install(&stage.provider, &stage.folder.join("machine"), tree, watch)?;
    teller.say("a second box: the appliance's own units, under the systemd of a machine in namespaces");
    wait::until("it is looked after", stage.patience, || {
        let looked = box_of_its_own.run("appliance", &["status", "--json"])?;
        let status: Value = serde_json::from_str(&looked)?;
        Ok((status["executor"]["evidence"]["checkpoint_size"] != 0).then_some(()))
    })?;
    if stage.plays(7) {
        box_of_its_own.run("systemctl", &["kill", "--signal=KILL", "frontdesk.service"])?;
    }
    let incident = stage.provider.incident("frontdesk", &["resolved"], stage.patience)?;
    narrate(stage, teller, &incident)?;
    let state = box_of_its_own.property("frontdesk.service", "ActiveState")?;
    ensure!(state == "active", "the unit is {state}");
    teller.proved(
        "crashed service",
        "RB-SERVICE-001 restarted the unit, systemd says active",
        clock::since(start),
    );
    // It goes on until the end: a box that falls silent would rightly be missed in the packet.
    stage.machine = Some(box_of_its_own);
    Ok(())
}

fn packet_and_bundle(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    teller.scene("8", "What an auditor gets");
    let start = clock::instant();
    let bundle = export(stage, "bundle")?;
    fs::copy(bundle.join("packet.pdf"), stage.folder.join("packet.pdf"))?;
    for file in ["manifest.json", "packet.md", "log/checkpoint", "log/vkey", "log/policy"] {
        ensure!(bundle.join(file).is_file(), "the bundle has no {file}");
    }
    let (code, report) = verify(stage, &bundle)?;
    print!("{}", indented(&report));
    ensure!(code == 0, "the verifier ended with {code}");
    let (untrusting, _) = verify_with(stage, &bundle, false)?;
    ensure!(
        untrusting == 3,
        "without the organization's keys the verifier ended with {untrusting}, not with 3"
    );
    teller.proved("packet and bundle", "verified offline: sound and complete", clock::since(start));
    Ok(())
}

fn one_flipped_byte(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    teller.scene("9", "One byte is changed");
    let start = clock::instant();
    let (bundle, copy) = (stage.folder.join("bundle"), stage.folder.join("tampered"));
    run(Command::new("cp").arg("-r").arg(&bundle).arg(&copy), &[0])?;
    let file = fs::read_dir(copy.join("evidence"))?.next().context("evidence")??.path();
    let mut bytes = fs::read(&file)?;
    let middle = bytes.len() / 2;
    if stage.plays(8) {
        bytes[middle] ^= 1;
    }
    fs::write(&file, bytes)?;
    let (code, report) = verify(stage, &copy)?;
    let name = file.file_name().and_then(|n| n.to_str()).context("a name")?;
    ensure!(code == 1, "the verifier ended with {code}");
    ensure!(report.contains(name), "the verifier does not name {name}");
    fs::remove_dir_all(&copy)?;
    teller.proved("one flipped byte", format!("found in evidence/{name}"), clock::since(start));
    Ok(())
}

fn narrate(stage: &Stage, teller: &Teller, incident: &Value) -> Result<()> {
    for line in stage.provider.timeline(incident)? {
        let (what, detail) =
            (line["what"].as_str().unwrap_or_default(), line["detail"].as_str().unwrap_or_default());
        teller.say(format!("{what}: {detail}"));
    }
    Ok(())
}

fn refusals(stage: &Stage) -> Result<usize> {
    Ok(stage.provider.evidence(TENANT)?.iter().filter(|e| e["kind"] == "refusal").count())
}

fn export(stage: &Stage, name: &str) -> Result<PathBuf> {
    let out = stage.folder.join(name);
    let month = clock::now().to_string()[..7].to_owned();
    let path = out.to_str().context("a path in UTF-8")?;
    stage
        .provider
        .run(&["evidence", "export", "--tenant", TENANT, "--month", &month, "--out", path], &[0])?;
    Ok(out)
}

fn newest_order(bundle: &Path) -> Result<(Vec<u8>, Order)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(bundle.join("orders"))? {
        let envelope = fs::read(entry?.path())?;
        let order = Order::decode(Envelope::parse(&envelope)?.unverified_payload())?;
        all.push((envelope, order));
    }
    let disk = |order: &Order| order.core.runbook.as_str() == "RB-DISK-002";
    all.into_iter()
        .filter(|(_, order)| disk(order))
        .max_by_key(|(_, order)| order.sequence)
        .context("an order was given")
}

fn verify(stage: &Stage, bundle: &Path) -> Result<(i32, String)> {
    verify_with(stage, bundle, true)
}

fn verify_with(stage: &Stage, bundle: &Path, trust: bool) -> Result<(i32, String)> {
    let trust_file = stage.folder.join("trust/organization.keys.json");
    let (trust_file, bundle) = (trust_file.to_str().context("UTF-8")?, bundle.to_str().context("UTF-8")?);
    let mut args = vec!["evidence", "verify"];
    if trust {
        args.extend(["--trust", trust_file]);
    }
    args.push(bundle);
    let output = stage.provider.run(&args, &[0, 1, 3])?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.code().context("an exit code")?, text))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("           {line}\n")).collect()
}

fn mega(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}
