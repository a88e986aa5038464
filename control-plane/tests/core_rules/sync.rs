//! The exchange: batches, acknowledgements, incarnations; every event once, whatever the network does.

use control_plane::core::CoreError;
use proptest::prelude::*;
use proto::{
    digest::Digest,
    ids::Incarnation,
    sync::{Batch, Phase, Record, pack},
};

use crate::{
    appliance::Appliance,
    world::{DISK, SECOND, World, bad_field, denied},
};

fn events(world: &World) -> i64 {
    world.count("SELECT count(*) FROM event")
}

fn send(world: &mut World, appliance: &mut Appliance, batch: &Batch) -> proto::pb::SyncResponse {
    let asked = appliance.ask(Some(batch.clone()));
    world.exchange(appliance, &asked).unwrap()
}

fn raised(world: &World, appliance: &mut Appliance) -> Record {
    appliance.event(world.now, DISK, "uploads", Phase::Raised)
}

#[test]
fn a_batch_is_committed_once_and_acknowledged_as_often_as_it_comes() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let event = raised(&world, &mut appliance);
    let batch = appliance.freeze(vec![event]);
    let first = send(&mut world, &mut appliance, &batch).ack.unwrap();
    assert_eq!((first.number, &first.digest), (batch.number, &Digest::of(&batch.records).to_vec()));
    for _ in 0..3 {
        assert_eq!(send(&mut world, &mut appliance, &batch).ack.as_ref(), Some(&first));
    }
    assert_eq!(events(&world), 1);
    assert_eq!(world.count("SELECT events FROM incident"), 1);
}

#[test]
fn batches_that_never_came_are_a_gap_and_no_reason_to_stop() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    for _ in 0..3 {
        let event = raised(&world, &mut appliance);
        appliance.freeze(vec![event]);
        appliance.unacknowledged = None;
    }
    let event = raised(&world, &mut appliance);
    let response = world.send(&mut appliance, vec![event]);
    assert!(response.quarantine.is_empty());
    assert_eq!(world.text("SELECT cause || ' ' || amount FROM gap"), "batches-missing 3");
    assert_eq!(events(&world), 1);
}

/// A request that hung in a broken connection arrives when two newer ones have been answered.
#[test]
fn a_batch_that_comes_late_a_second_time_is_known() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let mut old = Vec::new();
    for _ in 0..4 {
        let event = raised(&world, &mut appliance);
        let batch = appliance.freeze(vec![event]);
        assert!(send(&mut world, &mut appliance, &batch).ack.is_some());
        appliance.acknowledged(&batch);
        old.push(batch);
    }
    for batch in &old {
        let late = send(&mut world, &mut appliance, batch);
        assert_eq!((late.ack.map(|ack| ack.number), late.quarantine.as_str()), (Some(batch.number), ""));
    }
    assert_eq!(events(&world), 4);
    let event = raised(&world, &mut appliance);
    assert!(world.send(&mut appliance, vec![event]).quarantine.is_empty(), "and the stream goes on");
}

#[test]
fn two_histories_of_a_stream_quarantine_orders_but_not_evidence() {
    type Change = fn(&mut Batch);
    let cases: [(&str, Change); 4] = [
        ("other bytes under the newest number", |b| b.number -= 1),
        ("another past", |b| b.previous = Digest::of(b"another")),
        ("an old number with other bytes", |b| b.number = 1),
        ("no past", |b| b.previous = Digest::ZERO),
    ];
    for (case, change) in cases {
        let mut world = World::new();
        let mut appliance = world.appliance();
        world.call(&mut appliance);
        let (event, beat) = (raised(&world, &mut appliance), appliance.heartbeat(world.now));
        let mut batch = appliance.freeze(vec![event, beat]);
        change(&mut batch);
        let response = send(&mut world, &mut appliance, &batch);
        assert!(response.ack.is_none(), "{case}: acknowledged");
        assert!(response.quarantine.contains("two histories"), "{case}: {}", response.quarantine);
        assert_eq!(events(&world), 0, "{case}: an event of a doubtful history");
        assert_eq!(world.count("SELECT count(*) FROM evidence"), 3, "{case}: its evidence proves itself");
        assert!(response.orders.is_empty());
        // The next exchange has the proof of that evidence, and still no order.
        let next = world.call(&mut appliance);
        assert!(
            appliance.unproven.is_empty() && next.orders.is_empty() && !next.quarantine.is_empty(),
            "{case}"
        );
    }
}

#[test]
fn a_new_outbox_is_a_new_stream() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    appliance.stream = proto::ids::StreamId([5; 16]);
    appliance.frozen = (0, Digest::ZERO);
    let event = raised(&world, &mut appliance);
    assert!(world.send(&mut appliance, vec![event]).quarantine.is_empty());
    assert_eq!(events(&world), 1);
}

