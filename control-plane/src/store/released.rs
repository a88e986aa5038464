//! What was released stays: every schema step byte for byte, and every database that an older program wrote.

use std::time::Duration;

use proto::{digest::Digest, ids::Incarnation, log::Tiles as _, time::Millis};
use rusqlite::Connection;

use super::{ApplianceState, Document, NewNotification, OrderState, STEPS, Store, Telling, Within, migrate};
use crate::telling::News;

/// SHA-256 of every step. A line here never changes: databases in the field have seen exactly that text.
const RELEASED: [&str; 22] = [
    "993fa1a092eb445b79c94c6762e2626f3315fbc349e0c18af93349385871a176",
    "cc3d8a77e9531a42028c09a89df8c36fbeafef6a3963cc12c5da3df24ef665cc",
    "a49aec92bb00c92a9db86c9bc4453b4cf97e20dab983a79b396eac6bdff96072",
    "faea8095c7ca383f680a8aa5e4c40ec754cfcfa9c353be2c0815a7da92426947",
    "5e1b920497c1d06bfec25333b991c4ca0329542ad0656cc2bceed555d9005ad3",
    "f2d142f1aed4657cb211723eddd6b54c4cf9f7e49b74b5023df65029f9d01e30",
    "a76f0a43a3950418265666c3eef0e1c8624e3f40ddba9972fb878705c9e024cb",
    "c7b718a0b353bd588ced779f00f1447bee1ba53b488ed8d2297db840479a35b3",
    "9e30052c2f2803992bf3522e520c2a88963f7e8869105827530e3e47ab6ec1dc",
    "4225eb44fe3b16f1dc1fa1aadea6879e493562fe4d50f4fd4491d682d61daeba",
    "ce9dcb776b109968ca5f0f249f010bf697e655784ab7bc2557faf7f0cb9fdf7d",
    "20187bc20f6417cf92059d66b7c5ff2ccf5a7cdd931820bfa98642bcc8f028e7",
    "9db958d9196ec5768a9bf6d6439d7ad4bd20cb3cd188747963af157b8e2bf675",
    "7de7af7044210894865737267278df6ea73841f3864edb9d4bbffeb5ec7b9fed",
    "4962779cfa2aaf1b798b4607faebed3c324aecb785e82e8c23ce9ce8e293b6a6",
    "5147cf9e9e113e0d7e818474e4a7d06a37416c66b8946293758c5d1d64e90ad2",
    "1ce2fbcb3ec3c3c1faa8ca7aaed60273c7d2628a101e8ad9f5f4a82cbdde755c",
    "87bc779178a43639e0d18e6fc9e5a9ce52ac70de7664ea6ca5c2a9f280a3cd49",
    "cd698c8da927e2de2eb18e885f1b25e452c81015ba5b8712ff3924a69bef17ee",
    "e3afa27de97acb823a427ecf6bdeb73ed203da99d22733e165a59548e440d6ec",
    "dc6f14b4f1d8d5580f54db58f983b281d973ecc1e4fb6e4fe9079c04da2822ed",
    "af80c62706c4d9a0700aa8ad574c65455f43d30140a4ed99ca2484a726147371",
];

/// What a clinic's database held under each schema, a row in every table: all of it under schema 1, then what the next
/// step brought. As frozen as the steps.
const HELD: [&str; 2] = [include_str!("schema/held_001.sql"), include_str!("schema/held_002.sql")];

#[test]
fn no_released_step_was_edited() {
    let now: Vec<String> = STEPS.iter().map(|step| Digest::of(step.as_bytes()).to_string()).collect();
    assert_eq!(now, RELEASED, "add a step (and its digest here); never edit one");
}

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(n: u8) -> T {
    format!("0190a0c0-0000-7000-8000-0000000000{n:02}").parse().unwrap()
}

#[test]
fn what_an_older_program_wrote_is_read_by_this_one() {
    for age in 1..STEPS.len() {
        let db = Connection::open_in_memory().unwrap();
        for step in 0..age {
            migrate(&db, &STEPS[..=step]).unwrap();
            db.execute_batch(HELD.get(step).unwrap_or(&"")).unwrap();
        }
        let store = Store::with(db).unwrap();
        reads_all(&store, age);
        goes_on(&store);
    }
}

