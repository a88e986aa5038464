//! Everything that whoever owns the agent, or the order key, or both, can send. Nothing runs that must not, nothing is
//! signed but what the executor saw and did, and no evidence is lost.

use std::time::Duration;

use appliance::{executor::ExecutorCore, world::Clock as _};
use proptest::prelude::*;
use proto::{
    digest::Digest,
    dsse,
    evidence::{Body, Refusal},
    ids::{Incarnation, Nonce},
    keys::SecretKey,
    local::{self, request::Call},
    log::{Checkpoint, Hash},
    order::{ORDER_TYPE, Order},
    pb,
    time::TimeToken,
};
use prost::Message as _;
use rcgen::KeyPair;
use runbooks::{Mode, Policy, Risk};

use crate::support::{ask, at, box_world::Appliance, collect, deliver, describe, office::Office, try_ask};

fn stranger() -> SecretKey {
    SecretKey::ed25519([99; 32])
}

struct Scene {
    office: Office,
    appliance: Appliance,
    core: ExecutorCore,
    incarnation: Vec<u8>,
}

impl Scene {
    /// An enrolled box that knows the time and has nothing to do.
    fn new() -> Self {
        let office = Office::new(at("2026-11-22T12:00:00Z"));
        let appliance = Appliance::new(office.trust(), office.now);
        let mut core = appliance.open();
        let prove = local::ProveKeys { tls_spki: office.spki().to_vec(), challenge: vec![1; 32] };
        ask(&mut core, Call::ProveKeys(prove));
        ask(&mut core, Call::Adopt(office.adopt()));
        let incarnation = describe(&mut core).incarnation;
        let mut scene = Self { office, appliance, core, incarnation };
        scene.tell_time();
        scene.work();
        scene
    }

    fn tell_time(&mut self) {
        let nonce = describe(&mut self.core).nonce;
        let time_token = self.office.token(&self.incarnation, &nonce);
        let delivered = self.deliver(local::Deliver { time_token, ..local::Deliver::default() });
        assert!(delivered.problems.is_empty(), "{:?}", delivered.problems);
    }

    fn deliver(&mut self, message: local::Deliver) -> local::Delivered {
        deliver(&mut self.core, message)
    }

    fn work(&mut self) {
        while self.core.step().unwrap() {}
    }

    fn send(&mut self, envelope: Vec<u8>) -> local::Outcome {
        self.deliver(local::Deliver { orders: vec![envelope], ..local::Deliver::default() }).outcomes.remove(0)
    }

    fn good_order(&self, n: u8, sequence: u64) -> Order {
        self.office.issue(self.office.core(n, &self.incarnation, "RB-DISK-002", "uploads"), sequence)
    }

    fn sealed(&self, order: &Order) -> Vec<u8> {
        order.seal(&self.office.order_key)
    }

    fn refusals(&mut self) -> Vec<Refusal> {
        self.office.take(&collect(&mut self.core, 0));
        let bodies = self.office.records().into_iter().map(|record| record.body);
        bodies.filter_map(|body| if let Body::Refusal(refusal) = body { Some(refusal) } else { None }).collect()
    }

    /// Nothing may come of it but a refusal by that guardrail, as evidence.
    fn is_refused_by(&mut self, envelope: Vec<u8>, guardrail: &str) {
        let before = self.refusals().len();
        let outcome = self.send(envelope);
        assert!(!outcome.accepted && outcome.refusal.contains(guardrail), "{guardrail}: {}", outcome.refusal);
        self.work();
        assert!(self.appliance.machine.lock().performed.is_empty(), "{guardrail}: something ran");
        let refusals = self.refusals();
        assert_eq!(refusals.len(), before + 1, "{guardrail}");
        assert_eq!(refusals.last().unwrap().name, guardrail);
    }

    fn still_runs_a_good_order(&mut self, sequence: u64) {
        assert!(self.send(self.sealed(&self.good_order(200, sequence))).accepted);
        self.work();
        assert_eq!(self.appliance.machine.count("files.prune", "uploads"), 1);
    }
}

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
    use base64::Engine as _;
    let payload = scene.office.issue(other, 1).encode();
    json["payload"] = base64::engine::general_purpose::STANDARD.encode(payload).into();
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
    let payload = runbooks::Catalogue::build(9, scene.office.now, scene.office.now.plus(Duration::from_secs(9)), crate::support::office::runbooks()).unwrap();
    let catalogue = runbooks::Catalogue::seal(&payload, &[&scene.office.release[0], &scene.office.order_key]);
    let delivered = scene.deliver(local::Deliver { catalogue, ..local::Deliver::default() });
    assert!(delivered.problems[0].contains("catalogue"), "{:?}", delivered.problems);
    assert_eq!(describe(&mut scene.core).catalogue_version, 1);
}

