//! Incidents from the first event to their end; who is told, and how often.

mod late;

use proto::{evidence::Verdict, sync::Phase};
use runbooks::Guardrail;

use crate::{
    appliance::Appliance,
    world::{BACKUP, DISK, HOUR, MINUTE, SECOND, World},
};

fn raise(world: &mut World, appliance: &mut Appliance) {
    say(world, appliance, Phase::Raised);
}

fn say(world: &mut World, appliance: &mut Appliance, phase: Phase) {
    let event = appliance.event(world.now, DISK, "uploads", phase);
    world.send(appliance, vec![event]);
}

/// States of all incidents, oldest first.
fn states(world: &World) -> String {
    world.text("SELECT group_concat(state, ' ') FROM (SELECT state FROM incident ORDER BY opened_ms, id)")
}

/// How often somebody was called.
fn told(world: &World) -> i64 {
    world.count("SELECT count(*) FROM notification WHERE news = 'raised'")
}

fn timeline(world: &World) -> String {
    world.text("SELECT group_concat(what, ' ') FROM (SELECT what FROM timeline ORDER BY incident, number)")
}

/// The box takes the order it was given and says how it went.
fn execute(world: &mut World, appliance: &mut Appliance, verdict: Verdict) {
    let order = appliance.newest_order();
    appliance.order_high = order.sequence;
    let record = appliance.executed(world.now, &order, verdict);
    world.send(appliance, vec![record]);
}

#[test]
fn a_fault_is_planned_ordered_repaired_and_resolved() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    raise(&mut world, &mut appliance);
    assert_eq!(states(&world), "ordered");
    assert_eq!(appliance.newest_order().core.runbook.as_str(), "RB-DISK-002");
    execute(&mut world, &mut appliance, Verdict::Repaired);
    assert_eq!(states(&world), "resolved");
    assert_eq!(timeline(&world), "seen planned ordered resolved");
    assert_eq!(world.text(r#"SELECT state || ' ' || outcome FROM "order""#), "executed repaired");
    assert_eq!(told(&world), 0);
}

#[test]
fn before_its_first_heartbeat_an_appliances_faults_wait() {
    let mut world = World::new();
    let mut appliance = world.enrolled();
    raise(&mut world, &mut appliance);
    assert_eq!(states(&world), "planned");
    let records = vec![appliance.enrolment(world.now), appliance.heartbeat(world.now)];
    world.send(&mut appliance, records);
    assert_eq!(states(&world), "ordered");
}

#[test]
fn one_fault_is_one_incident_however_often_it_is_seen() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    for phase in [Phase::Raised, Phase::Ongoing, Phase::Raised, Phase::Ongoing] {
        say(&mut world, &mut appliance, phase);
    }
    assert_eq!((states(&world).as_str(), world.count("SELECT events FROM incident")), ("ordered", 4));
    assert_eq!(appliance.orders.len(), 1);
    let other = appliance.event(world.now, DISK, "scans", Phase::Raised);
    world.send(&mut appliance, vec![other]);
    assert_eq!(states(&world), "ordered ordered", "another entry is another fault");
}

#[test]
fn a_fault_that_goes_by_itself_is_withdrawn_before_an_order_and_explained_after_one() {
    let mut world = World::new();
    let mut appliance = world.enrolled();
    raise(&mut world, &mut appliance);
    say(&mut world, &mut appliance, Phase::Cleared);
    assert_eq!(states(&world), "withdrawn");

    world.wait(SECOND);
    let mut appliance = world.appliance();
    raise(&mut world, &mut appliance);
    say(&mut world, &mut appliance, Phase::Cleared);
    assert_eq!(states(&world), "withdrawn ordered", "evidence will say how");
    let order = appliance.newest_order();
    let refused = appliance.refused(world.now, &order, Guardrail::Precondition.number());
    world.send(&mut appliance, vec![refused]);
    assert_eq!(states(&world), "withdrawn withdrawn");
    assert_eq!(told(&world), 0);
}

#[test]
fn a_fault_that_went_while_its_order_was_lost_is_withdrawn_and_nobody_is_called() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    raise(&mut world, &mut appliance);
    say(&mut world, &mut appliance, Phase::Cleared);
    world.wait(12 * MINUTE);
    assert_eq!(states(&world), "planned");
    world.wait(2 * MINUTE);
    world.call(&mut appliance);
    assert_eq!(states(&world), "withdrawn");
    assert_eq!(told(&world), 0);
}

