//! Lines of logs in the outbox: after everything else, first to go, counted when they go.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::path::Path;

use appliance::agent::outbox::{Intake, Item, Limits, Outbox, inspect};
use proto::{
    digest::Digest,
    ids::{EventId, StreamId},
    sync::{Ack, Batch, Event, Gap, LINES_TEXT_MAX, Lines, LinesPlace, Phase, Record, unpack},
    time::Millis,
};

const LIMITS: Limits = Limits { telemetry: 2000, evidence: 2000, lines: 4000 };

/// Ten lines, none of which packs well.
fn lines(number: i64) -> Lines {
    let mut text = String::new();
    for line in 0..10 {
        let noise = Digest::of(&[number.to_be_bytes(), [line; 8]].concat()).to_string();
        text += &format!("{noise}\n");
    }
    let place = LinesPlace { file: 1, offset: number.unsigned_abs() * 650, length: 650 };
    Lines::pack("app".parse().unwrap(), Millis(number), place, 10, &text)
}

fn take(outbox: &mut Outbox, number: i64) {
    let cursor = Some(number.to_string().into_bytes());
    let items = vec![Item::Lines(lines(number))];
    outbox
        .commit(&Intake { source: "lines:app".into(), cursor, items, ..Intake::default() }, Millis(number))
        .unwrap();
}

fn event(number: i64) -> Item {
    Item::Event(Event {
        id: EventId::new(Millis(number), [1; 10]),
        kind: "log.match".to_owned(),
        watch: "app".parse().unwrap(),
        phase: Phase::Raised,
        at: Millis(number),
        readings: vec![],
        note: String::new(),
    })
}

fn open(path: &Path) -> Outbox {
    Outbox::open(path, LIMITS, StreamId([1; 16])).unwrap()
}

fn acknowledge(outbox: &mut Outbox, batch: &Batch) {
    let digest = Digest::of(&batch.records);
    assert!(outbox.acknowledge(&Ack { stream: batch.stream, number: batch.number, digest }).unwrap());
}

#[test]
fn events_go_ahead_of_lines_that_came_before_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(&folder.path().join("outbox.db"));
    take(&mut outbox, 1);
    outbox.commit(&Intake { items: vec![event(2)], ..Intake::default() }, Millis(2)).unwrap();
    take(&mut outbox, 3);
    let batch = outbox.freeze().unwrap().unwrap();
    let records = unpack(&batch.records).unwrap();
    let [Record::Event(_), Record::Lines(first), Record::Lines(second)] = &records[..] else {
        panic!("{records:?}")
    };
    assert_eq!((first, second), (&lines(1), &lines(3)));
    acknowledge(&mut outbox, &batch);
    assert!(!outbox.has_records());
}

#[test]
fn without_room_the_oldest_lines_go_and_are_counted_and_nothing_else_suffers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = open(&path);
    outbox.commit(&Intake { items: vec![event(1)], ..Intake::default() }, Millis(1)).unwrap();
    for number in 10..30 {
        take(&mut outbox, number);
        if number == 20 {
            outbox = open(&path);
        }
    }
    assert_eq!(outbox.cursor("lines:app").unwrap(), Some(b"29".to_vec()));
    let summary = inspect(&path).unwrap().unwrap();
    assert_eq!((summary.events, summary.dropped), (1, 0));
    assert!(summary.lines > 0 && summary.lines + summary.lines_dropped == 200, "{summary:?}");
    let batch = outbox.freeze().unwrap().unwrap();
    let records = unpack(&batch.records).unwrap();
    let [Record::Gap(gap), Record::Event(_), rest @ ..] = &records[..] else { panic!("{records:?}") };
    let newest = i64::try_from(20 - summary.lines_dropped / 10).unwrap();
    let expected = Gap {
        cause: "lines-dropped".into(),
        dropped: summary.lines_dropped,
        first: Millis(10),
        last: Millis(29 - newest),
    };
    assert_eq!(*gap, expected);
    let kept: Vec<Record> = (30 - newest..30).map(|number| Record::Lines(lines(number))).collect();
    assert_eq!(rest, kept);
    acknowledge(&mut outbox, &batch);
    assert!(!outbox.has_records() && !open(&path).has_records());
}

#[test]
fn whoever_can_wait_is_told_of_no_room_before_anything_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let limits = Limits { lines: 4 << 20, ..LIMITS };
    let mut outbox = Outbox::open(&path, limits, StreamId([1; 16])).unwrap();
    // The largest records there are, of text that does not pack.
    let mut seed = 1_u64;
    let mut largest = |number| {
        let noise = |_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + ((seed >> 33) % 94) as u8)
        };
        let text: String = (0..LINES_TEXT_MAX - 1).map(noise).chain(['\n']).collect();
        let place = LinesPlace { file: 1, offset: number, length: text.len() as u64 };
        Lines::pack("app".parse().unwrap(), Millis(1), place, 1, &text)
    };
    let mut taken = 0;
    while outbox.lines_room() > 0 {
        let items = vec![Item::Lines(largest(taken))];
        outbox.commit(&Intake { items, ..Intake::default() }, Millis(1)).unwrap();
        taken += 1;
        assert!(taken < 100, "there is always room");
    }
    let room = |limits| Outbox::open(&path, limits, StreamId([1; 16])).unwrap().lines_room();
    assert!(taken >= 4 && room(limits) == 0);
    let batch = outbox.freeze().unwrap().unwrap();
    assert_eq!((outbox.lines_room(), room(limits)), (0, 0), "what is on its way is promised");
    acknowledge(&mut outbox, &batch);
    assert!(outbox.lines_room() > 0);
    let summary = inspect(&path).unwrap().unwrap();
    assert_eq!(summary.lines_dropped, 0);
}

#[test]
fn one_record_always_fits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut tiny = Outbox::open(&path, Limits { lines: 1, ..LIMITS }, StreamId([1; 16])).unwrap();
    assert_eq!(tiny.lines_room(), 1);
    take(&mut tiny, 2);
    assert_eq!(tiny.lines_room(), 0);
    assert_eq!(unpack(&tiny.freeze().unwrap().unwrap().records).unwrap().len(), 1);
}
