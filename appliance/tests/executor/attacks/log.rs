//! Logs that fork, do not continue, or prove nothing.

use proto::{
    digest::Digest,
    evidence::Body,
    keys::SecretKey,
    local,
    log::{Checkpoint, Hash},
};

use super::{Scene, stranger};
use crate::support::{collect, describe};

#[test]
fn a_forked_log_is_an_alarm_that_stays() {
    let mut scene = Scene::new();
    scene.office.take(&collect(&mut scene.core, 0));
    let d = describe(&mut scene.core);
    let inclusions = scene.office.inclusions(&d.unproven);
    let kept = collect(&mut scene.core, 0).len();
    let origin = proto::log::log_origin("msp.example", scene.office.tenant);
    let sign = |key: &SecretKey, origin: &str, size: u64, root: Hash| {
        let head = proto::log::Head { size, root };
        Checkpoint::new(origin, head).sign(key).unwrap().note().as_bytes().to_vec()
    };
    let root = scene.office.head.root;
    // Signed by nobody we know, or for another tenant's log.
    for checkpoint in [
        sign(&stranger(), &origin, 2, root),
        sign(&scene.office.log_key, "evidence.msp.example/other", 2, root),
    ] {
        let delivered = scene.deliver(local::Deliver {
            checkpoint,
            inclusions: inclusions.clone(),
            ..local::Deliver::default()
        });
        assert_eq!(delivered.problems.len(), 1, "{:?}", delivered.problems);
        assert_eq!((describe(&mut scene.core).checkpoint_size, collect(&mut scene.core, 0).len()), (0, kept));
    }
    let good = local::Deliver { checkpoint: scene.office.checkpoint(), ..local::Deliver::default() };
    assert!(scene.deliver(good.clone()).problems.is_empty());
    assert_eq!(describe(&mut scene.core).checkpoint_size, 2);
    assert_eq!(describe(&mut scene.core).hold, "");

    let fork = sign(&scene.office.log_key, &origin, 2, Hash([5; 32]));
    let delivered = scene.deliver(local::Deliver {
        checkpoint: fork,
        inclusions: inclusions.clone(),
        ..local::Deliver::default()
    });
    assert!(delivered.problems[0].contains("fork"), "{:?}", delivered.problems);
    assert!(describe(&mut scene.core).hold.contains("contradicts"));
    assert_eq!(collect(&mut scene.core, 0).len(), kept, "no evidence goes by a fork");
    // Neither the good checkpoint nor a restart makes it unseen.
    assert!(scene.deliver(good).problems.is_empty());
    scene.core = scene.appliance.open();
    scene.tell_time();
    assert!(describe(&mut scene.core).hold.contains("contradicts"));
    let envelope = scene.sealed(&scene.good_order(1, 1));
    scene.is_refused_by(envelope, "hold");
    let holds = scene
        .office
        .records()
        .iter()
        .filter_map(
            |r| if let Body::Hold(hold) = &r.body { hold.checkpoint.map(|c| (hold, c)) } else { None },
        )
        .map(|(hold, shown)| (hold.held, hold.by.clone(), shown.size, shown.root))
        .collect::<Vec<_>>();
    assert_eq!(holds, [(true, "log-fork".to_owned(), 2, Digest([5; 32]))]);
}

#[test]
fn a_log_that_does_not_show_that_it_continues_proves_nothing_and_holds_nothing() {
    let mut scene = Scene::new();
    scene.office.take(&collect(&mut scene.core, 0));
    assert!(
        scene
            .deliver(local::Deliver { checkpoint: scene.office.checkpoint(), ..local::Deliver::default() })
            .problems
            .is_empty()
    );
    let size = scene.office.head.size;
    // One more record, so that there is something to continue with.
    scene.is_refused_by(b"x".to_vec(), "signature");
    let (checkpoint, unproven) = (scene.office.checkpoint(), describe(&mut scene.core).unproven);
    let inclusions = scene.office.inclusions(&unproven);
    let without = local::Deliver {
        checkpoint: checkpoint.clone(),
        inclusions: inclusions.clone(),
        ..local::Deliver::default()
    };
    assert_eq!(scene.deliver(without).problems.len(), 1);
    // Whoever delivers may have lost the proof, as often as he likes.
    scene.work();
    let d = describe(&mut scene.core);
    assert!(d.hold.is_empty() && d.checkpoint_size == size, "{}", d.hold);
    assert_eq!(d.unproven, unproven, "no evidence goes, and none comes");
    let consistency = scene.office.consistency(size);
    let shown = local::Deliver { checkpoint, consistency, inclusions, ..local::Deliver::default() };
    assert!(scene.deliver(shown).problems.is_empty());
    let d = describe(&mut scene.core);
    assert!(d.hold.is_empty() && d.unproven.is_empty());
    scene.still_runs_a_good_order(1);
}

