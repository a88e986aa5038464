//! Orders that must not run: forged, changed, misdirected, repeated, stale, or signed with the real order key for what the
//! box does not allow.

use std::time::Duration;

use appliance::world::Clock as _;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use prost::Message as _;
use proto::{
    approval::Approval,
    charter::Approver,
    digest::Digest,
    dsse,
    evidence::Body,
    ids::Incarnation,
    keys::SecretKey,
    local,
    order::{ORDER_TYPE, Order},
    pb,
};
use runbooks::{Mode, Policy, Risk};

use super::{Scene, stranger};
use crate::support::{collect, describe, office::runbooks};

#[test]
fn a_forged_order() {
    let mut scene = Scene::new();
    let order = scene.good_order(1, 1);
    scene.is_refused_by(order.seal(&stranger()), "signature");
    // The charter's other keys are no order keys.
    scene.is_refused_by(order.seal(&scene.office.log_key), "signature");
    scene.is_refused_by(order.seal(&scene.office.release[0]), "signature");
    let as_policy = dsse::seal(runbooks::POLICY_TYPE, &order.encode(), &[&scene.office.order_key]);
    scene.is_refused_by(as_policy, "signature");
    scene.is_refused_by(b"no envelope at all".to_vec(), "signature");
    scene.is_refused_by(vec![b'['; 3 << 20], "signature");
    assert!(scene.refusals().iter().all(|refusal| refusal.order.is_none()));
    assert_eq!(describe(&mut scene.core).order_high, 0, "a forgery spends nothing");
    scene.still_runs_a_good_order(1);
}

#[test]
fn an_order_changed_under_way() {
    let mut scene = Scene::new();
    let sealed = scene.sealed(&scene.good_order(1, 1));
    let mut json: serde_json::Value = serde_json::from_slice(&sealed).unwrap();
    let mut other = scene.office.core(1, &scene.incarnation, "RB-DISK-002", "scans");
    other.approve_until = None;
    let payload = scene.office.issue(other, 1).encode();
    json["payload"] = STANDARD.encode(payload).into();
    scene.is_refused_by(serde_json::to_vec(&json).unwrap(), "signature");
}

#[test]
fn an_order_for_somebody_else() {
    let mut scene = Scene::new();
    let core = || scene.office.core(1, &scene.incarnation, "RB-DISK-002", "uploads");
    let other = "0190a0c0-0000-7000-8000-0000000000ff";
    let mut cores = vec![core(), core(), core(), core()];
    cores[0].appliance = other.parse().unwrap();
    cores[1].tenant = other.parse().unwrap();
    cores[2].organization = "other.example".into();
    cores[3].incarnation = Incarnation([9; 16]);
    for core in cores {
        let envelope = scene.sealed(&scene.office.issue(core, 1));
        scene.is_refused_by(envelope, "binding");
    }
    scene.still_runs_a_good_order(1);
}

#[test]
fn a_replayed_order_before_and_after_a_restart() {
    let mut scene = Scene::new();
    let envelope = scene.sealed(&scene.good_order(1, 1));
    assert!(scene.send(envelope.clone()).accepted);
    scene.work();
    scene.appliance.machine.lock().performed.clear();
    scene.appliance.clock.pass(Duration::from_secs(301));
    scene.is_refused_by(envelope.clone(), "replay");
    scene.core = scene.appliance.open();
    scene.office.now = scene.appliance.clock.wall();
    scene.tell_time();
    scene.is_refused_by(envelope, "replay");
    // Skipping ahead does not bring back what was passed over.
    let far = scene.sealed(&scene.good_order(2, 1 << 21));
    scene.is_refused_by(far, "replay");
    let mut wrong_charter = scene.good_order(3, 5);
    wrong_charter.charter_serial = 2;
    let wrong_charter = scene.sealed(&wrong_charter);
    scene.is_refused_by(wrong_charter, "replay");
}

/// A new charter with one approver, whose passkey it gives, and a policy under which medium risk wants approval.
pub(super) fn with_an_approver(scene: &mut Scene) -> SecretKey {
    let passkey = SecretKey::generate_p256();
    scene.office.charter.serial = 2;
    scene.office.charter.approvers = vec![Approver {
        name: "owner".into(),
        key: passkey.public(),
        rp_id: "msp.example".into(),
        origin: "https://msp.example".into(),
    }];
    scene.office.policy_serial = 2;
    let mut policy = scene.office.policy();
    policy.modes.insert(Risk::Medium, Mode::Approval);
    let delivered = scene.deliver(local::Deliver {
        charter: scene.office.charter_bytes(),
        policy: policy.seal(&scene.office.order_key),
        ..local::Deliver::default()
    });
    assert!(delivered.problems.is_empty(), "{:?}", delivered.problems);
    passkey
}

