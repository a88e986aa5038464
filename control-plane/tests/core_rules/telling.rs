//! Who is called when: the chain, quiet hours, acknowledgements, dead letters, and boxes that fall silent. Time is an
//! argument; nothing here waits.

mod hooks;
mod outbox;
pub mod over;
mod silence;
mod tickets;
pub mod usage;

use std::time::Duration;

use control_plane::{
    access::{Grant, Principal},
    core::letters::Outgoing,
    store::NotificationRow,
    telling::{
        News, Outcome, Rules, Step,
        ticket::{Change, Ticket},
    },
};
use proto::{
    act::{Actor, Claim, Deed},
    sync::Phase,
    time::Millis,
};
use runbooks::Window;

use crate::{
    appliance::Appliance,
    world::{HOUR, MINUTE, SECOND, World, bad_field},
};

/// A desk that sleeps at night, and a pager that does not.
fn rules() -> Rules {
    let night = Window::typed("daily 20:00-07:00 America/Chicago").unwrap();
    let step = |minutes: u32, tell: &str| Step { after: MINUTE * minutes, tell: vec![tell.to_owned()] };
    Rules {
        channels: [("desk".to_owned(), vec![night]), ("pager".to_owned(), vec![])].into(),
        steps: vec![step(0, "desk"), step(15, "pager")],
        urgent: vec!["backup.*".into()],
        ..Rules::default()
    }
}

/// A clinic, one box, at a time of that day in Chicago.
fn at(time: &str, rules: Rules) -> (World, Appliance) {
    let mut world = World::with(|safe| safe.settings.telling = rules);
    world.now = time.parse().unwrap();
    let appliance = world.appliance();
    (world, appliance)
}

/// Its box reports something that no runbook mends: a person's.
fn fault(world: &mut World, appliance: &mut Appliance, kind: &str, phase: Phase) {
    let event = appliance.event(world.now, kind, "uploads", phase);
    world.send(appliance, vec![event]);
}

/// All letters, oldest first: channel, news, and how long after `since` they may go out.
fn letters(world: &World, since: Millis) -> Vec<(String, News, Duration)> {
    let mut all = world.core.notifications("", "", 1000).unwrap();
    all.reverse();
    all.into_iter().map(|row| (row.channel, row.news, row.due.since(since))).collect()
}

/// What a channel is to tell now.
fn due(world: &mut World, channel: &str) -> Vec<Outgoing> {
    let now = world.now;
    world.core.run(now, |core| core.to_tell(channel, now)).unwrap()
}

fn told(world: &mut World, row: &NotificationRow, outcome: Outcome) {
    let now = world.now;
    world.core.run(now, |core| core.told(row, &outcome, now)).unwrap();
}

fn taken() -> Outcome {
    Outcome::Taken(Change::None)
}

fn acknowledge(world: &mut World, by: &str) -> Result<(), control_plane::core::CoreError> {
    let by = Principal::token(by.into(), "192.0.2.7".into(), Grant::everything());
    let now = world.now;
    let id = world.core.incidents("", "escalated", 1).unwrap()[0].id.to_string();
    let call = "Notifications/Acknowledge";
    world.core.run(now, |core| core.acting_as(by, call, now, |core| core.acknowledge(&id, now).map(drop)))
}

const NOON: &str = "2026-11-20T18:00:00Z";
const NIGHT: &str = "2026-11-21T04:00:00Z";

#[test]
fn the_next_is_called_when_nobody_acknowledges_and_nobody_after_somebody_did() {
    let (mut world, mut appliance) = at(NOON, rules());
    let noon = world.now;
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    assert_eq!(letters(&world, noon), [("desk".into(), News::Raised, Duration::ZERO)]);
    world.wait(14 * MINUTE);
    assert_eq!(letters(&world, noon).len(), 1);
    world.wait(MINUTE);
    assert_eq!(letters(&world, noon)[1], ("pager".into(), News::Raised, 15 * MINUTE));
    let body = world.text("SELECT body FROM notification ORDER BY id DESC LIMIT 1");
    assert!(body.contains("nobody has acknowledged it yet"), "{body}");
    world.wait(24 * HOUR);
    assert_eq!(letters(&world, noon).len(), 2, "the chain has an end");
    assert_eq!(
        world.text("SELECT group_concat(what, ' ') FROM (SELECT what FROM timeline ORDER BY number)"),
        "seen escalated called"
    );

    let (mut world, mut appliance) = at(NOON, rules());
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    world.wait(5 * MINUTE);
    acknowledge(&mut world, "ann").unwrap();
    world.wait(24 * HOUR);
    let all = letters(&world, noon);
    assert_eq!(all[1..], [("desk".into(), News::Acknowledged, 5 * MINUTE)], "who was told hears of it");
}

