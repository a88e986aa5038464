//! Rotation: a stolen online key is exchanged for good, and nothing stands still because of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use control_plane::{
    bundle,
    core::{self, CoreError, export},
    store::{Document, Store},
};
use proto::{charter::Charter, keys::SecretKey, sync::Phase};
use runbooks::Policy;

use crate::{
    appliance::{Appliance, open_order},
    world::{DAY, DISK, MINUTE, World},
};

const NEW_ORDER: [u8; 32] = [22; 32];
const NEW_LOG: [u8; 32] = [32; 32];

/// Names these keys, by their seeds.
fn name(charter: &mut Charter, serial: u64, order: &[[u8; 32]], log: &[[u8; 32]]) {
    let public = |seeds: &[[u8; 32]]| seeds.iter().map(|seed| SecretKey::ed25519(*seed).public()).collect();
    charter.serial = serial;
    (charter.order_keys, charter.log_keys) = (public(order), public(log));
}

/// The server's key files are exchanged while it does not run.
fn exchange_keys(world: &mut World) {
    world.safe = World::with(|safe| {
        (safe.order, safe.log) = (NEW_ORDER, NEW_LOG);
        name(&mut safe.charter, 1, &[NEW_ORDER], &[NEW_LOG]);
    })
    .safe;
}

/// A box of a clinic in shadow mode, so that its policy says something of its own.
fn shadowed(world: &mut World) -> Appliance {
    let appliance = world.appliance();
    let (tenant, now) = (world.tenant.clone(), world.now);
    world.core.run(now, |core| core.shadow_tenant(&tenant, Some(now.plus(14 * DAY)), now)).unwrap();
    appliance
}

/// A box takes the new charter and the policy under it, is given orders, and its clinic's bundle verifies.
fn everything_goes_on(world: &mut World, appliance: &mut Appliance) {
    let serial = world.core.charter().serial;
    appliance.policy_serial = 2;
    let beat = appliance.heartbeat(world.now);
    let response = world.send(appliance, vec![beat]);
    assert!(!response.charter.is_empty());
    let policy = Policy::open(&response.policy, world.core.charter()).expect("by the new key").into_value();
    assert_eq!((policy.serial, policy.shadow_until), (3, Some(world.now.plus(14 * DAY))));
    (appliance.charter_serial, appliance.policy_serial) = (serial, 3);

    let (tenant, now) = (world.tenant.clone(), world.now);
    let changed = world.core.run(now, |core| core.shadow_tenant(&tenant, None, now)).unwrap();
    assert_eq!(changed.policy_serial, 4);
    appliance.policy_serial = 4;
    let beat = appliance.heartbeat(world.now);
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    let response = world.send(appliance, vec![beat, event]);
    assert_eq!(open_order(&response.orders[0], world.core.charter()).charter_serial, serial);

    let row = world.core.tenant(&tenant).unwrap();
    let store = Store::with(world.db.share()).unwrap();
    let later = world.now.plus(MINUTE);
    let parts = export::parts(&store, &row, world.core.charter(), None, later).unwrap();
    let report =
        bundle::verify::verify(&bundle::export::build(&parts).unwrap(), Some(&world.safe.trust), later);
    assert_eq!(report.exit_code(), 0, "{report}");
}

#[test]
fn stolen_keys_are_exchanged_through_a_charter_that_names_both() {
    let mut world = World::new();
    let mut appliance = shadowed(&mut world);
    let (order, log, now) = (world.safe.order, world.safe.log, world.now);
    let both = world.safe.charter(|charter| name(charter, 2, &[order, NEW_ORDER], &[log, NEW_LOG]));
    world.core.run(now, |core| core.publish_charter(&both, now)).unwrap();
    exchange_keys(&mut world);
    world.restart();
    assert_eq!(world.count("SELECT policy_serial FROM tenant"), 2, "the old signature holds as yet");
    let only = world.safe.charter(|charter| name(charter, 3, &[NEW_ORDER], &[NEW_LOG]));
    world.core.run(now, |core| core.publish_charter(&only, now)).unwrap();
    everything_goes_on(&mut world, &mut appliance);
    world.restart();
    assert_eq!(world.count("SELECT policy_serial FROM tenant"), 4, "what holds is left alone");
}

#[test]
fn stolen_keys_are_exchanged_at_once_while_the_server_is_down() {
    let mut world = World::new();
    let mut appliance = shadowed(&mut world);
    exchange_keys(&mut world);
    let only = world.safe.charter(|charter| name(charter, 2, &[NEW_ORDER], &[NEW_LOG]));
    core::seed(&Store::with(world.db.share()).unwrap(), Document::Charter, 2, &only, world.now).unwrap();
    world.restart();
    everything_goes_on(&mut world, &mut appliance);
}

