//! What one box may take of what all share: however it floods, the others are served, and it is said.

use control_plane::store::Store;
use proto::{
    digest::Digest,
    evidence::Verdict,
    ids::TenantId,
    sync::{Batch, Phase, Record},
};
use runbooks::{Mode, Policy, Risk};

use crate::{
    appliance::{Appliance, execution},
    world::{CHANNEL, DAY, DISK, HOUR, MINUTE, World},
};

/// Events of so many faults that nobody has seen before.
fn strange_faults(world: &World, appliance: &mut Appliance, count: usize, phase: Phase) -> Vec<Record> {
    let fault = |n| appliance.event(world.now, &format!("odd.fault-{n}"), "uploads", phase);
    (0..count).map(fault).collect()
}

#[test]
fn a_box_with_too_many_faults_is_one_incident_more_and_its_events_are_kept() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let records = strange_faults(&world, &mut appliance, 300, Phase::Raised);
    world.send(&mut appliance, records);
    assert_eq!(world.count("SELECT count(*) FROM event"), 300);
    assert_eq!(world.count("SELECT count(*) FROM incident WHERE kind LIKE 'odd.%'"), 200);
    let told = "SELECT state || ' ' || reason FROM incident WHERE kind = 'appliance.too-many-faults'";
    assert!(world.text(told).starts_with("escalated it reports 200 faults"), "{}", world.text(told));
    assert_eq!(world.count("SELECT count(*) FROM notification"), 201);
    // An hour later they are still there, and it is not said again before a day has gone.
    let said = "SELECT count(*) FROM incident WHERE kind = 'appliance.too-many-faults'";
    for (wait, times) in [(2 * HOUR, 1), (DAY, 2)] {
        world.wait(wait);
        let event = appliance.event(world.now, "odd.other", "scans", Phase::Raised);
        world.send(&mut appliance, vec![event]);
        assert_eq!(world.count(said), times);
    }
    // Another box's faults are its own.
    let mut other = world.appliance();
    let event = other.event(world.now, DISK, "uploads", Phase::Raised);
    assert_eq!(world.send(&mut other, vec![event]).orders.len(), 1);
}

#[test]
fn a_box_that_floods_with_events_is_counted_and_told_of_once() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let budget =
        |world: &World| world.count("SELECT count(*) FROM incident WHERE kind = 'appliance.over-budget'");
    for batch in 1..=3 {
        let event = |_| appliance.event(world.now, "odd.fault", "uploads", Phase::Ongoing);
        let records = (0..900).map(event).collect();
        world.send(&mut appliance, records);
        assert_eq!(world.count("SELECT count(*) FROM event"), (batch * 900).min(2000));
    }
    let said = "SELECT group_concat(cause || ' ' || amount) FROM gap";
    assert_eq!((world.text(said).as_str(), budget(&world)), ("events-over-budget 700", 1));
    let event = appliance.event(world.now, "odd.fault", "uploads", Phase::Ongoing);
    world.send(&mut appliance, vec![event.clone()]);
    assert_eq!((world.text(said).as_str(), budget(&world)), ("events-over-budget 701", 1));
    // Evidence goes on, and so do the others; an hour later it is heard again.
    let beat = appliance.heartbeat(world.now);
    world.send(&mut appliance, vec![beat]);
    assert_eq!(world.count("SELECT count(*) FROM evidence"), 3);
    let mut other = world.appliance();
    let event = other.event(world.now, DISK, "uploads", Phase::Raised);
    assert_eq!(world.send(&mut other, vec![event]).orders.len(), 1);
    world.wait(HOUR + MINUTE);
    let event = appliance.event(world.now, "odd.fault", "uploads", Phase::Ongoing);
    world.send(&mut appliance, vec![event]);
    assert_eq!(world.count("SELECT count(*) FROM event WHERE kind = 'odd.fault'"), 2001);
}

