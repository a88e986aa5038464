//! Clinic hours and maintenance windows: an incident whose repair must not run now waits, and in the end is a person's.

use proto::{pb::SyncResponse, sync::Phase};

use crate::{
    appliance::{Appliance, watch},
    world::{DISK, MINUTE, World, bad_field},
};

/// A fault whose runbook restarts what people are using.
const MEMORY: &str = "memory.pressed";
const ALL_WEEK: &str = "daily 00:00-00:00 UTC";

/// A box that has memory to watch, besides its folders.
fn boxed() -> (World, Appliance) {
    let mut world = World::with(|safe| safe.settings.stall_after = 30 * MINUTE);
    let mut appliance = world.enrolled();
    appliance.watch.insert(watch("memory"), "memory".into());
    let records = vec![appliance.enrolment(world.now), appliance.heartbeat(world.now)];
    world.send(&mut appliance, records);
    (world, appliance)
}

fn texts(times: &[&str]) -> Vec<String> {
    times.iter().map(|text| (*text).to_owned()).collect()
}

fn set_hours(world: &mut World, times: &[&str]) {
    let (tenant, now) = (world.tenant.clone(), world.now);
    world.core.run(now, |core| core.set_clinic_hours(&tenant, &texts(times), now)).unwrap();
}

fn raise(world: &mut World, appliance: &mut Appliance, kind: &str, on: &str) -> SyncResponse {
    let event = appliance.event(world.now, kind, on, Phase::Raised);
    world.send(appliance, vec![event])
}

fn incident(world: &World, column: &str) -> String {
    world.text(&format!("SELECT {column} FROM incident WHERE kind = '{MEMORY}'"))
}

#[test]
fn what_disturbs_waits_for_the_end_of_clinic_hours_and_what_does_not_runs() {
    let (mut world, mut appliance) = boxed();
    set_hours(&mut world, &[ALL_WEEK]);
    assert_eq!(raise(&mut world, &mut appliance, MEMORY, "memory").orders.len(), 0);
    assert_eq!(incident(&world, "state"), "planned");
    let reason = incident(&world, "reason");
    assert!(
        reason.starts_with("guardrail 10 (window): runbook RB-MEM-001 disturbs people at work"),
        "{reason}"
    );
    assert_eq!(raise(&mut world, &mut appliance, DISK, "uploads").orders.len(), 1);
    for _ in 0..20 {
        world.wait(MINUTE);
        assert!(world.call(&mut appliance).orders.len() <= 1, "the one that is out, again");
    }
    assert_eq!(incident(&world, "state"), "planned");
    // People have gone home.
    let hour = |plus: u32| world.now.plus(plus * MINUTE).to_string()[11..16].to_owned();
    let over = format!("daily {}-{} UTC", hour(60), hour(0));
    set_hours(&mut world, &[&over]);
    world.wait(2 * MINUTE);
    world.call(&mut appliance);
    assert_eq!(incident(&world, "state"), "ordered");
}

#[test]
fn an_incident_that_waits_too_long_is_a_persons() {
    let (mut world, mut appliance) = boxed();
    set_hours(&mut world, &[ALL_WEEK]);
    raise(&mut world, &mut appliance, MEMORY, "memory");
    for _ in 0..31 {
        world.wait(MINUTE);
        world.call(&mut appliance);
    }
    assert_eq!(incident(&world, "state"), "escalated");
    let reason = incident(&world, "reason");
    assert!(reason.starts_with("not done within 30 minutes: guardrail 10 (window)"), "{reason}");
    assert_eq!(world.count(r#"SELECT count(*) FROM "order""#), 0);
}

#[test]
fn outside_of_maintenance_windows_nothing_runs() {
    let (mut world, mut appliance) = boxed();
    let (tenant, now) = (world.tenant.clone(), world.now);
    let minute = |plus: u32| now.plus(plus * MINUTE).to_string()[11..16].to_owned();
    let shut = [format!("daily {}-{} UTC", minute(60), minute(0))];
    world.core.run(now, |core| core.set_windows(&tenant, &shut, now)).unwrap();
    assert_eq!(raise(&mut world, &mut appliance, DISK, "uploads").orders.len(), 0);
    let reason = world.text("SELECT reason FROM incident");
    assert!(reason.contains("outside of the maintenance windows"), "{reason}");
    world.core.run(now, |core| core.set_windows(&tenant, &[], now)).unwrap();
    world.wait(2 * MINUTE);
    assert_eq!(world.call(&mut appliance).orders.len(), 1);
}

#[test]
fn times_that_cannot_be_are_refused_by_field_and_change_nothing() {
    let (mut world, _) = boxed();
    let (tenant, now) = (world.tenant.clone(), world.now);
    let many: Vec<String> = (0..33).map(|n| format!("monday 00:{n:02}-01:00 UTC")).collect();
    for (times, field) in [
        (texts(&[ALL_WEEK, "daily 00:00-00:00 America/Gotham"]), "clinic_hours[1].zone"),
        (texts(&["mon 00:00-00:00 UTC"]), "clinic_hours[0].days"),
        (texts(&["daily noon UTC"]), "clinic_hours[0].hours"),
        (many.clone(), "clinic_hours"),
    ] {
        assert_eq!(bad_field(world.core.run(now, |core| core.set_clinic_hours(&tenant, &times, now))), field);
    }
    assert_eq!(bad_field(world.core.run(now, |core| core.set_windows(&tenant, &many, now))), "windows");
    let row = world.core.tenants().unwrap().remove(0);
    assert_eq!(row.policy_serial, 1);
    assert!(world.core.policy_of(row.id).unwrap().clinic_hours.is_empty());
}
