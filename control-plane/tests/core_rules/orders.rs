//! Orders: what is signed, for whom, when, and when nothing is.

use std::collections::BTreeMap;

use control_plane::core::CoreError;
use proto::{
    digest::Digest,
    evidence::Body,
    ids::{Incarnation, WatchId},
    order::Order,
    sync::Phase,
    time::Millis,
};
use runbooks::{Catalogue, Facts, Guardrail, History, Policy, Presence, WatchKind, admit, verify};

use crate::{
    appliance::{Appliance, open_order},
    world::{DAY, DISK, HOUR, MINUTE, ORGANIZATION, SECOND, World, shipped},
};

fn raise(world: &mut World, appliance: &mut Appliance, watch: &str) -> proto::pb::SyncResponse {
    let event = appliance.event(world.now, DISK, watch, Phase::Raised);
    world.send(appliance, vec![event])
}

fn states(world: &World) -> String {
    world.text("SELECT group_concat(state, ' ') FROM (SELECT state FROM incident ORDER BY opened_ms, id)")
}

fn orders(world: &World) -> i64 {
    world.count(r#"SELECT count(*) FROM "order""#)
}

/// What the box's executor says to an order, by the same functions and its own facts.
fn executor_says(
    world: &World,
    appliance: &Appliance,
    envelope: &[u8],
    now: Millis,
) -> Result<Order, Guardrail> {
    let charter = world.core.charter();
    let order = verify(envelope, charter, Some(now)).map_err(|refusal| refusal.guardrail)?;
    let catalogue = Catalogue::open(world.core.catalogue().1, charter).unwrap().into_value();
    let watch: BTreeMap<WatchId, WatchKind> =
        appliance.watch.iter().map(|(id, kind)| (id.clone(), kind.parse().unwrap())).collect();
    let facts = Facts {
        identity: appliance.identity.as_ref().unwrap(),
        incarnation: appliance.incarnation,
        charter,
        catalogue: &catalogue,
        policy: &Policy::default_local(),
        policy_serial: 1,
        watch: &watch,
        now: Some(now),
        wall: None,
        order_high: appliance.order_high,
        taken_before: false,
        history: History::default(),
        hold: None,
    };
    let admitted = admit(order, &facts).map_err(|refusal| refusal.guardrail)?;
    let confirmed = admitted.confirm(Presence::Present).map_err(|(_, refusal)| refusal.guardrail)?;
    Ok(confirmed.order().clone())
}

#[test]
fn an_order_passes_its_executors_guardrails_and_says_whom_it_is_for() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let response = raise(&mut world, &mut appliance, "uploads");
    let order = executor_says(&world, &appliance, &response.orders[0], world.now).unwrap();
    let (row, entry) = (
        world.core.appliances("").unwrap().remove(0),
        world.core.catalogue().0.runbook(&"RB-DISK-002".parse().unwrap()).unwrap().clone(),
    );
    let core = &order.core;
    assert_eq!((core.organization.as_str(), core.tenant, core.site), (ORGANIZATION, row.tenant, row.site));
    assert_eq!((core.appliance, core.incarnation), (appliance.id(), appliance.incarnation));
    assert_eq!((&core.runbook, core.runbook_digest), (&entry.runbook.id, entry.digest));
    assert_eq!(core.parameters, [("directory".to_owned(), "uploads".parse().unwrap())].into());
    assert_eq!(core.incident.to_string(), world.text("SELECT id FROM incident"));
    assert_eq!((order.charter_serial, order.policy_serial, order.sequence), (1, 1, 1));
    assert_eq!((order.issued, order.expires), (world.now, world.now.plus(10 * MINUTE)));
    assert_eq!((order.plan.planner.as_str(), order.approvals.len()), ("rules", 0));
    assert_eq!(
        world.text(r#"SELECT hex(digest) FROM "order""#).to_lowercase(),
        Digest::of(&order.encode()).to_string()
    );
}

#[test]
fn an_order_is_for_nobody_else_and_no_other_time() {
    let mut world = World::new();
    let (mut appliance, other) = (world.appliance(), world.appliance());
    let envelope = raise(&mut world, &mut appliance, "uploads").orders.remove(0);
    let says = |world: &World, box_: &Appliance, now| executor_says(world, box_, &envelope, now).unwrap_err();
    assert_eq!(says(&world, &other, world.now), Guardrail::Binding);
    assert_eq!(says(&world, &appliance, world.now.plus(10 * MINUTE)), Guardrail::Freshness);
    assert_eq!(says(&world, &appliance, world.now.minus(MINUTE)), Guardrail::Freshness);
    appliance.order_high = 1;
    assert_eq!(says(&world, &appliance, world.now), Guardrail::Replay);
    appliance.order_high = 0;
    appliance.incarnation = Incarnation([1; 16]);
    assert_eq!(says(&world, &appliance, world.now), Guardrail::Binding);
}

#[test]
fn the_same_bytes_come_again_until_they_were_taken() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let first = raise(&mut world, &mut appliance, "uploads").orders;
    for _ in 0..3 {
        world.wait(SECOND);
        assert_eq!(world.call(&mut appliance).orders, first);
    }
    world.restart();
    assert_eq!(world.call(&mut appliance).orders, first, "over a restart as well");
    let second = raise(&mut world, &mut appliance, "scans").orders;
    assert_eq!((second.len(), &second[0]), (2, &first[0]));
    let sequences: Vec<u64> =
        second.iter().map(|envelope| open_order(envelope, world.core.charter()).sequence).collect();
    assert_eq!(sequences, [1, 2]);
    appliance.order_high = 1;
    assert_eq!(world.call(&mut appliance).orders, second[1..]);
    appliance.order_high = 2;
    assert!(world.call(&mut appliance).orders.is_empty());
    // The agent lost its memory, not the executor: it would refuse them by guardrail 4.
    appliance.order_high = 0;
    assert_eq!(world.call(&mut appliance).orders, second);
    world.wait(10 * MINUTE);
    assert!(world.call(&mut appliance).orders.is_empty(), "they ran out");
    assert_eq!(orders(&world), 2);
}