#[test]
fn streams_of_two_boxes_do_not_meet() {
    let mut world = World::new();
    let mut one = world.appliance();
    let mut two = world.enrolled();
    two.stream = one.stream;
    let event = raised(&world, &mut two);
    assert!(world.send(&mut two, vec![event]).quarantine.is_empty());
    let event = raised(&world, &mut one);
    assert!(world.send(&mut one, vec![event]).quarantine.is_empty());
    assert_eq!(events(&world), 2);
}

#[test]
fn another_incarnation_is_quarantined_and_gets_no_signed_time() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let event = raised(&world, &mut appliance);
    let batch = appliance.freeze(vec![event]);
    let mut asked = appliance.ask(Some(batch));
    assert!(!world.exchange(&appliance, &asked).unwrap().orders.is_empty());
    asked.incarnation = Incarnation([9; 16]);
    asked.batch = None;
    let response = world.exchange(&appliance, &asked).unwrap();
    assert!(response.quarantine.contains("incarnation"));
    assert!(response.orders.is_empty() && response.time_token.is_empty());
    // The right one does not lift it: somebody has to look.
    asked.incarnation = appliance.incarnation;
    let response = world.exchange(&appliance, &asked).unwrap();
    assert!(!response.quarantine.is_empty() && response.orders.is_empty() && !response.time_token.is_empty());
}

#[test]
fn the_revoked_and_the_unknown_are_denied_every_call() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let mut stranger = world.unknown_box();
    let asked = stranger.ask(None);
    assert!(denied(world.exchange(&stranger, &asked)).contains("not enrolled"));

    let (id, now) = (appliance.id().to_string(), world.now);
    world.core.run(now, |core| core.revoke_appliance(&id, "stolen", now)).unwrap();
    let beat = appliance.heartbeat(now);
    let batch = appliance.freeze(vec![beat]);
    let asked = appliance.ask(Some(batch));
    assert!(denied(world.exchange(&appliance, &asked)).contains("revoked"));
    let spki = appliance.spki();
    assert!(denied(world.core.run(now, |core| core.answer(spki, &asked, now))).contains("revoked"));
    assert_eq!(world.count("SELECT count(*) FROM evidence"), 2);
    let again = world.core.run(now, |core| core.revoke_appliance(&id, "again", now));
    assert!(matches!(again, Err(CoreError::Precondition(_))));
}

#[test]
fn a_malformed_record_refuses_its_batch_and_changes_nothing() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let (event, beat) = (raised(&world, &mut appliance), appliance.heartbeat(world.now));
    let good = pack(vec![event, beat]);
    let bad = |extra: &[u8]| [good.as_slice(), extra].concat();
    // Field 1 (a record) of the lengths given; field 1 of a record is an event.
    for (case, records, field) in [
        ("an empty record", bad(&[0x0a, 0]), "records[2].kind"),
        ("an empty event", bad(&[0x0a, 2, 0x0a, 0]), "records[2].event.phase"),
        ("an attachment with another digest", bad(&[0x0a, 2, 0x1a, 0]), "records[2].attachment.sha256"),
        ("cut off", good[..good.len() - 1].to_vec(), "records"),
        ("garbage", vec![0xff; 40], "records"),
    ] {
        let before = world.text(STATE);
        let batch = Batch {
            stream: appliance.stream,
            number: appliance.frozen.0 + 1,
            previous: appliance.frozen.1,
            records,
        };
        let asked = appliance.ask(Some(batch));
        assert_eq!(bad_field(world.exchange(&appliance, &asked)), field, "{case}");
        assert_eq!(world.text(STATE), before, "{case}");
    }
    let batch = appliance.freeze_bytes(good);
    assert!(send(&mut world, &mut appliance, &batch).ack.is_some());
}

const STATE: &str = "SELECT (SELECT count(*) FROM event) || '/' || (SELECT count(*) FROM evidence) || '/' ||
    (SELECT count(*) FROM incident) || '/' || (SELECT sum(number) FROM stream) || '/' || (SELECT log_size FROM tenant) ||
    '/' || (SELECT count(*) FROM gap) || '/' || (SELECT seen_ms FROM appliance)";

/// The same event in another batch (an outbox that was copied, say) opens no second incident.
#[test]
fn an_event_that_comes_again_in_another_batch_is_known() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let (event, clear) =
        (raised(&world, &mut appliance), appliance.event(world.now, DISK, "uploads", Phase::Cleared));
    world.send(&mut appliance, vec![event.clone(), clear.clone()]);
    world.send(&mut appliance, vec![event, clear]);
    assert_eq!(events(&world), 2);
    assert_eq!(world.count("SELECT count(*) FROM incident"), 1);
    assert_eq!(world.text("SELECT state FROM incident"), "withdrawn");
}

