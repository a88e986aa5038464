//! Whoever asks again, soon after there was nothing, is told so without a look; whatever there may be for it ends that.

use control_plane::core::Core;
use proto::{
    dsse,
    sync::Phase,
    time::{Millis, TIME_TOKEN_TYPE, TimeToken},
};

use crate::{
    appliance::Appliance,
    standing::takes,
    world::{DISK, MINUTE, SECOND, World},
};

/// A box that was told that there is nothing, and that is told no more than that.
fn quiet() -> (World, Appliance) {
    let mut world = World::new();
    let mut appliance = world.appliance();
    takes(&mut world, &mut appliance);
    // As the writer does after each group.
    world.core.take_wakes();
    assert!((0..3).any(|_| is_quiet(&mut world, &mut appliance)));
    (world, appliance)
}

/// A look gives the newest checkpoint, whatever else there is.
fn is_quiet(world: &mut World, appliance: &mut Appliance) -> bool {
    world.call(appliance).checkpoint.is_empty()
}

fn seen(world: &World) -> Millis {
    Millis(world.count("SELECT seen_ms FROM appliance"))
}

#[test]
fn the_answer_is_the_same_and_its_time_is_now() {
    let (mut world, mut appliance) = quiet();
    let before = seen(&world);
    world.now = world.now.plus(10 * SECOND);
    let (asked, spki, now) = (appliance.ask(None), appliance.spki(), world.now);
    let answer = world.core.run(now, |core| core.sync(spki, &asked, now)).unwrap();
    assert!(answer.idle && answer.appliance == appliance.id());
    assert_eq!(answer.response.evidence_next, appliance.head.next);
    let token = dsse::open(&answer.response.time_token, TIME_TOKEN_TYPE, &world.safe.charter.order_keys, 1);
    let token: TimeToken = serde_json::from_slice(token.unwrap().value()).unwrap();
    assert_eq!((token.at, token.nonce, token.incarnation), (now, asked.nonce, asked.incarnation));

    assert_eq!(seen(&world), before, "nothing was written");
    world.wait(SECOND);
    assert_eq!(seen(&world), now, "the watchdog's round says when it was heard");
}

#[test]
fn what_is_stored_of_it_does_not_go_back() {
    let (mut world, mut appliance) = quiet();
    world.now = world.now.plus(SECOND);
    assert!(is_quiet(&mut world, &mut appliance));
    world.now = world.now.plus(SECOND);
    let (now, beat) = (world.now, appliance.heartbeat(world.now));
    world.send(&mut appliance, vec![beat]);
    world.wait(SECOND);
    assert_eq!(seen(&world), now);
}

#[test]
fn events_that_nobody_is_called_for_are_taken_and_need_no_look_and_a_fault_gets_its_order_with_the_same_answer()
 {
    let (mut world, mut appliance) = quiet();
    let noise = |world: &mut World, appliance: &mut Appliance| {
        let event = appliance.event(world.now, "log.match", "portal", Phase::Ongoing);
        world.send(appliance, vec![event]);
        world.core.take_wakes();
        appliance.event(world.now, "log.match", "portal", Phase::Ongoing)
    };
    let again = noise(&mut world, &mut appliance);
    let answer = world.send(&mut appliance, vec![again]);
    assert!(answer.ack.is_some() && answer.checkpoint.is_empty());
    assert_eq!(world.count("SELECT events FROM incident"), 2);
    let fault = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    assert_eq!(world.send(&mut appliance, vec![fault]).orders.len(), 1);
}

#[test]
fn whatever_there_may_be_ends_it() {
    type Act = fn(&mut World, &mut Appliance);
    let all: [(&str, Act); 7] = [
        ("a minute", |world, _| world.now = world.now.plus(MINUTE)),
        ("a clock that was set back", |world, _| world.now = Millis(world.now.0 - 1)),
        ("its evidence", |world, appliance| {
            let beat = appliance.heartbeat(world.now);
            world.send(appliance, vec![beat]);
        }),
        ("an event", |world, appliance| {
            let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
            world.send(appliance, vec![event]);
        }),
        ("another question", |_, appliance| appliance.policy_serial = 0),
        ("a policy", |world, _| {
            let (id, now) = (world.tenant.clone(), world.now);
            let change = |policy: &mut runbooks::Policy| policy.standing_orders = false;
            let change =
                |core: &mut Core| core.change_policy(&id, proto::act::Change::Other, change, now).map(drop);
            world.core.run(now, change).unwrap();
        }),
        ("any change of an operator's", |world, _| {
            world.tenant_named("Lakeside Dental");
        }),
    ];
    for (what, act) in all {
        for rings in [true, false] {
            let (mut world, mut appliance) = quiet();
            act(&mut world, &mut appliance);
            if rings {
                world.core.take_wakes();
            }
            assert!(!is_quiet(&mut world, &mut appliance), "{what}");
        }
    }
}

#[test]
fn a_hold_is_told_with_the_next_exchange_and_its_end_too() {
    let (mut world, mut appliance) = quiet();
    for is_held in [true, false] {
        let (id, now) = (appliance.id().to_string(), world.now);
        world
            .core
            .run(now, |core| {
                let level = core.level("", "", &id)?;
                if is_held {
                    core.hold(level, "they are moving", None, now)
                } else {
                    core.release(level, now)
                }
            })
            .unwrap();
        world.core.take_wakes();
        world.call(&mut appliance);
        assert_eq!(appliance.stop.as_ref().is_some_and(|stop| stop.stopped), is_held);
        world.wait(SECOND);
    }
}

#[test]
fn whoever_waits_for_a_proof_is_looked_at_each_time() {
    let (mut world, mut appliance) = quiet();
    appliance.unproven.push(b"evidence that never came".to_vec());
    for _ in 0..3 {
        assert!(!is_quiet(&mut world, &mut appliance));
    }
}
