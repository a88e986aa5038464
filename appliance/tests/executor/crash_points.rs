//! Power cuts: after every commit of the executor, and at every call to its machine; then it is switched on again.
//!
//! Whatever the point: no step happens twice, the chain is unbroken, no evidence is lost, and every order that was taken
//! ends in exactly one record.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use appliance::{executor::ExecutorCore, world::Clock as _};
use proto::{
    digest::Digest,
    evidence::{Body, Verdict},
    local::{self, request::Call, response::Answer},
};
use rusqlite::Connection;

use crate::support::{at, box_world::Appliance, office::Office, try_ask};

/// Orders of the story: the third is refused, because nobody watches what it names; the fourth finds its fault gone.
const ORDERS: [(u8, &str, &str); 4] = [
    (1, "RB-DISK-002", "uploads"),
    (2, "RB-BACKUP-001", "records"),
    (3, "RB-DISK-002", "unlisted"),
    (4, "RB-DISK-002", "scans"),
];

/// The power failed: nothing of this session goes on.
struct PowerCut;

type Session<T> = Result<T, PowerCut>;

fn ask(core: &mut ExecutorCore, call: Call) -> Session<Answer> {
    // In this story nothing is refused but by a database that cannot be written.
    try_ask(core, call).map_err(|failure| {
        assert!(failure.problem.contains("executor.db"), "{} {}", failure.field, failure.problem);
        PowerCut
    })
}

fn describe(core: &mut ExecutorCore) -> Session<local::Description> {
    match ask(core, Call::Describe(local::Describe {}))? {
        Answer::Description(description) => Ok(description),
        other => panic!("{other:?}"),
    }
}

fn deliver(core: &mut ExecutorCore, deliver: local::Deliver) -> Session<local::Delivered> {
    match ask(core, Call::Deliver(deliver))? {
        Answer::Delivered(delivered) => Ok(delivered),
        other => panic!("{other:?}"),
    }
}

/// One session of an honest agent, from wherever the box stands to the end of the story.
fn session(office: &mut Office, core: &mut ExecutorCore) -> Session<()> {
    let d = describe(core)?;
    if d.identity.is_none() {
        let prove = local::ProveKeys { tls_spki: office.spki().to_vec(), challenge: vec![1; 32] };
        ask(core, Call::ProveKeys(prove))?;
        ask(core, Call::Adopt(office.adopt()))?;
    }
    let d = describe(core)?;
    let token = office.token(&d.incarnation, &d.nonce);
    let told = local::Deliver {
        time_token: token,
        catalogue: office.catalogue_bytes(2),
        ..local::Deliver::default()
    };
    assert!(deliver(core, told)?.problems.is_empty());
    for (n, runbook, watch) in ORDERS {
        if describe(core)?.order_high < u64::from(n) {
            let orders = vec![office.order(n, n.into(), &d.incarnation, runbook, watch)];
            deliver(core, local::Deliver { orders, ..local::Deliver::default() })?;
        }
        while core.step().map_err(|_| PowerCut)? {}
    }
    // Twice: what is signed meanwhile is proven too.
    for _ in 0..2 {
        let d = describe(core)?;
        let Answer::Collected(collected) =
            ask(core, Call::Collect(local::Collect { from: 0, wait_ms: 0, most_bytes: 1 << 20 }))?
        else {
            panic!()
        };
        office.take(&collected.items);
        let proofs = local::Deliver {
            checkpoint: office.checkpoint(),
            consistency: office.consistency(d.checkpoint_size),
            inclusions: office.inclusions(&d.unproven),
            ..local::Deliver::default()
        };
        assert!(deliver(core, proofs)?.problems.is_empty());
    }
    Ok(())
}

/// Lets the database commit `commits` times, then never again.
pub fn limit(connection: &Connection, commits: i64) -> Arc<AtomicI64> {
    let left = Arc::new(AtomicI64::new(commits));
    let counter = left.clone();
    connection.commit_hook(Some(move || counter.fetch_sub(1, Ordering::SeqCst) <= 0)).unwrap();
    left
}

