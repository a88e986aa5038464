//! Standing orders: what is given in advance, renewed, and withheld; and shadow mode.

use proto::{
    evidence::{Body, SeenBy, StandingUse, Verdict},
    standing::{StandingOrder, set_digest},
    sync::Phase,
};
use runbooks::{Mode, Policy, Risk, verify_standing};

use crate::{
    appliance::{Appliance, execution, facts},
    world::{BACKUP, DAY, DISK, HOUR, MINUTE, World},
};

/// What an answer gives, opened as an executor opens it.
fn given(world: &World, response: &proto::pb::SyncResponse) -> Vec<StandingOrder> {
    let open = |envelope: &Vec<u8>| {
        verify_standing(envelope, world.core.charter(), Some(world.now)).unwrap().into_value()
    };
    response.standing.iter().map(open).collect()
}

/// A box takes what it is given, and calls its set by it.
pub fn takes(world: &mut World, appliance: &mut Appliance) -> Vec<StandingOrder> {
    let response = world.call(appliance);
    let given = given(world, &response);
    if !given.is_empty() {
        let digests = given.iter().map(|standing| proto::digest::Digest::of(&standing.encode()));
        appliance.standing = Some(set_digest(digests));
    }
    given
}

fn policy(world: &mut World, change: impl FnOnce(&mut Policy)) {
    let id = world.tenant.clone();
    let now = world.now;
    world.core.run(now, |core| core.change_policy(&id, proto::act::Change::Other, change, now)).unwrap();
}

#[test]
fn each_low_risk_runbook_gets_one_for_each_entry_it_is_for() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let all = takes(&mut world, &mut appliance);
    assert!(!all.is_empty());
    for standing in &all {
        let runbook = &world.core.catalogue().0.runbook(&standing.runbook).unwrap().runbook;
        assert_eq!(runbook.risk, Risk::Low, "{}", standing.runbook);
        assert_eq!((standing.appliance, standing.incarnation), (appliance.id(), appliance.incarnation));
        assert_eq!(standing.expires, standing.issued.plus(30 * DAY));
    }
    let backup = all.iter().find(|s| s.trigger == BACKUP).expect("a stale backup is a common fault");
    assert_eq!(backup.watch.as_str(), "records");
    assert!(all.iter().all(|standing| standing.trigger != DISK), "pruning is not of low risk");
    let mut pairs: Vec<_> = all.iter().map(|s| (s.runbook.clone(), s.watch.clone())).collect();
    let many = pairs.len();
    pairs.dedup();
    assert_eq!(pairs.len(), many, "one for each pair");
    assert!(takes(&mut world, &mut appliance).is_empty(), "it has them");
    appliance.standing = None;
    assert_eq!(takes(&mut world, &mut appliance), all, "the same again, when it lost them");
}

#[test]
fn they_are_renewed_at_half_life_and_one_of_each_is_alive() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let first = takes(&mut world, &mut appliance);
    world.wait(14 * DAY);
    assert!(takes(&mut world, &mut appliance).is_empty());
    world.wait(DAY);
    let second = takes(&mut world, &mut appliance);
    assert_eq!(second.len(), first.len());
    assert!(second.iter().all(|next| first.iter().all(|standing| standing.id != next.id)));
    let alive = world.count("SELECT count(*) FROM standing WHERE state = 'alive'");
    assert_eq!(usize::try_from(alive).unwrap(), second.len());
}

#[test]
fn a_policy_can_do_without_and_a_new_one_means_new_ones() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let first = takes(&mut world, &mut appliance);
    world.wait(MINUTE);
    policy(&mut world, |policy| policy.standing_orders = true);
    assert!(takes(&mut world, &mut appliance).is_empty(), "it does not go by the new policy yet");
    appliance.policy_serial = 2;
    let second = takes(&mut world, &mut appliance);
    assert_eq!((second.len(), second[0].policy_serial), (first.len(), 2));
    for (serial, change) in [
        (3, (|policy: &mut Policy| policy.standing_orders = false) as fn(&mut Policy)),
        (4, |policy: &mut Policy| {
            policy.standing_orders = true;
            policy.modes.insert(Risk::Low, Mode::Approval);
        }),
    ] {
        policy(&mut world, change);
        appliance.policy_serial = serial;
        world.wait(20 * DAY);
        assert!(takes(&mut world, &mut appliance).is_empty(), "policy {serial}");
    }
}

