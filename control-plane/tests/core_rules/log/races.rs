//! Two servers, one vault: one history.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use control_plane::vault::VaultError;

use super::*;
use crate::vault::{Asked, Guarded};

type Hook = Box<dyn FnOnce() + Send>;

#[test]
fn two_servers_on_one_vault_never_publish_two_histories() {
    let mut world = World::new();
    let (mut here, mut there) = (world.appliance(), world.appliance());
    let hook: Arc<Mutex<Option<Hook>>> = Arc::default();
    let next = hook.clone();
    let mut twin = world.twin(Guarded::before(&world.vault, move |asked| {
        if asked.puts_into("/entries/")
            && let Some(hook) = next.lock().unwrap().take()
        {
            hook();
        }
        Ok(())
    }));
    let records = vec![there.heartbeat(world.now), there.heartbeat(world.now)];
    let batch = there.freeze(records);
    let asked = there.ask(Some(batch));
    // While the twin is about to write its first entry, the other server takes two of its own.
    let tenant = world.tenant.clone();
    let world = Arc::new(Mutex::new(world));
    let (inside, mine) = (world.clone(), vec![here.heartbeat(twin.now), here.heartbeat(twin.now)]);
    let mine = here.freeze(mine);
    let (question, spki) = (here.ask(Some(mine)), here.spki());
    *hook.lock().unwrap() = Some(Box::new(move || {
        let mut world = inside.lock().unwrap();
        let now = world.now;
        world.core.run(now, |core| core.sync(spki, &question, now)).unwrap();
    }));
    assert!(twin.exchange(&there, &asked).is_err(), "the place was taken: nothing is acknowledged");
    assert!(twin.exchange(&there, &asked).unwrap().ack.is_some(), "and the next try comes after it");
    let mut world = world.lock().unwrap();
    check_vault(&world, &tenant);
    assert_eq!(kept(&twin), 8);
    // The first server finds its place taken when it has something to write, and then catches up.
    here.unacknowledged = None;
    let beat = here.heartbeat(world.now);
    let batch = here.freeze(vec![beat]);
    let asked = here.ask(Some(batch));
    assert!(world.exchange(&here, &asked).is_err());
    assert!(world.exchange(&here, &asked).unwrap().ack.is_some());
    assert_eq!(kept(&world), 9);
    check_vault(&world, &tenant);
}

/// It had written something, and read something back, when the vault gave out.
#[test]
fn a_command_that_cannot_read_back_is_undone_as_a_whole() {
    let mut world = World::new();
    let (mut here, mut there) = (world.appliance(), world.appliance());
    raise(&mut world, &mut here);
    let order = here.newest_order();
    here.order_high = order.sequence;
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = broken.clone();
    let mut twin = world.twin(Guarded::before(&world.vault, move |asked| match asked {
        Asked::Read(key) if key.contains("/attachments/") && is_broken.load(Ordering::SeqCst) => {
            Err(VaultError::ReadBack { key: key.to_owned() })
        }
        _ => Ok(()),
    }));
    let output = b"two files removed".to_vec();
    let body = execution(&order, Verdict::Repaired, Some(Digest::of(&output)));
    let record = Record::Evidence(here.seal(world.now, body));
    world.send(&mut here, vec![Record::Attachment(output), record]);

    let beat = there.heartbeat(twin.now);
    let batch = there.freeze(vec![beat]);
    let (asked, spki, now, tenant) = (there.ask(Some(batch)), there.spki(), twin.now, twin.tenant.clone());
    let failed = twin.core.run(now, |core| {
        core.create_site(&tenant, "Hill St", now)?;
        core.sync(spki, &asked, now)
    });
    assert!(matches!(failed, Err(CoreError::Vault(_))), "{failed:?}");
    assert_eq!((twin.count("SELECT count(*) FROM site"), kept(&twin)), (1, 4), "nothing of it is left");
    broken.store(false, Ordering::SeqCst);
    assert!(twin.exchange(&there, &asked).unwrap().ack.is_some());
    assert_eq!((kept(&twin), twin.count("SELECT count(*) FROM attachment")), (6, 1));
    check_vault(&world, &tenant);
}