#[test]
fn the_real_order_key_cannot_loosen_or_take_back() {
    let mut scene = Scene::new();
    let tight = Policy { per_appliance_hour: 0, ..scene.office.policy() };
    for (serial, policy, believed) in [
        (5, tight, true),
        (4, scene.office.policy(), false),
        (5, scene.office.policy(), false),
        (6, Policy { tenant: Some("0190a0c0-0000-7000-8000-0000000000ff".parse().unwrap()), ..scene.office.policy() }, false),
    ] {
        let policy = Policy { serial, ..policy }.seal(&scene.office.order_key);
        let delivered = scene.deliver(local::Deliver { policy, ..local::Deliver::default() });
        assert_eq!(delivered.problems.is_empty(), believed, "{serial}: {:?}", delivered.problems);
    }
    scene.office.policy_serial = 5;
    let envelope = scene.sealed(&scene.good_order(1, 1));
    scene.is_refused_by(envelope, "budget");
    // A loose policy leaves the box's own limit of 20 an hour.
    let loose = Policy { serial: 7, per_appliance_hour: 1000, ..scene.office.policy() };
    let policy = loose.seal(&scene.office.order_key);
    assert!(scene.deliver(local::Deliver { policy, ..local::Deliver::default() }).problems.is_empty());
    scene.office.policy_serial = 7;
    scene.still_runs_a_good_order(2);
    let by_stranger = Policy { serial: 8, ..scene.office.policy() }.seal(&stranger());
    let delivered = scene.deliver(local::Deliver { policy: by_stranger, ..local::Deliver::default() });
    assert_eq!(delivered.problems.len(), 1);
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
    assert!(refusals.last().unwrap().order.as_ref().unwrap().approvers.is_empty(), "a name that nobody vouched for");
}

#[test]
fn a_charter_of_somebody_else_or_from_before() {
    let mut scene = Scene::new();
    let mut next = scene.office.charter.clone();
    next.serial = 2;
    let one_key = next.seal(&[&scene.office.organization[1]]);
    let strangers = next.seal(&[&stranger(), &SecretKey::ed25519([98; 32])]);
    for charter in [one_key, strangers, b"{}".to_vec()] {
        let delivered = scene.deliver(local::Deliver { charter, ..local::Deliver::default() });
        assert_eq!(delivered.problems.len(), 1);
        assert_eq!(describe(&mut scene.core).charter_serial, 1);
    }
    // With another order key the old one is worth nothing, and neither is the policy that it signed.
    let new_key = SecretKey::ed25519([50; 32]);
    next.order_keys = [new_key.public()].into();
    let charter = next.seal(&[&scene.office.organization[0], &scene.office.organization[1]]);
    assert!(scene.deliver(local::Deliver { charter, ..local::Deliver::default() }).problems.is_empty());
    let d = describe(&mut scene.core);
    assert_eq!((d.charter_serial, d.catalogue_version, d.policy_serial), (2, 1, 0));
    let mut order = scene.good_order(1, 1);
    order.charter_serial = 2;
    let old_key = scene.sealed(&order);
    scene.is_refused_by(old_key, "signature");
    let back = scene.office.charter_bytes();
    let delivered = scene.deliver(local::Deliver { charter: back, ..local::Deliver::default() });
    assert!(delivered.problems[0].contains("older"), "{:?}", delivered.problems);
    // The same policy, signed by the new key, is in force again.
    let policy = scene.office.policy().seal(&new_key);
    assert!(scene.deliver(local::Deliver { policy, ..local::Deliver::default() }).problems.is_empty());
    assert_eq!(describe(&mut scene.core).policy_serial, 1);
}