#[test]
fn what_is_not_urgent_waits_for_the_morning_and_so_does_the_chain() {
    let (mut world, mut appliance) = at(NIGHT, rules());
    let night = world.now;
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    // Ten in the evening in Chicago; it is quiet until seven.
    assert_eq!(letters(&world, night), [("desk".into(), News::Raised, 9 * HOUR)]);
    assert!(due(&mut world, "desk").is_empty());
    world.wait(9 * HOUR);
    assert_eq!((letters(&world, night).len(), due(&mut world, "desk").len()), (1, 1));
    world.wait(15 * MINUTE);
    assert_eq!(letters(&world, night)[1].0, "pager");

    let (mut world, mut appliance) = at(NIGHT, rules());
    fault(&mut world, &mut appliance, "backup.odd", Phase::Raised);
    assert_eq!(letters(&world, night), [("desk".into(), News::Raised, Duration::ZERO)], "urgent");
}

#[test]
fn a_chain_that_is_to_go_on_goes_on_until_somebody_acknowledges() {
    let (mut world, mut appliance) = at(NOON, Rules { again: Some(HOUR), ..rules() });
    let noon = world.now;
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    for minute in 0..150 {
        world.wait(MINUTE);
        if minute % 10 == 0 {
            world.call(&mut appliance);
        }
    }
    let when: Vec<(String, u64)> = letters(&world, noon)
        .into_iter()
        .map(|(channel, _, after)| (channel, after.as_secs() / 60))
        .collect();
    let expected = [("desk", 0), ("pager", 15), ("desk", 75), ("pager", 90), ("desk", 150)];
    assert_eq!(when, expected.map(|(channel, minutes)| (channel.to_owned(), minutes)));
    acknowledge(&mut world, "ann").unwrap();
    let before = letters(&world, noon).len();
    world.wait(24 * HOUR);
    assert_eq!(letters(&world, noon).len(), before);
}

#[test]
fn an_acknowledgement_is_an_act_and_one_persons() {
    let (mut world, mut appliance) = at(NOON, rules());
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    acknowledge(&mut world, "ann").unwrap();
    acknowledge(&mut world, "ann").unwrap();
    let refused = acknowledge(&mut world, "bob").unwrap_err().to_string();
    assert!(refused.contains("was acknowledged by ann at 2026-11-20"), "{refused}");
    let row = world.core.incidents("", "escalated", 1).unwrap().remove(0);
    let kept = world.core.told_of(&row).unwrap().escalation.unwrap();
    assert_eq!((kept.acknowledged_by.as_str(), kept.acknowledged), ("ann", Some(world.now)));
    let db = world.db.share();
    let acts: Vec<Vec<u8>> = {
        let mut statement = db.prepare("SELECT envelope FROM act WHERE kind = 'acknowledgement'").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(acts.len(), 1, "asked again it is no second act");
    let act = Claim::read(&acts[0]).unwrap().unwrap().unverified();
    assert_eq!(act.by, Actor::Operator("ann".into()));
    assert_eq!(act.deed, Deed::Acknowledgement { id: row.id, appliance: row.appliance });
    let trail = world.core.trail("", None, 1).unwrap();
    let record = &trail[0].record;
    assert!(record.contains("Notifications/Acknowledge") && record.contains("192.0.2.7"), "{record}");
}

#[test]
fn only_what_people_were_called_for_can_be_acknowledged() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    fault(&mut world, &mut appliance, crate::world::DISK, Phase::Raised);
    let row = world.core.incidents("", "", 1).unwrap().remove(0);
    let now = world.now;
    let refused = world.core.run(now, |core| core.acknowledge(&row.id.to_string(), now)).unwrap_err();
    assert!(refused.to_string().contains("is ordered; only what people were called for"), "{refused}");
    assert_eq!(bad_field(world.core.run(now, |core| core.acknowledge("17", now))), "id");
}

#[test]
fn who_was_called_hears_when_it_is_over_and_the_chain_stops() {
    let (mut world, mut appliance) = at(NOON, rules());
    let noon = world.now;
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    world.wait(10 * MINUTE);
    fault(&mut world, &mut appliance, "disk.odd", Phase::Cleared);
    fault(&mut world, &mut appliance, "disk.odd", Phase::Cleared);
    world.wait(HOUR);
    assert_eq!(
        letters(&world, noon),
        [("desk".into(), News::Raised, Duration::ZERO), ("desk".into(), News::Gone, 10 * MINUTE)]
    );
    // And when it comes back, that is another call, in the same thread.
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    let threads = world.count("SELECT count(DISTINCT thread) FROM notification");
    assert_eq!((letters(&world, noon).len(), threads), (3, 1));
}

