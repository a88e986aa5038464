//! Everything that whoever owns the agent, or the order key, or both, can send. Nothing runs that must not, nothing is
//! signed but what the executor saw and did, and no evidence is lost.

mod approvals;
mod documents;
mod frames;
mod hours;
mod log;
mod orders;
mod secrets;
mod standing;
mod stop;
mod successions;
mod trust;
mod watch_list;

use std::time::Duration;

use appliance::{executor::ExecutorCore, world::Clock as _};
use proptest::prelude::*;
use proto::{
    evidence::{Body, Refusal},
    keys::SecretKey,
    local::{self, request::Call},
    order::Order,
};

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
        self.deliver(local::Deliver { orders: vec![envelope], ..local::Deliver::default() })
            .outcomes
            .remove(0)
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
        bodies
            .filter_map(|body| if let Body::Refusal(refusal) = body { Some(refusal) } else { None })
            .collect()
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

    /// The same, without doing what waits.
    fn is_refused_while_another_waits(&mut self, envelope: Vec<u8>, guardrail: &str) {
        let outcome = self.send(envelope);
        assert!(!outcome.accepted && outcome.refusal.contains(guardrail), "{guardrail}: {}", outcome.refusal);
    }

    fn still_runs_a_good_order(&mut self, sequence: u64) {
        assert!(self.send(self.sealed(&self.good_order(200, sequence))).accepted);
        self.work();
        assert_eq!(self.appliance.machine.count("files.prune", "uploads"), 1);
    }
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
fn forgeries_do_not_keep_a_genuine_refusal_out_of_the_evidence() {
    let mut scene = Scene::new();
    for n in 0..100_u32 {
        scene.send(format!("forgery {n}").into_bytes());
    }
    let unlisted = scene.office.core(1, &scene.incarnation, "RB-DISK-002", "etc");
    let unlisted = scene.sealed(&scene.office.issue(unlisted, 1));
    scene.is_refused_by(unlisted, "parameters");
}

#[test]
fn holds_and_releases_are_evidence_but_not_without_end() {
    let mut scene = Scene::new();
    let holds = |scene: &mut Scene| {
        scene.office.take(&collect(&mut scene.core, 0));
        let records = scene.office.records();
        records.into_iter().filter(|record| record.body.kind() == "hold").count()
    };
    for n in 0..101 {
        scene.appliance.machine.lock().held = n % 2 == 0;
        scene.work();
    }
    assert_eq!(holds(&mut scene), 60);
    scene.appliance.clock.pass(Duration::from_secs(3601));
    scene.work();
    assert_eq!(holds(&mut scene), 61, "how it stands is said as soon as there is room");
}

#[test]
fn measurements_and_requests_that_make_no_sense() {
    let mut scene = Scene::new();
    for watch in ["", "/etc", "unlisted", "../uploads"] {
        let failure =
            try_ask(&mut scene.core, Call::Measure(local::Measure { watch: watch.into() })).unwrap_err();
        assert!(!failure.field.is_empty() && !failure.problem.is_empty());
    }
    let answer = scene.core.handle(local::Request::default()).answer;
    assert!(matches!(answer, Some(local::response::Answer::Failure(_))));
    assert!(collect(&mut scene.core, u64::MAX).is_empty());
    let short = local::ProveKeys { tls_spki: vec![1; 31], challenge: vec![1; 32] };
    assert!(
        try_ask(&mut scene.core, Call::ProveKeys(short)).unwrap_err().problem.contains("must be 32 bytes")
    );
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
            standing: vec![parts[1].clone()], documents: vec![parts[2].clone()], stop: parts[2].clone(),
            succession: parts[3].clone(),
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
