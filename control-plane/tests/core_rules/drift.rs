//! Incidents of the baseline: by signed scans alone, whatever the agent says.

use std::collections::BTreeMap;

use proto::{
    digest::Digest,
    evidence::{Body, ControlFinding, Readings, Scan, Standing, Verdict},
    sync::{Phase, Record},
};

use crate::{
    appliance::{Appliance, watch},
    world::{HOUR, SECOND, World},
};

const DRIFTED: &str = "baseline.drifted";
const BROKEN: &str = "baseline.broken";

fn boxed() -> (World, Appliance) {
    let mut world = World::new();
    let mut appliance = world.enrolled();
    appliance.watch.insert(watch("it"), "baseline".into());
    let beat = appliance.heartbeat(world.now);
    world.send(&mut appliance, vec![beat]);
    (world, appliance)
}

/// A scan in which so many controls had drifted that the box can mend, and so many that it cannot.
fn scan(world: &World, appliance: &mut Appliance, drifted: i64, broken: i64) -> Record {
    let controls: Vec<String> = (1..=drifted + broken).map(|n| format!("NXH-{n:03}")).collect();
    scan_of(world, appliance, (drifted, broken), &controls)
}

fn scan_of(
    world: &World,
    appliance: &mut Appliance,
    (drifted, broken): (i64, i64),
    controls: &[String],
) -> Record {
    let found = |name: &String| {
        let finding = ControlFinding {
            standing: Standing::Drifted,
            reading: BTreeMap::new(),
            blind: None,
            exception: None,
        };
        (name.clone().try_into().unwrap(), finding)
    };
    let readings =
        [("controls", 56), ("drifted", drifted), ("broken", broken)].map(|(name, n)| (name.to_owned(), n));
    let body = Body::Scan(Scan {
        baseline: Digest::of(b"baseline"),
        watch: [watch("it")].into(),
        readings: Readings::from(readings),
        findings: controls.iter().map(found).collect(),
    });
    Record::Evidence(appliance.seal(world.now, body))
}

fn send(world: &mut World, appliance: &mut Appliance, drifted: i64, broken: i64) {
    let record = scan(world, appliance, drifted, broken);
    world.send(appliance, vec![record]);
}

fn say(world: &mut World, appliance: &mut Appliance, kind: &str, phase: Phase) {
    let event = appliance.event(world.now, kind, "it", phase);
    world.send(appliance, vec![event]);
}

/// Kind and state of all incidents, oldest first.
fn incidents(world: &World) -> String {
    world.text(
        "SELECT coalesce(group_concat(kind || ' ' || state, '; '), '')
         FROM (SELECT kind, state FROM incident ORDER BY opened_ms, kind, id)",
    )
}

fn present(world: &World) -> i64 {
    world.count("SELECT count(*) FROM incident WHERE present = 1")
}

#[test]
fn a_signed_scan_opens_an_incident_and_evidence_resolves_it() {
    let (mut world, mut appliance) = boxed();
    send(&mut world, &mut appliance, 2, 0);
    assert_eq!(incidents(&world), "baseline.drifted ordered");
    let order = appliance.newest_order();
    assert_eq!(
        (order.core.runbook.as_str(), order.core.parameters["baseline"].as_str()),
        ("RB-DRIFT-001", "it")
    );
    let done = appliance.executed(world.now, &order, Verdict::Repaired);
    let after = scan(&world, &mut appliance, 0, 0);
    world.send(&mut appliance, vec![done, after]);
    assert_eq!(incidents(&world), "baseline.drifted resolved");
    assert!(world.text("SELECT group_concat(detail) FROM timeline").contains("drifted: NXH-001, NXH-002"));
}

#[test]
fn whoever_owns_the_agent_can_neither_withdraw_an_incident_of_the_baseline_nor_invent_one() {
    let (mut world, mut appliance) = boxed();
    // A hold keeps it from being ordered, so that a clearing would withdraw it.
    let hold = appliance.hold(world.now, true);
    world.send(&mut appliance, vec![hold]);
    send(&mut world, &mut appliance, 1, 1);
    let before = "baseline.broken escalated; baseline.drifted planned";
    assert_eq!(incidents(&world), before);
    for kind in [DRIFTED, BROKEN] {
        say(&mut world, &mut appliance, kind, Phase::Cleared);
    }
    assert_eq!((incidents(&world).as_str(), present(&world)), (before, 2), "the agent says that all is fine");
    world.wait(SECOND);
    send(&mut world, &mut appliance, 0, 0);
    let after = "baseline.broken escalated; baseline.drifted withdrawn";
    assert_eq!((incidents(&world).as_str(), present(&world)), (after, 0), "the executor says so");
    for kind in [DRIFTED, BROKEN] {
        say(&mut world, &mut appliance, kind, Phase::Raised);
    }
    assert_eq!(
        (incidents(&world).as_str(), present(&world)),
        (after, 0),
        "what nobody has seen is no incident"
    );
    assert_eq!(world.count("SELECT count(*) FROM event WHERE kind LIKE 'baseline.%'"), 4, "its word is kept");
}

