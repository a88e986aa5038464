//! What was released stays: every schema step byte for byte, and every database that an older executor wrote.

use std::time::Duration;

use proto::{digest::Digest, evidence::Verdict, ids::Incarnation, time::Millis};
use rusqlite::Connection;

use super::{Allowance, DocumentKind, JournalState, STEPS, Store, migrate};

/// SHA-256 of every step. A line here never changes: databases in the field have seen exactly that text.
const RELEASED: [&str; 8] = [
    "7a5b9b689b37c14e25eb609807319361f52ef734ee07c4cd6bd8061a6dc2ee1a",
    "70b78f3458a8a0c52005ea158fd8f186b8390e7efc4782fa0ba05e3f6b5b0f8f",
    "0f2aa6d395549c584a7af19dcb4137d2f159d0933345eaf38b944fec72f1e75e",
    "3d627940b1f55706c9cdb81fab0a6e58f291a687bb1cd29574f6fcc11a459e89",
    "3d0790befbb7e8350993e87f569552fcf8855eddaef2687814372b6e25718095",
    "64082c03f632b46669f75309c52ddbe81af249c230b0eb707c1784a863cda3b0",
    "9c631d4edd0d00daf5698f6c8887f0c29ac3d08b1a9848255749cd034160a614",
    "707811076b819e4c084e8b948070c78a7f54f29ecfec72830a559a482ca7c137",
];

/// What a box's database held under each schema: all of it under schema 1, then what the next step brought.
const HELD: [&str; 2] = [include_str!("schema/held_001.sql"), include_str!("schema/held_002.sql")];

#[test]
fn no_released_step_was_edited() {
    let now: Vec<String> = STEPS.iter().map(|step| Digest::of(step.as_bytes()).to_string()).collect();
    assert_eq!(now, RELEASED, "add a step (and its digest here); never edit one");
}

#[test]
fn what_an_older_executor_wrote_is_read_by_this_one() {
    for age in 1..STEPS.len() {
        let mut connection = Connection::open_in_memory().unwrap();
        for step in 0..age {
            migrate(&mut connection, &STEPS[..=step]).unwrap();
            connection.execute_batch(HELD.get(step).unwrap_or(&"")).unwrap();
        }
        let mut store = Store::open(connection).unwrap();
        reads_all(&store, age);
        // And it goes on from there.
        let digest = Digest::of(b"next");
        store.write(|tx| tx.keep_evidence(7, digest, b"next")).unwrap();
        assert_eq!(store.view().evidence_by_digest(digest).unwrap().unwrap(), b"next");
    }
}

#[track_caller]
fn reads_all(store: &Store, age: usize) {
    let view = store.view();
    let state = view.state().unwrap().unwrap();
    assert_eq!((state.incarnation, state.tls_spki), (Incarnation([2; 16]), Some(Digest([3; 32]))));
    assert_eq!((state.order_high, state.head.next, state.head.digest), (9, 7, Digest([5; 32])));
    assert_eq!((state.times.floor, state.times.active), (Millis(1_795_000_000_000), Duration::from_secs(5)));
    // A mark without its wall clock is none; the next token makes one.
    assert_eq!((state.times.mark.is_some(), state.times.boot.is_some()), (age > 1, age > 1));
    assert_eq!((state.heartbeat, state.refusals_not_signed), (Some(Duration::from_secs(3)), 2));
    assert_eq!(state.held.as_deref(), Some("file"));
    assert_eq!(view.identity().unwrap().unwrap().identity.organization, "msp.example");
    for (kind, serial) in
        [(DocumentKind::Charter, 3), (DocumentKind::Catalogue, 2), (DocumentKind::Policy, u64::MAX)]
    {
        assert_eq!(view.document(kind).unwrap().unwrap().serial, serial);
    }
    assert_eq!(view.checkpoint().unwrap().unwrap().note, "note");
    let forks = view.shown(true).unwrap();
    assert_eq!((forks.len(), forks[0].note.as_str()), (1, "another note"), "an alarm is never lost");
    assert_eq!(view.shown(false).unwrap().len(), usize::from(age > 1));

    assert_eq!(view.evidence_from(0, 1 << 20).unwrap()[0].envelope, b"envelope");
    let journal = view.journal(10).unwrap();
    let states: Vec<_> = journal.iter().map(|entry| (entry.state, entry.verdict)).collect();
    assert_eq!(states, [(JournalState::Accepted, None), (JournalState::Finished, Some(Verdict::Repaired))]);
    let waiting = view.accepted().unwrap().unwrap();
    assert_eq!((waiting.sequence, waiting.envelope.as_slice()), (8, &b"order 8"[..]));
    assert!(waiting.standing.is_none() && view.standing().unwrap().is_empty());
    let signed = |kind| view.signed_since(kind, None).unwrap();
    assert_eq!(signed(Allowance::Forgery), 1, "the last hour still counts");
    assert_eq!((signed(Allowance::Refusal), signed(Allowance::Hold)), if age > 1 { (1, 1) } else { (0, 0) });
    let proven = view.restore_proven(&"records".parse().unwrap()).unwrap();
    assert_eq!(proven, Some(Duration::from_millis(1500)));
    assert_eq!(view.output(Digest([0x0b; 32])).unwrap().unwrap(), b"output");
}
