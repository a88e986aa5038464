//! The outbox as a stream: whatever the network and the power do, each record arrives once and in order.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::path::Path;

use appliance::agent::{
    detect::{Key, State},
    outbox::{Intake, Item, Limits, Outbox},
};
use proptest::prelude::*;
use proto::{
    digest::Digest,
    ids::StreamId,
    sync::{Ack, BATCH_MAX, BATCH_RECORDS_MAX, Batch, Receipt, Record, StreamState, receipt, unpack},
    time::Millis,
};
use runbooks::Fault;

fn open(path: &Path, fresh: u8) -> Outbox {
    Outbox::open(path, Limits::new(64 << 20, 32 << 20), StreamId([fresh; 16])).unwrap()
}

fn evidence(envelope: Vec<u8>) -> Intake {
    let items = vec![Item::Evidence { envelope, attachments: vec![] }];
    Intake { source: "test".to_owned(), items, ..Intake::default() }
}

fn ack(batch: &Batch) -> Ack {
    Ack { stream: batch.stream, number: batch.number, digest: Digest::of(&batch.records) }
}

#[test]
fn a_stream_keeps_its_identity_and_a_new_file_is_another() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(open(&dir.path().join("a.db"), 1).stream(), StreamId([1; 16]));
    assert_eq!(open(&dir.path().join("a.db"), 2).stream(), StreamId([1; 16]));
    assert_eq!(open(&dir.path().join("b.db"), 2).stream(), StreamId([2; 16]));
}

#[test]
fn a_frozen_batch_stays_as_it_was_until_its_own_acknowledgement() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox.db");
    let mut outbox = open(&path, 1);
    assert_eq!(outbox.freeze().unwrap(), None);
    outbox.commit(&evidence(b"one".to_vec()), Millis(1)).unwrap();
    let first = outbox.freeze().unwrap().unwrap();
    assert_eq!((first.number, first.previous), (1, Digest::ZERO));
    outbox.commit(&evidence(b"two".to_vec()), Millis(2)).unwrap();
    drop(outbox);
    let mut outbox = open(&path, 9);
    assert_eq!(outbox.freeze().unwrap().as_ref(), Some(&first), "resent byte for byte, after a crash too");
    let right = ack(&first);
    for wrong in [
        Ack { stream: StreamId([9; 16]), ..right },
        Ack { number: 2, ..right },
        Ack { number: 0, ..right },
        Ack { digest: Digest::ZERO, ..right },
    ] {
        assert!(!outbox.acknowledge(&wrong).unwrap());
        assert_eq!(outbox.frozen().unwrap().as_ref(), Some(&first));
    }
    assert!(outbox.acknowledge(&right).unwrap());
    assert!(!outbox.acknowledge(&right).unwrap(), "twice is once");
    let second = outbox.freeze().unwrap().unwrap();
    assert_eq!((second.number, second.previous), (2, right.digest));
    assert_eq!(unpack(&second.records).unwrap(), [Record::Evidence(b"two".to_vec())]);
}

#[test]
fn an_outbox_goes_on_as_another_stream_with_what_was_on_its_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox.db");
    let mut outbox = open(&path, 1);
    outbox.commit(&evidence(b"one".to_vec()), Millis(1)).unwrap();
    let first = outbox.freeze().unwrap().unwrap();
    assert!(outbox.acknowledge(&ack(&first)).unwrap());
    outbox.commit(&evidence(b"two".to_vec()), Millis(2)).unwrap();
    let second = outbox.freeze().unwrap().unwrap();
    let state = |batch: &Batch| StreamState { number: batch.number, digest: Digest::of(&batch.records) };
    assert!(!outbox.begin_anew(state(&first), StreamId([7; 16])).unwrap(), "not the one on its way");
    assert_eq!(outbox.freeze().unwrap().as_ref(), Some(&second));
    assert!(outbox.begin_anew(state(&second), StreamId([7; 16])).unwrap());
    drop(outbox);
    let mut outbox = open(&path, 9);
    let again = outbox.freeze().unwrap().unwrap();
    let wanted = Batch { stream: StreamId([7; 16]), number: 1, previous: Digest::ZERO, ..second };
    assert_eq!((outbox.stream(), &again), (StreamId([7; 16]), &wanted));
    assert_eq!(receipt(StreamState::default(), &again), Receipt::Commit);
    assert!(outbox.acknowledge(&ack(&again)).unwrap());
    assert_eq!(outbox.freeze().unwrap(), None);
}