/// A box sends again what was not acknowledged because the other server was first: the next try comes after it.
fn sends(server: &mut World, appliance: &mut Appliance, record: Record) {
    let batch = appliance.freeze(vec![record]);
    let asked = appliance.ask(Some(batch.clone()));
    let response = server.exchange(appliance, &asked);
    let response = response.or_else(|_| server.exchange(appliance, &asked)).unwrap();
    assert!(response.ack.is_some(), "not acknowledged: {}", response.quarantine);
    appliance.acknowledged(&batch);
    appliance.absorb(&server.safe.charter, &response);
}

/// Two servers that take turns are told of, and neither grows its log by that without end.
#[test]
fn two_servers_that_go_on_beside_each_other_are_told_of_and_issue_no_orders() {
    let mut world = World::new();
    let mut boxes = [world.appliance(), world.appliance()];
    let mut twin = world.twin(Box::new(world.vault.clone()));
    for turn in 0..12 {
        let server = if turn % 2 == 0 { &mut world } else { &mut twin };
        let appliance = &mut boxes[0];
        let beat = appliance.heartbeat(server.now);
        appliance.stream = proto::ids::StreamId(appliance.entropy.bytes());
        appliance.frozen = (0, Digest::ZERO);
        sends(server, appliance, beat);
    }
    for server in [&mut world, &mut twin] {
        server.call(&mut boxes[1]);
        assert_eq!(server.count("SELECT value FROM meta WHERE key = 'generation'"), 2, "once, not each turn");
        let said = server.text("SELECT group_concat(kind || ' ' || state) FROM incident");
        assert_eq!(said, "log.other-writer escalated");
    }
    assert!(world.count("SELECT count(*) FROM act WHERE kind = 'restore'") <= 2, "{}", acts(&world));
    // The other is off: the first goes on, and orders as soon as an order of the other's has ended.
    drop(twin);
    let beat = boxes[0].heartbeat(world.now);
    sends(&mut world, &mut boxes[0], beat);
    assert!(raise(&mut world, &mut boxes[0]).is_empty());
    world.now = world.now.plus(16 * MINUTE);
    let beat = boxes[0].heartbeat(world.now);
    assert_eq!(world.send(&mut boxes[0], vec![beat]).orders.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever order, sizes, crashes and restarts: every checkpoint a box sees continues the one before (the model
    /// panics if not), every record is proven in the end, and all that was published is one history.
    #[test]
    fn checkpoints_are_one_history(
        steps in prop::collection::vec((0..3_usize, 0..4_usize, 0..8_u8), 1..25),
    ) {
        let mut world = World::new();
        let mut boxes = [world.appliance(), world.appliance(), world.appliance()];
        let mut copy = world.backup();
        for (which, count, what) in steps {
            world.now = world.now.plus(MINUTE);
            let appliance = &mut boxes[which];
            let records: Vec<Record> = (0..count).map(|_| appliance.heartbeat(world.now)).collect();
            match what {
                0 => {
                    dies_before_commit(&mut world, appliance, records);
                    again(&mut world, appliance);
                }
                1 => {
                    world.send(appliance, records);
                    world.restart();
                }
                2 => {
                    let backup = std::mem::replace(&mut copy, world.backup());
                    world.restore(backup).unwrap();
                    world.send(&mut boxes[which], records);
                }
                _ => {
                    world.send(appliance, records);
                }
            }
        }
        for appliance in &mut boxes {
            world.call(appliance);
            prop_assert!(appliance.unproven.is_empty());
        }
        prop_assert_eq!(world.text("SELECT coalesce(log_halted, '') FROM tenant"), "");
        check_vault(&world, &world.tenant.clone());
        let acts = world.count("SELECT count(*) FROM act");
        prop_assert_eq!(kept(&world) + acts, head(&world).0);
    }

    /// Two servers with a database each, side by side on one vault, commands in any order.
    #[test]
    fn two_servers_are_one_history(steps in prop::collection::vec((any::<bool>(), 0..2_usize), 1..30)) {
        let mut world = World::new();
        let mut boxes = [world.appliance(), world.appliance()];
        let mut twin = world.twin(Box::new(world.vault.clone()));
        for (first, which) in steps {
            let server = if first { &mut world } else { &mut twin };
            let appliance = &mut boxes[which];
            let beat = appliance.heartbeat(server.now);
            // Streams are per database; what counts here is evidence.
            appliance.stream = proto::ids::StreamId(appliance.entropy.bytes());
            appliance.frozen = (0, Digest::ZERO);
            sends(server, appliance, beat);
        }
        check_vault(&world, &world.tenant.clone());
    }
}