#[track_caller]
fn reads_all(store: &Store, age: usize) {
    let (box_, at) = (id(3), Millis(1_795_000_000_000));
    assert_eq!(store.number("generation").unwrap(), 2);
    assert_eq!(store.newest_document(Document::Charter).unwrap().unwrap(), b"charter 2");
    assert_eq!(store.documents(Document::Charter).unwrap().len(), 2);
    assert_eq!(store.newest_serial(Document::Catalogue).unwrap(), Some(1));

    let tenant = store.tenant_called("Elm Street Clinic").unwrap().unwrap();
    assert_eq!((tenant.id, tenant.log_size, tenant.policy.as_slice()), (id(1), 1, &b"policy"[..]));
    assert_eq!(store.log_head(tenant.id).unwrap().checkpoint.unwrap(), b"checkpoint");
    assert_eq!(store.sites(tenant.id).unwrap()[0].name, "Main");
    let token = store.enrolment_token(Digest([1; 32])).unwrap().unwrap();
    assert_eq!(token.appliance, Some(box_));
    let operator = store.operator_tokens().unwrap().remove(0);
    assert_eq!((operator.name.as_str(), operator.revoked), ("alice", true));

    let appliance = store.appliance(box_).unwrap().unwrap();
    assert_eq!((appliance.state, appliance.state_reason.as_str()), (ApplianceState::Quarantined, "why"));
    assert_eq!((appliance.issued_high, appliance.taken_high), (1, 1));
    assert_eq!((appliance.version.as_str(), appliance.hardware.as_str()), ("0.1.0", ""));
    assert_eq!(appliance.heartbeat.unwrap().every_ms, 3_600_000);
    let incarnation = store.incarnation(Incarnation([2; 16])).unwrap().unwrap();
    assert_eq!((incarnation.appliance, incarnation.chain.next), (box_, 1));
    assert_eq!(store.renewal(box_, Digest([5; 32])).unwrap().unwrap(), b"certificate 2");
    let stream = store.stream(box_, proto::ids::StreamId([6; 16])).unwrap();
    assert_eq!((stream.number, stream.digest), (4, Digest([7; 32])));
    assert!(store.has_batch(box_, proto::ids::StreamId([6; 16]), stream).unwrap());
    assert!(store.has_event(box_, id(4)).unwrap());
    assert_eq!(store.gaps(box_).unwrap()[0].cause, "batch-lost");

    let incident = store.incident(id(5)).unwrap().unwrap();
    assert_eq!((incident.kind.as_str(), incident.plan.unwrap().planner.as_str()), ("backup.stale", "rules"));
    assert_eq!(store.timeline(id(5)).unwrap()[0].what, "seen");
    let told = store.told(id(5)).unwrap().unwrap();
    assert_eq!((told.telling, told.attempts, told.last_error.as_str()), (Telling::Dead, 24, "no answer"));
    let letter = store
        .notifications(Within { tenant: Some(tenant.id), site: None }, Some(Telling::Dead), 9)
        .unwrap()
        .remove(0);
    assert_eq!((letter.key.as_str(), letter.channel.as_str(), letter.news), ("1", "webhook", News::Raised));
    let order = store.order(id(6)).unwrap().unwrap();
    assert_eq!(
        (order.state, order.outcome.as_str(), order.ended),
        (OrderState::Executed, "failed", Some(at))
    );
    let evidence = store.evidence(tenant.id, 0, 10).unwrap().remove(0);
    assert_eq!((evidence.kind.as_str(), evidence.envelope.as_slice()), ("execution", &b"envelope"[..]));
    assert_eq!(store.vault_object_count("").unwrap(), 0);
    assert_eq!(store.attachment(tenant.id, Digest([9; 32])).unwrap().unwrap(), b"output");
    assert_eq!(store.tiles(tenant.id).tile("tile/0/000.p/1".parse().unwrap()).unwrap().len(), 1);
    assert_eq!(store.standing_of(box_).unwrap().len(), usize::from(age > 1), "from schema {age}");
}

/// And it can be written on from there.
#[track_caller]
fn goes_on(store: &Store) {
    let later = Millis(1_795_000_000_000).plus(Duration::from_secs(1));
    let letter = NewNotification {
        key: "k",
        tenant: id(1),
        incident: id(5),
        channel: "webhook",
        thread: "t",
        news: News::Raised,
        body: "{}",
        due: later,
    };
    store.add_notification(&letter, later).unwrap();
    assert_eq!(store.notifications_due("webhook", later, 9).unwrap().len(), 1);
    assert_eq!(store.told(id(5)).unwrap().unwrap().telling, Telling::Due);
    store.put_document(Document::Charter, 3, b"charter 3", later).unwrap();
    store.raise_issued_high(id(3), 2).unwrap();
    store.saw_appliance(id(3), later, "0.2.0", 2).unwrap();
    assert_eq!(store.appliance(id(3)).unwrap().unwrap().version, "0.2.0");
}

#[test]
fn commits_are_durable_on_the_stores_own_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control-plane.db");
    let store = Store::open(&path).unwrap();
    let pragma = |store: &Store, name| -> String {
        let value = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
        match store.db.pragma_query_value(None, name, value).unwrap() {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => panic!("{other:?}"),
        }
    };
    // 2 is FULL: the log is synced at every commit.
    assert_eq!(
        (pragma(&store, "synchronous").as_str(), pragma(&store, "journal_mode").as_str()),
        ("2", "wal")
    );
    assert_eq!(pragma(&store, "foreign_keys"), "1");
    drop(store);
    // A database that somebody made otherwise is as durable once it is opened here.
    let other = Connection::open(&path).unwrap();
    other.pragma_update(None, "journal_mode", "DELETE").unwrap();
    drop(other);
    let store = Store::open(&path).unwrap();
    assert_eq!(
        (pragma(&store, "synchronous").as_str(), pragma(&store, "journal_mode").as_str()),
        ("2", "wal")
    );
}