/// Without a restart: whoever was away through all of it comes through, and what fails changes nothing.
#[test]
fn keys_are_exchanged_while_the_server_runs() {
    let mut world = World::with(|safe| safe.next = Some((NEW_ORDER, NEW_LOG)));
    let mut appliance = shadowed(&mut world);
    let (order, log, now) = (world.safe.order, world.safe.log, world.now);
    // What a clinic that is made now gets is signed by one of `keys`.
    let signed_by = |world: &mut World, clinic: &str, keys: [u8; 32]| {
        let id = world.tenant_named(clinic);
        let envelope = world.core.tenant(&id).unwrap().policy;
        let mut charter = world.core.charter().clone();
        charter.order_keys = [SecretKey::ed25519(keys).public()].into();
        Policy::open(&envelope, &charter).is_ok()
    };
    let strangers = world.safe.charter(|charter| name(charter, 2, &[[99; 32]], &[log]));
    assert!(world.core.run(now, |core| core.publish_charter(&strangers, now)).is_err());
    let both = world.safe.charter(|charter| name(charter, 2, &[order, NEW_ORDER], &[log, NEW_LOG]));
    // It was in force inside a command that came to nothing.
    let undone = world.core.run(now, |core| {
        core.publish_charter(&both, now)?;
        Err::<(), _>(CoreError::NotFound("nothing".into()))
    });
    assert!(undone.is_err() && signed_by(&mut world, "One", order));
    world.core.run(now, |core| core.publish_charter(&both, now)).unwrap();
    assert!(signed_by(&mut world, "Two", NEW_ORDER));
    assert_eq!(world.count("SELECT min(policy_serial) FROM tenant"), 1, "old signatures hold as yet");
    let only = world.safe.charter(|charter| name(charter, 3, &[NEW_ORDER], &[NEW_LOG]));
    world.core.run(now, |core| core.publish_charter(&only, now)).unwrap();
    // What the box goes by, which has the newest charter by then.
    exchange_keys(&mut world);
    everything_goes_on(&mut world, &mut appliance);
}

/// A row that nobody can read is one clinic's trouble.
#[test]
fn a_damaged_policy_keeps_nobody_else_from_the_new_key() {
    let mut world = World::new();
    let mut appliance = shadowed(&mut world);
    let hill = world.tenant_named("Hill Clinic");
    let damage = "UPDATE tenant SET policy = x'7b7d' WHERE id = ?1";
    world.db.share().execute(damage, [&hill]).unwrap();
    exchange_keys(&mut world);
    let only = world.safe.charter(|charter| name(charter, 2, &[NEW_ORDER], &[NEW_LOG]));
    core::seed(&Store::with(world.db.share()).unwrap(), Document::Charter, 2, &only, world.now).unwrap();
    world.restart();
    everything_goes_on(&mut world, &mut appliance);
}

/// Evidence is worth more than a fresh order: only what needs the key waits for it, and the incident says why.
#[test]
fn what_a_box_sends_is_taken_while_the_order_key_is_out_of_reach() {
    let away = Arc::new(AtomicBool::new(false));
    let mut world = World::with(|safe| safe.away = Some(away.clone()));
    let mut appliance = world.appliance();
    away.store(true, SeqCst);
    let beat = appliance.heartbeat(world.now);
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    let response = world.send(&mut appliance, vec![beat, event]);
    assert!(response.orders.is_empty() && !response.checkpoint.is_empty(), "{response:?}");
    assert_eq!(world.text("SELECT reason FROM incident"), "the order key cannot be used");
    assert_eq!(world.count("SELECT count(*) FROM \"order\""), 0);
    // What would have to be said anew to every box of the clinic is not done by halves.
    let (tenant, now) = (world.tenant.clone(), world.now);
    let changed = world.core.run(now, |core| core.shadow_tenant(&tenant, Some(now.plus(DAY)), now));
    assert!(matches!(changed, Err(CoreError::Signer(_))), "{changed:?}");
    away.store(false, SeqCst);
    world.wait(2 * MINUTE);
    let response = world.call(&mut appliance);
    assert_eq!(open_order(&response.orders[0], world.core.charter()).core.runbook.to_string(), "RB-DISK-002");
    assert_eq!(world.count("SELECT count(*) FROM act_waiting"), 0);
}