#[test]
fn records_take_effect_in_the_order_in_which_they_were_kept() {
    use proto::evidence::Verdict;
    let mut world = World::new();
    let mut appliance = world.appliance();
    let event = raised(&world, &mut appliance);
    world.send(&mut appliance, vec![event]);
    let order = appliance.newest_order();
    appliance.order_high = order.sequence;
    // Repaired; then the directory filled up again, all before the next call.
    let repaired = appliance.executed(world.now, &order, Verdict::Repaired);
    let again = raised(&world, &mut appliance);
    world.send(&mut appliance, vec![repaired, again]);
    assert_eq!(
        world.text(
            "SELECT group_concat(state, ' ') FROM (SELECT state FROM incident ORDER BY opened_ms, state)"
        ),
        "planned resolved"
    );
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Arrives,
    AnswerIsLost,
    IsLost,
    ComesTwice,
    ComesLateAsWell,
    ServerRestarts,
    CommitFails,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Arrives),
        1 => Just(Fate::AnswerIsLost),
        1 => Just(Fate::IsLost),
        1 => Just(Fate::ComesTwice),
        1 => Just(Fate::ComesLateAsWell),
        1 => Just(Fate::ServerRestarts),
        1 => Just(Fate::CommitFails),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// From the outbox to the inbox exactly once, in order, and no box is blamed for its network.
    #[test]
    fn every_event_arrives_once(fates in prop::collection::vec((1..4_usize, 0..3_usize, fate()), 1..25)) {
        let mut world = World::new();
        let mut appliance = world.appliance();
        let (mut sent, mut last) = (0_i64, None::<Batch>);
        for (count, what, fate) in fates {
            world.now = world.now.plus(SECOND);
            let batch = match appliance.unacknowledged.clone() {
                Some(batch) => batch,
                None => {
                    sent += i64::try_from(count).unwrap();
                    let phase = [Phase::Raised, Phase::Ongoing, Phase::Cleared][what];
                    let mut records: Vec<Record> =
                        (0..count).map(|_| appliance.event(world.now, DISK, "uploads", phase)).collect();
                    records.push(appliance.heartbeat(world.now));
                    appliance.freeze(records)
                }
            };
            let asked = appliance.ask(Some(batch.clone()));
            let (spki, now) = (appliance.spki(), world.now);
            match fate {
                Fate::IsLost => continue,
                Fate::ServerRestarts => world.restart(),
                Fate::CommitFails => {
                    // Everything was done and written, and then the power went: only the vault keeps what it was given.
                    world.core.begin().unwrap();
                    world.core.attempt(|core| core.sync(spki, &asked, now)).unwrap();
                    world.core.keep_unkept(now).unwrap();
                    world.restart();
                    continue;
                }
                Fate::Arrives | Fate::AnswerIsLost | Fate::ComesTwice | Fate::ComesLateAsWell => {}
            }
            let response = world.exchange(&appliance, &asked).unwrap();
            prop_assert_eq!(response.quarantine.as_str(), "");
            match fate {
                Fate::AnswerIsLost => continue,
                Fate::ComesTwice => {
                    let again = world.exchange(&appliance, &asked).unwrap();
                    prop_assert_eq!(&again.ack, &response.ack);
                }
                _ => {}
            }
            prop_assert!(response.ack.is_some());
            appliance.acknowledged(&batch);
            appliance.absorb(&world.safe.charter, &response);
            if let (Fate::ComesLateAsWell, Some(old)) = (fate, last.take()) {
                let late = appliance.ask(Some(old));
                prop_assert_eq!(world.exchange(&appliance, &late).unwrap().quarantine, "");
            }
            last = Some(batch);
        }
        if let Some(batch) = appliance.unacknowledged.clone() {
            let response = send(&mut world, &mut appliance, &batch);
            prop_assert!(response.ack.is_some());
            appliance.acknowledged(&batch);
        }
        world.call(&mut appliance);
        prop_assert_eq!(events(&world), sent);
        prop_assert_eq!(world.count("SELECT count(*) FROM evidence"), i64::try_from(appliance.head.next).unwrap());
        prop_assert!(appliance.unproven.is_empty(), "every record is proven to be in the log");
        prop_assert_eq!(
            world.count("SELECT coalesce(sum(events), 0) FROM incident"),
            world.count("SELECT count(*) FROM event WHERE incident IS NOT NULL")
        );
    }
}
