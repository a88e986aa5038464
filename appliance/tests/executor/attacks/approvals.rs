//! Whoever owns the order key wants an approval that nobody gave: altered, borrowed, old, half, or from the wrong place.

use std::time::Duration;

use appliance::world::Clock as _;
use proto::{approval::Approval, charter::Approver, digest::Digest, keys::SecretKey, local, order::Order};
use runbooks::{Mode, Risk};

use super::{
    Scene,
    orders::{assertion, with_an_approver},
};

const HOUR: Duration = Duration::from_secs(3600);
/// Cannot be undone.
const WIPE: &str = "RB-DISK-003";

/// An order that may be approved for two hours, without approvals.
fn asked(scene: &Scene, n: u8, sequence: u64, runbook: &str) -> Order {
    let mut core = scene.office.core(n, &scene.incarnation, runbook, "uploads");
    core.approve_until = Some(scene.office.now.plus(2 * HOUR));
    scene.office.issue(core, sequence)
}

fn sealed_with(scene: &Scene, mut order: Order, approvals: Vec<Approval>) -> Vec<u8> {
    order.approvals = approvals;
    scene.sealed(&order)
}

/// The owner's assertion over other words, signed anew by the very passkey.
fn over(order: &Order, passkey: &SecretKey, change: impl FnOnce(&mut String, &mut Vec<u8>)) -> Approval {
    let good = assertion(order.core_digest, passkey);
    let mut client = String::from_utf8(good.client_data.clone()).unwrap();
    let mut data = good.authenticator_data.clone();
    change(&mut client, &mut data);
    let signed = [&data[..], &Digest::of(client.as_bytes()).0].concat();
    Approval {
        signature: passkey.sign(&signed),
        client_data: client.into_bytes(),
        authenticator_data: data,
        ..good
    }
}

