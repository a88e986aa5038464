//! The executor's life as it should be: enrolled, ordered, executed, proven.

use std::time::Duration;

use crate::support::{ask, at, box_world::Appliance, collect, deliver, describe, office::Office, try_ask};
use appliance::{executor::ExecutorCore, world::Clock as _};
use proto::{
    digest::Digest,
    evidence::{self, Body, ClockSource, StepResult, Verdict},
    local::{self, request::Call, response::Answer},
};

pub fn enrolled() -> (Office, Appliance, ExecutorCore) {
    let office = Office::new(at("2026-11-22T12:00:00Z"));
    let appliance = Appliance::new(office.trust(), office.now);
    let mut core = appliance.open();
    enrol(&office, &mut core);
    (office, appliance, core)
}

fn enrol(office: &Office, core: &mut ExecutorCore) {
    let prove = local::ProveKeys { tls_spki: office.spki().to_vec(), challenge: vec![1; 32] };
    ask(core, Call::ProveKeys(prove));
    ask(core, Call::Adopt(office.adopt()));
}

pub fn tell_time(office: &Office, core: &mut ExecutorCore) {
    let d = describe(core);
    let time_token = office.token(&d.incarnation, &d.nonce);
    let delivered = deliver(core, local::Deliver { time_token, ..local::Deliver::default() });
    assert!(delivered.problems.is_empty(), "{:?}", delivered.problems);
}

pub fn order(
    office: &Office,
    core: &mut ExecutorCore,
    n: u8,
    sequence: u64,
    runbook: &str,
    watch: &str,
) -> local::Outcome {
    let incarnation = describe(core).incarnation;
    let orders = vec![office.order(n, sequence, &incarnation, runbook, watch)];
    deliver(core, local::Deliver { orders, ..local::Deliver::default() }).outcomes.remove(0)
}

pub fn work(core: &mut ExecutorCore) {
    while core.step().unwrap() {}
}

pub fn bodies(office: &mut Office, core: &mut ExecutorCore) -> Vec<Body> {
    office.take(&collect(core, 0));
    office.records().into_iter().map(|record| record.body).collect()
}

fn refusal_of(bodies: Vec<Body>) -> proto::evidence::Refusal {
    bodies
        .into_iter()
        .find_map(|body| if let Body::Refusal(refusal) = body { Some(refusal) } else { None })
        .unwrap()
}

/// Sends all evidence to the log and brings the proofs back.
fn prove(office: &mut Office, core: &mut ExecutorCore) -> local::Delivered {
    let d = describe(core);
    office.take(&collect(core, 0));
    let message = local::Deliver {
        checkpoint: office.checkpoint(),
        consistency: office.consistency(d.checkpoint_size),
        inclusions: office.inclusions(&d.unproven),
        ..local::Deliver::default()
    };
    deliver(core, message)
}

