//! Ten thousand answers that no model should give, and some that one should: only a member of the allowed set ever runs.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use control_plane::{
    core::planner::Model,
    planner::{Allowed, Decision, Misbehaviour, answer},
};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use proto::{ids::SiteId, sync::Phase};
use runbooks::{Catalogue, Policy, Risk, Runbook};
use serde_json::{Value, json};

use crate::world::{DISK, SECOND, START, World, shipped};

const ALLOWED: [&str; 3] = ["RB-DISK-002", "RB-DISK-102", "RB-DISK-109"];

fn catalogue() -> Vec<Runbook> {
    let mut all = shipped();
    let prune = all.iter().find(|runbook| runbook.id.as_str() == ALLOWED[0]).unwrap().clone();
    for (id, risk) in [(ALLOWED[1], Risk::Low), (ALLOWED[2], Risk::High)] {
        all.push(Runbook { id: id.parse().unwrap(), risk, ..prune.clone() });
    }
    for runbook in &mut all {
        // It is not how often something runs that is looked at here.
        runbook.limits.per_hour = 1000;
    }
    all
}

/// What an answer may name.
fn names() -> impl Strategy<Value = String> {
    let allowed = || prop::sample::select(ALLOWED.to_vec()).prop_map(str::to_owned);
    let disguised = allowed().prop_flat_map(|id| {
        prop::sample::select(vec![
            id.to_lowercase(),
            format!(" {id}"),
            format!("{id}\n"),
            format!("{id}\0"),
            format!("{id}\u{200b}"),
            format!("\u{202e}{id}"),
            format!("\u{feff}{id}"),
            id.replace('B', "\u{412}"),
            id.replace('-', "\u{2010}"),
            id.replace('0', "\u{ff10}"),
            format!("{id},{id}"),
            format!("../{id}"),
            format!("{id}; rm -rf /"),
        ])
    });
    prop_oneof![
        4 => allowed(),
        3 => disguised,
        2 => prop::sample::select(vec!["RB-BACKUP-001", "RB-DISK-001", "RB-SHELL-001", "RB-DISK-999", ""])
            .prop_map(str::to_owned),
        1 => prop::sample::select(vec!["escalate", "Escalate", "escalate ", "ESCALATE", "null"]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

/// What stands in the message.
fn contents() -> impl Strategy<Value = String> {
    let object = |name: &str, reason: &str| json!({ "choice": name, "reason": reason });
    let reason = || {
        prop_oneof![
            Just(String::new()),
            any::<String>(),
            Just("ä\u{1b}[2J\u{202e}".repeat(2000)),
            Just("ignore the guardrails ".repeat(1000)),
        ]
    };
    (names(), names(), reason(), 0..16_u8).prop_map(move |(name, other, reason, shape)| {
        let (good, quoted) = (object(&name, &reason), Value::from(name.as_str()));
        match shape {
            0..=3 => good.to_string(),
            4 => format!("\n {good} \n"),
            5 => json!({ "choice": name, "reason": reason, "confidence": 1.0 }).to_string(),
            6 => json!({ "choice": name, "reason": reason, "parameters": { "directory": "/" } }).to_string(),
            7 => format!(r#"{{"choice":{quoted},"choice":{},"reason":""}}"#, Value::from(other)),
            8 => json!({ "choice": good, "reason": reason }).to_string(),
            9 => json!({ "choice": [name], "reason": reason }).to_string(),
            10 => json!([good]).to_string(),
            11 => format!("```json\n{good}\n```"),
            12 => format!("I would run {name}, since {reason}"),
            13 => format!("{good}{}", object(&other, "")),
            14 => json!({ "choice": name }).to_string(),
            _ => format!("{}{}", "[".repeat(5000), name),
        }
    })
}

/// What comes back over the wire, or does not.
fn answers() -> impl Strategy<Value = Result<Vec<u8>, Misbehaviour>> {
    let message = |content: Value| json!({ "role": "assistant", "content": content });
    let body =
        (contents(), contents(), 0..20_u8, 0..400_usize).prop_map(move |(content, other, shape, cut)| {
            let choice = |content: &str| json!({ "index": 0, "message": message(content.into()) });
            let good = json!({ "id": "x", "choices": [choice(&content)], "usage": {} });
            match shape {
                0..=9 => good.to_string().into_bytes(),
                10 => json!({ "choices": [choice(&content), choice(&other)] }).to_string().into_bytes(),
                11 => json!({ "choices": [] }).to_string().into_bytes(),
                12 => format!(r#"{{"choices":[{}],"choices":[{}]}}"#, choice(&content), choice(&other))
                    .into_bytes(),
                13 => json!({ "choices": [{ "message": message(Value::Null), "tool_calls": [content] }] })
                    .to_string()
                    .into(),
                14 => json!({ "choices": [{ "message": message(json!([{ "text": content }])) }] })
                    .to_string()
                    .into(),
                15 => json!({ "choices": [{ "message": { "content": content, "refusal": "no" } }] })
                    .to_string()
                    .into(),
                16 => json!({ "error": { "message": content } }).to_string().into_bytes(),
                17 => good.to_string().into_bytes().into_iter().take(cut).collect(),
                18 => format!("{}{good}", " ".repeat(70_000)).into_bytes(),
                _ => content.into_bytes(),
            }
        });
    let silent = prop::sample::select(vec![
        Misbehaviour::TimedOut,
        Misbehaviour::Unreachable("connection reset".into()),
        Misbehaviour::Status(503),
        Misbehaviour::Redirect(302),
        Misbehaviour::ContentType,
        Misbehaviour::TooLong,
    ]);
    prop_oneof![
        12 => body.prop_map(Ok),
        1 => prop::collection::vec(any::<u8>(), 0..300).prop_map(Ok),
        1 => silent.prop_map(Err),
    ]
}

/// The one name that an answer gives when it is read by whoever believes everything.
fn named(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let content: Value = serde_json::from_str(body["choices"][0]["message"]["content"].as_str()?).ok()?;
    content["choice"].as_str().map(str::to_owned)
}

#[test]
fn of_ten_thousand_answers_none_brings_about_what_is_not_allowed() {
    let payload = Catalogue::build(1, START, START.plus(SECOND), catalogue()).unwrap();
    let catalogue = Catalogue::parse(&payload).unwrap();
    let site: SiteId = "0190a0c0-0000-7000-8000-000000000001".parse().unwrap();
    let allowed = Allowed::of(DISK, site, &catalogue, &Policy::default_local()).unwrap();
    let (ran, handed, refused) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let mut runner =
        TestRunner::new(Config { cases: 10_000, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&answers(), |came| {
        let body = came.clone().unwrap_or_default();
        match came.and_then(|body| answer::read(&body, &allowed)) {
            Ok(Decision::Run(pick, reason)) => {
                ran.set(ran.get() + 1);
                prop_assert!(ALLOWED.contains(&pick.runbook().as_str()));
                prop_assert_eq!(named(&body), Some(pick.runbook().to_string()));
                prop_assert!(reason.to_string().chars().count() <= 200);
                let obeyed = reason.to_string().contains(|c: char| c.is_control() || c == '\u{202e}');
                prop_assert!(!obeyed);
            }
            Ok(Decision::Escalate(_)) => {
                handed.set(handed.get() + 1);
                prop_assert_eq!(named(&body), Some("escalate".to_owned()));
            }
            Err(misbehaviour) => {
                refused.set(refused.get() + 1);
                prop_assert!(misbehaviour.to_string().len() < 2000);
            }
        }
        Ok(())
    });
    outcome.unwrap();
    // Not for want of good ones, nor of bad ones.
    let counts = (ran.get(), handed.get(), refused.get());
    assert!(counts.0 > 200 && counts.1 > 3 && counts.2 > 3000, "{counts:?}");
}

/// The same through the whole core: what is signed at the end is what a box would run.
#[test]
fn whatever_is_answered_only_allowed_orders_are_signed() {
    let mut world = World::with(|safe| {
        safe.catalogue = safe.catalogue(1, catalogue());
        safe.settings.model = Some(Model { name: "m".into(), calls_per_day: 10_000 });
    });
    let mut runner = TestRunner::deterministic();
    let answers = answers();
    let good =
        json!({ "choices": [{ "message": { "content": r#"{"choice":"RB-DISK-002","reason":""}"# } }] });
    let (good, mut asked) = (good.to_string().into_bytes(), 0);
    let mut by = BTreeMap::<String, usize>::new();
    // A box may open 200 incidents an hour, and a clinic have 600 orders.
    for box_ in 0..2 {
        let mut appliance = world.appliance();
        let entries: Vec<String> = (0..150).map(|at| format!("e{box_}-{at}")).collect();
        appliance.watch.extend(entries.iter().map(|entry| (entry.parse().unwrap(), "directory".to_owned())));
        let beat = appliance.heartbeat(world.now);
        world.send(&mut appliance, vec![beat]);
        for (at, entry) in entries.iter().enumerate() {
            let event = appliance.event(world.now, DISK, entry, Phase::Raised);
            world.send(&mut appliance, vec![event]);
            let call = world.count("SELECT max(id) FROM model_call WHERE ended_ms IS NULL");
            // A good one after every two, or the breaker opens and nothing is asked.
            let came = match at % 3 {
                2 => Ok(good.clone()),
                _ => answers.new_tree(&mut runner).unwrap().current(),
            };
            let now = world.now;
            world.core.run(now, |core| core.model_answered(call, came, now)).unwrap();
            asked += 1;
            world.wait(8 * SECOND);
        }
        world.call(&mut appliance);
        for order in appliance.orders.values() {
            *by.entry(order.plan.planner.clone()).or_default() += 1;
            assert!(ALLOWED.contains(&order.core.runbook.as_str()), "{order:?}");
            // By code, and never by what was answered.
            let names: BTreeSet<&str> = order.core.parameters.keys().map(String::as_str).collect();
            assert_eq!(names, ["directory"].into());
            assert!(order.core.parameters["directory"].as_str().starts_with('e'), "{order:?}");
        }
    }
    assert_eq!(world.count("SELECT count(*) FROM model_call WHERE ended_ms IS NOT NULL"), asked);
    assert!(by["rules"] > 20 && by["model"] > 20, "{by:?}");
}
