//! The outbox is bounded: telemetry goes first and a gap says how much; evidence is never dropped; nothing is lost when
//! the disk refuses.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::{collections::BTreeSet, path::Path};

use appliance::agent::outbox::{ATTACHMENT_MAX, Intake, Item, Limits, Outbox, OutboxError, inspect};
use proptest::prelude::*;
use proto::{
    ids::{EventId, StreamId},
    sync::{Ack, BATCH_MAX, Event, Gap, Phase, Record, unpack},
    time::Millis,
};

fn event(number: i64, phase: Phase) -> Event {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&number.to_be_bytes());
    Event {
        id: EventId::new(Millis(number), random),
        kind: "log.match".to_owned(),
        watch: "app".parse().unwrap(),
        phase,
        at: Millis(number),
        readings: vec![("lines".to_owned(), number)],
        note: String::new(),
    }
}

fn intake(items: Vec<Item>) -> Intake {
    Intake { source: "test".to_owned(), items, ..Intake::default() }
}

fn open(path: &Path, limits: Limits) -> Outbox {
    Outbox::open(path, limits, StreamId([1; 16])).unwrap()
}

/// Sends everything and gives it back.
fn drain(outbox: &mut Outbox) -> Vec<Record> {
    let mut all = Vec::new();
    while let Some(batch) = outbox.freeze().unwrap() {
        assert!(batch.records.len() <= BATCH_MAX);
        all.extend(unpack(&batch.records).unwrap());
        let digest = proto::digest::Digest::of(&batch.records);
        assert!(outbox.acknowledge(&Ack { stream: batch.stream, number: batch.number, digest }).unwrap());
    }
    assert!(!outbox.has_records());
    all
}