fn approve(order: &mut Order, passkey: &SecretKey) {
    order.approvals.push(assertion(order.core_digest, passkey));
}

/// The owner's passkey over that digest.
pub(super) fn assertion(challenge: Digest, passkey: &SecretKey) -> Approval {
    let challenge = URL_SAFE_NO_PAD.encode(challenge.0);
    let client_data =
        format!(r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"https://msp.example"}}"#)
            .into_bytes();
    let mut authenticator_data = Digest::of(b"msp.example").to_vec();
    authenticator_data.extend_from_slice(&[0x05, 0, 0, 0, 1]); // present and verified; signature count 1
    let mut message = authenticator_data.clone();
    message.extend_from_slice(&Digest::of(&client_data).0);
    let signature = passkey.sign(&message);
    Approval { approver: "owner".into(), authenticator_data, client_data, signature }
}

#[test]
fn one_approval_buys_one_run() {
    let mut scene = Scene::new();
    let passkey = with_an_approver(&mut scene);
    let hour = Duration::from_secs(3600);
    let approved = |scene: &Scene, n: u8, sequence: u64, until| {
        let mut core = scene.office.core(n, &scene.incarnation, "RB-DISK-002", "uploads");
        core.approve_until = Some(until);
        let mut order = scene.office.issue(core, sequence);
        approve(&mut order, &passkey);
        scene.sealed(&order)
    };
    let begin = scene.office.now;
    let for_ever = approved(&scene, 1, 1, begin.plus(25 * hour));
    scene.is_refused_by(for_ever, "window");
    let until = begin.plus(2 * hour);
    let first = approved(&scene, 2, 2, until);
    assert!(scene.send(first).accepted);
    // What waits is taken, too.
    let while_it_waits = approved(&scene, 2, 3, until);
    scene.is_refused_while_another_waits(while_it_waits, "replay");
    scene.work();
    assert_eq!(scene.appliance.machine.count("files.prune", "uploads"), 1);
    for sequence in 4..6 {
        scene.appliance.machine.lock().performed.clear();
        scene.appliance.machine.lock().levels.insert("uploads".into(), 500);
        scene.appliance.clock.pass(Duration::from_secs(301));
        scene.core = scene.appliance.open();
        scene.office.now = scene.appliance.clock.wall();
        scene.tell_time();
        let again = approved(&scene, 2, sequence, until);
        scene.is_refused_by(again, "replay");
    }
    let another = approved(&scene, 7, 7, until);
    assert!(scene.send(another).accepted, "a core of its own");
}

#[test]
fn an_order_out_of_its_time() {
    let mut scene = Scene::new();
    let now = scene.office.now;
    let hour = Duration::from_secs(3600);
    for (issued, lifetime) in [(now.minus(hour), 600), (now.plus(hour), 600), (now, 3600)] {
        let mut order = scene.good_order(1, 1);
        (order.issued, order.not_before) = (issued, issued);
        order.expires = issued.plus(Duration::from_secs(lifetime));
        let envelope = scene.sealed(&order);
        scene.is_refused_by(envelope, "freshness");
    }
    let envelope = scene.sealed(&scene.good_order(1, 1));
    scene.appliance.clock.pass(Duration::from_secs(601));
    scene.is_refused_by(envelope, "freshness");
}

#[test]
fn what_was_refused_as_stale_does_not_run_when_time_is_known_better() {
    let mut scene = Scene::new();
    let mut order = scene.good_order(1, 1);
    order.expires = order.issued.plus(Duration::from_secs(60));
    let envelope = scene.sealed(&order);
    scene.core = scene.appliance.open();
    // The first answer comes late, so it may have been given up to that long ago.
    let nonce = describe(&mut scene.core).nonce;
    scene.appliance.clock.pass(Duration::from_secs(100));
    let time_token = scene.office.token(&scene.incarnation, &nonce);
    scene.deliver(local::Deliver { time_token, ..local::Deliver::default() });
    scene.is_refused_by(envelope.clone(), "freshness");
    // The second comes at once: it is not that late after all.
    scene.tell_time();
    scene.is_refused_by(envelope, "replay");
    scene.still_runs_a_good_order(2);
}

