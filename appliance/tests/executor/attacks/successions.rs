//! A log that follows another: only by word of the organization's keys, and never past what this box has verified.

use proto::{
    dsse,
    evidence::Body,
    ids::TenantId,
    local,
    log::{Checkpoint, Hash, Head, log_origin},
    succession::{Cause, NamedHead, Succession},
};

use super::{Scene, stranger};
use crate::support::{collect, describe};

/// A box that has verified a checkpoint of its log, and has one record more that is not proven.
fn scene() -> Scene {
    let mut scene = Scene::new();
    scene.office.take(&collect(&mut scene.core, 0));
    let inclusions = scene.office.inclusions(&describe(&mut scene.core).unproven);
    let checkpoint = scene.office.checkpoint();
    scene.deliver(local::Deliver { checkpoint, inclusions, ..local::Deliver::default() });
    scene.is_refused_by(b"x".to_vec(), "signature");
    let d = describe(&mut scene.core);
    assert_eq!((d.unproven.len(), d.log), (1, 1));
    scene
}

/// What the organization says, when the old log ended so.
fn said(scene: &Scene, head: Head) -> Succession {
    said_because(scene, Cause::EntriesLost, head)
}

fn said_because(scene: &Scene, cause: Cause, head: Head) -> Succession {
    let tenant = scene.office.tenant;
    let old = NamedHead::new(log_origin("msp.example", tenant), head);
    Succession::of("msp.example", tenant, old, cause, scene.office.now).unwrap()
}

fn signed(scene: &Scene, said: &Succession) -> Vec<u8> {
    said.seal(&[&scene.office.organization[1], &scene.office.organization[2]])
}

fn succession(envelope: Vec<u8>) -> local::Deliver {
    local::Deliver { succession: envelope, ..local::Deliver::default() }
}

fn proves_all(scene: &mut Scene) {
    scene.office.take(&collect(&mut scene.core, 0));
    let d = describe(&mut scene.core);
    let message = local::Deliver {
        checkpoint: scene.office.checkpoint(),
        consistency: scene.office.consistency(d.checkpoint_size),
        inclusions: scene.office.inclusions(&d.unproven),
        ..local::Deliver::default()
    };
    let delivered = scene.deliver(message);
    assert!(delivered.problems.is_empty(), "{:?}", delivered.problems);
    assert!(describe(&mut scene.core).unproven.is_empty());
}

#[test]
fn what_was_not_proven_in_the_log_before_is_proven_in_the_one_that_follows() {
    let mut scene = scene();
    let known = describe(&mut scene.core).checkpoint_size;
    // As far as it was verified here, and further than that.
    let named = Head { size: known + 3, root: Hash([7; 32]) };
    let envelope = signed(&scene, &said(&scene, named));
    let wanted = describe(&mut scene.core).unproven;
    scene.office.begin_log(2, &wanted);
    // Before it is said, a checkpoint of another name is nobody's.
    let early = local::Deliver { checkpoint: scene.office.checkpoint(), ..local::Deliver::default() };
    assert_eq!(scene.deliver(early).problems.len(), 1);
    assert!(scene.deliver(succession(envelope.clone())).problems.is_empty());
    let d = describe(&mut scene.core);
    assert_eq!((d.log, d.checkpoint_size, d.unproven.len(), d.hold.as_str()), (2, 0, 1, ""));
    assert!(scene.deliver(succession(envelope.clone())).problems.is_empty(), "again, and nothing changes");
    proves_all(&mut scene);
    // It is remembered, and records say of which log they speak.
    scene.core = scene.appliance.open();
    scene.tell_time();
    assert_eq!(describe(&mut scene.core).log, 2);
    scene.is_refused_by(b"y".to_vec(), "signature");
    let newest = scene.office.records().pop().unwrap();
    assert_eq!(newest.checkpoint.map(|seen| seen.log), Some(2));
    scene.still_runs_a_good_order(1);
}

#[test]
fn nobody_else_leads_a_box_to_another_log() {
    let mut scene = scene();
    let known = describe(&mut scene.core).checkpoint_size;
    let right = said(&scene, scene.office.head);
    let keys = &scene.office.organization;
    let other = TenantId::new(scene.office.now, [9; 10]);
    let theirs = NamedHead { origin: log_origin("msp.example", other), ..right.old.clone() };
    let theirs = Succession::of("msp.example", other, theirs, right.cause, right.at).unwrap();
    let next = NamedHead { origin: right.new.origin.clone(), ..right.old.clone() };
    let next = Succession::of("msp.example", right.tenant, next, right.cause, right.at).unwrap();
    let (order, log) = (&scene.office.order_key, &scene.office.log_key);
    for envelope in [
        right.seal(&[&keys[0]]),
        right.seal(&[&keys[0], &keys[0], order, log, &stranger()]),
        dsse::seal("application/json", &right.encode(), &[&keys[0], &keys[1]]),
        theirs.seal(&[&keys[0], &keys[1]]),
        next.seal(&[&keys[0], &keys[1]]),
    ] {
        let delivered = scene.deliver(succession(envelope));
        assert!(delivered.problems.len() == 1 && delivered.problems[0].starts_with("succession"));
        let d = describe(&mut scene.core);
        assert_eq!((d.log, d.checkpoint_size, d.hold.as_str()), (1, known, ""));
    }
}