/// What a box did by a standing order, as its evidence says it.
fn used(
    world: &World,
    appliance: &mut Appliance,
    standing: &StandingOrder,
    verdict: Verdict,
) -> proto::sync::Record {
    let runbook = world.core.catalogue().0.runbook(&standing.runbook).unwrap().runbook.clone();
    let order = runbooks::derive(standing, 1, Some(&runbook));
    let mut facts = facts(&order);
    facts.digest = proto::digest::Digest::of(&standing.encode());
    facts.standing = Some(StandingUse {
        id: standing.id,
        count: 1,
        most: standing.most,
        trigger: standing.trigger.clone(),
        held_ms: 130_000,
        seen_by: SeenBy::Executor,
    });
    let Body::Execution(mut body) = execution(&order, verdict, None) else { panic!() };
    body.order = facts;
    proto::sync::Record::Evidence(appliance.seal(world.now, Body::Execution(body)))
}

#[test]
fn what_it_did_counts_when_an_order_is_to_be_signed() {
    for (verdict, guardrail) in
        [(Verdict::Ineffective, "was ineffective on this target"), (Verdict::Repaired, "must lie between")]
    {
        let mut world = World::new();
        let mut appliance = world.appliance();
        let all = takes(&mut world, &mut appliance);
        let standing = all.into_iter().find(|s| s.trigger == BACKUP).unwrap();
        let record = used(&world, &mut appliance, &standing, verdict);
        world.send(&mut appliance, vec![record]);
        // Past the cooldown only what was in vain is not repeated.
        if verdict == Verdict::Ineffective {
            world.wait(20 * MINUTE);
        }
        let event = appliance.event(world.now, BACKUP, "records", Phase::Raised);
        world.send(&mut appliance, vec![event]);
        assert_eq!(world.text("SELECT state FROM incident"), "planned", "{verdict:?}");
        let reason = world.text("SELECT reason FROM incident");
        assert!(reason.contains(guardrail), "{verdict:?}: {reason}");
        assert!(appliance.orders.is_empty());
        let minutes = if verdict == Verdict::Ineffective { 41 } else { 16 };
        world.wait(minutes * MINUTE);
        world.call(&mut appliance);
        // What is not done again for so long is a person's.
        let expected = if verdict == Verdict::Ineffective { "escalated" } else { "ordered" };
        assert_eq!(world.text("SELECT state FROM incident"), expected);
    }
}

#[test]
fn what_it_was_used_for_resolves_the_incident() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let all = takes(&mut world, &mut appliance);
    let standing = all.into_iter().find(|s| s.trigger == BACKUP).unwrap();
    // The box was away: its event and what it did about it come together.
    let event = appliance.event(world.now, BACKUP, "records", Phase::Raised);
    let record = used(&world, &mut appliance, &standing, Verdict::Repaired);
    world.send(&mut appliance, vec![event, record]);
    assert_eq!(world.text("SELECT state FROM incident"), "resolved");
    assert!(world.text("SELECT reason FROM incident").contains(&standing.id.to_string()));
    assert_eq!(world.count("SELECT max(used) FROM standing"), 1);
}

#[test]
fn in_shadow_mode_it_is_planned_and_reported_and_nothing_is_signed() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let (tenant, until) = (world.tenant.clone(), world.now.plus(14 * DAY));
    let now = world.now;
    world.core.run(now, |core| core.shadow_tenant(&tenant, Some(until), now)).unwrap();
    appliance.policy_serial = 2;
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    let response = world.send(&mut appliance, vec![event]);
    assert!(response.orders.is_empty() && response.standing.is_empty());
    assert_eq!(world.text("SELECT state FROM incident"), "escalated");
    let reason = world.text("SELECT reason FROM incident");
    assert!(reason.contains("shadow mode") && reason.contains("would run RB-DISK-002"), "{reason}");
    assert_eq!(world.count(r#"SELECT count(*) FROM "order""#), 0);
    world.wait(HOUR);
    assert!(takes(&mut world, &mut appliance).is_empty());
    // Its end is its end, without a new policy.
    world.wait(14 * DAY);
    assert!(!takes(&mut world, &mut appliance).is_empty());
    let event = appliance.event(world.now, DISK, "scans", Phase::Raised);
    assert_eq!(world.send(&mut appliance, vec![event]).orders.len(), 1);
    // Taken back early, and never set in the past.
    let now = world.now;
    let past = world.core.run(now, |core| core.shadow_tenant(&tenant, Some(now.minus(MINUTE)), now));
    assert_eq!(crate::world::bad_field(past), "until");
    world.core.run(now, |core| core.shadow_tenant(&tenant, None, now)).unwrap();
    let row = world.core.tenants().unwrap().remove(0);
    assert_eq!((row.policy_serial, world.core.policy_of(row.id).unwrap().shadow(Some(now))), (3, None));
}