#[test]
fn adoption_by_a_foreign_authority_or_for_another_key() {
    let (office, foreign) = (Office::new(at("2026-11-22T12:00:00Z")), Office::new(at("2026-11-22T12:00:00Z")));
    let appliance = Appliance::new(office.trust(), office.now);
    let mut core = appliance.open();
    let prove = local::ProveKeys { tls_spki: office.spki().to_vec(), challenge: vec![1; 32] };
    let refused = |core: &mut ExecutorCore, adopt: local::Adopt| {
        let failure = try_ask(core, Call::Adopt(adopt)).expect_err("must be refused");
        let d = describe(core);
        assert!(d.identity.is_none() && d.evidence_next == 0 && d.charter_serial == 0, "{}", failure.problem);
        failure.problem
    };
    let problem = refused(&mut core, office.adopt());
    assert!(problem.contains("has not vouched for"), "{problem}");
    ask(&mut core, Call::ProveKeys(prove));
    // Another authority issues a certificate for this very TLS key.
    let certificate = foreign.certificate_for(office.appliance, &office.tls);
    let problem = refused(&mut core, local::Adopt { certificate, ..office.adopt() });
    assert!(problem.contains("not signed by the charter's"), "{problem}");
    let mut foreign_charter = foreign.charter.clone();
    foreign_charter.organization = "other.example".into();
    let charter = foreign_charter.seal(&[&stranger(), &SecretKey::ed25519([98; 32])]);
    let problem = refused(&mut core, local::Adopt { charter, ..office.adopt() });
    assert!(problem.contains("organization keys"), "{problem}");
    let certificate = office.certificate_for(office.appliance, &KeyPair::generate().unwrap());
    let problem = refused(&mut core, local::Adopt { certificate, ..office.adopt() });
    assert!(problem.contains("TLS key"), "{problem}");
    refused(&mut core, local::Adopt { certificate: vec![0x30; 9], ..office.adopt() });
    refused(&mut core, local::Adopt { charter: Vec::new(), ..office.adopt() });
    refused(&mut core, local::Adopt { policy: b"{}".to_vec(), ..office.adopt() });
    assert!(try_ask(&mut core, Call::Deliver(local::Deliver::default())).is_err(), "not enrolled, nothing to deliver");
    ask(&mut core, Call::Adopt(office.adopt()));
    // From here on it vouches for no other TLS key: whoever owns the agent cannot enrol a clone.
    let other = local::ProveKeys { tls_spki: vec![7; 32], challenge: vec![1; 32] };
    let failure = try_ask(&mut core, Call::ProveKeys(other)).unwrap_err();
    assert!(failure.problem.contains("enrolled anew"), "{}", failure.problem);
}

#[test]
fn a_forged_or_replayed_time_token() {
    let mut scene = Scene::new();
    let (incarnation, later) = (Incarnation([0; 16]), scene.office.now.plus(Duration::from_secs(86_400)));
    let mine = Incarnation::from_field("incarnation", &scene.incarnation).unwrap();
    let nonce = |core: &mut ExecutorCore| Nonce::from_field("nonce", &describe(core).nonce).unwrap();
    let fresh = nonce(&mut scene.core);
    let order_key = || SecretKey::ed25519([20; 32]);
    let tokens = [
        TimeToken { incarnation: mine, nonce: fresh, at: later }.seal(&stranger()),
        TimeToken { incarnation, nonce: fresh, at: later }.seal(&order_key()),
        TimeToken { incarnation: mine, nonce: Nonce([3; 16]), at: later }.seal(&order_key()),
        TimeToken { incarnation: mine, nonce: fresh, at: scene.office.now.minus(Duration::from_secs(1)) }.seal(&order_key()),
        b"{}".to_vec(),
    ];
    for time_token in tokens {
        let delivered = scene.deliver(local::Deliver { time_token, ..local::Deliver::default() });
        assert_eq!(delivered.problems.len(), 1);
        assert!(delivered.problems[0].contains("time_token"), "{:?}", delivered.problems);
    }
    let expired_by_then = scene.sealed(&scene.good_order(1, 1));
    assert!(scene.send(expired_by_then).accepted, "no token moved the time");
}