#[test]
fn what_goes_on_is_dropped_first_then_the_oldest_and_the_gap_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox.db");
    let mut outbox = open(&path, Limits { telemetry: 1200, evidence: 4096, lines: 3000 });
    let phases = [Phase::Raised, Phase::Ongoing, Phase::Cleared];
    for number in 0..30 {
        outbox
            .commit(&intake(vec![event(number, phases[number as usize % 3]).into()]), Millis(number))
            .unwrap();
    }
    let waiting = inspect(&path).unwrap().unwrap();
    assert!(waiting.dropped > 0 && waiting.bytes <= 1200);
    let mut outbox = open(&path, Limits { telemetry: 1200, evidence: 4096, lines: 3000 });
    let all = drain(&mut outbox);
    let [Record::Gap(Gap { cause, dropped, first, last }), events @ ..] = &all[..] else { panic!("{all:?}") };
    assert_eq!((cause.as_str(), *dropped), ("buffer-full", 30 - events.len() as u64));
    assert_eq!(*first, Millis(0));
    assert!(*last >= Millis(28), "the last ongoing event went, although younger than what stayed");
    let kept: Vec<i64> = events
        .iter()
        .map(|record| match record {
            Record::Event(event) => {
                assert_ne!(event.phase, Phase::Ongoing);
                event.at.0
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(kept.is_sorted() && kept.last() == Some(&29), "{kept:?}");
    outbox.commit(&intake(vec![event(99, Phase::Raised).into()]), Millis(99)).unwrap();
    assert_eq!(drain(&mut outbox).len(), 1, "a gap is told once");
}

#[test]
fn evidence_keeps_its_share_whatever_telemetry_does_and_is_not_taken_beyond_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox =
        open(&dir.path().join("outbox.db"), Limits { telemetry: 2000, evidence: 4096, lines: 3000 });
    let evidence = |byte| Item::Evidence { envelope: vec![byte; 1000], attachments: vec![] };
    for number in 0..100 {
        outbox.commit(&intake(vec![event(number, Phase::Raised).into()]), Millis(number)).unwrap();
    }
    let items: Vec<Item> = (0..10).map(evidence).collect();
    let fit = outbox.evidence_that_fits(&items);
    assert_eq!(fit, 3);
    outbox.commit(&intake(items[..fit].to_vec()), Millis(200)).unwrap();
    assert_eq!(outbox.evidence_that_fits(&items[fit..]), 0);
    for number in 200..300 {
        outbox.commit(&intake(vec![event(number, Phase::Raised).into()]), Millis(number)).unwrap();
    }
    let kept = drain(&mut outbox).iter().filter(|r| matches!(r, Record::Evidence(_))).count();
    assert_eq!(kept, 3);
    let large = [Item::Evidence { envelope: vec![0; 60_000], attachments: vec![] }];
    assert_eq!(outbox.evidence_that_fits(&large), 1, "an empty outbox takes one, whatever its share");
}

/// The outbox and the executor of the smallest box, after a month without a control plane.
const SMALL: &str = include_str!("../../hardware/profiles/nuc-small.toml");

#[test]
fn a_month_offline_fits_into_the_small_profile_and_its_evidence_comes_first() {
    let outbox_max = SMALL.lines().find_map(|line| line.strip_prefix("outbox_max_mb = ")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits::new(outbox_max.parse::<u64>().unwrap() << 20, 16 << 20);
    let mut outbox = open(&dir.path().join("outbox.db"), limits);
    let note = |mut event: Event| {
        event.note = "x".repeat(300);
        event
    };
    // Twenty faults said again every ten minutes, and four that come and go by the hour; every hour a heartbeat of a
    // long watch list and a scan with findings, every day three repairs.
    let (mut events, mut evidence) = (0_i64, Vec::new());
    for minute in (0..30 * 24 * 60).step_by(10) {
        let mut items: Vec<Item> =
            (0..20).map(|n| note(event(minute * 100 + n, Phase::Ongoing)).into()).collect();
        if minute % 60 == 0 {
            items.extend((20..24).map(|n| note(event(minute * 100 + n, Phase::Raised)).into()));
            items.extend((24..28).map(|n| note(event(minute * 100 + n, Phase::Cleared)).into()));
        }
        events += i64::try_from(items.len()).unwrap();
        let mut records = Vec::new();
        if minute % 60 == 0 {
            records.extend([6_000, 3_000].map(|size| (size, minute)));
        }
        if minute % (8 * 60) == 0 {
            records.push((5_000, minute));
        }
        for (size, minute) in records {
            let mut envelope = format!("{:08}", evidence.len()).into_bytes();
            envelope.resize(size, b'x');
            evidence.push(envelope.clone());
            items.push(Item::Evidence { envelope, attachments: vec![] });
            assert_eq!(outbox.evidence_that_fits(&items[items.len() - 1..]), 1, "no room at minute {minute}");
        }
        outbox.commit(&intake(items), Millis(minute * 60_000)).unwrap();
    }
    let mut batches = Vec::new();
    while let Some(batch) = outbox.freeze().unwrap() {
        batches.push(unpack(&batch.records).unwrap());
        let digest = proto::digest::Digest::of(&batch.records);
        assert!(outbox.acknowledge(&Ack { stream: batch.stream, number: batch.number, digest }).unwrap());
    }
    let is_evidence = |record: &Record| matches!(record, Record::Evidence(_));
    let needed = batches.iter().rposition(|batch| batch.iter().any(is_evidence)).unwrap() + 1;
    let bytes: usize = evidence.iter().map(Vec::len).sum();
    assert!(needed <= bytes / BATCH_MAX + 2, "evidence came in {needed} of {} batches", batches.len());
    let all: Vec<Record> = batches.into_iter().flatten().collect();
    assert!(!all.iter().any(|record| matches!(record, Record::Gap(_))), "nothing was dropped");
    let came: Vec<&[u8]> = all
        .iter()
        .filter_map(|record| if let Record::Evidence(bytes) = record { Some(&bytes[..]) } else { None })
        .collect();
    assert!(came.iter().copied().eq(evidence.iter().map(Vec::as_slice)), "all of it, the oldest first");
    let said: Vec<i64> = all
        .iter()
        .filter_map(|record| if let Record::Event(event) = record { Some(event.at.0) } else { None })
        .collect();
    assert!(said.len() as i64 == events && said.is_sorted(), "all telemetry, in its own order");
}

#[test]
fn what_fits_into_one_batch_goes_in_the_order_in_which_it_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = open(&dir.path().join("outbox.db"), Limits::new(8 << 20, 4 << 20));
    let evidence = Item::Evidence { envelope: b"repaired".to_vec(), attachments: vec![] };
    let items = vec![event(1, Phase::Raised).into(), evidence, event(2, Phase::Raised).into()];
    outbox.commit(&intake(items), Millis(3)).unwrap();
    let all = drain(&mut outbox);
    assert!(matches!(all[..], [Record::Event(_), Record::Evidence(_), Record::Event(_)]), "{all:?}");
}

#[test]
fn what_no_batch_can_carry_is_refused_and_the_largest_that_one_can_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = open(&dir.path().join("outbox.db"), Limits::new(8 << 20, 4 << 20));
    let with = |size| Item::Evidence { envelope: b"{}".to_vec(), attachments: vec![vec![7; size]] };
    assert!(matches!(
        outbox.commit(&intake(vec![with(BATCH_MAX)]), Millis(0)),
        Err(OutboxError::TooLarge(_))
    ));
    assert!(!outbox.has_records(), "all of it or nothing");
    outbox.commit(&intake(vec![with(ATTACHMENT_MAX)]), Millis(0)).unwrap();
    assert_eq!(drain(&mut outbox).len(), 2);
}

