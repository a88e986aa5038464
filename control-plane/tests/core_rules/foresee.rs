//! What would be done, and which guardrails would say no; and what of the budgets is used. Nothing is changed by asking.

use proto::{evidence::Verdict, sync::Phase};
use runbooks::{Guardrail, Patch};

use crate::world::{DISK, HOUR, MINUTE, World};

#[test]
fn every_guardrail_that_would_say_no_is_named_and_nothing_is_changed() {
    let mut world = World::new();
    let appliance = world.appliance();
    let (now, id, tenant) = (world.now, appliance.id().to_string(), world.tenant.clone());
    let foresee = |world: &mut World, fault: &str, watch: &str| {
        let dump = |world: &World| {
            world.text("SELECT (SELECT count(*) FROM incident) || (SELECT count(*) FROM evidence) || (SELECT count(*) FROM asked) ||
                        (SELECT group_concat(policy_serial) FROM tenant)")
        };
        let before = dump(world);
        let said = world.core.run(now, |core| core.foresee(&id, fault, watch, now));
        assert_eq!(dump(world), before);
        said
    };
    let clear = foresee(&mut world, DISK, "uploads").unwrap().chosen.unwrap();
    assert_eq!((clear.runbook.id.as_str(), clear.approvers), ("RB-DISK-002", Some(0)));
    assert_eq!(clear.verdicts.iter().map(|(g, _)| *g).collect::<Vec<_>>(), Guardrail::ALL);
    assert!(clear.verdicts.iter().all(|(_, verdict)| verdict.is_ok()), "{:?}", clear.verdicts);
    // All that would say no, not only the first.
    let settings = r#"{"per_appliance_hour":0,"runbook_modes":{"RB-DISK-002":"approval"}}"#;
    let (settings, level) = (Patch::parse(settings).unwrap(), world.core.level(&tenant, "", "").unwrap());
    world.core.run(now, |core| core.patch_policy(level, &settings, now)).unwrap();
    world.core.run(now, |core| core.hold(level, "they are moving", None, now)).unwrap();
    let chosen = foresee(&mut world, DISK, "nowhere").unwrap().chosen.unwrap();
    let no: Vec<u8> =
        chosen.verdicts.iter().filter(|(_, verdict)| verdict.is_err()).map(|(g, _)| g.number()).collect();
    assert_eq!((no.as_slice(), chosen.approvers), (&[7, 9, 10, 12][..], Some(1)));
    // A fault that no runbook is for, and one that there is not.
    assert!(foresee(&mut world, "sensor.hot", "uploads").is_ok_and(|said| said.chosen.is_err()));
    assert!(foresee(&mut world, "coffee.cold", "uploads").is_err());
}

#[test]
fn budgets_and_open_breakers_are_seen_as_guardrail_9_counts_them() {
    let mut world = World::with(|safe| safe.settings.stall_after = 24 * HOUR);
    let mut appliance = world.appliance();
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    let order = appliance.newest_order();
    world.wait(MINUTE);
    let failed = appliance.executed(world.now, &order, Verdict::Ineffective);
    world.send(&mut appliance, vec![failed]);
    let tenant = world.core.tenant(&world.tenant.clone()).unwrap().id;
    let (budgets, breakers) = world.core.limits(tenant, world.now).unwrap();
    let used: Vec<_> = budgets.iter().map(|one| (one.appliance, one.used, one.most)).collect();
    assert_eq!(used, [(None, 1, 600), (Some(appliance.id()), 1, 60)]);
    let [open] = &breakers[..] else { panic!("{breakers:?}") };
    assert_eq!((open.runbook.as_str(), open.target.as_str()), ("RB-DISK-002", "directory=uploads"));
    assert_eq!((open.failures, open.until), (1, world.now.plus(HOUR)));
    // What guardrail 9 says is the same.
    let (now, id) = (world.now, appliance.id().to_string());
    let said = world.core.run(now, |core| core.foresee(&id, DISK, "uploads", now)).unwrap().chosen.unwrap();
    let budget = said.verdicts.iter().find(|(g, _)| *g == Guardrail::Budget).unwrap();
    assert!(budget.1.is_err(), "{budget:?}");
    world.wait(HOUR);
    let (budgets, breakers) = world.core.limits(tenant, world.now).unwrap();
    assert!(breakers.is_empty() && budgets.iter().all(|one| one.used == 0), "{budgets:?} {breakers:?}");
}