#[test]
fn sequences_rise_whatever_became_of_the_orders_before() {
    let mut world = World::with(|safe| safe.settings.stall_after = 24 * HOUR);
    let mut appliance = world.appliance();
    raise(&mut world, &mut appliance, "uploads");
    world.wait(12 * MINUTE);
    world.wait(MINUTE);
    world.call(&mut appliance);
    assert_eq!(appliance.newest_order().sequence, 2, "after one that ran out");
    let order = appliance.newest_order();
    let refused = appliance.refused(world.now, &order, Guardrail::Hold.number());
    world.send(&mut appliance, vec![refused]);
    world.restart();
    world.wait(MINUTE);
    world.call(&mut appliance);
    assert_eq!(appliance.newest_order().sequence, 3, "after one that was refused, and a restart");
    let sequences: Vec<_> = appliance.orders.keys().copied().collect();
    assert_eq!(sequences, [1, 2, 3]);
}

#[test]
fn a_command_that_is_undone_leaves_no_order_and_no_number_used() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    let batch = appliance.freeze(vec![event]);
    let (asked, spki, now) = (appliance.ask(Some(batch)), appliance.spki(), world.now);
    let undone = world.core.run(now, |core| {
        assert_eq!(core.sync(spki, &asked, now)?.response.orders.len(), 1);
        Err::<(), _>(CoreError::Precondition("on second thoughts".into()))
    });
    assert!(undone.is_err());
    assert_eq!((orders(&world), world.count("SELECT count(*) FROM event")), (0, 0));
    let response = world.exchange(&appliance, &asked).unwrap();
    assert_eq!(open_order(&response.orders[0], world.core.charter()).sequence, 1);
}

#[test]
fn the_quarantined_get_no_order_neither_new_nor_old() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    assert_eq!(raise(&mut world, &mut appliance, "uploads").orders.len(), 1);
    let mut asked = appliance.ask(None);
    asked.incarnation = Incarnation([1; 16]);
    assert!(world.exchange(&appliance, &asked).unwrap().orders.is_empty());
    assert!(world.call(&mut appliance).orders.is_empty());
    let response = raise(&mut world, &mut appliance, "scans");
    assert!(response.orders.is_empty() && !response.quarantine.is_empty());
    assert_eq!(orders(&world), 1);
    let (spki, asked, now) = (appliance.spki(), appliance.ask(None), world.now);
    let held = world.core.run(now, |core| core.answer(spki, &asked, now)).unwrap();
    assert!(held.response.orders.is_empty(), "nor over a call that was held open");
}

