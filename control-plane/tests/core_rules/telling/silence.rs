//! Boxes of which nothing is heard.

use std::{sync::Arc, time::Duration};

use control_plane::{
    config::Deadman,
    core::CoreError,
    serve::{
        deadman::feed_once,
        http::{Health, HealthCheck},
        outside::Outside,
        watchdog::{Round, go_round},
        writer::Writer,
    },
    telling::News,
};
use tokio::sync::watch;

use super::{letters, rules};
use crate::{
    receiver::Receiver,
    world::{HOUR, MINUTE, SECOND, START, World},
};

/// The server listens for so long, and its watchdog makes its rounds.
fn listen(world: &mut World, minutes: u32) {
    for _ in 0..minutes * 2 {
        world.wait(30 * SECOND);
    }
}

fn silent(world: &World) -> String {
    world.text(
        "SELECT coalesce(group_concat(state, ' '), '') FROM
         (SELECT state FROM incident WHERE kind = 'appliance.silent' ORDER BY id)",
    )
}

#[test]
fn a_box_that_falls_silent_is_an_incident_and_over_when_it_is_back() {
    let mut world = World::with(|safe| safe.settings.telling = rules());
    let mut quiet = world.appliance();
    let mut other = world.appliance();
    let start = world.now;
    for _ in 0..29 {
        listen(&mut world, 1);
        world.call(&mut other);
    }
    assert_eq!(silent(&world), "");
    listen(&mut world, 1);
    assert_eq!(silent(&world), "escalated");
    let row = world.core.incidents("", "escalated", 1).unwrap().remove(0);
    for says in ["nothing was heard of it for 30 minutes", "its newest heartbeat is of"] {
        assert!(row.reason.contains(says), "{}", row.reason);
    }
    assert!(!row.reason.contains("of its site"), "the other is there: {}", row.reason);
    world.call(&mut other);
    listen(&mut world, 20);
    assert_eq!(silent(&world), "escalated", "one incident, however long it lasts");

    world.call(&mut quiet);
    world.call(&mut other);
    listen(&mut world, 1);
    assert_eq!(silent(&world), "withdrawn");
    let row = world.core.incidents("", "withdrawn", 1).unwrap().remove(0);
    assert!(row.reason.contains("heard again at"), "{}", row.reason);
    let news: Vec<News> = letters(&world, start).into_iter().map(|(_, news, _)| news).collect();
    assert_eq!(news.last(), Some(&News::Gone));
    assert_eq!(world.count("SELECT count(*) FROM ticket"), 0);

    // And again: another incident, the same thread.
    listen(&mut world, 31);
    assert_eq!(silent(&world), "withdrawn escalated escalated");
    assert_eq!(world.count("SELECT count(DISTINCT thread) FROM escalation"), 2);
    assert!(
        world.core.incidents("", "escalated", 1).unwrap()[0]
            .reason
            .contains("2 boxes of its site fell silent together")
    );
}

#[test]
fn who_was_not_listening_calls_nobody_silent() {
    let mut world = World::new();
    let _quiet = world.appliance();
    // It slept, or its clock was moved.
    world.wait(5 * HOUR);
    listen(&mut world, 29);
    assert_eq!(silent(&world), "");
    // It was away.
    world.restart();
    listen(&mut world, 29);
    assert_eq!(silent(&world), "");
    listen(&mut world, 1);
    assert_eq!(silent(&world), "escalated");
    // After a restart it is known still.
    world.restart();
    listen(&mut world, 31);
    assert_eq!(silent(&world), "escalated");
}

#[test]
fn a_box_that_never_called_is_silent_and_a_revoked_one_is_not() {
    let mut world = World::new();
    let never = world.enrolled();
    listen(&mut world, 31);
    assert_eq!(silent(&world), "escalated");
    let row = world.core.incidents("", "escalated", 1).unwrap().remove(0);
    assert!(row.reason.contains("has never called"), "{}", row.reason);
    assert!(row.reason.contains("no heartbeat"), "{}", row.reason);
    let now = world.now;
    let id = never.id().to_string();
    world.core.run(now, |core| core.revoke_appliance(&id, "stolen", now)).unwrap();
    listen(&mut world, 31);
    assert_eq!(silent(&world), "withdrawn");
}

#[test]
fn the_last_that_is_known_helps_to_find_out_why() {
    let mut world = World::with(|safe| safe.settings.silent_after = 30 * MINUTE);
    let mut appliance = world.appliance();
    let gap = proto::sync::Gap { cause: "buffer-full".into(), dropped: 3, first: world.now, last: world.now };
    world.send(&mut appliance, vec![proto::sync::Record::Gap(gap)]);
    // Its certificate lasts seven days.
    for _ in 0..8 * 24 {
        world.wait(HOUR);
    }
    listen(&mut world, 31);
    let row = world.core.incidents("", "escalated", 1).unwrap().remove(0);
    for says in ["its certificate ended at", "the last that it lost: buffer-full"] {
        assert!(row.reason.contains(says), "{}", row.reason);
    }
}

/// Whoever is outside rings when nothing comes: so nothing may come from a server that cannot do its work.
#[tokio::test]
async fn a_server_that_is_unwell_or_cannot_store_does_not_feed_the_dead_mans_switch() {
    let receiver = Receiver::start(|_| Some((200, "OK".into())));
    let World { core, db, .. } = World::new();
    let (writer, thread) = Writer::spawn(core, || START).unwrap();
    let (rounds, _) = watch::channel::<Round>(Ok(()));
    let outside = Outside::new(Duration::from_secs(20));
    let deadman = Deadman { url: receiver.url("/ping").parse().unwrap(), post: true, every: 5 * MINUTE };
    let check = |health: Health| -> HealthCheck {
        Arc::new(move || {
            let health = health.clone();
            Box::pin(async move { health })
        })
    };
    let (well, unwell) = (check(Health::Well), check(Health::Unwell("the charter has ended".into())));
    // The watchdog goes round while the switch waits for it to.
    let feed = async |health: &HealthCheck| {
        let fed = feed_once(&writer, health, rounds.subscribe(), &deadman, &outside);
        let (fed, ()) = tokio::join!(fed, go_round(&writer, &rounds));
        fed
    };
    assert_eq!(feed(&unwell).await, Err("the charter has ended".to_owned()));
    assert!(receiver.seen().is_empty());
    feed(&well).await.unwrap();
    assert_eq!(receiver.seen()[0].method, "POST");
    // It is there and stores what it is told, but looks after nothing any more.
    let table = db.share();
    table.execute_batch("ALTER TABLE escalation RENAME TO put_aside").unwrap();
    let said = feed(&well).await.unwrap_err();
    assert!(said.contains("the watchdog's round failed"), "{said}");
    table.execute_batch("ALTER TABLE put_aside RENAME TO escalation").unwrap();
    feed(&well).await.unwrap();
    assert_eq!(receiver.seen().len(), 2);
    // Its disk is full, or its thread broke: it answers, and stores nothing.
    let broken = writer.run(|_, _| -> Result<(), CoreError> { panic!("on purpose") }).await;
    assert!(broken.is_err() && thread.join().is_err());
    assert!(feed(&well).await.is_err());
    assert_eq!(receiver.seen().len(), 2);
}
