//! Answers that would not fit into a frame: evidence goes on, whatever a step's output weighed.

use appliance::ipc::FRAME_MAX;
use prost::Message as _;
use proto::local::{self, request::Call, response::Answer};

use super::Scene;
use crate::support::{ask, describe};

/// Two executions whose outputs weigh that much each.
fn scene(bytes: usize) -> Scene {
    let mut scene = Scene::new();
    for n in 1..=2 {
        let core = scene.office.core(n, &scene.incarnation, "RB-RESTORE-001", "records");
        let order = scene.sealed(&scene.office.issue(core, n.into()));
        assert!(scene.send(order).accepted);
        scene.work();
        scene.appliance.clock.pass(std::time::Duration::from_secs(700));
        scene.office.now = proto::time::Millis::plus(scene.office.now, std::time::Duration::from_secs(700));
        scene.tell_time();
    }
    let changed = scene
        .appliance
        .connection()
        .execute("UPDATE output SET content = zeroblob(?1)", [i64::try_from(bytes).unwrap()]);
    assert_eq!(changed.unwrap(), 2);
    scene
}

/// Everything, in answers of at most `most` bytes each; gives the weight of the attachments.
fn all(scene: &mut Scene, most: u32) -> Vec<usize> {
    let end = describe(&mut scene.core).evidence_next;
    let (mut from, mut attachments) = (0, Vec::new());
    while from < end {
        let collect = local::Collect { from, wait_ms: 0, most_bytes: most };
        let Answer::Collected(collected) = ask(&mut scene.core, Call::Collect(collect)) else { panic!() };
        assert!(collected.encoded_len() + 16 <= FRAME_MAX, "{} bytes", collected.encoded_len());
        if collected.items.len() > 1 {
            assert!(collected.encoded_len() <= most as usize + 1024, "more than was asked for");
        }
        for item in collected.items {
            assert_eq!(item.index, from, "each once, in order");
            from += 1;
            attachments.extend(item.attachments.iter().map(Vec::len));
        }
    }
    attachments
}

#[test]
fn outputs_count_towards_what_was_asked_for() {
    let large = 9 << 20;
    let mut scene = scene(large);
    assert_eq!(all(&mut scene, 1 << 20), [large; 2]);
    assert_eq!(all(&mut scene, u32::MAX), [large; 2]);
}

#[test]
fn an_output_that_fits_into_no_answer_holds_up_no_evidence() {
    let mut scene = scene(FRAME_MAX);
    assert!(all(&mut scene, 1 << 20).is_empty());
}
