//! A model's endpoint that misbehaves in every way that one can, with the real programs: nothing runs that is not allowed,
//! nobody waits longer than the cap, and where it came to nothing the rules have decided and the timeline says why.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use proto::{
    digest::Digest,
    evidence::{Body, Execution, peek},
};
use rusqlite::OptionalExtension as _;
use tests::rig::{Behaviour, Model, Practice, Provider, Watch, practice::Folder, wait};

const LIMIT: Duration = Duration::from_secs(120);
const NAME: &str = "made-up-1";
const KEY: &str = "sk-not-a-secret";

/// Entry of the watch list, what the endpoint does when it is asked about it, and what the timeline says of it.
fn misbehaviours() -> Vec<(&'static str, Behaviour, &'static str)> {
    vec![
        ("hangs", Behaviour::Hangs, "it did not answer in time"),
        ("drips", Behaviour::Drips, "it did not answer in time"),
        ("fails", Behaviour::Status(500), "it answered 500"),
        ("redirects", Behaviour::Redirects, "it answered 307: redirects are not followed"),
        ("mislabels", Behaviour::Mislabels, "its answer is not application/json"),
        ("floods", Behaviour::Floods, "its answer has more than 65536 bytes"),
        ("resets", Behaviour::Resets, "it is not there"),
        ("breaks", Behaviour::Breaks, "it is not there"),
        ("babbles", Behaviour::Sends("Sure! RB-DISK-109".into()), "not a chat completion"),
        ("invents", Behaviour::Chooses("RB-SHELL-666".into()), "none of the allowed"),
    ]
}

fn executions(practice: &Practice) -> Result<Vec<Execution>> {
    let db = practice.provider.database()?;
    let mut query =
        db.prepare("SELECT envelope FROM evidence WHERE kind = 'execution' ORDER BY log_index")?;
    let envelopes: Vec<Vec<u8>> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let execution = |envelope: &Vec<u8>| match peek(envelope)?.body {
        Body::Execution(execution) => Ok(*execution),
        other => anyhow::bail!("an execution is {other:?}"),
    };
    envelopes.iter().map(execution).collect()
}

fn fill(directory: &Path) -> Result<()> {
    Ok(fs::write(directory.join("file"), vec![0; 5000])?)
}

/// What the timeline of an entry's incident says of what came of asking the model, waited for.
fn decided(practice: &mut Practice, entry: &str) -> Result<String> {
    let said = "SELECT detail FROM timeline JOIN incident ON incident.id = timeline.incident
                WHERE watch = ?1 AND what = 'model' AND detail NOT LIKE 'asked %'";
    wait::until(&format!("the incident on {entry} is decided"), LIMIT, || {
        practice.check()?;
        Ok(practice.provider.database()?.query_row(said, [entry], |row| row.get(0)).optional()?)
    })
}