#[test]
fn letters_of_a_thread_go_out_in_their_order_and_of_others_meanwhile() {
    let (mut world, mut appliance) = at(NOON, rules());
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    fault(&mut world, &mut appliance, "disk.odd", Phase::Cleared);
    fault(&mut world, &mut appliance, "lamp.odd", Phase::Raised);
    let first = due(&mut world, "desk");
    let what: Vec<(&str, News)> =
        first.iter().map(|one| (one.message.fault.as_str(), one.row.news)).collect();
    assert_eq!(what, [("disk.odd", News::Raised), ("lamp.odd", News::Raised)]);
    told(&mut world, &first[0].row, Outcome::Later("busy".into(), Some(90 * SECOND)));
    world.now = world.now.plus(89 * SECOND);
    assert!(due(&mut world, "desk").is_empty(), "who asked for time gets it, and what comes after waits");
    world.now = world.now.plus(SECOND);
    let again = due(&mut world, "desk").remove(0);
    assert_eq!((again.row.key.as_str(), again.row.attempts), (first[0].row.key.as_str(), 1));
    told(&mut world, &again.row, taken());
    assert_eq!(due(&mut world, "desk")[0].row.news, News::Gone);
}

/// Between the receiver's yes and ours.
#[test]
fn what_a_crash_broke_off_goes_out_again_under_its_key_and_knows_that_it_may_be_there() {
    let (mut world, mut appliance) = at(NOON, rules());
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    let first = due(&mut world, "desk").remove(0);
    assert!(!first.found_is_its_own);
    world.restart();
    world.now = world.now.plus(2 * MINUTE);
    assert!(due(&mut world, "desk").is_empty(), "it may still be under way");
    world.now = world.now.plus(MINUTE);
    let again = due(&mut world, "desk").remove(0);
    assert!(again.found_is_its_own);
    assert_eq!((&again.row.key, again.row.attempts), (&first.row.key, 0));
    told(&mut world, &again.row, taken());
    // And what was heard of the first, late, changes nothing.
    told(&mut world, &first.row, Outcome::Later("lost".into(), None));
    world.now = world.now.plus(24 * HOUR);
    assert!(due(&mut world, "desk").is_empty());
    assert_eq!(world.text("SELECT state || attempts FROM notification"), "sent0");
}

#[test]
fn a_dead_letter_is_seen_and_tried_again_by_an_operator() {
    let (mut world, mut appliance) = at(NOON, rules());
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    let letter = due(&mut world, "desk").remove(0);
    told(&mut world, &letter.row, Outcome::Never("the receiver answered 400: no".into()));
    let dead = world.core.notifications("", "dead", 10).unwrap().remove(0);
    assert_eq!((dead.id, dead.last_error.as_str()), (letter.row.id, "the receiver answered 400: no"));
    assert!(
        world.text("SELECT group_concat(detail) FROM timeline WHERE what = 'untold'").contains("desk: the")
    );
    assert_eq!(bad_field(world.core.notifications("", "lost", 10).map(drop)), "state");

    let now = world.now;
    let key = dead.key.clone();
    let again = world.core.run(now, |core| core.retry_notification(&key, now)).unwrap();
    assert_eq!(again.telling.as_str(), "due");
    let refused = world.core.run(now, |core| core.retry_notification(&key, now)).unwrap_err().to_string();
    assert!(refused.contains("only a dead one"), "{refused}");
    assert!(
        world
            .core
            .run(now, |core| core.retry_notification("msg_1", now))
            .unwrap_err()
            .to_string()
            .contains("no notification")
    );
    let letter = due(&mut world, "desk").remove(0);
    assert_eq!(letter.row.key, dead.key);
    told(&mut world, &letter.row, taken());
    assert!(world.core.notifications("", "dead", 10).unwrap().is_empty());
}