#[test]
fn the_revoked_get_none() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    raise(&mut world, &mut appliance, "uploads");
    let (id, spki, asked, now) =
        (appliance.id().to_string(), appliance.spki(), appliance.ask(None), world.now);
    world.core.take_wakes();
    world.core.run(now, |core| core.revoke_appliance(&id, "stolen", now)).unwrap();
    assert_eq!(world.core.take_wakes(), [appliance.id()].into(), "a call that is held open ends now");
    assert!(world.core.run(now, |core| core.answer(spki, &asked, now)).is_err());
}

#[test]
fn no_order_before_a_heartbeat_says_where_the_executor_stands() {
    let mut world = World::new();
    let mut appliance = world.enrolled();
    let enrolment = appliance.enrolment(world.now);
    world.send(&mut appliance, vec![enrolment]);
    assert!(raise(&mut world, &mut appliance, "uploads").orders.is_empty());
    appliance.order_high = 6;
    let beat = appliance.heartbeat(world.now);
    let orders = world.send(&mut appliance, vec![beat]).orders;
    assert_eq!(open_order(&orders[0], world.core.charter()).sequence, 7, "from there on");
}

/// What an agent says may stop its own box's orders for a while; it must not use up the numbers for good.
#[test]
fn an_agent_that_claims_orders_nobody_gave_waits_for_its_executor() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    for claim in [5, 1 << 40, u64::try_from(i64::MAX).unwrap()] {
        appliance.order_high = claim;
        assert!(raise(&mut world, &mut appliance, "uploads").orders.is_empty(), "{claim}");
        assert_eq!(orders(&world), 0);
    }
    appliance.order_high = 0;
    assert!(world.call(&mut appliance).orders.is_empty(), "not by taking it back");
    let beat = appliance.heartbeat(world.now);
    let orders = world.send(&mut appliance, vec![beat]).orders;
    assert_eq!(open_order(&orders[0], world.core.charter()).sequence, 1);
}

#[test]
fn an_executor_that_has_seen_all_numbers_gets_no_order_and_breaks_nothing() {
    for high in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1] {
        let mut world = World::new();
        let mut appliance = world.appliance();
        let beat = proto::evidence::Heartbeat { order_high: high, ..appliance.beat() };
        let record = appliance.seal(world.now, Body::Heartbeat(beat));
        world.send(&mut appliance, vec![proto::sync::Record::Evidence(record)]);
        assert!(raise(&mut world, &mut appliance, "uploads").orders.is_empty(), "{high}");
        assert_eq!((orders(&world), states(&world).as_str()), (0, "planned"));
        world.wait(31 * MINUTE);
        assert_eq!(states(&world), "escalated", "a person is called");
    }
}

#[test]
fn an_executor_that_knows_a_newer_charter_gets_no_order_under_the_old_one() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    appliance.charter_serial = 2;
    let beat = appliance.heartbeat(world.now);
    world.send(&mut appliance, vec![beat]);
    assert!(raise(&mut world, &mut appliance, "uploads").orders.is_empty());
    let (charter, now) = (world.safe.charter(|charter| charter.serial = 2), world.now);
    world.core.run(now, |core| core.publish_charter(&charter, now)).unwrap();
    let orders = world.call(&mut appliance).orders;
    assert_eq!(open_order(&orders[0], world.core.charter()).charter_serial, 2);
}

/// Heartbeats count by their place in the chain, not by a clock that may have been years ahead.
#[test]
fn a_heartbeat_from_the_future_does_not_silence_those_after_it() {
    let mut world = World::new();
    let mut appliance = world.enrolled();
    let enrolment = appliance.enrolment(world.now);
    appliance.watch.clear();
    let ahead = appliance.heartbeat(world.now.plus(4000 * DAY));
    appliance.watch = Appliance::new(0).watch;
    let now = appliance.heartbeat(world.now);
    world.send(&mut appliance, vec![enrolment, ahead, now]);
    assert_eq!(raise(&mut world, &mut appliance, "uploads").orders.len(), 1);
}

#[test]
fn an_older_heartbeat_that_comes_late_changes_nothing() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let late = appliance.heartbeat(world.now);
    appliance.order_high = 9;
    let newer = appliance.heartbeat(world.now);
    world.send(&mut appliance, vec![newer]);
    world.send(&mut appliance, vec![late]);
    let orders = raise(&mut world, &mut appliance, "uploads").orders;
    assert_eq!(open_order(&orders[0], world.core.charter()).sequence, 10);
}