#[test]
fn a_head_shown_without_a_proof_is_not_forgotten_for_a_proof_of_another() {
    let mut scene = Scene::new();
    scene.office.take(&collect(&mut scene.core, 0));
    let checkpoint = scene.office.checkpoint();
    scene.deliver(local::Deliver { checkpoint, ..local::Deliver::default() });
    let origin = proto::log::log_origin("msp.example", scene.office.tenant);
    let show = |scene: &mut Scene, size: u64| {
        let head = proto::log::Head { size, root: Hash([5; 32]) };
        let signed = Checkpoint::new(&origin, head).sign(&scene.office.log_key).unwrap();
        let checkpoint = signed.note().as_bytes().to_vec();
        let delivered = scene.deliver(local::Deliver { checkpoint, ..local::Deliver::default() });
        assert!(delivered.problems[0].contains("consistency"), "{:?}", delivered.problems);
    };
    let grow_and_prove = |scene: &mut Scene| {
        let kept = describe(&mut scene.core).checkpoint_size;
        scene.is_refused_by(b"x".to_vec(), "signature");
        let consistency = scene.office.consistency(kept);
        let checkpoint = scene.office.checkpoint();
        let delivered =
            scene.deliver(local::Deliver { checkpoint, consistency, ..local::Deliver::default() });
        assert!(delivered.problems.is_empty(), "{:?}", delivered.problems);
    };
    // One beyond the next head, and one of exactly its size that is not it.
    show(&mut scene, 9);
    grow_and_prove(&mut scene);
    assert_eq!(describe(&mut scene.core).hold, "", "nothing contradicts anything yet");
    show(&mut scene, 4);
    grow_and_prove(&mut scene);
    assert_eq!(describe(&mut scene.core).checkpoint_size, 4);
    assert!(describe(&mut scene.core).hold.contains("size 4 contradicts"));
    scene.core = scene.appliance.open();
    scene.tell_time();
    let envelope = scene.sealed(&scene.good_order(1, 1));
    scene.is_refused_by(envelope, "hold");
    let database = scene.appliance.connection();
    let shown: String = database
        .query_row(
            "SELECT group_concat(size || ':' || fork) FROM (SELECT * FROM shown ORDER BY size)",
            [],
            |r| r.get(0),
        )
        .unwrap();
    assert_eq!(shown, "4:1,9:0", "each by itself");
}

#[test]
fn a_proof_of_inclusion_that_proves_nothing() {
    let mut scene = Scene::new();
    scene.office.take(&collect(&mut scene.core, 0));
    let unproven = describe(&mut scene.core).unproven;
    let good = scene.office.inclusions(&unproven);
    let checkpoint = scene.office.checkpoint();
    let bad = vec![
        local::Inclusion { index: 1, ..good[0].clone() },
        local::Inclusion { index: u64::MAX, ..good[0].clone() },
        local::Inclusion { hashes: Vec::new(), ..good[0].clone() },
        local::Inclusion { hashes: vec![vec![0; 31]], ..good[0].clone() },
        local::Inclusion { sha256: unproven[1].clone(), ..good[0].clone() },
        local::Inclusion { sha256: Vec::new(), ..good[0].clone() },
    ];
    let count = bad.len();
    let delivered = scene.deliver(local::Deliver {
        checkpoint: checkpoint.clone(),
        inclusions: bad,
        ..local::Deliver::default()
    });
    assert_eq!(delivered.problems.len(), count, "{:?}", delivered.problems);
    assert_eq!(describe(&mut scene.core).unproven, unproven);
    // Without a checkpoint a proof is worth nothing at all.
    scene.deliver(local::Deliver { inclusions: good.clone(), ..local::Deliver::default() });
    assert_eq!(describe(&mut scene.core).unproven, unproven);
    scene.deliver(local::Deliver { checkpoint, inclusions: good, ..local::Deliver::default() });
    assert!(describe(&mut scene.core).unproven.is_empty());
}
