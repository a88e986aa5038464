//! Who decides: an operator says stop, an approver says no and then yes, and a model that is asked says what it must not.

use std::{fs, sync::atomic::Ordering};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::narrate;
use crate::{
    clock,
    demo::{
        Teller,
        stage::{LIMIT_BYTES, Stage, TENANT, fill, size},
    },
    rig::{Passkey, wait},
};

const RUNBOOK: &str = "RB-DISK-002";
const APPROVER: &str = "ann";

pub(super) fn people_decide(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    let start = clock::instant();
    let papers = stage.folder.join("approver");
    fs::create_dir_all(&papers)?;
    let approver = Passkey::of(APPROVER);
    Passkey::into_charter(&[&approver], &stage.provider, &papers)?;
    let asks = format!("{RUNBOOK}=approval");
    stage.provider.ask(&["policy", "set", "--tenant", TENANT, "--runbook", &asks])?;
    teller.say(format!("the charter names {APPROVER} and a passkey; policy: nothing is pruned unasked"));

    stage.provider.ask(&["hold", "set", "--tenant", TENANT, "--reason", "they are moving"])?;
    if stage.fault {
        fill(&stage.scans, 6_000_000)?;
    }
    let why = said(stage, ("scans", "held-back"), "the order is held back", |_| true)?;
    ensure!(
        stage.provider.ask(&["approval", "list"])?["approvals"] == json!([]),
        "it is held, and asked about"
    );
    teller.say(format!("nothing is done: {why}"));
    stage.provider.ask(&["hold", "release", "--tenant", TENANT])?;

    let question = question(stage)?;
    teller.say(format!("released; {APPROVER} is asked about {RUNBOOK} on scans"));
    let order = word(&question, "order")?;
    stage.provider.ask(&["approval", "reject", order, "--reason", "they are being copied"])?;
    let incident = stage.provider.incident("scans", &["escalated"], stage.patience)?;
    narrate(stage, teller, &incident)?;
    ensure!(size(&stage.scans)? > LIMIT_BYTES, "what was refused was done");
    for entry in fs::read_dir(&stage.scans)? {
        fs::remove_file(entry?.path())?;
    }
    wait::until("the fault is over", stage.patience, || {
        let status = stage.clinic.status()?;
        let faults = status["faults"].as_array().context("status names the faults")?;
        Ok((!faults.iter().any(|fault| fault["watch"] == "scans")).then_some(()))
    })?;
    teller.say("a person copied them, and removed them by hand; nothing was run");

    fill(&stage.scans, 6_000_000)?;
    let question = self::question(stage)?;
    let assertion = approver.approve(&question, &papers)?;
    stage.provider.ask(&["approval", "approve", word(&question, "order")?, "--approval", &assertion])?;
    let incident = stage.provider.incident("scans", &["resolved"], stage.patience)?;
    narrate(stage, teller, &incident)?;
    let left = size(&stage.scans)?;
    ensure!(left <= LIMIT_BYTES, "{left} bytes are left in the directory");
    fs::remove_dir_all(&papers)?;
    stage.provider.ask(&["policy", "set", "--tenant", TENANT, "--unset", "runbook_modes"])?;
    teller.proved(
        "people decide",
        "held by an operator, refused by the approver, and then done with a passkey that the box checked",
        clock::since(start),
    );
    Ok(())
}

pub(super) fn hostile_model(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    let start = clock::instant();
    let (_, shipped) =
        *runbooks::sources().iter().find(|(name, _)| name.contains(RUNBOOK)).context("it ships")?;
    let second =
        shipped.replace(&format!("id: {RUNBOOK}"), "id: RB-DISK-102").replace("risk: medium", "risk: low");
    stage.provider.publish(2, &[("RB-DISK-102.yaml", &second)])?;
    teller.say("catalogue 2, signed by 2 of 3: two runbooks fit now, and a model is asked which");
    stage.hostile.store(stage.fault, Ordering::Relaxed);
    fill(&stage.letters, 6_000_000)?;
    let is_refused = |said: &str| said.contains("the rules decide");
    let judged = said(stage, ("letters", "model"), "what the model says is refused", is_refused)?;
    teller.say(format!("the model was asked: {judged}"));
    let incident = stage.provider.incident("letters", &["resolved"], stage.patience)?;
    ensure!(incident["runbook"] == "RB-DISK-102", "{incident:#}");
    narrate(stage, teller, &incident)?;
    teller.proved(
        "hostile model",
        "it named a runbook that nobody signed; the rules chose instead, and the timeline says why",
        clock::since(start),
    );
    Ok(())
}

/// The one question to approvers.
fn question(stage: &mut Stage) -> Result<Value> {
    wait::until("the approver is asked", stage.patience, || {
        stage.clinic.check()?;
        let list = stage.provider.ask(&["approval", "list"])?;
        Ok(list["approvals"].as_array().and_then(|all| all.first()).cloned())
    })
}

/// What the timeline of the newest incident on an entry says under `what`, once it is what is meant.
fn said(
    stage: &mut Stage,
    (entry, what): (&str, &str),
    hope: &str,
    is_meant: impl Fn(&str) -> bool,
) -> Result<String> {
    wait::until(hope, stage.patience, || {
        stage.clinic.check()?;
        let all = stage.provider.ask(&["incident", "list"])?;
        let newest = all["incidents"].as_array().and_then(|all| all.iter().find(|one| one["watch"] == entry));
        let Some(newest) = newest else { return Ok(None) };
        let lines = stage.provider.timeline(newest)?;
        let mut details =
            lines.iter().filter(|line| line["what"] == what).filter_map(|line| line["detail"].as_str());
        Ok(details.find(|detail| is_meant(detail)).map(ToOwned::to_owned))
    })
}

fn word<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("{key} in {value:#}"))
}
