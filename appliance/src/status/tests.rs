//! What a person and a program are shown.

use std::time::Duration;

use super::*;
use crate::{
    agent::{
        detect,
        outbox::{Intake, Item, Limits, Outbox},
    },
    ipc::IpcError,
    trouble::Trouble,
};

struct Answers(Option<local::Description>);

impl Executor for Answers {
    fn call(&mut self, _: local::Request) -> Result<local::Response, IpcError> {
        let description = self.0.clone().ok_or(IpcError::HungUp)?;
        Ok(local::Response { answer: Some(local::response::Answer::Description(description)) })
    }
}

struct Noon;

impl Clock for Noon {
    fn wall(&self) -> Millis {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }
    fn boot(&self) -> Duration {
        Duration::from_secs(7200)
    }
}

fn description() -> local::Description {
    local::Description {
        incarnation: vec![0xab; 16],
        evidence_key: "ed25519:00".to_owned(),
        key_protection: "file".to_owned(),
        identity: Some(local::Identity {
            organization: "msp.example".to_owned(),
            tenant: "t".to_owned(),
            appliance: "a".to_owned(),
        }),
        evidence_first: 3,
        evidence_next: 5,
        checkpoint_size: 3,
        checkpoint_root: vec![7; 32],
        order_high: 7,
        charter_serial: 1,
        standing: vec![1; 32],
        executions: vec![local::Execution {
            order: "o".to_owned(),
            runbook: "RB-DISK-002".to_owned(),
            state: "finished".to_owned(),
        }],
        ..Default::default()
    }
}

#[test]
fn what_cannot_be_looked_at_is_a_problem_and_hides_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let status = gather(dir.path(), &mut Answers(None), &Noon);
    assert_eq!(status.problems.len(), 2, "{:?}", status.problems);
    assert!(status.problems[0].contains("executor") && status.problems[1].contains("not enrolled"));
    let shown = status.to_string();
    assert!(
        shown.contains("PROBLEM") && shown.contains("up 2 h") && !shown.contains("all is well"),
        "{shown}"
    );
    let found = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(found, 0, "looking leaves nothing behind");
}

#[test]
fn a_person_sees_all_of_it_and_a_program_by_stable_names() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::at(dir.path());
    let mut outbox =
        Outbox::open(&folder.outbox(), Limits::new(1 << 20, 1 << 19), proto::ids::StreamId([1; 16])).unwrap();
    let key = detect::Key { fault: runbooks::Fault::BackupStale, watch: "records".parse().unwrap() };
    let items = vec![Item::Evidence { envelope: vec![1; 100], attachments: vec![] }];
    let earlier = Millis(Noon.wall().0 - 90_000);
    let raised = detect::State { raised: true, said: earlier, held: earlier };
    let intake = Intake { source: "test".to_owned(), items, detectors: vec![(key, raised)], cursor: None };
    outbox.commit(&intake, earlier).unwrap();
    Contact::answered(earlier, "").write(&folder.contact()).unwrap();
    let held = local::Description { hold: "file".to_owned(), ..description() };
    let mut status = gather(dir.path(), &mut Answers(Some(held)), &Noon);
    assert_eq!(status.problems.len(), 2, "no certificate, and held: {:?}", status.problems);
    status.problems.clear();
    let shown = status.to_string();
    assert!(!shown.contains("all is well") && !shown.contains("PROBLEM"), "{shown}");
    for part in [
        "a of tenant t (msp.example)",
        "5 made, 2 waiting for proof, newest checkpoint of 3 entries",
        "3:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc= (for `evidence verify --head`)",
        "highest sequence 7; charter 1, catalogue 0, policy 0; standing orders kept",
        "RB-DISK-002 finished (o)",
        "answered 90 s ago",
        "0 events, 1 evidence and 0 lines waiting",
        "oldest 90 s old",
        "backup.stale on records, said 90 s ago",
    ] {
        assert!(shown.contains(part), "{part} in:\n{shown}");
    }
    let json = serde_json::to_value(&status).unwrap();
    for (pointer, value) in [
        ("/format", serde_json::json!(1)),
        ("/executor/identity/appliance", "a".into()),
        ("/executor/incarnation", "ab".repeat(16).into()),
        ("/executor/evidence/waiting_for_proof", 2.into()),
        ("/executor/orders/high", 7.into()),
        ("/executor/orders/standing", true.into()),
        ("/executor/hold", "file".into()),
        ("/outbox/evidence", 1.into()),
        ("/outbox/oldest", "2026-11-22T11:58:30.000Z".into()),
        ("/link/answered", "2026-11-22T11:58:30.000Z".into()),
        ("/clock/up_seconds", 7200.into()),
        ("/certificate", serde_json::Value::Null),
        ("/faults/0/watch", "records".into()),
        ("/complete", false.into()),
    ] {
        assert_eq!(json.pointer(pointer), Some(&value), "{pointer}");
    }
}

#[test]
fn what_is_not_well_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::at(dir.path());
    let bad = Contact::answered(Millis(0), "two histories").failed(
        Millis(1),
        "no route".to_owned(),
        Some(Trouble::NoRoute),
    );
    bad.write(&folder.contact()).unwrap();
    let strange = local::Description { identity: None, ..description() };
    let problems = gather(dir.path(), &mut Answers(Some(strange)), &Noon).problems.join("\n");
    for part in ["not enrolled", "no route", "two histories"] {
        assert!(problems.contains(part), "{problems}");
    }
}
