//! What comes late, comes back, or has to wait.

use control_plane::{
    core::letters::Outgoing,
    store::Telling,
    telling::{Outcome, Rules, ticket::Change},
};

use super::*;
use crate::world::CHANNEL;

#[test]
fn late_evidence_still_counts() {
    for (verdict, expected) in [(Verdict::Repaired, "resolved"), (Verdict::Failed, "escalated")] {
        let mut world = World::new();
        let mut appliance = world.appliance();
        raise(&mut world, &mut appliance);
        world.wait(11 * MINUTE + SECOND);
        assert_eq!(states(&world), "planned");
        execute(&mut world, &mut appliance, verdict);
        assert_eq!(states(&world), expected, "{verdict:?}");
        assert!(world.text(r#"SELECT state FROM "order""#).starts_with("executed"));
    }
    // After a person was called there is only good news left to hear.
    for (verdict, expected) in [(Verdict::Repaired, "resolved"), (Verdict::Failed, "escalated")] {
        let mut world = World::new();
        let mut appliance = world.appliance();
        raise(&mut world, &mut appliance);
        world.wait(3 * HOUR);
        world.wait(3 * HOUR);
        assert_eq!((states(&world).as_str(), told(&world)), ("escalated", 1));
        execute(&mut world, &mut appliance, verdict);
        assert_eq!((states(&world).as_str(), told(&world)), (expected, 1), "{verdict:?}");
    }
}

/// The refusal of an order that ran out says nothing about the one that took its place.
#[test]
fn a_late_refusal_does_not_stop_the_order_that_is_out() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    raise(&mut world, &mut appliance);
    let first = appliance.newest_order();
    world.wait(13 * MINUTE);
    world.wait(MINUTE);
    world.call(&mut appliance);
    assert_eq!((states(&world).as_str(), appliance.orders.len()), ("ordered", 2));
    for guardrail in [Guardrail::Freshness, Guardrail::Precondition, Guardrail::Digest] {
        let refused = appliance.refused(world.now, &first, guardrail.number());
        world.send(&mut appliance, vec![refused]);
        assert_eq!((states(&world).as_str(), appliance.orders.len()), ("ordered", 2), "{guardrail}");
    }
    execute(&mut world, &mut appliance, Verdict::Repaired);
    assert_eq!(states(&world), "resolved");
}

#[test]
fn a_cooldown_holds_back_and_is_tried_again() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    raise(&mut world, &mut appliance);
    execute(&mut world, &mut appliance, Verdict::Repaired);
    world.wait(MINUTE);
    raise(&mut world, &mut appliance);
    assert_eq!(states(&world), "resolved planned");
    assert!(world.text("SELECT reason FROM incident WHERE state = 'planned'").contains("(cooldown)"));
    for minute in 2..=6 {
        world.wait(MINUTE);
        world.call(&mut appliance);
        let expected = if minute < 5 { "resolved planned" } else { "resolved ordered" };
        assert_eq!(states(&world), expected, "minute {minute}: 300 s must lie between");
    }
    assert_eq!((appliance.orders.len(), told(&world)), (2, 0));
}

#[test]
fn the_watchdog_wakes_the_appliance_whose_pause_is_over() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    raise(&mut world, &mut appliance);
    execute(&mut world, &mut appliance, Verdict::Repaired);
    world.wait(4 * MINUTE + 30 * SECOND);
    raise(&mut world, &mut appliance);
    world.core.take_wakes();
    world.wait(30 * SECOND);
    assert!(world.core.take_wakes().is_empty(), "not yet");
    world.wait(30 * SECOND);
    assert_eq!(world.core.take_wakes(), [appliance.id()].into());
    world.wait(SECOND);
    assert!(world.core.take_wakes().is_empty(), "once");
}

#[test]
fn a_hold_at_the_box_is_known_at_once_and_so_is_its_end() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let held = appliance.hold(world.now, true);
    world.send(&mut appliance, vec![held]);
    raise(&mut world, &mut appliance);
    assert_eq!(states(&world), "planned");
    assert!(world.text("SELECT reason FROM incident").contains("(hold)"));
    let released = appliance.hold(world.now, false);
    world.send(&mut appliance, vec![released]);
    world.wait(61 * SECOND);
    world.call(&mut appliance);
    assert_eq!(states(&world), "ordered");
}