#[test]
fn from_enrolment_to_proven_evidence() {
    let (mut office, appliance, mut core) = enrolled();
    tell_time(&office, &mut core);
    work(&mut core);
    assert!(order(&office, &mut core, 7, 1, "RB-DISK-002", "uploads").accepted);
    work(&mut core);
    assert_eq!(appliance.machine.lock().performed, [("files.prune".to_owned(), "uploads".to_owned())]);

    let bodies = bodies(&mut office, &mut core);
    let kinds: Vec<_> = bodies.iter().map(Body::kind).collect();
    assert_eq!(kinds, ["enrolment", "heartbeat", "execution", "scan"]);
    let Body::Execution(execution) = &bodies[2] else { panic!() };
    assert_eq!(execution.verdict, Verdict::Repaired);
    assert_eq!(execution.guardrails.len(), 12);
    assert_eq!((execution.before["bytes"], execution.after["bytes"]), (500, 0));
    assert_eq!(execution.steps[0].result, StepResult::Done);
    assert_eq!(execution.steps[0].output, None, "the procedure keeps no output");
    let kept: String = appliance
        .connection()
        .query_row("SELECT CAST(content AS TEXT) FROM output", [], |r| r.get(0))
        .unwrap();
    assert!(kept.contains("restored") && !kept.contains("6789"), "what stays here is redacted, too: {kept}");
    let last = office.records().pop().unwrap();
    assert_eq!((last.clock.source, last.clock.at), (ClockSource::Token, office.now));

    let delivered = prove(&mut office, &mut core);
    assert!(delivered.problems.is_empty(), "{:?}", delivered.problems);
    let d = describe(&mut core);
    assert_eq!((d.evidence_first, d.evidence_next, d.checkpoint_size), (4, 4, 4));
    assert!(d.unproven.is_empty() && collect(&mut core, 0).is_empty());
    assert_eq!(d.executions[0].state, "repaired");
    // The next record names the checkpoint that was verified.
    appliance.clock.pass(Duration::from_secs(3600));
    work(&mut core);
    office.take(&collect(&mut core, 0));
    assert_eq!(office.records()[4].checkpoint.unwrap().size, 4);
}

#[test]
fn what_is_gone_needs_nothing_done() {
    let (mut office, appliance, mut core) = enrolled();
    tell_time(&office, &mut core);
    appliance.machine.lock().levels.insert("uploads".into(), 10);
    assert!(order(&office, &mut core, 7, 1, "RB-DISK-002", "uploads").accepted);
    work(&mut core);
    assert!(appliance.machine.lock().performed.is_empty());
    let refusal = refusal_of(bodies(&mut office, &mut core));
    assert_eq!((refusal.guardrail, refusal.name.as_str()), (11, "precondition"));
    assert!(refusal.order.is_some());
    assert_eq!(describe(&mut core).executions[0].state, "refused");
}

#[test]
fn a_step_that_does_not_help_or_fails_says_so() {
    let (mut office, appliance, mut core) = enrolled();
    tell_time(&office, &mut core);
    appliance.machine.lock().steps_help = false;
    assert!(order(&office, &mut core, 7, 1, "RB-DISK-002", "uploads").accepted);
    work(&mut core);
    appliance.machine.lock().steps_end = Some(StepResult::TimedOut);
    assert!(order(&office, &mut core, 8, 2, "RB-DISK-002", "scans").accepted);
    work(&mut core);
    let verdicts: Vec<Verdict> = bodies(&mut office, &mut core)
        .into_iter()
        .filter_map(|body| if let Body::Execution(execution) = body { Some(execution.verdict) } else { None })
        .collect();
    assert_eq!(verdicts, [Verdict::Ineffective, Verdict::Failed]);
}

#[test]
fn a_proven_restore_is_remembered_across_restarts() {
    let (office, appliance, mut core) = enrolled();
    tell_time(&office, &mut core);
    assert!(order(&office, &mut core, 7, 1, "RB-RESTORE-001", "records").accepted);
    work(&mut core);
    assert_eq!(describe(&mut core).executions[0].state, "repaired");
    drop(core);
    appliance.clock.pass(Duration::from_secs(5));
    let mut core = appliance.open();
    appliance.clock.pass(Duration::from_secs(5));
    let Answer::Measured(measured) =
        ask(&mut core, Call::Measure(local::Measure { watch: "records".into() }))
    else {
        panic!()
    };
    let age = measured.readings.iter().find(|reading| reading.name == "restore_age_seconds").unwrap().value;
    assert_eq!(age, 5, "what passed while it was off counts for nothing without a token");
}