#[test]
fn a_word_that_forgets_what_this_box_has_verified_is_an_alarm() {
    for (less, root) in [(1, None), (0, Some(Hash([5; 32])))] {
        let mut scene = scene();
        let size = describe(&mut scene.core).checkpoint_size;
        let root = root.unwrap_or(Hash([6; 32]));
        let named = Head { size: size - less, root };
        let envelope = signed(&scene, &said(&scene, named));
        let delivered = scene.deliver(succession(envelope));
        assert!(delivered.problems[0].starts_with("succession"), "{:?}", delivered.problems);
        let d = describe(&mut scene.core);
        assert!(d.log == 1 && d.checkpoint_size == size && d.hold.contains("contradicts"), "{}", d.hold);
        scene.work();
        scene.office.take(&collect(&mut scene.core, 0));
        let holds = |body: &Body| matches!(body, Body::Hold(hold) if hold.held && hold.by == "log-fork");
        assert!(scene.office.records().iter().any(|record| holds(&record.body)), "and it is evidence");
        // A word that names no less leads on, and the alarm is over: two people have decided.
        let kept = scene.office.head_at(size);
        let envelope = signed(&scene, &said(&scene, kept));
        assert!(scene.deliver(succession(envelope)).problems.is_empty());
        let d = describe(&mut scene.core);
        assert_eq!((d.log, d.hold.as_str()), (2, ""));
    }
}

/// Somebody signed another history with the log's key, and this box may be the one that has verified it.
#[test]
fn a_word_that_names_more_must_be_shown_to_continue_what_this_box_has_verified() {
    let mut scene = scene();
    let known = describe(&mut scene.core).checkpoint_size;
    scene.office.take(&collect(&mut scene.core, 0));
    let (right, other) = (scene.office.head, Head { root: Hash([7; 32]), ..scene.office.head });
    assert!(right.size > known);
    let proof = scene.office.consistency(known);
    let offer = |scene: &mut Scene, cause, head, consistency: &[Vec<u8>]| {
        let succession = signed(scene, &said_because(scene, cause, head));
        scene.deliver(local::Deliver {
            succession,
            consistency: consistency.to_vec(),
            ..local::Deliver::default()
        })
    };
    for (cause, head, proof, says) in [
        (Cause::KeyStolen, right, &[][..], "not shown to continue"),
        (Cause::KeyStolen, other, &[], "not shown to continue"),
        (Cause::KeyStolen, other, &proof, "not shown to continue"),
        (Cause::KeyStolen, right, &[vec![1; 32]], "not shown to continue"),
        (Cause::KeyStolen, right, &[vec![1; 31]], "consistency"),
        // Lost entries are no way around a proof that says otherwise.
        (Cause::EntriesLost, other, &proof, "not shown to continue"),
    ] {
        let delivered = offer(&mut scene, cause, head, proof);
        assert!(
            delivered.problems.len() == 1 && delivered.problems[0].contains(says),
            "{:?}",
            delivered.problems
        );
        let d = describe(&mut scene.core);
        assert_eq!((d.log, d.checkpoint_size, d.hold.as_str()), (1, known, ""));
    }
    assert!(offer(&mut scene, Cause::KeyStolen, right, &proof).problems.is_empty());
    assert_eq!(describe(&mut scene.core).log, 2);
}

#[test]
fn a_box_that_has_seen_a_fork_goes_by_no_word_that_nobody_can_show() {
    let mut scene = scene();
    let known = describe(&mut scene.core).checkpoint_size;
    scene.office.take(&collect(&mut scene.core, 0));
    let (right, proof) = (scene.office.head, scene.office.consistency(known));
    let fork = Head { size: known, root: Hash([5; 32]) };
    let origin = log_origin("msp.example", scene.office.tenant);
    let checkpoint = Checkpoint::new(&origin, fork).sign(&scene.office.log_key).unwrap();
    let checkpoint = checkpoint.note().as_bytes().to_vec();
    scene.deliver(local::Deliver { checkpoint, ..local::Deliver::default() });
    assert!(describe(&mut scene.core).hold.contains("contradicts"));
    let envelope = signed(&scene, &said(&scene, right));
    let delivered = scene.deliver(succession(envelope.clone()));
    assert!(delivered.problems[0].contains("the log has forked"), "{:?}", delivered.problems);
    scene.core = scene.appliance.open();
    scene.tell_time();
    let d = describe(&mut scene.core);
    assert!(d.log == 1 && d.hold.contains("contradicts"), "a person must come: {}", d.hold);
    let shown = local::Deliver { succession: envelope, consistency: proof, ..local::Deliver::default() };
    assert!(scene.deliver(shown).problems.is_empty());
    let d = describe(&mut scene.core);
    assert_eq!((d.log, d.hold.as_str()), (2, ""));
}