#[test]
fn a_breaker_opens_after_three_failures_in_a_row() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let (tenant, now) = (world.tenant.clone(), world.now);
    let change = |policy: &mut runbooks::Policy| policy.breaker_reset_seconds = 7200;
    world.core.run(now, |core| core.change_policy(&tenant, proto::act::Change::Other, change, now)).unwrap();
    for failure in 1..=3 {
        raise(&mut world, &mut appliance);
        assert_eq!(appliance.orders.len(), failure);
        execute(&mut world, &mut appliance, Verdict::Failed);
        say(&mut world, &mut appliance, Phase::Cleared);
        // Within the hour it would not be repeated at all.
        world.wait(61 * MINUTE);
    }
    raise(&mut world, &mut appliance);
    assert_eq!(states(&world), "escalated escalated escalated planned");
    assert!(world.text("SELECT reason FROM incident WHERE state = 'planned'").contains("breaker"));
    assert_eq!(appliance.orders.len(), 3);
}

#[test]
fn one_boxs_refused_orders_do_not_use_up_its_neighbours_budget() {
    let mut world = World::new();
    let (mut noisy, mut quiet) = (world.appliance(), world.appliance());
    raise(&mut world, &mut noisy);
    let order = noisy.newest_order();
    let refused = noisy.refused(world.now, &order, Guardrail::Precondition.number());
    world.send(&mut noisy, vec![refused]);
    // Six hundred more like it.
    world
        .db
        .share()
        .execute_batch(
            r#"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
               INSERT INTO "order" SELECT 'copy-' || i, tenant, appliance, incident, incarnation, 1000 + i, runbook,
                 target, digest, envelope, state, outcome, issued_ms, expires_ms, ended_ms FROM "order", n"#,
        )
        .unwrap();
    raise(&mut world, &mut quiet);
    assert_eq!(quiet.orders.len(), 1);
}

/// What the one channel is to tell now.
fn due(world: &mut World) -> Vec<Outgoing> {
    let now = world.now;
    world.core.run(now, |core| core.to_tell(CHANNEL, now)).unwrap()
}

#[test]
fn people_are_told_again_until_it_worked_and_in_the_end_it_is_a_dead_letter() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let event = appliance.event(world.now, "odd.fault", "uploads", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    let mut pauses = Vec::new();
    for _ in 0..24 {
        let started = world.now;
        let note = loop {
            if let Some(note) = due(&mut world).pop() {
                break note;
            }
            world.now = world.now.plus(SECOND);
        };
        pauses.push(world.now.since(started).as_secs());
        let now = world.now;
        let outcome = Outcome::Later("no answer".into(), None);
        world.core.run(now, |core| core.told(&note.row, &outcome, now)).unwrap();
    }
    assert_eq!(pauses[..6], [0, 2, 4, 8, 16, 32]);
    assert_eq!(pauses[23], 3600);
    world.now = world.now.plus(100 * HOUR);
    assert!(due(&mut world).is_empty());
    assert_eq!(world.text("SELECT state || ' ' || last_error FROM notification"), "dead no answer");
    let row = world.core.incidents("", "escalated", 1).unwrap().remove(0);
    let told = world.core.told_of(&row).unwrap().told.unwrap();
    assert_eq!((told.telling, told.attempts, told.last_error.as_str()), (Telling::Dead, 24, "no answer"));
}

#[test]
fn what_was_told_is_not_told_again() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let event = appliance.event(world.now, "odd.fault", "uploads", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    let note = due(&mut world).remove(0);
    let now = world.now;
    let taken = Outcome::Taken(Change::None);
    world.core.run(now, |core| core.told(&note.row, &taken, now)).unwrap();
    world.now = now.plus(100 * HOUR);
    assert!(due(&mut world).is_empty());
}

#[test]
fn with_nobody_to_tell_nothing_piles_up() {
    let mut world = World::with(|safe| safe.settings.telling = Rules::default());
    let mut appliance = world.appliance();
    let event = appliance.event(world.now, "odd.fault", "uploads", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    assert_eq!((states(&world).as_str(), told(&world)), ("escalated", 0));
}