#[test]
fn the_same_target_again_is_too_soon_and_the_sequence_is_spent() {
    let (mut office, appliance, mut core) = enrolled();
    // Up for long: what counts is the time since it ran.
    appliance.clock.pass(Duration::from_secs(3600));
    office.now = appliance.clock.wall();
    tell_time(&office, &mut core);
    assert!(order(&office, &mut core, 7, 1, "RB-DISK-002", "uploads").accepted);
    work(&mut core);
    appliance.machine.lock().levels.insert("uploads".into(), 500);
    let outcome = order(&office, &mut core, 8, 2, "RB-DISK-002", "uploads");
    assert!(!outcome.accepted && outcome.refusal.contains("guardrail 8"), "{}", outcome.refusal);
    // Refused is refused: the same order is not better five minutes later.
    appliance.clock.pass(Duration::from_secs(301));
    let again = order(&office, &mut core, 8, 2, "RB-DISK-002", "uploads");
    assert!(again.refusal.contains("guardrail 4"), "{}", again.refusal);
    assert!(order(&office, &mut core, 9, 3, "RB-DISK-002", "uploads").accepted);
    work(&mut core);
    assert_eq!(appliance.machine.count("files.prune", "uploads"), 2);
    let refusals = bodies(&mut office, &mut core).iter().filter(|body| body.kind() == "refusal").count();
    assert_eq!(refusals, 2);
}

#[test]
fn cooldown_holds_across_a_restart_and_the_breaker_opens() {
    let (mut office, appliance, mut core) = enrolled();
    tell_time(&office, &mut core);
    appliance.machine.lock().steps_help = false;
    appliance.machine.lock().steps_end = Some(StepResult::Failed);
    for n in 1..=3 {
        office.now = appliance.clock.wall();
        assert!(order(&office, &mut core, n, n.into(), "RB-DISK-002", "uploads").accepted);
        work(&mut core);
        appliance.clock.pass(Duration::from_secs(301));
    }
    drop(core);
    let mut core = appliance.open();
    office.now = appliance.clock.wall();
    tell_time(&office, &mut core);
    let outcome = order(&office, &mut core, 4, 4, "RB-DISK-002", "uploads");
    assert!(outcome.refusal.contains("breaker"), "{}", outcome.refusal);
    assert!(order(&office, &mut core, 5, 5, "RB-DISK-002", "scans").accepted, "another target");
}

#[test]
fn what_was_in_vain_is_not_repeated_within_the_hour_across_a_restart() {
    let (mut office, appliance, mut core) = enrolled();
    tell_time(&office, &mut core);
    appliance.machine.lock().steps_help = false;
    assert!(order(&office, &mut core, 1, 1, "RB-DISK-002", "uploads").accepted);
    work(&mut core);
    appliance.clock.pass(Duration::from_secs(301));
    drop(core);
    let mut core = appliance.open();
    office.now = appliance.clock.wall();
    tell_time(&office, &mut core);
    let outcome = order(&office, &mut core, 2, 2, "RB-DISK-002", "uploads");
    assert!(outcome.refusal.contains("was ineffective on this target"), "{}", outcome.refusal);
    assert!(order(&office, &mut core, 3, 3, "RB-DISK-002", "scans").accepted, "another target");
    work(&mut core);
    appliance.clock.pass(Duration::from_secs(3300));
    office.now = appliance.clock.wall();
    tell_time(&office, &mut core);
    assert!(order(&office, &mut core, 4, 4, "RB-DISK-002", "uploads").accepted);
}

#[test]
fn a_file_at_the_box_holds_orders_and_is_evidence() {
    let (mut office, appliance, mut core) = enrolled();
    tell_time(&office, &mut core);
    assert!(order(&office, &mut core, 7, 1, "RB-DISK-002", "uploads").accepted);
    appliance.machine.lock().held = true;
    work(&mut core);
    assert!(appliance.machine.lock().performed.is_empty(), "held after it was accepted");
    let outcome = order(&office, &mut core, 8, 2, "RB-DISK-002", "scans");
    assert!(outcome.refusal.contains("guardrail 12"), "{}", outcome.refusal);
    assert!(describe(&mut core).hold.contains("file"));
    appliance.machine.lock().held = false;
    work(&mut core);
    let holds: Vec<bool> = bodies(&mut office, &mut core)
        .into_iter()
        .filter_map(|body| if let Body::Hold(hold) = body { Some(hold.held) } else { None })
        .collect();
    assert_eq!(holds, [true, false]);
    assert_eq!(describe(&mut core).hold, "");
}