#[test]
fn a_clearing_that_belongs_to_nothing_opens_nothing() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    say(&mut world, &mut appliance, Phase::Cleared);
    assert_eq!(world.count("SELECT count(*) FROM incident"), 0);
    assert_eq!(world.count("SELECT count(*) FROM event"), 1);
}

#[test]
fn an_unknown_fault_is_a_persons() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let event = appliance.event(world.now, "disk.smells-odd", "uploads", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    assert_eq!((states(&world).as_str(), told(&world)), ("escalated", 1));
    let body: serde_json::Value = serde_json::from_str(&world.text("SELECT body FROM notification")).unwrap();
    assert_eq!(body["type"], "incident.escalated");
    assert_eq!(body["tenant"]["name"], "Riverside Dental");
    assert!(body["reason"].as_str().unwrap().contains("disk.smells-odd"));
    assert!(appliance.orders.is_empty());
}

#[test]
fn a_fault_that_no_runbook_mends_is_a_persons() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let event = appliance.event(world.now, "log.match", "uploads", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    assert_eq!((states(&world).as_str(), told(&world)), ("escalated", 1));
}

#[test]
fn a_failed_repair_is_told_once_until_the_fault_has_gone_and_come_back() {
    for verdict in [Verdict::Ineffective, Verdict::Failed, Verdict::Interrupted] {
        let mut world = World::new();
        let mut appliance = world.appliance();
        raise(&mut world, &mut appliance);
        execute(&mut world, &mut appliance, verdict);
        assert_eq!((states(&world).as_str(), told(&world)), ("escalated", 1), "{verdict:?}");
        for phase in [Phase::Ongoing, Phase::Raised, Phase::Ongoing] {
            say(&mut world, &mut appliance, phase);
        }
        assert_eq!((states(&world).as_str(), told(&world)), ("escalated", 1), "{verdict:?}: told again");
        say(&mut world, &mut appliance, Phase::Cleared);
        assert_eq!(states(&world), "escalated");
        // What did not help is not done again within the hour.
        world.wait(20 * MINUTE);
        raise(&mut world, &mut appliance);
        assert_eq!((states(&world).as_str(), told(&world)), ("escalated escalated", 2), "{verdict:?}");
        assert_eq!(appliance.orders.len(), 1);
        say(&mut world, &mut appliance, Phase::Cleared);
        world.wait(HOUR);
        raise(&mut world, &mut appliance);
        assert_eq!(states(&world), "escalated escalated ordered", "{verdict:?}");
    }
}

/// "An ineffective repair is not repeated: second time in the window it escalates."
#[test]
fn a_repair_that_does_not_last_is_not_made_a_third_time() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    for _ in 0..2 {
        raise(&mut world, &mut appliance);
        execute(&mut world, &mut appliance, Verdict::Repaired);
        world.wait(10 * MINUTE);
    }
    raise(&mut world, &mut appliance);
    assert_eq!((states(&world).as_str(), told(&world)), ("resolved resolved escalated", 1));
    assert!(world.text("SELECT reason FROM incident WHERE state = 'escalated'").contains("not done again"));
    assert_eq!(appliance.orders.len(), 2);
}

#[test]
fn broken_off_and_yet_repaired_is_repaired() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    raise(&mut world, &mut appliance);
    execute(&mut world, &mut appliance, Verdict::InterruptedRepaired);
    assert_eq!((states(&world).as_str(), told(&world)), ("resolved", 0));
}

#[test]
fn a_fault_that_comes_back_after_its_end_is_a_new_incident() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    raise(&mut world, &mut appliance);
    execute(&mut world, &mut appliance, Verdict::Repaired);
    world.wait(HOUR);
    raise(&mut world, &mut appliance);
    assert_eq!(states(&world), "resolved ordered");
    execute(&mut world, &mut appliance, Verdict::Repaired);
    assert_eq!(states(&world), "resolved resolved");
}

