//! Faults of a clinic's box: a full directory, a stale backup, an unproven restore, a broken repository, no control plane.

use anyhow::{Context as _, Result, ensure};

use super::narrate;
use crate::{
    clock,
    demo::{
        Teller,
        stage::{LIMIT_BYTES, Stage, TENANT, fill, size},
    },
    rig::wait,
};

pub(super) fn full_directory(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    let start = clock::instant();
    if stage.fault {
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

pub(super) fn stale_backup(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    let start = clock::instant();
    let before = stage.records.snapshots()?.len();
    if stage.fault {
        stage.records.make_stale()?;
    }
    let incident = stage.provider.incident_of(("records", "backup.stale"), &["resolved"], stage.patience)?;
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

pub(super) fn proven_restore(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    let start = clock::instant();
    let incident = stage.provider.incident_of(("archive", "restore.due"), &["resolved"], stage.patience)?;
    narrate(stage, teller, &incident)?;
    teller.proved(
        "test restore",
        "RB-RESTORE-001 restored a sample and compared SHA-256",
        clock::since(start),
    );
    Ok(())
}

pub(super) fn broken_repository(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    let start = clock::instant();
    if stage.fault {
        stage.images.break_it()?;
    }
    let incident = stage.provider.incident_of(("images", "backup.stale"), &["escalated"], stage.patience)?;
    narrate(stage, teller, &incident)?;
    let told = wait::until("the webhook is called", stage.patience, || {
        Ok(stage.receiver.got().into_iter().find(|alert| alert["incident"] == incident["id"]))
    })?;
    ensure!(told["watch"] == "images" && told["tenant"]["name"] == TENANT, "the webhook got {told}");
    let opened = asked(stage, "POST /tickets")?;
    teller.say(format!("a ticket was opened: {}", opened["title"].as_str().unwrap_or_default()));
    let id = incident["id"].as_str().context("an incident has an ID")?;
    stage.provider.ask(&["incident", "acknowledge", id])?;
    teller.say("an operator takes it on, finds the repository's keys, and brings them back");
    stage.images.mend_it()?;
    let closed = wait::until("the ticket is closed", stage.patience, || {
        stage.clinic.check()?;
        let last = stage.receiver.tickets().pop();
        Ok(last.map(|(_, said)| said).filter(|said| said["state"] == "closed"))
    })?;
    teller.say(format!("the ticket was closed: {}", closed["note"].as_str().unwrap_or_default()));
    let opened = stage.receiver.tickets().iter().filter(|(what, _)| what.starts_with("POST")).count();
    ensure!(opened == 1, "one fault, and {opened} tickets");
    teller.proved(
        "escalation",
        "tried once, did not help, a person was told by webhook and by one ticket, closed when it was over",
        clock::since(start),
    );
    Ok(())
}

pub(super) fn no_control_plane(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    let start = clock::instant();
    stage.provider.stop()?;
    teller.say("control plane stopped");
    if stage.fault {
        fill(&stage.spool, 6_000_000)?;
    }
    let bytes = wait::until("the event waits in the outbox", stage.patience, || {
        stage.clinic.check()?;
        let status = stage.clinic.status()?;
        let faults = status["faults"].as_array().context("status names the faults")?;
        let bytes = status["outbox"]["bytes"].as_u64().context("status counts what waits")?;
        Ok((bytes > 0 && faults.iter().any(|fault| fault["watch"] == "spool")).then_some(bytes))
    })?;
    teller.say(format!("the appliance saw the fault; bytes that wait in its outbox: {bytes}"));
    stage.provider.start()?;
    teller.say("control plane started again");
    let incident = stage.provider.incident("spool", &["resolved"], stage.patience)?;
    narrate(stage, teller, &incident)?;
    ensure!(size(&stage.spool)? <= LIMIT_BYTES, "the directory is still over its limit");
    teller.proved("outage survived", "nothing was lost; handled when it returned", clock::since(start));
    Ok(())
}

/// The first that the ticket system was asked so.
fn asked(stage: &Stage, what: &str) -> Result<serde_json::Value> {
    wait::until(&format!("the ticket system is asked: {what}"), stage.patience, || {
        Ok(stage.receiver.tickets().into_iter().find(|(asked, _)| asked == what).map(|(_, said)| said))
    })
}

fn mega(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}
