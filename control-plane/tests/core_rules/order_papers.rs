//! What permitted an execution is kept as long as the execution: orders and standing orders, in the bundle and in the vault.

use control_plane::{
    bundle::{self, export::Parts, verify::Report},
    core::export,
    store::Store,
    vault::{MemoryVault, Vault as _},
};
use proto::{
    digest::Digest,
    evidence::{Body, SeenBy, StandingUse, Verdict},
    order::Order,
    standing::{StandingOrder, set_digest},
    sync::{Phase, Record},
};
use runbooks::verify_standing;

use crate::{
    appliance::{Appliance, execution, open_order},
    world::{BACKUP, DISK, MINUTE, World},
};

/// What its executor signs when it did as the runbook says.
fn carried_out(
    world: &World,
    appliance: &mut Appliance,
    order: &Order,
    of: Option<(&StandingOrder, u32)>,
) -> Record {
    let Body::Execution(mut body) = execution(order, Verdict::Repaired, None) else { panic!() };
    let runbook = &world.core.catalogue().0.runbook(&order.core.runbook).unwrap().runbook;
    body.hipaa.clone_from(&runbook.hipaa);
    let step = body.steps.remove(0);
    let done = |action: String| proto::evidence::Step { action, ..step.clone() };
    body.steps = runbook.steps.iter().map(|step| done(step.action.as_str().to_owned())).collect();
    if let Some((standing, count)) = of {
        body.order.digest = Digest::of(&standing.encode());
        body.order.standing = Some(StandingUse {
            id: standing.id,
            count,
            most: standing.most,
            trigger: standing.trigger.clone(),
            held_ms: 130_000,
            seen_by: SeenBy::Executor,
        });
    }
    Record::Evidence(appliance.seal(world.now, Body::Execution(body)))
}

/// A box that carried out an order, and drew on a standing order, once each.
fn with_both(world: &mut World, appliance: &mut Appliance) {
    let response = world.call(appliance);
    let open = |envelope: &Vec<u8>| {
        verify_standing(envelope, world.core.charter(), Some(world.now)).unwrap().into_value()
    };
    let given: Vec<StandingOrder> = response.standing.iter().map(open).collect();
    appliance.standing = Some(set_digest(given.iter().map(|standing| Digest::of(&standing.encode()))));
    let standing = given.into_iter().find(|standing| standing.trigger == BACKUP).unwrap();
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    let response = world.send(appliance, vec![event]);
    let order = open_order(&response.orders[0], world.core.charter());
    let runbook = world.core.catalogue().0.runbook(&standing.runbook).unwrap().runbook.clone();
    let records = vec![
        carried_out(world, appliance, &order, None),
        carried_out(world, appliance, &runbooks::derive(&standing, 1, Some(&runbook)), Some((&standing, 1))),
    ];
    world.send(appliance, records);
}

fn report(world: &mut World, change: impl FnOnce(&mut Parts)) -> Report {
    let row = world.core.tenant(&world.tenant.clone()).unwrap();
    let store = Store::with(world.db.share()).unwrap();
    let later = world.now.plus(MINUTE);
    let mut parts = export::parts(&store, &row, world.core.charter(), None, later).unwrap();
    change(&mut parts);
    let bundle = bundle::export::build(&parts).unwrap();
    bundle::verify::verify(&bundle, Some(&world.safe.trust), later)
}

#[test]
fn a_bundle_with_a_use_of_a_standing_order_verifies() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    with_both(&mut world, &mut appliance);
    let whole = report(&mut world, |_| {});
    assert_eq!(whole.exit_code(), 0, "{whole}");
    assert_eq!(whole.files.iter().filter(|line| line.path.starts_with("orders/")).count(), 2, "{whole}");
    let without = report(&mut world, |parts| parts.orders.clear());
    assert_eq!((without.exit_code(), without.gaps.len()), (3, 2), "{without}");
}

#[test]
fn orders_come_back_with_the_executions_that_name_them() {
    let mut world = World::new();
    let mut appliance = world.enrolled();
    let copy = world.backup();
    let records = vec![appliance.enrolment(world.now), appliance.heartbeat(world.now)];
    world.send(&mut appliance, records);
    with_both(&mut world, &mut appliance);
    let signed = world.vault_keys("orders").len();
    assert!(signed >= 2);
    world.restore(copy).unwrap();
    assert_eq!(world.count(r#"SELECT count(*) FROM "order""#), 0, "papers, nothing more");
    let restored = report(&mut world, |_| {});
    assert_eq!(restored.exit_code(), 0, "{restored}");
    let response = world.call(&mut appliance);
    assert!(response.orders.is_empty(), "nothing is sent because of a paper");
    world.restart();
    assert_eq!(usize::try_from(world.count("SELECT count(*) FROM order_paper")).unwrap(), signed);
}

#[test]
fn orders_from_before_are_kept_there_too() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    with_both(&mut world, &mut appliance);
    let signed = world.vault_keys("orders");
    world.vault = MemoryVault::default();
    world.restart();
    assert_eq!(world.vault_keys("orders"), signed);
    // Something else under the name of an order is not taken for it.
    let key = format!("{}/orders/{}", world.tenant, Digest::of(b"another"));
    world.vault.put(&key, b"{}", proto::time::Millis(i64::MAX)).unwrap();
    world.restart();
    assert_eq!(world.count("SELECT count(*) FROM order_paper"), 0);
}