#[test]
fn each_guardrails_refusal_has_its_consequence() {
    for guardrail in Guardrail::ALL {
        let mut world = World::new();
        let mut appliance = world.appliance();
        raise(&mut world, &mut appliance);
        let order = appliance.newest_order();
        let refused = appliance.refused(world.now, &order, guardrail.number());
        world.send(&mut appliance, vec![refused]);
        let (state, told_people) = match guardrail {
            // A second delivery; what became of the first is still to be heard.
            Guardrail::Replay => ("ordered", 0),
            Guardrail::Precondition => ("withdrawn", 0),
            Guardrail::Freshness
            | Guardrail::Cooldown
            | Guardrail::Budget
            | Guardrail::Window
            | Guardrail::Hold => ("planned", 0),
            Guardrail::Signature
            | Guardrail::Binding
            | Guardrail::Allowlist
            | Guardrail::Digest
            | Guardrail::Parameters => ("escalated", 1),
        };
        assert_eq!((states(&world).as_str(), told(&world)), (state, told_people), "{guardrail}");
        let order_state = if guardrail == &Guardrail::Replay { "issued" } else { "refused" };
        assert_eq!(world.text(r#"SELECT state FROM "order""#), order_state, "{guardrail}");
    }
}

#[test]
fn what_is_refused_for_now_is_tried_three_times() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    raise(&mut world, &mut appliance);
    for attempt in 1..=3 {
        let order = appliance.newest_order();
        assert_eq!(order.sequence, attempt);
        appliance.order_high = order.sequence;
        let refused = appliance.refused(world.now, &order, Guardrail::Hold.number());
        world.send(&mut appliance, vec![refused]);
        world.call(&mut appliance);
        assert_eq!(appliance.orders.len(), usize::try_from(attempt).unwrap(), "not at once");
        world.wait(61 * SECOND);
        world.call(&mut appliance);
    }
    assert_eq!((states(&world).as_str(), told(&world)), ("escalated", 1));
    assert_eq!(appliance.orders.len(), 3);
}

#[test]
fn orders_that_run_out_three_times_are_a_persons() {
    let mut world = World::with(|safe| safe.settings.stall_after = 24 * HOUR);
    let mut appliance = world.appliance();
    raise(&mut world, &mut appliance);
    for sent in 1..=3 {
        assert_eq!((states(&world).as_str(), appliance.orders.len()), ("ordered", sent));
        // Lifetime, the time it may be heard of late, and the pause before the next.
        world.wait(11 * MINUTE + SECOND);
        assert_eq!(world.count(r#"SELECT count(*) FROM "order" WHERE state = 'issued'"#), 0);
        world.wait(MINUTE);
        world.call(&mut appliance);
    }
    assert_eq!((states(&world).as_str(), told(&world), appliance.orders.len()), ("escalated", 1, 3));
    world.wait(HOUR);
    assert_eq!(told(&world), 1);
}

/// A backup takes longer than its order lives: the lifetime is for the beginning (guardrail 3).
#[test]
fn an_order_that_was_taken_may_take_its_runbooks_time() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let event = appliance.event(world.now, BACKUP, "records", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    appliance.order_high = appliance.newest_order().sequence;
    for _ in 0..6 {
        world.call(&mut appliance);
        world.wait(10 * MINUTE);
    }
    assert_eq!((states(&world).as_str(), appliance.orders.len(), told(&world)), ("ordered", 1, 0));
    execute(&mut world, &mut appliance, Verdict::Repaired);
    assert_eq!((states(&world).as_str(), told(&world)), ("resolved", 0));
}

#[test]
fn an_order_that_was_taken_and_never_heard_of_again_runs_out_all_the_same() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let event = appliance.event(world.now, BACKUP, "records", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    appliance.order_high = appliance.newest_order().sequence;
    world.call(&mut appliance);
    world.wait(3 * HOUR);
    assert_ne!(states(&world), "ordered");
}

#[test]
fn what_stalls_is_a_persons() {
    let mut world = World::new();
    let mut appliance = world.enrolled();
    raise(&mut world, &mut appliance);
    world.wait(29 * MINUTE);
    assert_eq!((states(&world).as_str(), told(&world)), ("planned", 0));
    world.wait(2 * MINUTE);
    assert_eq!((states(&world).as_str(), told(&world)), ("escalated", 1));
    world.wait(HOUR);
    assert_eq!(told(&world), 1);
}

/// "How long an incident may stand still", not how old it may get.
#[test]
fn what_moves_does_not_stall() {
    let mut world = World::new();
    let mut appliance = world.enrolled();
    raise(&mut world, &mut appliance);
    world.wait(25 * MINUTE);
    let records = vec![appliance.enrolment(world.now), appliance.heartbeat(world.now)];
    world.send(&mut appliance, records);
    assert_eq!(states(&world), "ordered");
    world.wait(6 * MINUTE);
    assert_eq!((states(&world).as_str(), told(&world)), ("ordered", 0));
    // Its order ran out at 36 minutes, and the box is away: that is when it begins to stand still.
    world.wait(6 * MINUTE);
    assert_eq!((states(&world).as_str(), told(&world)), ("planned", 0));
    world.wait(29 * MINUTE);
    assert_eq!((states(&world).as_str(), told(&world)), ("planned", 0));
    world.wait(MINUTE);
    assert_eq!((states(&world).as_str(), told(&world)), ("escalated", 1));
}
