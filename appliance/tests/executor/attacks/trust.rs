//! Documents, adoptions and time tokens by those who have no say.

use std::time::Duration;

use appliance::executor::ExecutorCore;
use proto::{
    ids::{Incarnation, Nonce},
    keys::SecretKey,
    local::{self, request::Call},
    time::TimeToken,
};
use rcgen::KeyPair;
use runbooks::{Catalogue, Policy};

use super::{Scene, stranger};
use crate::support::{
    ask, at,
    box_world::Appliance,
    describe,
    office::{Office, runbooks},
    try_ask,
};

#[test]
fn the_real_order_key_cannot_loosen_or_take_back() {
    let mut scene = Scene::new();
    let tight = Policy { per_appliance_hour: 0, ..scene.office.policy() };
    for (serial, policy, believed) in [
        (5, tight, true),
        (4, scene.office.policy(), false),
        (5, scene.office.policy(), false),
        (
            6,
            Policy {
                tenant: Some("0190a0c0-0000-7000-8000-0000000000ff".parse().unwrap()),
                ..scene.office.policy()
            },
            false,
        ),
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
fn a_catalogue_from_before_or_another_of_the_same_version() {
    let mut scene = Scene::new();
    let other = |office: &Office, version, signers: &[&SecretKey]| {
        let expires = office.now.plus(Duration::from_secs(86_400 * 30));
        let fewer = runbooks().into_iter().take(1).collect();
        let payload = Catalogue::build(version, office.charter.issued, expires, fewer).unwrap();
        Catalogue::seal(&payload, signers)
    };
    let deliver = |scene: &mut Scene, catalogue: Vec<u8>| {
        scene.deliver(local::Deliver { catalogue, ..local::Deliver::default() }).problems.join("; ")
    };
    let newest = scene.office.catalogue_bytes(3);
    assert_eq!(deliver(&mut scene, newest.clone()), "");
    for restarted in [false, true] {
        if restarted {
            scene.core = scene.appliance.open();
            scene.tell_time();
        }
        let keys = &scene.office.release;
        let forked = other(&scene.office, 3, &[&keys[0], &keys[1]]);
        let by_one = other(&scene.office, 4, &[&keys[0]]);
        let by_one_twice = other(&scene.office, 4, &[&keys[0], &keys[0]]);
        let by_strangers = other(&scene.office, 4, &[&stranger(), &SecretKey::ed25519([98; 32])]);
        let by_order_key = other(&scene.office, 4, &[&scene.office.order_key, &keys[0]]);
        for (case, catalogue, says) in [
            ("an older one", scene.office.catalogue_bytes(2), "is older than 3"),
            ("the first one", scene.office.catalogue_bytes(1), "is older than 3"),
            ("another of the same version", forked, "other content"),
            ("one release key", by_one, "release keys"),
            ("one release key twice", by_one_twice, "release keys"),
            ("strangers", by_strangers, "release keys"),
            ("the order key and one release key", by_order_key, "release keys"),
        ] {
            let problem = deliver(&mut scene, catalogue);
            assert!(problem.contains(says), "{case}, restarted {restarted}: {problem:?}");
            assert_eq!(describe(&mut scene.core).catalogue_version, 3, "{case}");
        }
        assert_eq!(deliver(&mut scene, newest.clone()), "", "the same once more is no problem");
    }
    scene.still_runs_a_good_order(1);
}

#[test]
fn a_policy_of_a_stolen_key_does_not_outlive_its_rotation() {
    let mut scene = Scene::new();
    let last = Policy { serial: u64::MAX, per_appliance_hour: 0, ..scene.office.policy() };
    let policy = last.seal(&scene.office.order_key);
    assert!(scene.deliver(local::Deliver { policy, ..local::Deliver::default() }).problems.is_empty());
    // While its key counts, nothing is newer.
    let policy = Policy { serial: 2, ..scene.office.policy() }.seal(&scene.office.order_key);
    let delivered = scene.deliver(local::Deliver { policy, ..local::Deliver::default() });
    assert!(delivered.problems[0].contains("older"), "{:?}", delivered.problems);
    scene.office.order_key = SecretKey::ed25519([50; 32]);
    scene.office.charter.order_keys = [scene.office.order_key.public()].into();
    scene.office.charter.serial = 2;
    scene.office.policy_serial = 2;
    let rotated = local::Deliver {
        charter: scene.office.charter_bytes(),
        policy: scene.office.policy_bytes(),
        ..local::Deliver::default()
    };
    let delivered = scene.deliver(rotated);
    assert!(delivered.problems.is_empty(), "{:?}", delivered.problems);
    // And from here on serials rise again, over a restart too.
    scene.core = scene.appliance.open();
    scene.tell_time();
    let policy = Policy { serial: 1, ..scene.office.policy() }.seal(&scene.office.order_key);
    let delivered = scene.deliver(local::Deliver { policy, ..local::Deliver::default() });
    assert!(delivered.problems[0].contains("older"), "{:?}", delivered.problems);
    scene.still_runs_a_good_order(1);
}

#[test]
fn adoption_by_a_foreign_authority_or_for_another_key() {
    let (office, foreign) =
        (Office::new(at("2026-11-22T12:00:00Z")), Office::new(at("2026-11-22T12:00:00Z")));
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
    assert!(
        try_ask(&mut core, Call::Deliver(local::Deliver::default())).is_err(),
        "not enrolled, nothing to deliver"
    );
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
        TimeToken { incarnation: mine, nonce: fresh, at: scene.office.now.minus(Duration::from_secs(1)) }
            .seal(&order_key()),
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
fn a_stolen_order_key_moves_time_by_minutes_and_only_until_it_is_withdrawn() {
    let mut scene = Scene::new();
    let mine = Incarnation::from_field("incarnation", &scene.incarnation).unwrap();
    let truth = scene.office.now;
    let months = truth.plus(Duration::from_secs(80 * 86_400));
    let tell = |scene: &mut Scene, at| {
        let nonce = Nonce::from_field("nonce", &describe(&mut scene.core).nonce).unwrap();
        let time_token = TimeToken { incarnation: mine, nonce, at }.seal(&scene.office.order_key);
        scene.deliver(local::Deliver { time_token, ..local::Deliver::default() }).problems
    };
    let problems = tell(&mut scene, months);
    assert!(problems[0].contains("boot-time clock"), "{problems:?}");
    // At the next start there is nothing to compare it with, and the floor is set for months.
    scene.core = scene.appliance.open();
    assert!(tell(&mut scene, months).is_empty());
    let problems = tell(&mut scene, truth);
    assert!(problems[0].contains("before the floor"), "{problems:?}");
    // A charter that goes on naming the key takes nothing back; one that does not does, over a restart too.
    for (serial, seed, believed) in [(2, None, false), (3, Some(50), true)] {
        if let Some(seed) = seed {
            scene.office.order_key = SecretKey::ed25519([seed; 32]);
            scene.office.charter.order_keys = [scene.office.order_key.public()].into();
        }
        scene.office.charter.serial = serial;
        let charter = scene.office.charter_bytes();
        assert!(scene.deliver(local::Deliver { charter, ..local::Deliver::default() }).problems.is_empty());
        scene.core = scene.appliance.open();
        assert_eq!(tell(&mut scene, truth).is_empty(), believed, "charter {serial}");
    }
    scene.office.policy_serial = 2;
    let policy = scene.office.policy_bytes();
    assert!(scene.deliver(local::Deliver { policy, ..local::Deliver::default() }).problems.is_empty());
    scene.still_runs_a_good_order(1);
}

/// A renewal brings the charter too: what it withdraws is withdrawn, whichever way it came.
#[test]
fn a_charter_that_comes_with_a_renewal_takes_back_what_a_stolen_key_said_of_the_time() {
    let mut scene = Scene::new();
    let mine = Incarnation::from_field("incarnation", &scene.incarnation).unwrap();
    let truth = scene.office.now;
    let tell = |scene: &mut Scene, at| {
        let nonce = Nonce::from_field("nonce", &describe(&mut scene.core).nonce).unwrap();
        let time_token = TimeToken { incarnation: mine, nonce, at }.seal(&scene.office.order_key);
        scene.deliver(local::Deliver { time_token, ..local::Deliver::default() }).problems
    };
    scene.core = scene.appliance.open();
    assert!(tell(&mut scene, truth.plus(Duration::from_secs(80 * 86_400))).is_empty());
    scene.office.order_key = SecretKey::ed25519([50; 32]);
    scene.office.charter.order_keys = [scene.office.order_key.public()].into();
    scene.office.charter.serial = 2;
    scene.office.policy_serial = 2;
    let adopt = scene.office.adopt();
    ask(&mut scene.core, Call::Adopt(adopt));
    for _ in 0..2 {
        let problems = tell(&mut scene, truth);
        assert!(problems.is_empty(), "{problems:?}");
        scene.core = scene.appliance.open();
    }
    scene.tell_time();
    scene.still_runs_a_good_order(1);
}

#[test]
fn a_catalogue_of_stolen_keys_does_not_outlive_their_rotation() {
    let mut scene = Scene::new();
    let catalogue = |scene: &mut Scene, version| {
        let catalogue = scene.office.catalogue_bytes(version);
        scene.deliver(local::Deliver { catalogue, ..local::Deliver::default() }).problems
    };
    assert!(catalogue(&mut scene, u64::MAX).is_empty());
    // While its keys count, nothing is newer.
    let problems = catalogue(&mut scene, 2);
    assert!(problems[0].contains("older"), "{problems:?}");
    scene.office.release = [60, 61, 62].map(|n| SecretKey::ed25519([n; 32]));
    scene.office.charter.release_keys.keys = scene.office.release.iter().map(SecretKey::public).collect();
    scene.office.charter.serial = 2;
    let charter = scene.office.charter_bytes();
    assert!(scene.deliver(local::Deliver { charter, ..local::Deliver::default() }).problems.is_empty());
    assert_eq!(describe(&mut scene.core).catalogue_version, 0, "what they signed is not in force");
    let problems = catalogue(&mut scene, 2);
    assert!(problems.is_empty(), "{problems:?}");
    // And from here on versions rise again, over a restart too.
    scene.core = scene.appliance.open();
    scene.tell_time();
    let problems = catalogue(&mut scene, 1);
    assert!(problems[0].contains("older"), "{problems:?}");
    assert_eq!(describe(&mut scene.core).catalogue_version, 2);
    scene.still_runs_a_good_order(1);
}