#[test]
fn however_a_model_misbehaves_only_what_is_allowed_runs() -> Result<()> {
    let folder = Folder::new()?;
    let bad = misbehaviours();
    let by_entry = bad.clone();
    let model = Model::start(move |incident| {
        let entry = incident["entry"].as_str().unwrap_or_default();
        let bad = by_entry.iter().find(|(name, ..)| *name == entry);
        match bad {
            Some((_, behaviour, _)) => behaviour.clone(),
            None if entry == "hands-over" => Behaviour::Chooses("escalate".into()),
            None => Behaviour::Chooses("RB-DISK-002".into()),
        }
    })?;
    let good: Vec<String> = (0..bad.len() / 2).map(|n| format!("good-{n}")).collect();
    let names =
        bad.iter().map(|(name, ..)| *name).chain(good.iter().map(String::as_str)).chain(["hands-over"]);
    let paths: Vec<_> = names.map(|name| (name, folder.join(name))).collect();
    for (_, path) in &paths {
        fs::create_dir(path)?;
    }
    let watch: Vec<(&str, Watch<'_>)> =
        paths.iter().map(|(name, path)| (*name, Watch::Directory(path, 1000))).collect();
    let path = |name: &str| paths.iter().find(|(known, _)| *known == name).map(|(_, path)| path.clone());
    let prepare = |provider: &Provider| provider.ask_model(&model.url(), NAME, KEY);
    let mut practice = Practice::prepared(folder, 1, &watch, None, &prepare)?;
    // Beside the one of medium risk that ships: one of low risk, which the rules choose, and one that needs an approver.
    let (_, shipped) =
        *runbooks::sources().iter().find(|(name, _)| name.contains("RB-DISK-002")).context("it ships")?;
    let variant = |id: &str, risk: &str| {
        shipped
            .replace("id: RB-DISK-002", &format!("id: {id}"))
            .replace("risk: medium", &format!("risk: {risk}"))
    };
    let (low, high) = (variant("RB-DISK-102", "low"), variant("RB-DISK-109", "high"));
    practice.provider.publish(2, &[("RB-DISK-102.yaml", &low), ("RB-DISK-109.yaml", &high)])?;
    practice.start_agent()?;

    // Two at a time and then a good one, so that the breaker stays closed; the first two are waited for side by side.
    for (pair, good) in bad.chunks(2).zip(&good) {
        for (name, ..) in pair {
            fill(&path(name).context("an entry")?)?;
        }
        for (name, _, why) in pair {
            let said = decided(&mut practice, name)?;
            ensure!(said.contains(why) && said.contains("the rules decide"), "{name}: {said}");
        }
        fill(&path(good).context("an entry")?)?;
        let said = decided(&mut practice, good)?;
        ensure!(said.contains(&format!("{NAME} chose RB-DISK-002: by what")), "{good}: {said}");
    }
    fill(&path("hands-over").context("an entry")?)?;
    let said = decided(&mut practice, "hands-over")?;
    ensure!(said.contains("chose to escalate"), "{said}");
    let incident = practice.provider.incident("hands-over", &["escalated"], LIMIT)?;
    ensure!(incident["runbook"].is_null(), "{incident:#}");

    // What ran, as the executor signed it: members of the set and nothing else, each with who chose it and from what.
    let asked = model.asked();
    let digests: Vec<Digest> = asked.iter().map(|question| Digest::of(&question.body)).collect();
    let all = wait::until("all evidence is there", LIMIT, || {
        practice.check()?;
        let all = executions(&practice)?;
        Ok((all.len() == bad.len() + good.len()).then_some(all))
    })?;
    for done in &all {
        let plan = &done.order.plan;
        match plan.planner.as_str() {
            "rules" => ensure!(done.order.runbook.as_str() == "RB-DISK-102", "{plan:?}"),
            "model" => {
                ensure!(done.order.runbook.as_str() == "RB-DISK-002" && plan.model == NAME, "{plan:?}");
                ensure!(plan.prompt_digest.is_some_and(|digest| digests.contains(&digest)), "{plan:?}");
            }
            other => anyhow::bail!("{other} chose {}", done.order.runbook),
        }
    }
    // Nobody but the endpoint is shown the key, and a redirect is asked nothing.
    for question in &asked {
        ensure!(question.head.starts_with("post /v1/chat/completions "), "{}", question.head);
        ensure!(question.head.contains(&format!("authorization: bearer {KEY}")), "{}", question.head);
    }
    // What was sent can be read, and is what order and evidence name.
    let calls = practice.provider.ask(&[
        "planner",
        "calls",
        "--incident",
        incident["id"].as_str().context("an ID")?,
    ])?;
    let call = &calls["calls"][0];
    let prompt = call["prompt"].as_str().context("a prompt")?;
    ensure!(call["prompt_sha256"] == Digest::of(prompt.as_bytes()).to_string(), "{calls:#}");
    ensure!(asked.iter().any(|question| question.body == prompt.as_bytes()), "{calls:#}");
    ensure!(calls["model"] == NAME && calls["held_until"].is_null(), "{calls:#}");
    let all = practice.provider.ask(&["planner", "calls"])?;
    let failed = all["calls"].as_array().into_iter().flatten().filter(|call| call["failed"] == true).count();
    ensure!(failed == bad.len() && all["calls"][0]["prompt"].is_null(), "{all:#}");
    let log = fs::read_to_string(practice.provider.dir.join("server.log"))?;
    ensure!(!log.contains(KEY), "the key is in the log");
    practice.clinic.stop()?;
    practice.provider.stop()
}

/// The labelled set: what is asked of the rules is what they do, and a model that chooses badly is seen to.
#[test]
fn how_well_is_chosen_is_counted_for_rules_and_model() -> Result<()> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/planner");
    let (runbooks, set) = (data.join("runbooks"), data.join("incidents.jsonl"));
    let (runbooks, set) = (runbooks.to_str().context("UTF-8")?, set.to_str().context("UTF-8")?);
    let folder = Folder::new()?;
    let provider = Provider::init(&folder.join("control-plane"), "msp.example", None)?;
    let evaluate = ["planner", "evaluate", "--runbooks", runbooks, set];
    let report = provider.ask(&evaluate)?;
    let rules = &report["rules"];
    ensure!(report["incidents"].as_u64() >= Some(150) && report["model"].is_null(), "{report:#}");
    ensure!(
        rules["solvable"]["percent"].as_f64() >= Some(85.0) && rules["wrong_high_risk"] == 0,
        "{rules:#}"
    );
    for (group, least) in
        [("certain", 100.0), ("hostile", 100.0), ("unknown", 100.0), ("ambiguous", 60.0), ("several", 60.0)]
    {
        ensure!(rules["groups"][group]["percent"].as_f64() >= Some(least), "{group}: {rules:#}");
        ensure!(rules["groups"][group]["of"].as_u64() >= Some(20), "{group}: {rules:#}");
    }
    let counted: u64 =
        rules["confusion"].as_array().into_iter().flatten().filter_map(|cell| cell["times"].as_u64()).sum();
    ensure!(Some(counted) == report["incidents"].as_u64(), "{rules:#}");

    // One that always wants the same, of high risk: where that is not allowed the rules decide, and where it is it is wrong.
    let model = Model::start(|_| Behaviour::Chooses("RB-SERVICE-109".into()))?;
    provider.ask_model(&model.url(), NAME, KEY)?;
    let output = provider.run(&[&evaluate[..], &["--json"]].concat(), &[1])?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let judged = &report["model"];
    ensure!(judged["enough"] == false && judged["wrong_high_risk"].as_u64() > Some(10), "{judged:#}");
    ensure!(judged["asked"].as_u64() == Some(model.asked().len() as u64), "{judged:#}");
    let misbehaved = judged["misbehaved"].as_object().context("a list")?;
    ensure!(misbehaved.keys().all(|why| why.contains("none of the allowed")), "{judged:#}");
    ensure!(
        provider.ask(&[&evaluate[..], &["--rules-only"]].concat())?["model"].is_null(),
        "a model was asked"
    );

    // A set that is none is refused by its line.
    let bad = folder.join("bad.jsonl");
    let good = fs::read_to_string(set)?.lines().next().context("a line")?.to_owned();
    let (same, other) = (good.clone(), good.replace("-01", "-02").replace("RB-CPU-001", "RB-DISK-001"));
    for (second, why) in [
        ("{}", "line 2: JSON is not an incident"),
        (same.as_str(), "line 2: id \"certain-01\" is there already"),
        (other.as_str(), "line 2: label \"RB-DISK-001\" must be"),
    ] {
        fs::write(&bad, format!("{good}\n{second}\n"))?;
        let path = bad.to_str().context("UTF-8")?;
        let output = provider.run(&["planner", "evaluate", "--runbooks", runbooks, path], &[2])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(said.contains(why), "{said}");
    }
    Ok(())
}
