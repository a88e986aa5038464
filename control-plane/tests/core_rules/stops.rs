//! Stops: a quarantined box is told to hold what it has, every copy of it, and is released when it is readmitted.

use control_plane::core::CoreError;
use proto::{
    digest::Digest,
    evidence::{Body, Verdict},
    keys::SecretKey,
    stop::Stop,
    sync::Record,
};

use crate::{
    appliance::{Appliance, execution},
    world::{DAY, DISK, MINUTE, World},
};

fn quarantined(world: &mut World) -> Appliance {
    let mut appliance = world.appliance();
    world.send(&mut appliance, vec![Record::Evidence(b"{}".to_vec())]);
    appliance
}

fn readmit(world: &mut World, appliance: &Appliance) {
    let (id, now) = (appliance.id().to_string(), world.now);
    world.core.run(now, |core| core.readmit_appliance(&id, "one box, seen on site", now)).unwrap();
}

#[test]
fn a_quarantined_box_is_stopped_and_a_readmitted_one_released() {
    let mut world = World::new();
    let mut well = world.appliance();
    assert!(world.call(&mut well).stop.is_empty(), "nobody else is told anything");
    let mut appliance = quarantined(&mut world);
    let stop = appliance.stop.clone().expect("it is told at once");
    assert!(stop.stopped && stop.reason.contains("refused"), "{stop:?}");
    assert!(world.call(&mut appliance).stop.is_empty(), "once");
    world.wait(MINUTE);
    world.restart();
    assert!(world.call(&mut appliance).stop.is_empty());
    // A copy that has not heard of it is told the same.
    appliance.stop = None;
    world.call(&mut appliance);
    assert_eq!(appliance.stop, Some(stop.clone()));
    readmit(&mut world, &appliance);
    world.call(&mut appliance);
    let release = appliance.stop.clone().unwrap();
    assert!(!release.stopped && release.serial > stop.serial, "{release:?}");
    assert!(world.call(&mut well).stop.is_empty());
}

/// A second box with its identity, and the same past until now.
fn copied(world: &mut World, one: &Appliance) -> Appliance {
    let mut copy = world.unknown_box();
    copy.tls = rcgen::KeyPair::from_pem(&one.tls.serialize_pem()).unwrap();
    copy.evidence_key = SecretKey::from_file(&one.evidence_key.to_file()).unwrap();
    copy.incarnation = one.incarnation;
    copy.identity.clone_from(&one.identity);
    copy.certificate.clone_from(&one.certificate);
    (copy.head, copy.stream, copy.frozen) = (one.head, one.stream, one.frozen);
    copy.checkpoint.clone_from(&one.checkpoint);
    copy
}

/// What an execution printed goes with its record, which the vault keeps whole: neither comes through without the other.
#[test]
fn what_goes_with_evidence_is_taken_from_a_batch_of_another_history_too() {
    let mut world = World::new();
    let mut one = world.appliance();
    let event = one.event(world.now, DISK, "uploads", proto::sync::Phase::Raised);
    world.send(&mut one, vec![event]);
    let order = one.newest_order();
    let mut copy = copied(&mut world, &one);
    world.wait(MINUTE);
    let beat = one.heartbeat(world.now);
    world.send(&mut one, vec![beat]);
    let output = b"two files removed".to_vec();
    let body = execution(&order, Verdict::Repaired, Some(Digest::of(&output)));
    let record = Record::Evidence(copy.seal(world.now, body));
    let batch = copy.freeze(vec![Record::Attachment(output.clone()), record]);
    let asked = copy.ask(Some(batch));
    assert!(world.exchange(&copy, &asked).unwrap().quarantine.contains("two histories"));
    let kept = world.vault_keys("attachments");
    assert_eq!(kept, [format!("{}/attachments/{}", world.tenant, Digest::of(&output))]);
}