#[test]
fn a_full_disk_loses_nothing_and_moves_no_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox.db");
    let limits = Limits::new(64 << 20, 16 << 20);
    drop(open(&path, limits));
    let small = || {
        let db = rusqlite::Connection::open(&path).unwrap();
        db.pragma_update(None, "max_page_count", 40).unwrap();
        Outbox::with_connection(db, limits, StreamId([2; 16])).unwrap()
    };
    let mut outbox = small();
    let mut taken = 0_u8;
    let failure = loop {
        let items = vec![Item::Evidence { envelope: vec![taken; 10_000], attachments: vec![] }];
        let entry = Intake { cursor: Some(vec![taken]), ..intake(items) };
        match outbox.commit(&entry, Millis(0)) {
            Ok(()) => taken += 1,
            Err(failure) => break failure,
        }
    };
    assert!(taken > 3 && matches!(failure, OutboxError::Sql { .. }), "{failure:?}");
    assert_eq!(outbox.cursor("test").unwrap(), Some(vec![taken - 1]));
    drop(outbox);
    let mut outbox = open(&path, limits);
    assert_eq!(outbox.cursor("test").unwrap(), Some(vec![taken - 1]));
    let sent: Vec<u8> = drain(&mut outbox)
        .into_iter()
        .map(|record| match record {
            Record::Evidence(envelope) => envelope[0],
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sent, (0..taken).collect::<Vec<_>>());
}

#[test]
fn an_unreadable_outbox_is_named_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox.db");
    std::fs::write(&path, [b'x'; 8192]).unwrap();
    let Err(refused) = Outbox::open(&path, Limits::new(1 << 20, 1 << 19), StreamId([1; 16])) else {
        panic!("opened");
    };
    assert!(
        refused.to_string().contains("outbox.db") && refused.to_string().contains("move it away"),
        "{refused}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), [b'x'; 8192]);
    assert!(inspect(&path).is_err());
    assert_eq!(inspect(&dir.path().join("none.db")).unwrap(), None);
}

#[derive(Debug, Clone)]
enum Act {
    Event(Phase),
    Evidence(usize),
    Send,
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => prop::sample::select(vec![Phase::Raised, Phase::Ongoing, Phase::Cleared]).prop_map(Act::Event),
        3 => (0_usize..700).prop_map(Act::Evidence),
        1 => Just(Act::Send),
        1 => Just(Act::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_event_is_sent_or_counted_and_every_evidence_taken_is_sent(acts in prop::collection::vec(act(), 1..120)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox.db");
        let limits = Limits { telemetry: 1500, evidence: 3000, lines: 3000 };
        let mut outbox = open(&path, limits);
        let (mut now, mut events, mut evidence) = (0, BTreeSet::new(), Vec::new());
        let mut sent = Vec::new();
        for act in acts {
            now += 1;
            match act {
                Act::Event(phase) => {
                    events.insert(now);
                    outbox.commit(&intake(vec![event(now, phase).into()]), Millis(now)).unwrap();
                }
                Act::Evidence(size) => {
                    let mut envelope = now.to_be_bytes().to_vec();
                    envelope.resize(size.max(8), 0);
                    let items = vec![Item::Evidence { envelope: envelope.clone(), attachments: vec![] }];
                    if outbox.evidence_that_fits(&items) == 1 {
                        outbox.commit(&intake(items), Millis(now)).unwrap();
                        evidence.push(Record::Evidence(envelope));
                    }
                }
                Act::Send => sent.extend(drain(&mut outbox)),
                Act::Reopen => { drop(outbox); outbox = open(&path, limits); }
            }
            let bytes = inspect(&path).unwrap().unwrap().bytes;
            prop_assert!(bytes <= limits.telemetry + limits.evidence, "{bytes}");
        }
        sent.extend(drain(&mut outbox));
        let mut dropped = 0;
        let mut last = 0;
        for record in &sent {
            match record {
                Record::Event(event) => {
                    prop_assert!(events.remove(&event.at.0), "twice, or never taken");
                    prop_assert!(event.at.0 > last);
                    last = event.at.0;
                }
                Record::Gap(gap) => dropped += gap.dropped,
                _ => {}
            }
        }
        prop_assert_eq!(dropped, events.len() as u64);
        let arrived: Vec<Record> = sent.into_iter().filter(|r| matches!(r, Record::Evidence(_))).collect();
        prop_assert_eq!(arrived, evidence);
    }
}