#[test]
fn a_forked_log_is_an_alarm_that_stays() {
    let mut scene = Scene::new();
    scene.office.take(&collect(&mut scene.core, 0));
    let d = describe(&mut scene.core);
    let inclusions = scene.office.inclusions(&d.unproven);
    let kept = collect(&mut scene.core, 0).len();
    let origin = appliance::executor::log_origin("msp.example", scene.office.tenant);
    let sign = |key: &SecretKey, origin: &str, size: u64, root: Hash| {
        let head = proto::log::Head { size, root };
        Checkpoint::new(origin, head).sign(key).unwrap().note().as_bytes().to_vec()
    };
    let root = scene.office.head.root;
    // Signed by nobody we know, or for another tenant's log.
    for checkpoint in [sign(&stranger(), &origin, 2, root), sign(&scene.office.log_key, "evidence.msp.example/other", 2, root)] {
        let delivered = scene.deliver(local::Deliver { checkpoint, inclusions: inclusions.clone(), ..local::Deliver::default() });
        assert_eq!(delivered.problems.len(), 1, "{:?}", delivered.problems);
        assert_eq!((describe(&mut scene.core).checkpoint_size, collect(&mut scene.core, 0).len()), (0, kept));
    }
    let good = local::Deliver { checkpoint: scene.office.checkpoint(), ..local::Deliver::default() };
    assert!(scene.deliver(good.clone()).problems.is_empty());
    assert_eq!(describe(&mut scene.core).checkpoint_size, 2);
    assert_eq!(describe(&mut scene.core).hold, "");

    let fork = sign(&scene.office.log_key, &origin, 2, Hash([5; 32]));
    let delivered = scene.deliver(local::Deliver { checkpoint: fork, inclusions: inclusions.clone(), ..local::Deliver::default() });
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
    let holds = scene.office.records().iter().filter(|r| matches!(&r.body, Body::Hold(h) if h.held && h.by == "log-fork")).count();
    assert_eq!(holds, 1);
}

#[test]
fn a_log_that_does_not_show_that_it_continues_holds_orders_until_it_does() {
    let mut scene = Scene::new();
    scene.office.take(&collect(&mut scene.core, 0));
    assert!(scene.deliver(local::Deliver { checkpoint: scene.office.checkpoint(), ..local::Deliver::default() }).problems.is_empty());
    let size = scene.office.head.size;
    // One more record, so that there is something to continue with.
    scene.is_refused_by(b"x".to_vec(), "signature");
    let (checkpoint, unproven) = (scene.office.checkpoint(), describe(&mut scene.core).unproven);
    let inclusions = scene.office.inclusions(&unproven);
    let without = local::Deliver { checkpoint: checkpoint.clone(), inclusions: inclusions.clone(), ..local::Deliver::default() };
    assert_eq!(scene.deliver(without).problems.len(), 1);
    let d = describe(&mut scene.core);
    assert!(d.hold.contains("was not shown") && d.checkpoint_size == size, "{}", d.hold);
    assert_eq!(d.unproven, unproven, "no evidence goes");
    let consistency = scene.office.consistency(size);
    let shown = local::Deliver { checkpoint, consistency, inclusions, ..local::Deliver::default() };
    assert!(scene.deliver(shown).problems.is_empty());
    let d = describe(&mut scene.core);
    assert!(d.hold.is_empty() && d.unproven.is_empty());
    scene.still_runs_a_good_order(1);
}

#[test]
fn a_proof_of_inclusion_that_proves_nothing() {
    let mut scene = Scene::new();
    scene.office.take(&collect(&mut scene.core, 0));
    let unproven = describe(&mut scene.core).unproven;
    let good = scene.office.inclusions(&unproven);
    let checkpoint = scene.office.checkpoint();
    let mut bad = Vec::new();
    bad.push(local::Inclusion { index: 1, ..good[0].clone() });
    bad.push(local::Inclusion { index: u64::MAX, ..good[0].clone() });
    bad.push(local::Inclusion { hashes: Vec::new(), ..good[0].clone() });
    bad.push(local::Inclusion { hashes: vec![vec![0; 31]], ..good[0].clone() });
    bad.push(local::Inclusion { sha256: unproven[1].clone(), ..good[0].clone() });
    bad.push(local::Inclusion { sha256: Vec::new(), ..good[0].clone() });
    let count = bad.len();
    let delivered = scene.deliver(local::Deliver { checkpoint: checkpoint.clone(), inclusions: bad, ..local::Deliver::default() });
    assert_eq!(delivered.problems.len(), count, "{:?}", delivered.problems);
    assert_eq!(describe(&mut scene.core).unproven, unproven);
    // Without a checkpoint a proof is worth nothing at all.
    scene.deliver(local::Deliver { inclusions: good.clone(), ..local::Deliver::default() });
    assert_eq!(describe(&mut scene.core).unproven, unproven);
    scene.deliver(local::Deliver { checkpoint, inclusions: good, ..local::Deliver::default() });
    assert!(describe(&mut scene.core).unproven.is_empty());
}