#[test]
fn what_is_over_before_a_dead_letter_is_tried_again_is_told_to_be_over() {
    let (mut world, mut appliance) = at(NOON, rules());
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    let raised = due(&mut world, "desk").remove(0);
    told(&mut world, &raised.row, Outcome::Never("no".into()));
    fault(&mut world, &mut appliance, "disk.odd", Phase::Cleared);
    let gone = due(&mut world, "desk").remove(0);
    told(&mut world, &gone.row, taken());
    let now = world.now;
    world.core.run(now, |core| core.retry_notification(&raised.row.key, now)).unwrap();
    let first = due(&mut world, "desk").remove(0);
    told(&mut world, &first.row, taken());
    let second = due(&mut world, "desk").remove(0);
    assert_eq!((first.row.news, second.row.news), (News::Raised, News::Gone));
}

#[test]
fn a_channel_that_the_settings_do_not_name_any_more_leaves_dead_letters() {
    let (mut world, mut appliance) = at(NOON, rules());
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    let safe = std::sync::Arc::get_mut(&mut world.safe).expect("nobody else looks into it");
    safe.settings.telling = Rules::at_once([("other".to_owned(), vec![])].into());
    world.restart();
    let dead = world.core.notifications("", "dead", 10).unwrap().remove(0);
    assert!(dead.last_error.contains("do not name this channel"), "{}", dead.last_error);
    let now = world.now;
    assert_eq!(bad_field(world.core.run(now, |core| core.retry_notification(&dead.key, now))), "key");
}

#[test]
fn a_ticket_is_kept_with_its_thread_and_forgotten_when_it_is_lost() {
    let (mut world, mut appliance) = at(NOON, rules());
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    let letter = due(&mut world, "desk").remove(0);
    assert_eq!(letter.ticket, None);
    told(&mut world, &letter.row, Outcome::Taken(Change::Open("42".into())));
    fault(&mut world, &mut appliance, "disk.odd", Phase::Cleared);
    let letter = due(&mut world, "desk").remove(0);
    assert_eq!(letter.ticket, Some(Ticket { number: "42".into(), closed: false }));
    told(&mut world, &letter.row, Outcome::Taken(Change::Closed));
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    let letter = due(&mut world, "desk").remove(0);
    assert_eq!(letter.ticket, Some(Ticket { number: "42".into(), closed: true }));
    told(&mut world, &letter.row, Outcome::TicketLost);
    world.now = world.now.plus(2 * SECOND);
    assert_eq!(due(&mut world, "desk")[0].ticket, None);
}

/// An urgent letter must not wait behind one that sleeps until the morning: those of a thread go out in their order.
#[test]
fn what_sleeps_is_woken_by_what_does_not_in_its_thread() {
    let (mut world, mut appliance) = at(NIGHT, rules());
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    assert!(due(&mut world, "desk").is_empty());
    let loud = Rules { urgent: vec!["disk.odd".into()], ..rules() };
    std::sync::Arc::get_mut(&mut world.safe).expect("nobody else looks into it").settings.telling = loud;
    world.restart();
    fault(&mut world, &mut appliance, "disk.odd", Phase::Cleared);
    assert!(due(&mut world, "desk").is_empty(), "that it is over wakes nobody who was not called");
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    let first = due(&mut world, "desk").remove(0);
    assert_eq!(first.row.news, News::Raised);
    told(&mut world, &first.row, taken());
    assert_eq!(due(&mut world, "desk")[0].row.news, News::Gone);
}

#[test]
fn when_a_clinic_leaves_nobody_is_called_for_it_any_more_and_its_tickets_are_closed() {
    let (mut world, mut appliance) = at(NOON, Rules { again: Some(HOUR), ..rules() });
    let noon = world.now;
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    let (now, tenant) = (world.now, world.tenant.clone());
    world
        .core
        .run(now, |core| core.offboard_tenant(&tenant, "Riverside Dental", "contract ended", now))
        .unwrap();
    world.wait(24 * HOUR);
    let news: Vec<News> = letters(&world, noon).into_iter().map(|(_, news, _)| news).collect();
    assert_eq!(news, [News::Raised, News::Gone]);
    assert!(world.text("SELECT group_concat(body) FROM notification").contains("the clinic left"));
}

#[test]
fn channels_of_one_clinic_hear_of_no_other() {
    let only = [("desk".to_owned(), vec!["Elm Street Clinic".to_owned()])].into();
    let (mut world, mut appliance) = at(NOON, Rules { only, ..rules() });
    let noon = world.now;
    let elm = world.tenant_named("Elm Street Clinic");
    let mut theirs = world.appliance_at(&elm);
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    fault(&mut world, &mut theirs, "disk.odd", Phase::Raised);
    let told: Vec<String> = letters(&world, noon).into_iter().map(|(channel, ..)| channel).collect();
    assert_eq!(told, ["pager", "desk"]);
}