/// A session that may end at any moment; `true`: it came to the end of the story.
fn session_with(office: &mut Office, appliance: &Appliance, connection: Connection) -> bool {
    catch_unwind(AssertUnwindSafe(|| {
        let Ok(mut core) = appliance.open_with(connection) else { return false };
        session(office, &mut core).is_ok()
    }))
    .unwrap_or_else(|panic| {
        let expected = panic.downcast_ref::<&str>().is_some_and(|text| *text == "the power failed");
        assert!(expected, "another panic than the power cut");
        false
    })
}

fn check(office: &Office, appliance: &Appliance, point: &str) {
    let records = office.records();
    let next = describe(&mut appliance.open()).map_or(0, |d| d.evidence_next);
    assert_eq!(records.len() as u64, next, "{point}: evidence was lost");
    assert_eq!(records.iter().filter(|record| record.body.kind() == "enrolment").count(), 1, "{point}");
    for (action, watch) in
        [("files.prune", "uploads"), ("restic.backup", "records"), ("files.prune", "scans")]
    {
        assert!(appliance.machine.count(action, watch) <= 1, "{point}: {action} on {watch} happened twice");
    }
    let incarnation = records[0].chain.incarnation.to_vec();
    for (n, runbook, watch) in ORDERS {
        let payload = office.issue(office.core(n, &incarnation, runbook, watch), n.into()).encode();
        let ends: Vec<&Body> = records
            .iter()
            .map(|record| &record.body)
            .filter(|body| body.order_digest() == Some(Digest::of(&payload)))
            .collect();
        assert_eq!(ends.len(), 1, "{point}: order {n} has {} ends", ends.len());
        match ends[0] {
            Body::Execution(execution) => {
                assert_ne!(n, 3, "{point}");
                // What broke off is never called done.
                let done = execution.verdict == Verdict::Repaired;
                assert!(
                    !done || appliance.machine.count(&execution.steps[0].action, watch) == 1,
                    "{point}: order {n}"
                );
            }
            Body::Refusal(refusal) => {
                let expected: &[&str] = if n == 3 { &["parameters"] } else { &["precondition"] };
                assert!(
                    expected.contains(&refusal.name.as_str()),
                    "{point}: order {n} refused by {}",
                    refusal.name
                );
                assert!(n >= 3, "{point}: order {n} was refused");
            }
            other => panic!("{point}: {other:?}"),
        }
    }
}

fn begin() -> (Office, Appliance) {
    let office = Office::new(at("2026-11-22T12:00:00Z"));
    let appliance = Appliance::new(office.trust(), office.now);
    appliance.machine.lock().levels.insert("scans".into(), 1);
    (office, appliance)
}

#[test]
fn after_every_commit_and_after_every_commit_of_the_second_session() {
    let mut ended_at_once = None;
    for first in 0.. {
        for second in [0, 1, 3, 6] {
            let (mut office, appliance) = begin();
            let connection = appliance.connection();
            limit(&connection, first);
            if session_with(&mut office, &appliance, connection) {
                ended_at_once = Some(first);
                break;
            }
            let connection = appliance.connection();
            limit(&connection, second);
            if !session_with(&mut office, &appliance, connection) {
                assert!(session_with(&mut office, &appliance, appliance.connection()), "{first}, {second}");
            }
            check(&office, &appliance, &format!("after {first} and {second} commits"));
        }
        if ended_at_once.is_some() {
            break;
        }
    }
    let commits = ended_at_once.unwrap();
    assert!((15..60).contains(&commits), "the story has {commits} commits");
}

#[test]
fn at_every_call_to_the_machine() {
    // The panics are the test; their text would only hide another's.
    let mut calls = 0;
    loop {
        let (mut office, appliance) = begin();
        appliance.machine.lock().calls_left = Some(calls);
        let ended = session_with(&mut office, &appliance, appliance.connection());
        appliance.machine.lock().calls_left = None;
        if !ended {
            assert!(session_with(&mut office, &appliance, appliance.connection()), "{calls}");
        }
        check(&office, &appliance, &format!("at call {calls}"));
        if ended {
            break;
        }
        calls += 1;
    }
    assert!((6..40).contains(&calls), "the story has {calls} calls");
}