#[test]
fn a_batch_is_as_large_as_the_contract_allows_and_no_larger() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = open(&dir.path().join("outbox.db"), 1);
    let tiny = || Item::Evidence { envelope: vec![b'x'], attachments: vec![] };
    let items = std::iter::repeat_with(tiny).take(BATCH_RECORDS_MAX + 1).collect();
    outbox.commit(&Intake { items, ..evidence(vec![]) }, Millis(0)).unwrap();
    for _ in 0..40 {
        outbox.commit(&evidence(vec![b'y'; 60_000]), Millis(0)).unwrap();
    }
    let mut sizes = Vec::new();
    while let Some(batch) = outbox.freeze().unwrap() {
        assert!(batch.records.len() <= BATCH_MAX);
        sizes.push(unpack(&batch.records).unwrap().len());
        assert!(outbox.acknowledge(&ack(&batch)).unwrap());
    }
    assert_eq!(sizes, [BATCH_RECORDS_MAX, 18, 17, 6]);
}

#[test]
fn cursor_detector_and_records_are_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox.db");
    let mut outbox = open(&path, 1);
    let key = Key { fault: Fault::LogMatch, watch: "app".parse().unwrap() };
    let state = State { raised: true, said: Millis(5), held: Millis(6) };
    let too_large = Item::Evidence { envelope: vec![0; BATCH_MAX], attachments: vec![] };
    let with = |items| Intake {
        source: "log:app".to_owned(),
        cursor: Some(b"here".to_vec()),
        detectors: vec![(key.clone(), state)],
        items,
    };
    assert!(outbox.commit(&with(vec![too_large]), Millis(0)).is_err());
    assert_eq!(outbox.cursor("log:app").unwrap(), None);
    assert_eq!(outbox.detector(&key).unwrap(), State::default());
    outbox.commit(&with(vec![]), Millis(0)).unwrap();
    drop(outbox);
    let outbox = open(&path, 1);
    assert_eq!(outbox.cursor("log:app").unwrap().as_deref(), Some(&b"here"[..]));
    assert_eq!(outbox.detector(&key).unwrap(), state);
    assert_eq!(outbox.cursor("log:other").unwrap(), None);
}

#[test]
fn an_idle_look_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox.db");
    let mut outbox = open(&path, 1);
    let idle = Intake { cursor: Some(b"here".to_vec()), items: vec![], ..evidence(vec![]) };
    outbox.commit(&idle, Millis(0)).unwrap();
    let journal = || std::fs::metadata(dir.path().join("outbox.db-wal")).unwrap().len();
    let before = journal();
    for _ in 0..10 {
        outbox.commit(&idle, Millis(0)).unwrap();
    }
    assert_eq!(journal(), before);
}

#[derive(Debug, Clone)]
enum Act {
    Commit(u16),
    Send,
    LoseRequest,
    LoseAnswer,
    AnswerAgain(usize),
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0_u16..3000).prop_map(Act::Commit),
        3 => Just(Act::Send),
        1 => Just(Act::LoseRequest),
        2 => Just(Act::LoseAnswer),
        2 => any::<usize>().prop_map(Act::AnswerAgain),
        1 => Just(Act::Crash),
    ]
}

/// The other side, by the contract's own table.
#[derive(Default)]
struct Server {
    state: StreamState,
    records: Vec<Record>,
}

impl Server {
    fn take(&mut self, batch: &Batch) -> Option<Ack> {
        match receipt(self.state, batch) {
            Receipt::Commit => {
                self.records.extend(unpack(&batch.records).unwrap());
                self.state = StreamState { number: batch.number, digest: Digest::of(&batch.records) };
                Some(ack(batch))
            }
            Receipt::Again => Some(ack(batch)),
            Receipt::CommitAfterGap { missing } => panic!("{missing} batches were skipped"),
            Receipt::Conflict => panic!("two histories"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_mix_of_losses_and_crashes_delivers_each_once_and_in_order(acts in prop::collection::vec(act(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox.db");
        let (mut outbox, mut server) = (open(&path, 1), Server::default());
        let (mut taken, mut answers) = (Vec::new(), Vec::new());
        for act in acts {
            match act {
                Act::Commit(size) => {
                    let mut envelope = (taken.len() as u64).to_be_bytes().to_vec();
                    envelope.resize(usize::from(size).max(8), b' ');
                    outbox.commit(&evidence(envelope.clone()), Millis(0)).unwrap();
                    taken.push(Record::Evidence(envelope));
                }
                Act::Send => if let Some(batch) = outbox.freeze().unwrap() {
                    let ack = server.take(&batch).expect("acknowledged");
                    prop_assert!(outbox.acknowledge(&ack).unwrap());
                    answers.push(ack);
                },
                Act::LoseRequest => { outbox.freeze().unwrap(); }
                Act::LoseAnswer => if let Some(batch) = outbox.freeze().unwrap() {
                    answers.extend(server.take(&batch));
                },
                Act::AnswerAgain(which) => if let Some(ack) = answers.get(which % answers.len().max(1)) {
                    outbox.acknowledge(ack).unwrap();
                },
                Act::Crash => { drop(outbox); outbox = open(&path, 2); }
            }
        }
        while let Some(batch) = outbox.freeze().unwrap() {
            let ack = server.take(&batch).expect("acknowledged");
            prop_assert!(outbox.acknowledge(&ack).unwrap());
        }
        prop_assert_eq!(server.records, taken);
    }
}
