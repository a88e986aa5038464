//! A box on a machine of its own, with systemd. Only root can boot that.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Played, narrate};
use crate::{
    clock,
    demo::{
        Teller,
        stage::{PATIENCE, Stage, TENANT},
    },
    rig::{
        Machine, Tree, install, machine,
        staged::{SLEEPER, quiet, staged},
        wait,
    },
};

/// Its services: one for each scene, since a runbook rests between two runs on the same one.
const SERVICES: [&str; 2] = ["frontdesk", "interface"];

/// What somebody with a root shell does in a hurry, and forgets.
const DRIFT: &str = "echo 0 > /proc/sys/kernel/kptr_restrict; chmod 644 /etc/shadow; systemctl stop auditd";

/// A service that does not come back by itself, and somebody to ask what to do.
pub(super) fn crashed_service(stage: &mut Stage, teller: &mut Teller) -> Result<Played> {
    if let Some(why) = machine::obstacle() {
        return Ok(Played::LeftOut(why));
    }
    let start = clock::instant();
    let clinic = taken(stage, teller)?;
    let [service, _] = SERVICES;
    if stage.fault {
        crash(&clinic, service)?;
    }
    let incident = stage.provider.incident(service, &["resolved"], stage.patience)?;
    narrate(stage, teller, &incident)?;
    is_active(&clinic, service)?;
    teller.proved(
        "crashed service",
        "RB-SERVICE-001 restarted the unit, systemd says active",
        clock::since(start),
    );
    stage.machine = Some(clinic);
    Ok(Played::Proved)
}

/// The same when nobody can be asked: a standing order, signed in advance, permits just this.
pub(super) fn no_uplink(stage: &mut Stage, teller: &mut Teller) -> Result<Played> {
    if let Some(why) = machine::obstacle() {
        return Ok(Played::LeftOut(why));
    }
    let start = clock::instant();
    let clinic = taken(stage, teller)?;
    let [_, service] = SERVICES;
    wait::until("the box keeps its standing orders", PATIENCE, || {
        Ok((status(&clinic)?["executor"]["orders"]["standing"] == true).then_some(()))
    })?;
    stage.provider.stop()?;
    teller.say("nobody answers any more; in the box lie standing orders of low risk, signed in advance");
    let before = repairs(&clinic)?;
    if stage.fault {
        crash(&clinic, service)?;
    }
    wait::until("a standing order has run", stage.patience, || {
        Ok((repairs(&clinic)? > before).then_some(()))
    })?;
    is_active(&clinic, service)?;
    teller.say("the executor saw the fault itself, drew on one of them, and the unit runs again");
    stage.provider.start()?;
    teller.say("the line is back");
    wait::until("the evidence of it is in the log", PATIENCE, || {
        stage.provider.check()?;
        Ok(uses(stage, service)?.contains(&1).then_some(()))
    })?;
    teller.proved(
        "line cut",
        "healed by a standing order; its evidence came when the line was back",
        clock::since(start),
    );
    stage.machine = Some(clinic);
    Ok(Played::Proved)
}

/// Three settings that somebody has changed on the live system, and that are a wall less each.
pub(super) fn drifted_control(stage: &mut Stage, teller: &mut Teller) -> Result<Played> {
    if let Some(why) = machine::obstacle() {
        return Ok(Played::LeftOut(why));
    }
    let start = clock::instant();
    let clinic = taken(stage, teller)?;
    let box_two = status(&clinic)?["executor"]["identity"]["appliance"].clone();
    wait::until("it was scanned once", PATIENCE, || {
        stage.provider.check()?;
        let evidence = stage.provider.evidence(TENANT)?;
        Ok(evidence.iter().any(|e| e["kind"] == "scan" && e["appliance"] == box_two).then_some(()))
    })?;
    if stage.fault {
        clinic.run("sh", &["-ec", DRIFT])?;
    }
    let incident =
        stage.provider.incident_of(("baseline", "baseline.drifted"), &["resolved"], stage.patience)?;
    narrate(stage, teller, &incident)?;
    let now = clinic.run("sh", &["-ec", "cat /proc/sys/kernel/kptr_restrict; stat -c %a /etc/shadow"])?;
    ensure!(now.split_whitespace().eq(["2", "640"]), "the settings are {now:?}");
    let state = clinic.property("auditd.service", "ActiveState")?;
    ensure!(state == "active", "the audit daemon is {state}");
    teller.proved(
        "drifted baseline",
        "RB-DRIFT-001 set three controls again; the kernel, the file and systemd say so",
        clock::since(start),
    );
    stage.machine = Some(clinic);
    Ok(Played::Proved)
}

/// The box, installed as a clinic's are when a scene first asks for it. It goes on until the end: a box that falls silent
/// would rightly be missed in the packet.
fn taken(stage: &mut Stage, teller: &mut Teller) -> Result<Machine> {
    if let Some(clinic) = stage.machine.take() {
        return Ok(clinic);
    }
    let mut config =
        "standing_after_seconds = 2\n\n[[watch.baseline]]\nid = \"baseline\"\nevery_seconds = 10\n"
            .to_owned();
    let mut tree = quiet(staged(Tree::new()?)?, "")?;
    for service in SERVICES {
        config += &format!("\n[[watch.unit]]\nid = \"{service}\"\nunit = \"{service}.service\"\n");
        tree = tree.started(&format!("{service}.service"), SLEEPER)?;
    }
    let clinic = install(&stage.provider, &stage.folder.join("machine"), tree, &config)?;
    teller.say("a second box: the appliance's own units, under the systemd of a machine in namespaces");
    wait::until("it is looked after", PATIENCE, || {
        Ok((status(&clinic)?["executor"]["evidence"]["checkpoint_size"] != 0).then_some(()))
    })?;
    Ok(clinic)
}

fn crash(clinic: &Machine, service: &str) -> Result<()> {
    clinic.run("systemctl", &["kill", "--signal=KILL", &format!("{service}.service")]).map(drop)
}

fn status(clinic: &Machine) -> Result<Value> {
    Ok(serde_json::from_str(&clinic.run("appliance", &["status", "--json"])?)?)
}

/// How many executions the box knows that helped.
fn repairs(clinic: &Machine) -> Result<usize> {
    let status = status(clinic)?;
    let executions = status["executor"]["orders"]["executions"].as_array().context("executions")?;
    Ok(executions.iter().filter(|execution| execution["state"] == "repaired").count())
}

fn is_active(clinic: &Machine, service: &str) -> Result<()> {
    let state = clinic.property(&format!("{service}.service"), "ActiveState")?;
    ensure!(state == "active", "the unit is {state}");
    Ok(())
}

/// How often each standing order on a watch entry was used, as far as evidence has come.
fn uses(stage: &Stage, watch: &str) -> Result<Vec<u64>> {
    let mut uses = Vec::new();
    for listed in stage.provider.ask(&["appliance", "list"])?["appliances"].as_array().into_iter().flatten() {
        let id = listed["id"].as_str().context("an appliance has an ID")?;
        let shown = stage.provider.ask(&["appliance", "show", id])?;
        let orders = shown["standing_orders"].as_array().into_iter().flatten();
        uses.extend(
            orders.filter(|order| order["watch"] == watch).filter_map(|order| order["used"].as_u64()),
        );
    }
    Ok(uses)
}