#[test]
fn a_full_disk_delays_evidence_and_loses_none() {
    for full_from in 0..40 {
        let (mut office, appliance) = begin();
        let connection = appliance.connection();
        let left = limit(&connection, i64::MAX);
        let mut core = appliance.open_with(connection).unwrap();
        let _ = left.swap(full_from, Ordering::SeqCst);
        let mut full = 0;
        while session(&mut office, &mut core).is_err() {
            full += 1;
            assert!(full < 10, "it goes on once there is room");
            if full == 3 {
                left.store(i64::MAX, Ordering::SeqCst);
            }
        }
        drop(core);
        check(&office, &appliance, &format!("full from commit {full_from}"));
        let interrupted = office
            .records()
            .iter()
            .any(|record| matches!(&record.body, Body::Execution(e) if e.verdict != Verdict::Repaired));
        assert!(!interrupted, "nothing was interrupted: the process lived on");
        assert_eq!(appliance.clock.wall(), office.now);
    }
}

/// A standing order's use is a story of its own: nobody delivers it, and its counter must hold whatever happens.
fn standing_session(office: &Office, appliance: &Appliance, core: &mut ExecutorCore) -> Session<()> {
    let d = describe(core)?;
    if d.identity.is_none() {
        let prove = local::ProveKeys { tls_spki: office.spki().to_vec(), challenge: vec![1; 32] };
        ask(core, Call::ProveKeys(prove))?;
        ask(core, Call::Adopt(office.adopt()))?;
    }
    let d = describe(core)?;
    let mut standing = office.standing(1, &d.incarnation, "RB-BACKUP-001", "records");
    // The same one in every session.
    standing.issued = at("2026-11-22T12:00:00Z");
    standing.expires = at("2026-12-10T12:00:00Z");
    let standing = vec![standing.seal(&office.order_key)];
    let time_token = office.token(&d.incarnation, &d.nonce);
    assert!(deliver(core, local::Deliver { time_token, ..local::Deliver::default() })?.problems.is_empty());
    deliver(core, local::Deliver { standing, ..local::Deliver::default() })?;
    for _ in 0..40 {
        while core.step().map_err(|_| PowerCut)? {}
        // What was in vain is not repeated within the hour, so two uses take longer than that.
        appliance.clock.pass(std::time::Duration::from_secs(150));
    }
    Ok(())
}

#[test]
fn a_standing_order_at_every_commit_and_every_call() {
    for by_calls in [false, true] {
        let points = (0_u32..).find(|point| standing_order_at(*point, by_calls)).unwrap();
        assert!((15..200).contains(&points), "the story has {points} points ({by_calls})");
    }
}

/// Gives whether the story came to its end, so that there is no further point.
fn standing_order_at(point: u32, by_calls: bool) -> bool {
    let (mut office, appliance) = begin();
    // Nothing helps: it is tried for as long as it is permitted, and no longer.
    appliance.machine.lock().steps_help = false;
    let attempt = |office: &Office, connection: Connection| {
        catch_unwind(AssertUnwindSafe(|| {
            let Ok(mut core) = appliance.open_with(connection) else { return false };
            standing_session(office, &appliance, &mut core).is_ok()
        }))
        .unwrap_or(false)
    };
    let connection = appliance.connection();
    if by_calls {
        appliance.machine.lock().calls_left = Some(point.into());
    } else {
        limit(&connection, point.into());
    }
    let ended = attempt(&office, connection);
    appliance.machine.lock().calls_left = None;
    office.now = appliance.clock.wall();
    attempt(&office, appliance.connection());
    let mut core = appliance.open();
    office.take(&crate::support::collect(&mut core, 0));
    let records = office.records();
    let uses = records.iter().filter_map(|record| match &record.body {
        Body::Execution(execution) => execution.order.standing.as_ref().map(|used| used.count),
        _ => None,
    });
    let counts: Vec<u32> = uses.collect();
    let begun = appliance.machine.count("restic.backup", "records");
    assert_eq!(counts, [1, 2], "{point} {by_calls}: every use has one end");
    assert!(begun <= 2, "{point} {by_calls}: begun {begun} times");
    ended
}