#[test]
fn when_the_charter_or_the_catalogue_has_ended_nothing_is_signed() {
    for (days, guardrail) in [(60, "guardrail 6 (digest)"), (90, "guardrail 1 (signature)")] {
        let mut world = World::new();
        let mut appliance = world.appliance();
        world.now = world.now.plus(days * DAY);
        assert!(raise(&mut world, &mut appliance, "uploads").orders.is_empty());
        assert_eq!(states(&world), "escalated");
        let reason = world.text("SELECT reason FROM incident");
        assert!(reason.contains(guardrail), "{reason}");
    }
}

#[test]
fn a_fault_on_an_entry_that_the_box_does_not_list_is_a_persons() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    assert!(raise(&mut world, &mut appliance, "etc").orders.is_empty());
    assert!(world.text("SELECT reason FROM incident").contains("guardrail 7 (parameters)"));
    // Listed, but of another kind.
    assert!(raise(&mut world, &mut appliance, "records").orders.is_empty());
    assert_eq!(states(&world), "escalated escalated");
}

/// One incident names one entry; a runbook that works on two is a person's to run.
#[test]
fn a_runbook_that_needs_more_than_the_incident_says_gets_no_order() {
    let mut world = World::with(|safe| {
        let mut runbooks = shipped();
        let prune = runbooks.iter_mut().find(|runbook| runbook.id.as_str() == "RB-DISK-002").unwrap();
        prune.parameters.insert("other".into(), WatchKind::Directory);
        let again = runbooks::Step { target: "other".into(), ..prune.steps[0].clone() };
        prune.steps.push(again);
        safe.catalogue = safe.catalogue(1, runbooks);
    });
    let mut appliance = world.appliance();
    assert!(raise(&mut world, &mut appliance, "uploads").orders.is_empty());
    assert_eq!((orders(&world), states(&world).as_str()), (0, "escalated"));
    let reason = world.text("SELECT reason FROM incident");
    assert!(reason.contains("does not say all that runbook RB-DISK-002 needs"), "{reason}");
}

#[test]
fn whoever_has_older_documents_is_given_the_newer_ones() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let response = world.call(&mut appliance);
    assert!(response.charter.is_empty() && response.catalogue.is_empty() && response.policy.is_empty());
    let (charter, catalogue) =
        (world.safe.charter(|charter| charter.serial = 5), world.safe.catalogue(3, shipped()));
    let now = world.now;
    world.core.take_wakes();
    world.core.run(now, |core| core.publish_charter(&charter, now)).unwrap();
    assert_eq!(world.core.take_wakes(), [appliance.id()].into());
    world.core.run(now, |core| core.publish_catalogue(&catalogue, now)).unwrap();
    for _ in 0..2 {
        let response = world.call(&mut appliance);
        assert!(response.charter == charter && response.catalogue == catalogue);
        world.restart();
    }
    let mut asked = appliance.ask(None);
    (asked.charter_serial, asked.catalogue_version, asked.policy_serial) = (5, 3, 0);
    let response = world.exchange(&appliance, &asked).unwrap();
    assert!(response.charter.is_empty() && response.catalogue.is_empty() && !response.policy.is_empty());
    assert_eq!(Policy::open(&response.policy, world.core.charter()).unwrap().value().serial, 1);
}

#[test]
fn a_document_whose_commit_failed_is_not_in_force() {
    let mut world = World::new();
    let (charter, now) = (world.safe.charter(|charter| charter.serial = 2), world.now);
    let undone = world.core.run(now, |core| {
        core.publish_charter(&charter, now)?;
        Err::<(), _>(CoreError::Precondition("on second thoughts".into()))
    });
    assert!(undone.is_err());
    assert_eq!(world.core.charter().serial, 1);
    // Somebody reads, so that the database cannot be written just now.
    let reader = world.db.share();
    reader.execute_batch("BEGIN; SELECT count(*) FROM tenant").unwrap();
    let failed = world.core.run(now, |core| core.publish_charter(&charter, now));
    assert!(matches!(failed, Err(CoreError::Store(_))));
    assert_eq!(world.core.charter().serial, 1);
    reader.execute_batch("COMMIT").unwrap();
    world.core.run(now, |core| core.publish_charter(&charter, now)).unwrap();
    assert_eq!(world.core.charter().serial, 2);
}