#[test]
fn what_no_runbook_mends_does_not_hold_up_the_repair_of_what_one_can() {
    let (mut world, mut appliance) = boxed();
    send(&mut world, &mut appliance, 0, 1);
    assert_eq!(incidents(&world), "baseline.broken escalated");
    world.wait(HOUR);
    send(&mut world, &mut appliance, 1, 1);
    assert_eq!(incidents(&world), "baseline.broken escalated; baseline.drifted ordered");
    assert_eq!(appliance.newest_order().core.runbook.as_str(), "RB-DRIFT-001");
    assert_eq!(world.count("SELECT count(*) FROM notification"), 1);
}

/// What people were told, oldest first.
fn told(world: &World) -> Vec<String> {
    let all = world.text("SELECT json_group_array(body) FROM (SELECT body FROM notification ORDER BY id)");
    let bodies: Vec<String> = serde_json::from_str(&all).unwrap();
    let reason = |body: &String| serde_json::from_str::<serde_json::Value>(body).unwrap()["reason"].clone();
    bodies.iter().map(|body| reason(body).as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_person_is_told_again_when_more_is_broken_and_only_then() {
    let (mut world, mut appliance) = boxed();
    let mut scans = |drifted, broken| {
        world.wait(HOUR);
        send(&mut world, &mut appliance, drifted, broken);
        (incidents(&world), told(&world))
    };
    let (state, all) = scans(0, 1);
    assert_eq!((state.as_str(), all.len()), ("baseline.broken escalated", 1));
    assert_eq!(scans(0, 1).1.len(), 1, "the same");
    let (state, all) = scans(0, 3);
    assert_eq!((state.as_str(), all.len()), ("baseline.broken escalated", 2), "no second incident");
    assert_eq!(all[1], "more of the baseline does not hold than was told; newly drifted: NXH-002, NXH-003");
    assert_eq!(scans(0, 3).1.len(), 2, "the same");
    assert_eq!(scans(0, 2).1.len(), 2, "less");
    let (_, all) = scans(0, 3);
    assert_eq!(all.len(), 3, "one has gone away and come back");
    assert!(all[2].ends_with("newly drifted: NXH-003"), "{all:?}");
    // What was set again and did not hold is a person's by now, though nothing has drifted anew.
    assert_eq!(scans(1, 3).1.len(), 3, "what a runbook is for");
    let (_, all) = scans(0, 4);
    assert_eq!(all.len(), 4);
    assert!(all[3].ends_with("drifted: NXH-001, NXH-002, NXH-003, NXH-004"), "{all:?}");
    assert_eq!(world.text("SELECT reason FROM incident WHERE kind = 'baseline.broken'"), all[3]);
    assert_eq!(world.count("SELECT count(*) FROM timeline WHERE what = 'grown'"), 3);
}

/// As many as before, but one of them is another, and no runbook mends it.
#[test]
fn one_that_nobody_mends_in_the_place_of_another_is_told() {
    let (mut world, mut appliance) = boxed();
    let nobodys = baseline::Baseline::hipaa_v1()
        .controls
        .iter()
        .filter(|control| matches!(control.repair, baseline::Repair::None { .. }))
        .map(|control| control.id.to_string());
    let nobodys: Vec<String> = nobodys.collect();
    for control in [&nobodys[0], &nobodys[1], &nobodys[1]] {
        world.wait(HOUR);
        let record = scan_of(&world, &mut appliance, (0, 1), std::slice::from_ref(control));
        world.send(&mut appliance, vec![record]);
    }
    let all = told(&world);
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all[1].ends_with(&format!("newly drifted: {}", nobodys[1])), "{all:?}");
}

#[test]
fn an_older_scan_says_nothing_about_now() {
    let (mut world, mut appliance) = boxed();
    let older = scan(&world, &mut appliance, 1, 0);
    let newer = scan(&world, &mut appliance, 0, 0);
    world.send(&mut appliance, vec![newer]);
    world.send(&mut appliance, vec![older]);
    assert_eq!(incidents(&world), "");
}

#[test]
fn a_box_that_watches_no_baseline_is_scanned_for_the_record_only() {
    let (mut world, mut appliance) = boxed();
    let Record::Evidence(envelope) = scan(&world, &mut appliance, 1, 1) else { panic!() };
    let Body::Scan(scan) = proto::evidence::peek(&envelope).unwrap().body else { panic!() };
    let nowhere = Scan { watch: [].into(), ..scan };
    let record = Record::Evidence(appliance.seal(world.now, Body::Scan(nowhere)));
    world.send(&mut appliance, vec![Record::Evidence(envelope), record]);
    assert_eq!(world.count("SELECT count(*) FROM evidence WHERE kind = 'scan'"), 2);
    assert_eq!(world.count("SELECT count(*) FROM incident"), 2, "by the first alone");
}