#[test]
fn heartbeats_come_by_the_executors_own_clock() {
    let (mut office, appliance, mut core) = enrolled();
    for _ in 0..5 {
        work(&mut core);
        appliance.clock.pass(Duration::from_secs(1800));
    }
    let beats: Vec<_> = bodies(&mut office, &mut core)
        .into_iter()
        .filter_map(|body| if let Body::Heartbeat(beat) = body { Some(beat) } else { None })
        .collect();
    assert_eq!(beats.len(), 3);
    assert_eq!((beats[0].charter_serial, beats[0].catalogue_version, beats[0].policy_serial), (1, 1, 1));
    assert_eq!(beats[0].watch.len(), 3);
    assert_eq!(beats[0].every_ms, 3_600_000);
}

#[test]
fn without_trusted_time_an_order_waits_and_none_is_lost() {
    let (office, appliance, mut core) = enrolled();
    let outcome = order(&office, &mut core, 7, 1, "RB-DISK-002", "uploads");
    assert!(!outcome.accepted && outcome.refusal.contains("not judged yet"), "{}", outcome.refusal);
    tell_time(&office, &mut core);
    assert!(order(&office, &mut core, 7, 1, "RB-DISK-002", "uploads").accepted);
    assert!(order(&office, &mut core, 7, 1, "RB-DISK-002", "uploads").accepted, "the answer was lost");
    drop(core);
    let mut core = appliance.open();
    work(&mut core);
    assert!(appliance.machine.lock().performed.is_empty(), "whether it is fresh, nobody knows yet");
    tell_time(&office, &mut core);
    work(&mut core);
    assert_eq!(appliance.machine.count("files.prune", "uploads"), 1);
}

#[test]
fn an_order_that_waited_too_long_is_refused_with_evidence() {
    let (mut office, appliance, mut core) = enrolled();
    tell_time(&office, &mut core);
    assert!(order(&office, &mut core, 7, 1, "RB-DISK-002", "uploads").accepted);
    drop(core);
    let mut core = appliance.open();
    appliance.clock.pass(Duration::from_secs(901));
    work(&mut core);
    assert!(appliance.machine.lock().performed.is_empty());
    assert_eq!(refusal_of(bodies(&mut office, &mut core)).name, "freshness");
}

#[test]
fn a_renewed_certificate_is_taken_and_another_name_is_not() {
    let (office, _appliance, mut core) = enrolled();
    let renewed = local::Adopt { certificate: office.certificate(), ..local::Adopt::default() };
    ask(&mut core, Call::Adopt(renewed));
    assert_eq!(describe(&mut core).evidence_next, 1, "no second enrolment");
    let other = "0190a0c0-0000-7000-8000-0000000000ff".parse().unwrap();
    let other =
        local::Adopt { certificate: office.certificate_for(other, &office.tls), ..local::Adopt::default() };
    let refused = try_ask(&mut core, Call::Adopt(other)).unwrap_err();
    assert!(refused.problem.contains("stays it"), "{}", refused.problem);
}

#[test]
fn the_largest_watch_list_fits_into_a_heartbeat_and_a_larger_one_stops_nothing() {
    for (entries, named) in [(256, 256), (2000, 0)] {
        let office = Office::new(at("2026-11-22T12:00:00Z"));
        let mut appliance = Appliance::new(office.trust(), office.now);
        let (_, entry) = appliance.settings.watch.pop_first().unwrap();
        appliance.settings.watch =
            (0..entries).map(|n| (format!("a{n:039}").parse().unwrap(), entry.clone())).collect();
        let mut core = appliance.open();
        enrol(&office, &mut core);
        work(&mut core);
        let mut office = office;
        let beats: Vec<usize> = bodies(&mut office, &mut core)
            .into_iter()
            .filter_map(|body| if let Body::Heartbeat(beat) = body { Some(beat.watch.len()) } else { None })
            .collect();
        assert_eq!(beats, [named]);
    }
}

