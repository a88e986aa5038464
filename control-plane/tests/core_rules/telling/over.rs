//! What people were called for about a box as a whole, and is over: who heard of it hears that.

use proto::sync::{Phase, Record};

use crate::{
    appliance::Appliance,
    world::{HOUR, MINUTE, SECOND, World},
};

/// What was told of the incidents of a kind, in order.
pub fn news(world: &World, kind: &str) -> String {
    world.text(&format!(
        "SELECT coalesce(group_concat(news, ' '), '') FROM (SELECT news FROM notification
         JOIN incident ON incident.id = notification.incident WHERE kind = '{kind}' ORDER BY notification.id)"
    ))
}

/// The watchdog looks.
fn look(world: &mut World) {
    for _ in 0..2 {
        world.wait(30 * SECOND);
    }
}

fn events(world: &mut World, appliance: &mut Appliance, faults: std::ops::Range<usize>, phase: Phase) {
    let now = world.now;
    let all = faults.map(|n| appliance.event(now, &format!("odd.fault-{n}"), "uploads", phase)).collect();
    world.send(appliance, all);
}

#[test]
fn a_quarantine_is_over_when_the_box_is_readmitted_and_everything_when_it_is_revoked() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    events(&mut world, &mut appliance, 0..1, Phase::Raised);
    let (id, kind) = (appliance.id().to_string(), "appliance.quarantined");
    world.send(&mut appliance, vec![Record::Evidence(b"{}".to_vec())]);
    assert_eq!(news(&world, kind), "raised");
    let now = world.now;
    world.core.run(now, |core| core.readmit_appliance(&id, "one box, seen on site", now)).unwrap();
    assert_eq!(news(&world, kind), "raised gone");
    let body = world.text("SELECT body FROM notification ORDER BY id DESC LIMIT 1");
    assert!(body.contains("readmitted: one box, seen on site"), "{body}");
    assert_eq!(news(&world, "odd.fault-0"), "raised", "that is still there");

    world.send(&mut appliance, vec![Record::Evidence(b"{}".to_vec())]);
    assert_eq!(news(&world, kind), "raised gone raised");
    world.core.run(now, |core| core.revoke_appliance(&id, "stolen", now)).unwrap();
    assert_eq!(news(&world, kind), "raised gone raised gone");
    assert_eq!(news(&world, "odd.fault-0"), "raised gone");
    world.wait(24 * HOUR);
    assert_eq!(world.count("SELECT count(*) FROM escalation WHERE NOT gone"), 0);
}

#[test]
fn a_box_that_reports_no_longer_too_much_is_over_once_there_is_room() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let kind = "appliance.too-many-faults";
    events(&mut world, &mut appliance, 0..250, Phase::Raised);
    assert_eq!(news(&world, kind), "raised");
    events(&mut world, &mut appliance, 0..150, Phase::Cleared);
    look(&mut world);
    assert_eq!(news(&world, kind), "raised", "they all came within the hour");
    world.wait(HOUR);
    look(&mut world);
    assert_eq!(news(&world, kind), "raised gone");
    let escalated = "SELECT state || present FROM incident WHERE kind = 'appliance.too-many-faults'";
    assert_eq!(world.text(escalated), "escalated0", "a person's, as any fault that goes away by itself");
}

#[test]
fn a_box_that_keeps_within_its_budget_again_is_over() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let kind = "appliance.over-budget";
    for _ in 0..3 {
        let event = |_| appliance.event(world.now, "odd.fault", "uploads", Phase::Ongoing);
        let records = (0..900).map(event).collect();
        world.send(&mut appliance, records);
    }
    look(&mut world);
    assert_eq!(news(&world, kind), "raised");
    world.wait(HOUR + MINUTE);
    look(&mut world);
    assert_eq!(news(&world, kind), "raised gone");
}
