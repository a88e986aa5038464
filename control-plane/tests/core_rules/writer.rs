//! The one thread that owns the core: what is answered is durable and published, and whose call rings.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use control_plane::{
    core::{Core, CoreError},
    serve::writer::Writer,
};
use proto::{ids::ApplianceId, time::Millis};
use tokio::{sync::Notify, time::timeout};
use tonic::Code;

use crate::{
    vault::Guarded,
    world::{START, World},
};

fn clock() -> Millis {
    START
}

async fn rings(bell: &Notify) -> bool {
    timeout(Duration::from_secs(5), bell.notified()).await.is_ok()
}

#[tokio::test]
async fn one_command_that_fails_takes_no_other_with_it() {
    let World { core, db, .. } = World::new();
    let (writer, thread) = Writer::spawn(core, clock).unwrap();
    let add =
        |name: &'static str| writer.run(move |core: &mut Core, now| core.create_tenant(name, now).map(drop));
    let (one, bad, two, again) = tokio::join!(add("One"), add(""), add("Two"), add("One"));
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(bad.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(again.unwrap_err().code(), Code::AlreadyExists);
    let names: i64 = db.share().query_row("SELECT count(*) FROM tenant", [], |row| row.get(0)).unwrap();
    assert_eq!(names, 3);
    drop(writer);
    thread.join().unwrap();
}

/// However many wait: what comes after the first few that take long is for the next group.
#[tokio::test]
async fn a_group_that_takes_long_takes_no_more() {
    static NOW: AtomicI64 = AtomicI64::new(START.0);
    let World { core, .. } = World::new();
    let (writer, thread) = Writer::spawn(core, || Millis(NOW.load(Ordering::SeqCst))).unwrap();
    let (go, begin) = std::sync::mpsc::channel::<()>();
    let first = writer.run(move |_, now| {
        begin.recv().unwrap();
        Ok(now)
    });
    // Each takes 30 ms, and says when its group began.
    let slow = || {
        writer.run(|_, now| {
            NOW.fetch_add(30, Ordering::SeqCst);
            Ok(now)
        })
    };
    // The thread waits in the first one until all are queued.
    let all = tokio::join!(first, slow(), slow(), slow(), slow(), async { go.send(()).unwrap() });
    let began = [all.0, all.1, all.2, all.3, all.4].map(|now| now.unwrap().0 - START.0);
    assert_eq!(began, [0, 0, 0, 60, 60]);
    drop(writer);
    thread.join().unwrap();
}

#[tokio::test]
async fn no_answer_leaves_while_its_checkpoint_is_not_in_the_vault() {
    let mut world = World::new();
    let mut appliance = world.enrolled();
    let published = world.vault_keys("checkpoints").len();
    let broken = Arc::new(AtomicBool::new(true));
    let twin = world.twin(Guarded::fragile(&world.vault, "/checkpoints/", &broken));
    let beat = appliance.enrolment(world.now);
    let batch = appliance.freeze(vec![beat]);
    let (asked, spki) = (Arc::new(appliance.ask(Some(batch))), appliance.spki());
    let (writer, thread) = Writer::spawn(twin.core, clock).unwrap();
    let sync = || {
        let asked = asked.clone();
        writer.run(move |core, now| core.sync(spki, &asked, now).map(|answer| answer.response))
    };
    for _ in 0..2 {
        let refused = sync().await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(!refused.message().contains("vault"), "{}", refused.message());
    }
    assert_eq!(world.vault_keys("checkpoints").len(), published);
    broken.store(false, Ordering::SeqCst);
    let response = sync().await.unwrap();
    assert!(response.ack.is_some() && response.inclusions.len() == 1);
    assert_eq!(world.vault_keys("checkpoints").len(), published + 1);
    drop(writer);
    thread.join().unwrap();
}

/// One clinic's checkpoint cannot be kept: its box is told nothing, everybody else goes on.
#[tokio::test]
async fn a_vault_that_is_away_holds_up_nobody_who_needs_none() {
    let mut world = World::new();
    let mut appliance = world.enrolled();
    let broken = Arc::new(AtomicBool::new(true));
    let twin = world.twin(Guarded::fragile(&world.vault, "/checkpoints/", &broken));
    let beat = appliance.enrolment(world.now);
    let batch = appliance.freeze(vec![beat]);
    let (asked, spki) = (Arc::new(appliance.ask(Some(batch))), appliance.spki());
    let (writer, thread) = Writer::spawn(twin.core, clock).unwrap();
    let sync = || {
        let asked = asked.clone();
        writer.run(move |core, now| core.sync(spki, &asked, now).map(drop))
    };
    // In one group, and in those that come after it while the checkpoint waits.
    for name in ["One", "Two"] {
        let add = writer.run(move |core, now| core.create_tenant(name, now).map(drop));
        let (held, added, listed) = tokio::join!(sync(), add, writer.run(|core, _| core.tenants().map(drop)));
        assert_eq!(held.unwrap_err().code(), Code::Unavailable);
        added.unwrap();
        listed.unwrap();
    }
    broken.store(false, Ordering::SeqCst);
    sync().await.unwrap();
    drop(writer);
    thread.join().unwrap();
}

/// Who is first to find that the vault takes no entries is told to send again, and so is who was in one group with him. From
/// then on nobody waits who needs no vault.
#[tokio::test]
async fn a_vault_that_takes_no_entries_fails_one_group_and_then_only_what_needs_it() {
    let mut world = World::new();
    let mut appliance = world.enrolled();
    let broken = Arc::new(AtomicBool::new(true));
    let twin = world.twin(Guarded::fragile(&world.vault, "/entries/", &broken));
    let records = vec![appliance.enrolment(world.now)];
    let batch = appliance.freeze(records);
    let (asked, spki) = (Arc::new(appliance.ask(Some(batch))), appliance.spki());
    let (writer, thread) = Writer::spawn(twin.core, clock).unwrap();
    let sync = || {
        let asked = asked.clone();
        writer.run(move |core, now| core.sync(spki, &asked, now).map(drop))
    };
    for (name, expected) in [("One", Err(Code::Unavailable)), ("Two", Ok(())), ("Three", Ok(()))] {
        let (go, begin) = std::sync::mpsc::channel::<()>();
        let first = writer.run(move |_, _| {
            begin.recv().unwrap();
            Ok(())
        });
        let add = writer.run(move |core, now| core.create_tenant(name, now).map(drop));
        // The thread waits in the first one until all are queued.
        let (_, held, added, ()) = tokio::join!(first, sync(), add, async { go.send(()).unwrap() });
        assert_eq!(held.unwrap_err().code(), Code::Unavailable);
        assert_eq!(added.map_err(|status| status.code()), expected, "{name}");
    }
    broken.store(false, Ordering::SeqCst);
    sync().await.unwrap();
    assert_eq!(writer.run(|core, _| core.tenants()).await.unwrap().len(), 3, "One was told to come again");
    drop(writer);
    thread.join().unwrap();
}

/// A thread that died can store nothing: it must be seen, not hidden behind refusals for ever.
#[tokio::test]
async fn a_command_that_panics_ends_the_thread_for_all_to_see() {
    let World { core, .. } = World::new();
    let (writer, thread) = Writer::spawn(core, clock).unwrap();
    let panics = writer.run(|_, _| -> Result<(), CoreError> { panic!("on purpose") }).await;
    assert_eq!(panics.unwrap_err().code(), Code::Unavailable);
    assert!(thread.join().is_err());
    let after = writer.run(|core, _| core.tenants().map(drop)).await;
    assert_eq!(after.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn what_is_committed_after_a_bell_was_taken_rings_it() {
    let mut world = World::new();
    let (appliance, other) = (world.appliance().id(), ApplianceId::new(START, [0; 10]));
    let charter = world.safe.charter(|charter| charter.serial = 2);
    let (writer, _thread) = Writer::spawn(world.core, clock).unwrap();
    let (bell, others) = (writer.wakes.bell(appliance), writer.wakes.bell(other));
    writer.run(move |core, now| core.publish_charter(&charter, now)).await.unwrap();
    assert!(rings(&bell).await, "although nobody waited when it rang");
    assert!(timeout(Duration::from_millis(1), others.notified()).await.is_err());
}

/// A call that hangs in a broken connection is not the one that is woken.
#[tokio::test]
async fn the_newest_call_has_the_bell() {
    let mut world = World::new();
    let appliance = world.appliance().id();
    let charter = world.safe.charter(|charter| charter.serial = 2);
    let (writer, _thread) = Writer::spawn(world.core, clock).unwrap();
    let hanging = writer.wakes.bell(appliance);
    let newest = writer.wakes.bell(appliance);
    assert!(rings(&hanging).await, "it is told to go");
    writer.run(move |core, now| core.publish_charter(&charter, now)).await.unwrap();
    assert!(rings(&newest).await);
}