#[test]
fn the_real_order_key_cannot_make_an_approval_fit_what_was_not_approved() {
    let mut scene = Scene::new();
    let passkey = with_an_approver(&mut scene);
    let stranger = SecretKey::generate_p256();
    let mut sequence = 0;
    let mut refused = |scene: &mut Scene, approvals: &dyn Fn(&Order) -> Vec<Approval>| {
        sequence += 1;
        let order = asked(scene, u8::try_from(sequence).unwrap(), sequence, "RB-DISK-002");
        let approvals = approvals(&order);
        let envelope = sealed_with(scene, order, approvals);
        scene.is_refused_by(envelope, "window");
    };
    // An approval of another order: of the same box, runbook and minute.
    let other = asked(&scene, 200, 200, "RB-DISK-002");
    refused(&mut scene, &|_| vec![assertion(other.core_digest, &passkey)]);
    // The challenge is said to be of this order, and the signature is over the other.
    refused(&mut scene, &|order| {
        let (this, that) = (assertion(order.core_digest, &passkey), assertion(other.core_digest, &passkey));
        vec![Approval { signature: that.signature, ..this }]
    });
    refused(&mut scene, &|order| {
        vec![over(order, &passkey, |client, _| *client = client.replace("https://msp", "https://evil.msp"))]
    });
    refused(&mut scene, &|order| {
        vec![over(order, &passkey, |client, _| *client = client.replace("webauthn.get", "webauthn.create"))]
    });
    refused(&mut scene, &|order| {
        vec![over(order, &passkey, |client, _| *client = client.replace('}', r#","crossOrigin":true}"#))]
    });
    refused(&mut scene, &|order| {
        vec![over(order, &passkey, |_, data| data[..32].copy_from_slice(&Digest::of(b"evil.example").0))]
    });
    for flags in [0x00, 0x01, 0x04] {
        refused(&mut scene, &|order| vec![over(order, &passkey, |_, data| data[32] = flags)]);
    }
    refused(&mut scene, &|order| vec![over(order, &passkey, |_, data| data.truncate(33))]);
    refused(&mut scene, &|order| vec![assertion(order.core_digest, &stranger)]);
    refused(&mut scene, &|order| {
        vec![Approval { approver: "somebody".into(), ..assertion(order.core_digest, &stranger) }]
    });
    // A good one does not make up for a bad one.
    refused(&mut scene, &|order| {
        vec![assertion(order.core_digest, &passkey), assertion(order.core_digest, &stranger)]
    });
    refused(&mut scene, &|_| Vec::new());
    let order = asked(&scene, 100, 100, "RB-DISK-002");
    let good = vec![assertion(order.core_digest, &passkey)];
    let envelope = sealed_with(&scene, order, good);
    assert!(scene.send(envelope).accepted, "the right one is taken all the same");
}

#[test]
fn a_core_that_was_altered_after_it_was_approved() {
    let mut scene = Scene::new();
    let passkey = with_an_approver(&mut scene);
    let approved = asked(&scene, 1, 1, "RB-DISK-002");
    let approval = assertion(approved.core_digest, &passkey);
    let altered: [fn(&mut proto::order::Core); 4] = [
        |core| core.parameters.values_mut().for_each(|watch| *watch = "scans".parse().unwrap()),
        |core| core.approve_until = core.approve_until.map(|until| until.plus(HOUR)),
        |core| core.id = "0190a0c0-0000-7000-8000-0000000000f7".parse().unwrap(),
        |core| core.incident = "0190a0c0-0000-7000-8000-0000000000f8".parse().unwrap(),
    ];
    for (sequence, alter) in (1..).zip(altered) {
        let mut core = approved.core.clone();
        alter(&mut core);
        let order = scene.office.issue(core, sequence);
        let envelope = sealed_with(&scene, order, vec![approval.clone()]);
        scene.is_refused_by(envelope, "window");
    }
    // The same, but not the same bytes: a field more that this program does not know.
    let mut bytes = approved.core.encode();
    bytes.extend_from_slice(&[0xfa, 0x3f, 0x01, 0x00]);
    let issuance = proto::order::Issuance {
        charter_serial: scene.office.charter.serial,
        policy_serial: scene.office.policy_serial,
        sequence: 9,
        issued: scene.office.now,
        lifetime: Duration::from_secs(600),
    };
    let order = Order::approved(&bytes, &issuance, approved.plan.clone(), vec![approval]).unwrap();
    assert_eq!(order.core, approved.core, "it means the same");
    let envelope = scene.sealed(&order);
    scene.is_refused_by(envelope, "window");
}

#[test]
fn one_person_is_not_two_for_what_cannot_be_undone() {
    let mut scene = Scene::new();
    let passkey = with_an_approver(&mut scene);
    let second = SecretKey::generate_p256();
    let owner = scene.office.charter.approvers[0].clone();
    scene.office.charter.serial = 3;
    scene.office.charter.approvers.push(Approver { name: "doctor".into(), key: second.public(), ..owner });
    let charter = scene.office.charter_bytes();
    let delivered = scene.deliver(local::Deliver { charter, ..local::Deliver::default() });
    assert!(delivered.problems.is_empty(), "{:?}", delivered.problems);
    let by = |order: &Order, name: &str, key: &SecretKey| Approval {
        approver: name.into(),
        ..assertion(order.core_digest, key)
    };
    let order = |scene: &Scene, n: u8| asked(scene, n, n.into(), WIPE);
    let one = order(&scene, 1);
    let envelope = sealed_with(&scene, one.clone(), vec![by(&one, "owner", &passkey)]);
    scene.is_refused_by(envelope, "window");
    let twice = order(&scene, 2);
    let both = vec![by(&twice, "owner", &passkey), by(&twice, "owner", &passkey)];
    let envelope = sealed_with(&scene, twice, both);
    scene.is_refused_by(envelope, "window");
    let borrowed = order(&scene, 3);
    let both = vec![by(&borrowed, "owner", &passkey), by(&borrowed, "doctor", &passkey)];
    let envelope = sealed_with(&scene, borrowed, both);
    scene.is_refused_by(envelope, "window");
    let mixed = order(&scene, 4);
    let both = vec![by(&mixed, "owner", &passkey), by(&order(&scene, 5), "doctor", &second)];
    let envelope = sealed_with(&scene, mixed, both);
    scene.is_refused_by(envelope, "window");
    let good = order(&scene, 6);
    let both = vec![by(&good, "owner", &passkey), by(&good, "doctor", &second)];
    let envelope = sealed_with(&scene, good, both);
    assert!(scene.send(envelope).accepted);
}

#[test]
fn an_approval_ends_and_so_does_an_approver() {
    let mut scene = Scene::new();
    let passkey = with_an_approver(&mut scene);
    let order = asked(&scene, 1, 1, "RB-DISK-002");
    let approval = assertion(order.core_digest, &passkey);
    // The order key signs the very same core again, two hours later.
    scene.appliance.clock.pass(2 * HOUR);
    scene.office.now = scene.appliance.clock.wall();
    scene.tell_time();
    let late = scene.office.issue(order.core.clone(), 2);
    let envelope = sealed_with(&scene, late, vec![approval]);
    scene.is_refused_by(envelope, "window");
    // A charter that does not name the approver any more.
    scene.office.charter.serial = 3;
    scene.office.charter.approvers.clear();
    let charter = scene.office.charter_bytes();
    assert!(scene.deliver(local::Deliver { charter, ..local::Deliver::default() }).problems.is_empty());
    let order = asked(&scene, 3, 3, "RB-DISK-002");
    let approval = assertion(order.core_digest, &passkey);
    let envelope = sealed_with(&scene, order, vec![approval]);
    scene.is_refused_by(envelope, "window");
}

#[test]
fn a_mode_of_one_runbook_holds_at_the_box_too_and_no_standing_order_gets_around_it() {
    let mut scene = Scene::new();
    let passkey = with_an_approver(&mut scene);
    scene.office.policy_serial = 3;
    let mut policy = scene.office.policy();
    policy.modes.insert(Risk::Medium, Mode::Automatic);
    policy.runbook_modes.insert("RB-DISK-002".parse().unwrap(), Mode::Never);
    policy.runbook_modes.insert("RB-BACKUP-001".parse().unwrap(), Mode::Approval);
    let policy = policy.seal(&scene.office.order_key);
    assert!(scene.deliver(local::Deliver { policy, ..local::Deliver::default() }).problems.is_empty());
    let order = asked(&scene, 1, 1, "RB-DISK-002");
    let approval = assertion(order.core_digest, &passkey);
    let envelope = sealed_with(&scene, order, vec![approval]);
    scene.is_refused_by(envelope, "window");
    let core = scene.office.core(2, &scene.incarnation, "RB-BACKUP-001", "records");
    let envelope = scene.sealed(&scene.office.issue(core, 2));
    scene.is_refused_by(envelope, "window");
    let standing = scene.standing(9, "RB-BACKUP-001", "records");
    scene.give(&standing);
    scene.pass(30 * Duration::from_secs(60));
    assert_eq!(scene.backups(), 0, "nobody agreed to it");
}