/// Two boxes with one identity: the copy continues another past.
#[test]
fn both_of_two_copies_are_stopped_and_both_their_evidence_is_kept() {
    let mut world = World::new();
    let mut one = world.appliance();
    let mut copy = copied(&mut world, &one);
    world.wait(MINUTE);
    let beat = one.heartbeat(world.now);
    world.send(&mut one, vec![beat]);
    let before = world.count("SELECT count(*) FROM evidence");
    let body = Body::Heartbeat(proto::evidence::Heartbeat { up_ms: 77, ..copy.beat() });
    let beat = Record::Evidence(copy.seal(world.now, body));
    let batch = copy.freeze(vec![beat]);
    let asked = copy.ask(Some(batch));
    let response = world.exchange(&copy, &asked).unwrap();
    assert!(
        response.ack.is_none() && response.quarantine.contains("two histories"),
        "{}",
        response.quarantine
    );
    assert_eq!(world.count("SELECT count(*) FROM evidence"), before + 1);
    for appliance in [&mut one, &mut copy] {
        let response = world.call(appliance);
        assert!(response.orders.is_empty() && response.standing.is_empty());
        assert!(appliance.stop.as_ref().is_some_and(|stop| stop.stopped));
    }
    assert_eq!(world.text("SELECT kind || ' ' || state FROM incident"), "appliance.quarantined escalated");
    // Nobody can tell whose the next record is: neither is readmitted.
    let (id, now) = (one.id().to_string(), world.now);
    let refused =
        world.core.run(now, |core| core.readmit_appliance(&id, "the copy was wiped", now).map(drop));
    assert!(matches!(refused, Err(CoreError::Precondition(why)) if why.contains("enrol the box anew")));
    assert!(!world.call(&mut one).quarantine.is_empty());
}

/// A database that comes back from before the quarantine learns of it by the log, and says so above what was said before.
#[test]
fn a_stop_outlives_a_restore() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let copy = world.backup();
    world.send(&mut appliance, vec![Record::Evidence(b"{}".to_vec())]);
    let stop = appliance.stop.clone().unwrap();
    world.now = world.now.plus(DAY);
    world.restore(copy).unwrap();
    world.call(&mut appliance);
    let again = appliance.stop.clone().unwrap();
    assert!(again.stopped && again.serial > stop.serial);
    assert!(world.call(&mut appliance).stop.is_empty());
    let (id, now) = (appliance.id().to_string(), world.now);
    let copy = world.backup();
    world.core.run(now, |core| core.readmit_appliance(&id, "looked into", now)).unwrap();
    world.restore(copy).unwrap();
    world.call(&mut appliance);
    let release = appliance.stop.clone().unwrap();
    assert!(!release.stopped && release.serial > again.serial, "and so does its end");
}

#[test]
fn a_stop_is_signed_anew_under_a_new_key() {
    let mut world = World::new();
    let mut appliance = quarantined(&mut world);
    let (old, new, now) = (SecretKey::ed25519(world.safe.order), SecretKey::ed25519([22; 32]), world.now);
    let both = world.safe.charter(|charter| {
        charter.serial = 2;
        charter.order_keys = [old.public(), new.public()].into();
    });
    world.core.run(now, |core| core.publish_charter(&both, now)).unwrap();
    let before = world.safe.clone();
    world.safe = World::with(|safe| {
        safe.issuer = before.issuer.clone();
        safe.charter.certificate_authorities.clone_from(&before.charter.certificate_authorities);
        safe.order = [22; 32];
        safe.charter.order_keys = [new.public()].into();
    })
    .safe;
    world.restart();
    assert!(world.call(&mut appliance).stop.is_empty());
    let only = world.safe.charter(|charter| charter.serial = 3);
    world.core.run(now, |core| core.publish_charter(&only, now)).unwrap();
    // Its executor does not go by the old one any more.
    appliance.stop = None;
    let response = world.call(&mut appliance);
    assert!(Stop::open(&response.stop, world.core.charter()).unwrap().value().stopped);
}