#[test]
fn the_real_order_key_cannot_reach_beyond_the_watch_list() {
    let mut scene = Scene::new();
    let unlisted = scene.office.core(1, &scene.incarnation, "RB-DISK-002", "etc");
    let unlisted = scene.sealed(&scene.office.issue(unlisted, 1));
    scene.is_refused_by(unlisted, "parameters");
    let wrong_kind = scene.office.core(2, &scene.incarnation, "RB-DISK-002", "records");
    let wrong_kind = scene.sealed(&scene.office.issue(wrong_kind, 2));
    scene.is_refused_by(wrong_kind, "parameters");
    // A path is no watch-list ID: the order cannot even be read.
    let order = pb::Order::decode(scene.good_order(3, 3).encode().as_slice()).unwrap();
    let mut core = pb::OrderCore::decode(order.core.as_slice()).unwrap();
    core.parameters[0].watch = "../../etc".into();
    let order = pb::Order { core: core.encode_to_vec(), ..order };
    let envelope = dsse::seal(ORDER_TYPE, &order.encode_to_vec(), &[&scene.office.order_key]);
    scene.is_refused_by(envelope, "signature");
}

#[test]
fn the_real_order_key_cannot_bring_its_own_procedure() {
    let mut scene = Scene::new();
    let mut core = scene.office.core(1, &scene.incarnation, "RB-DISK-002", "uploads");
    core.runbook_digest = Digest::of(b"mine");
    let envelope = scene.sealed(&scene.office.issue(core, 1));
    scene.is_refused_by(envelope, "digest");
    let mut core = scene.office.core(2, &scene.incarnation, "RB-DISK-002", "uploads");
    core.runbook = "RB-SHELL-001".parse().unwrap();
    let envelope = scene.sealed(&scene.office.issue(core, 2));
    scene.is_refused_by(envelope, "digest");
    // Nor a catalogue: one release key and the order key are not two release keys.
    let payload = runbooks::Catalogue::build(
        9,
        scene.office.now,
        scene.office.now.plus(Duration::from_secs(9)),
        runbooks(),
    )
    .unwrap();
    let catalogue = runbooks::Catalogue::seal(&payload, &[&scene.office.release[0], &scene.office.order_key]);
    let delivered = scene.deliver(local::Deliver { catalogue, ..local::Deliver::default() });
    assert!(delivered.problems[0].contains("catalogue"), "{:?}", delivered.problems);
    assert_eq!(describe(&mut scene.core).catalogue_version, 1);
}

#[test]
fn the_real_order_key_cannot_invent_an_approval() {
    let mut scene = Scene::new();
    let mut policy = Policy { serial: 2, ..scene.office.policy() };
    policy.modes.insert(Risk::Medium, Mode::Approval);
    let policy = policy.seal(&scene.office.order_key);
    assert!(scene.deliver(local::Deliver { policy, ..local::Deliver::default() }).problems.is_empty());
    scene.office.policy_serial = 2;
    let bare = scene.sealed(&scene.good_order(1, 1));
    scene.is_refused_by(bare, "window");
    let mut order = scene.good_order(2, 2);
    order.approvals = vec![proto::approval::Approval {
        approver: "the owner".into(),
        authenticator_data: vec![0; 37],
        client_data: b"{}".to_vec(),
        signature: vec![0; 70],
    }];
    let invented = scene.sealed(&order);
    scene.is_refused_by(invented, "window");
    let refusals = scene.refusals();
    assert!(
        refusals.last().unwrap().order.as_ref().unwrap().approvers.is_empty(),
        "a name that nobody vouched for"
    );
}

#[test]
fn a_signed_order_with_huge_texts_leaves_evidence_that_fits() {
    let mut scene = Scene::new();
    let mut core = scene.office.core(1, &scene.incarnation, "RB-DISK-002", "uploads");
    for n in 0..15 {
        core.parameters.insert(format!("parameter_{n}_{}", "x".repeat(20)), "uploads".parse().unwrap());
    }
    let texts = |order: &mut proto::order::Order| {
        order.plan.planner = "p".repeat(40);
        order.plan.model = "m".repeat(100);
        order.plan.reason = "\u{e9}\\\"".repeat(250);
    };
    let mut order = scene.office.issue(core, 1);
    texts(&mut order);
    let envelope = scene.sealed(&order);
    scene.is_refused_by(envelope, "parameters");
    assert_eq!(scene.refusals()[0].order.as_ref().unwrap().parameters.len(), 16);
    let mut order = scene.good_order(2, 2);
    texts(&mut order);
    assert!(scene.send(scene.sealed(&order)).accepted);
    scene.work();
    scene.office.take(&collect(&mut scene.core, 0));
    let executed = |body| if let Body::Execution(execution) = body { Some(execution) } else { None };
    let execution = scene.office.records().into_iter().find_map(|record| executed(record.body)).unwrap();
    assert_eq!(execution.order.plan, order.plan);
}
