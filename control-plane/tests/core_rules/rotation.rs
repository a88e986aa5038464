//! Rotation: a stolen online key is exchanged for good, and nothing stands still because of it.

use control_plane::{
    bundle,
    core::{self, export},
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