#[test]
fn a_box_that_floods_with_gaps_is_counted_and_told_of_once() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let now = world.now;
    let gap = |n: usize| {
        let cause = format!("made-up-{n}");
        Record::Gap(proto::sync::Gap { cause, dropped: u64::MAX >> 1, first: now, last: now })
    };
    for _ in 0..3 {
        world.send(&mut appliance, (0..300).map(gap).collect());
    }
    assert_eq!(world.count("SELECT count(*) FROM gap"), 101);
    assert_eq!(world.count("SELECT amount FROM gap WHERE cause = 'gaps-over-budget'"), 800);
    assert_eq!(world.count("SELECT count(*) FROM incident WHERE kind = 'appliance.over-budget'"), 1);
    // Bad evidence makes gaps too.
    for _ in 0..50 {
        world.send(&mut appliance, vec![Record::Evidence(b"{}".to_vec())]);
    }
    assert_eq!(world.count("SELECT count(*) FROM gap"), 101);
    world.wait(DAY);
    world.send(&mut appliance, vec![gap(0)]);
    assert_eq!(world.count("SELECT count(*) FROM gap"), 102);
}

#[test]
fn faults_that_come_and_go_are_counted_by_the_hour() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let mut records = Vec::new();
    for _ in 0..250 {
        for phase in [Phase::Raised, Phase::Cleared] {
            records.push(appliance.event(world.now, "odd.fault", "uploads", phase));
        }
    }
    world.send(&mut appliance, records);
    assert_eq!(world.count("SELECT count(*) FROM incident WHERE kind = 'odd.fault'"), 200);
    world.wait(HOUR + MINUTE);
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    assert_eq!(world.send(&mut appliance, vec![event]).orders.len(), 1, "it is heard again");
}

#[test]
fn one_clinics_flood_delays_nobody_elses_news() {
    let mut world = World::new();
    let hill = world.tenant_named("Hill Clinic");
    let (mut loud, mut quiet) = (world.appliance(), world.appliance_at(&hill));
    let records = strange_faults(&world, &mut loud, 150, Phase::Raised);
    world.send(&mut loud, records);
    world.wait(MINUTE);
    let event = quiet.event(world.now, "odd.fault", "uploads", Phase::Raised);
    world.send(&mut quiet, vec![event]);
    let now = world.now;
    let due = world.core.run(now, |core| core.to_tell(CHANNEL, now)).unwrap();
    assert_eq!(due.len(), 16);
    let of_hill: Vec<usize> = (0..due.len()).filter(|at| due[*at].row.tenant.to_string() == hill).collect();
    assert_eq!(of_hill, [1], "after the one that waits longest");
    let numbers: Vec<i64> =
        due.iter().filter(|note| note.row.tenant.to_string() != hill).map(|note| note.row.id).collect();
    assert!(numbers.is_sorted(), "oldest first: {numbers:?}");
}

#[test]
fn bulk_that_no_record_names_makes_room_for_newer() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let piece = |n: u8| vec![n; 1_000_000];
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    let order = appliance.newest_order();
    // The first one is named, and stays; of the others there is room for 64 MiB.
    let body = execution(&order, Verdict::Repaired, Some(Digest::of(&piece(0))));
    let record = Record::Evidence(appliance.seal(world.now, body));
    world.send(&mut appliance, vec![Record::Attachment(piece(0)), record]);
    for n in 1..=80 {
        world.now = world.now.plus(MINUTE);
        world.send(&mut appliance, vec![Record::Attachment(piece(n))]);
    }
    let unnamed = world.count("SELECT sum(length(content)) FROM attachment WHERE sender IS NOT NULL");
    assert_eq!(unnamed, 67_000_000);
    let has = |n: u8| {
        let sql = format!("SELECT count(*) FROM attachment WHERE hex(sha256) = '{}'", hex(&piece(n)));
        world.count(&sql) == 1
    };
    assert!(has(0) && !has(1) && !has(13) && has(14) && has(80));
}

fn hex(content: &[u8]) -> String {
    Digest::of(content).to_string().to_uppercase()
}