#[test]
fn a_flood_of_forgeries_is_counted_and_not_signed() {
    let mut scene = Scene::new();
    for n in 0..500_u32 {
        let outcome = scene.send(format!("forgery {n}").into_bytes());
        assert!(!outcome.accepted);
    }
    assert_eq!(scene.refusals().len(), 60);
    scene.appliance.clock.pass(Duration::from_secs(3600));
    scene.work();
    scene.refusals();
    let counted = scene.office.records().into_iter().rev().find_map(|record| {
        if let Body::Heartbeat(beat) = record.body { Some(beat.refusals_not_signed) } else { None }
    });
    assert_eq!(counted, Some(440));
    scene.office.now = scene.appliance.clock.wall();
    scene.still_runs_a_good_order(1);
}

#[test]
fn a_signed_order_with_huge_texts_leaves_evidence_that_fits() {
    let mut scene = Scene::new();
    let mut core = scene.office.core(1, &scene.incarnation, "RB-DISK-002", "uploads");
    for n in 0..250 {
        core.parameters.insert(format!("parameter_{n}"), "uploads".parse().unwrap());
    }
    let envelope = scene.sealed(&scene.office.issue(core, 1));
    scene.is_refused_by(envelope, "parameters");
    let mut order = scene.good_order(2, 2);
    order.plan.reason = "\u{1}".repeat(28_000);
    assert!(scene.send(scene.sealed(&order)).accepted);
    scene.work();
    scene.office.take(&collect(&mut scene.core, 0));
    let last = scene.office.records().pop().unwrap();
    assert!(matches!(last.body, Body::Execution(_)), "{:?}", last.body.kind());
}

#[test]
fn measurements_and_requests_that_make_no_sense() {
    let mut scene = Scene::new();
    for watch in ["", "/etc", "unlisted", "../uploads"] {
        let failure = try_ask(&mut scene.core, Call::Measure(local::Measure { watch: watch.into() })).unwrap_err();
        assert!(!failure.field.is_empty() && !failure.problem.is_empty());
    }
    let answer = scene.core.handle(local::Request::default()).answer;
    assert!(matches!(answer, Some(local::response::Answer::Failure(_))));
    assert!(collect(&mut scene.core, u64::MAX).is_empty());
    let short = local::ProveKeys { tls_spki: vec![1; 31], challenge: vec![1; 32] };
    assert!(try_ask(&mut scene.core, Call::ProveKeys(short)).unwrap_err().problem.contains("must be 32 bytes"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn no_bytes_run_anything_or_lose_anything(
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 8),
        index in any::<u64>(),
        mangle in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let mut scene = Scene::new();
        scene.office.take(&collect(&mut scene.core, 0));
        let before = collect(&mut scene.core, 0);
        let mut genuine = scene.sealed(&scene.good_order(1, 1));
        // One changed byte of a genuine order: anything but permission, unless only the hint in it changed.
        let at = mangle.index(genuine.len());
        genuine[at] ^= flip;
        let inclusion = local::Inclusion { sha256: parts[0].clone(), index, hashes: vec![parts[1].clone()] };
        let message = local::Deliver {
            time_token: parts[2].clone(), charter: parts[3].clone(), catalogue: parts[4].clone(), policy: parts[5].clone(),
            checkpoint: parts[6].clone(), consistency: vec![parts[7].clone()], inclusions: vec![inclusion],
            orders: vec![parts[0].clone(), genuine],
        };
        let delivered = scene.deliver(message);
        scene.work();
        let ran = scene.appliance.machine.lock().performed.len();
        prop_assert_eq!(ran, usize::from(delivered.outcomes[1].accepted));
        prop_assert!(!delivered.outcomes[0].accepted);
        let after = collect(&mut scene.core, 0);
        prop_assert_eq!(&after[..before.len()], &before[..]);
        scene.office.take(&after);
        scene.office.records();
    }
}