#[test]
fn output_that_a_procedure_keeps_goes_along_by_digest_without_identifiers() {
    let (office, _appliance, mut core) = enrolled();
    tell_time(&office, &mut core);
    work(&mut core);
    assert!(order(&office, &mut core, 7, 1, "RB-RESTORE-001", "records").accepted);
    work(&mut core);
    let items = collect(&mut core, 0);
    let with: Vec<_> = items.iter().filter(|item| !item.attachments.is_empty()).collect();
    let [kept] = with[..] else { panic!("one execution") };
    let Body::Execution(execution) = evidence::peek(&kept.envelope).unwrap().body else { panic!() };
    let [content] = &kept.attachments[..] else { panic!("one step, one output") };
    assert_eq!(execution.steps[0].output, Some(Digest::of(content)));
    let text = String::from_utf8(content.clone()).unwrap();
    assert!(text.contains("restored") && !text.contains("6789"), "{text}");
}

#[test]
fn no_room_for_evidence_no_execution() {
    let office = Office::new(at("2026-11-22T12:00:00Z"));
    let mut appliance = Appliance::new(office.trust(), office.now);
    appliance.settings.evidence_max = 300 * 1024;
    let mut core = appliance.open();
    enrol(&office, &mut core);
    tell_time(&office, &mut core);
    let outcome = order(&office, &mut core, 7, 1, "RB-DISK-002", "uploads");
    assert!(outcome.refusal.contains("evidence-full"), "{}", outcome.refusal);
    assert!(describe(&mut core).hold.contains("no room"));
}

/// A month without a control plane on the smallest box: hourly heartbeats and scans, and a hold now and then, are kept,
/// and there is still room to work.
#[test]
fn a_month_offline_fits_into_the_small_profile() {
    const SMALL: &str = include_str!("../../../hardware/profiles/nuc-small.toml");
    let most: u64 =
        SMALL.lines().find_map(|line| line.strip_prefix("evidence_max_mb = ")).unwrap().parse().unwrap();
    let office = Office::new(at("2026-11-22T12:00:00Z"));
    let mut appliance = Appliance::new(office.trust(), office.now);
    appliance.settings.evidence_max = most << 20;
    let (_, entry) =
        appliance.settings.watch.first_key_value().map(|(id, entry)| (id.clone(), entry.clone())).unwrap();
    // A long watch list: every heartbeat names it.
    appliance.settings.watch.extend((0..60).map(|n| (format!("a{n:039}").parse().unwrap(), entry.clone())));
    appliance.machine.lock().levels.extend((0..60).map(|n| (format!("a{n:039}"), 0)));
    let mut core = appliance.open();
    enrol(&office, &mut core);
    for hour in 0..30 * 24 {
        appliance.machine.lock().held = hour % 48 == 0;
        work(&mut core);
        appliance.clock.pass(Duration::from_secs(3600));
    }
    let d = describe(&mut core);
    assert_eq!(d.evidence_first, 0, "nothing went");
    assert!(d.evidence_next >= 30 * 24, "a heartbeat for each hour, at least: {}", d.evidence_next);
    assert!(!d.hold.contains("no room"), "{}", d.hold);
    let mut bytes = 0;
    let mut next = 0;
    while next < d.evidence_next {
        let items = collect(&mut core, next);
        bytes += items.iter().map(|item| item.envelope.len()).sum::<usize>();
        next = items.last().unwrap().index + 1;
    }
    println!("{} records, {bytes} bytes", d.evidence_next);
    assert!((bytes as u64) < (most << 20) / 2, "{bytes} bytes of {most} MiB");
}