#[test]
fn a_long_chain_is_caught_up_with_over_several_commands() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let first = appliance.heartbeat(world.now);
    let later: Vec<Record> = (0..2500).map(|_| appliance.heartbeat(world.now)).collect();
    let mut asked = appliance.ask(None);
    for part in later.chunks(500) {
        asked.batch = Some(appliance.freeze(part.to_vec()));
        appliance.unacknowledged = None;
        assert_eq!(world.exchange(&appliance, &asked).unwrap().evidence_next, 2);
    }
    asked.batch = Some(appliance.freeze(vec![first]));
    let reached = world.exchange(&appliance, &asked).unwrap().evidence_next;
    assert!((1003..2503).contains(&reached), "{reached} in one command");
    asked.batch = None;
    while world.exchange(&appliance, &asked).unwrap().evidence_next < 2503 {}
    assert_eq!(world.text("SELECT group_concat(cause || ' ' || amount) FROM gap"), "chain-hole 1");
}

#[test]
fn each_hole_is_said_once() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let records: Vec<Record> = (0..12).map(|_| appliance.heartbeat(world.now)).collect();
    // Records 2 to 13: a hole before 5, one more before 9; then pieces of the first.
    for at in [3, 4, 7, 8, 1, 0, 2, 9] {
        world.send(&mut appliance, vec![records[at].clone()]);
    }
    let gaps = "SELECT group_concat(amount, ' ') FROM (SELECT amount FROM gap WHERE cause = 'chain-hole' ORDER BY id)";
    assert_eq!(world.text(gaps), "3 2");
}

#[test]
fn two_histories_are_seen_although_the_other_cannot_be_read() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let batch = Batch {
        stream: appliance.stream,
        number: appliance.frozen.0,
        previous: Digest::of(b"another"),
        records: vec![0xff; 40],
    };
    let asked = appliance.ask(Some(batch));
    let response = world.exchange(&appliance, &asked).unwrap();
    assert!(response.ack.is_none() && response.quarantine.contains("two histories"));
}

#[test]
fn what_is_missing_of_a_box_is_summed_by_cause() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let row = world.core.appliances("").unwrap().remove(0);
    assert_eq!(world.core.gaps(&row).unwrap(), []);
    let gap = |dropped, at| {
        let (first, last) = (world.now.plus(at * MINUTE), world.now.plus((at + 1) * MINUTE));
        Record::Gap(proto::sync::Gap { cause: "buffer-full".into(), dropped, first, last })
    };
    let records = vec![gap(i64::MAX as u64, 3), gap(i64::MAX as u64, 1), gap(2, 2)];
    world.send(&mut appliance, records);
    let gaps = world.core.gaps(&row).unwrap();
    assert_eq!((gaps.len(), gaps[0].cause.as_str()), (1, "buffer-full"));
    assert!(gaps[0].amount >= 9_000_000_000_000_000_000);
    assert_eq!((gaps[0].first, gaps[0].last), (world.now.plus(MINUTE), world.now.plus(4 * MINUTE)));
}

/// A policy is opened once; another is another.
#[test]
fn what_never_runs_is_a_persons_at_once() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let tenant: TenantId = world.tenant.parse().unwrap();
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    assert_eq!(world.send(&mut appliance, vec![event]).orders.len(), 1);
    let mut policy = Policy::for_tenant(2, tenant);
    policy.modes.extend(Risk::ALL.iter().map(|risk| (*risk, Mode::Never)));
    let envelope = policy.seal(&proto::keys::SecretKey::ed25519(world.safe.order));
    Store::with(world.db.share()).unwrap().put_policy(tenant, 2, &envelope).unwrap();
    let event = appliance.event(world.now, DISK, "scans", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    assert_eq!(
        world.text("SELECT state || ' ' || reason FROM incident WHERE watch = 'scans'"),
        format!("escalated policy allows no runbook that is triggered by {DISK}")
    );
}
