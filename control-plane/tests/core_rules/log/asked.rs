//! What the vault is asked, and how often: on an object store each question is a request that the writer waits for.

use std::sync::{Arc, Mutex};

use control_plane::vault::VaultError;

use super::*;
use crate::vault::{Asked, Guarded};

/// What a vault was asked since it was looked at last: how many objects each put had, and what was read.
#[derive(Default, Debug, PartialEq)]
struct Questions {
    puts: Vec<usize>,
    reads: Vec<String>,
}

fn noted(world: &World) -> (World, Arc<Mutex<Questions>>) {
    let questions: Arc<Mutex<Questions>> = Arc::default();
    let noted = questions.clone();
    let twin = world.twin(Guarded::before(&world.vault, move |asked| {
        let mut questions = noted.lock().unwrap();
        match asked {
            Asked::Put(objects) => questions.puts.push(objects.len()),
            Asked::Read(what) => questions.reads.push(what.to_owned()),
        }
        Ok(())
    }));
    (twin, questions)
}

fn since(questions: &Mutex<Questions>) -> Questions {
    std::mem::take(&mut questions.lock().unwrap())
}

#[test]
fn an_append_is_two_puts_and_nothing_else() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let (mut twin, questions) = noted(&world);
    // The first after a start looks whether the vault has more.
    let beat = vec![appliance.heartbeat(twin.now)];
    twin.send(&mut appliance, beat);
    assert_eq!(since(&questions).puts, [1, 1]);
    for records in 1..4 {
        let beats = (0..records).map(|_| appliance.heartbeat(twin.now)).collect();
        twin.send(&mut appliance, beats);
        assert_eq!(since(&questions), Questions { puts: vec![1, 1], reads: vec![] });
    }
    // A call that brings nothing asks nothing.
    twin.call(&mut appliance);
    assert_eq!(since(&questions), Questions::default());
}

/// What was put before a command was undone lies in the vault: the next append looks, and the one after it does not.
#[test]
fn after_something_was_undone_the_vault_is_looked_into_once() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let (mut twin, questions) = noted(&world);
    let beat = vec![appliance.heartbeat(twin.now)];
    twin.send(&mut appliance, beat);
    let now = twin.now;
    twin.core.run(now, |_| Err::<(), _>(CoreError::Precondition("no".into()))).unwrap_err();
    since(&questions);
    let next = format!("{}/entries/{:010}", twin.tenant, head(&twin).0);
    for reads in [vec![next], vec![]] {
        let beat = vec![appliance.heartbeat(twin.now)];
        twin.send(&mut appliance, beat);
        assert_eq!(since(&questions), Questions { puts: vec![1, 1], reads });
    }
}

/// However many clinics a group of commands is about, their checkpoints go together.
#[test]
fn the_entries_of_a_commit_are_one_put_and_its_checkpoints_another() {
    let mut world = World::new();
    let mut boxes = vec![world.appliance()];
    for name in ["Elm Street Clinic", "Hill Dental"] {
        let tenant = world.tenant_named(name);
        boxes.push(world.appliance_at(&tenant));
    }
    let (mut twin, questions) = noted(&world);
    let now = twin.now;
    twin.core.run(now, |core| core.watch(now)).unwrap();
    since(&questions);
    twin.core.begin().unwrap();
    for appliance in &mut boxes {
        let beat = appliance.heartbeat(now);
        let batch = appliance.freeze(vec![beat]);
        let (asked, spki) = (appliance.ask(Some(batch)), appliance.spki());
        twin.core.attempt(|core| core.sync(spki, &asked, now)).unwrap();
    }
    twin.core.commit(now).unwrap();
    assert_eq!(since(&questions).puts, [3, 3]);
    assert_eq!(
        world.vault_keys("checkpoints").len(),
        twin.count("SELECT count(*) FROM vault_object WHERE key LIKE '%/checkpoints/%'") as usize
    );
}

/// One of them cannot be kept: the others are, and it alone waits.
#[test]
fn a_checkpoint_that_cannot_be_kept_holds_up_no_other_clinic() {
    let mut world = World::new();
    let mine = world.tenant.clone();
    let other = world.tenant_named("Elm Street Clinic");
    let mut boxes = [world.appliance(), world.appliance_at(&other)];
    let folder = format!("{mine}/checkpoints/");
    let mut twin = world.twin(Guarded::before(&world.vault, move |asked| match asked.puts_into(&folder) {
        true => Err(VaultError::ReadBack { key: folder.clone() }),
        false => Ok(()),
    }));
    let now = twin.now;
    twin.core.begin().unwrap();
    for appliance in &mut boxes {
        let beat = appliance.heartbeat(now);
        let batch = appliance.freeze(vec![beat]);
        let (asked, spki) = (appliance.ask(Some(batch)), appliance.spki());
        twin.core.attempt(|core| core.sync(spki, &asked, now)).unwrap();
    }
    let published = twin.core.commit_group(now).unwrap();
    let without: Vec<String> = published.without.iter().map(ToString::to_string).collect();
    assert_eq!(without, [mine]);
    assert!(matches!(published.why, Some(CoreError::Vault(VaultError::ReadBack { .. }))));
    assert_eq!(twin.count("SELECT count(*) FROM tenant WHERE published_size = log_size"), 1);
}

/// A start does not list all checkpoints there ever were; what came after the newest that it knows, it notes.
#[test]
fn a_start_lists_checkpoints_from_the_newest_known_on() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let copy = world.backup();
    let beat = vec![appliance.heartbeat(world.now)];
    world.send(&mut appliance, beat);
    let all = world.vault_keys("checkpoints");
    let indexed =
        |world: &World| world.count("SELECT count(*) FROM vault_object WHERE key LIKE '%/checkpoints/%'");
    assert_eq!(indexed(&world), all.len() as i64);
    // An older database notes what it did not know, in its place or behind it.
    world.restore(copy).unwrap();
    let all = world.vault_keys("checkpoints");
    assert_eq!(indexed(&world), all.len() as i64);
    // What is before the newest was noted, or nobody would miss it: it is not read again.
    world.db.share().execute("DELETE FROM vault_object WHERE key = ?1", [&all[0]]).unwrap();
    world.restart();
    assert_eq!(indexed(&world), all.len() as i64 - 1);
}
