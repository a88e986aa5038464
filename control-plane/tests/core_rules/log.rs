//! The Merkle log and its vault: crashes, restored backups, storage that contradicts itself, two servers at once.

mod asked;
mod groups;
mod papers;
mod races;
mod strangers;
mod successions;
mod timestamps;
pub mod witnesses;

use control_plane::{
    core::CoreError,
    vault::{MemoryVault, Vault as _},
};
use proptest::prelude::*;
use proto::{
    digest::Digest,
    evidence::Verdict,
    keys::SecretKey,
    log::{Checkpoint, Head, SignedCheckpoint, VerifierKey, leaf_hash, pack, root_of, unpack},
    pb,
    sync::{Phase, Record},
    time::Millis,
};

use crate::{
    appliance::{Appliance, execution, open_order},
    world::{DISK, HOUR, MINUTE, ORGANIZATION, World, open},
};

fn head(world: &World) -> (i64, String) {
    (world.count("SELECT log_size FROM tenant"), world.text("SELECT hex(log_root) FROM tenant"))
}

fn kept(world: &World) -> i64 {
    world.count("SELECT count(*) FROM evidence")
}

/// The acts there are, in order.
fn acts(world: &World) -> String {
    world.text("SELECT group_concat(kind, ' ') FROM (SELECT kind FROM act ORDER BY tenant, number)")
}

/// All that was logged is there again, with its root, and after it that it had to come back.
#[track_caller]
fn comes_back(world: &World, before: &(i64, String)) {
    assert!(acts(world).ends_with(" restore"), "{}", acts(world));
    let store = control_plane::store::Store::with(world.db.share()).unwrap();
    let tenant = world.tenant.parse().unwrap();
    let root = proto::log::root(&store.tiles(tenant), before.0.cast_unsigned()).unwrap();
    assert_eq!(hex::encode_upper(root.0), before.1, "the same root");
    assert_eq!(head(world).0, before.0 + 1);
}

/// The checkpoints that were ever published, opened as an auditor would: each must be of a prefix of the entries.
fn check_vault(world: &World, tenant: &str) -> usize {
    let origin = format!("evidence.{ORGANIZATION}/{tenant}");
    let keys: Vec<VerifierKey> =
        world.core.charter().log_keys.iter().map(|key| VerifierKey::new(&origin, key).unwrap()).collect();
    let entries = world.vault.list(&format!("{tenant}/entries")).unwrap();
    let packed: Vec<Vec<u8>> = entries.iter().map(|key| world.vault.get(key).unwrap().unwrap()).collect();
    let leaves: Vec<_> = packed.iter().flat_map(|packed| unpack(packed).unwrap()).map(leaf_hash).collect();
    let published = world.vault.list(&format!("{tenant}/checkpoints")).unwrap();
    for key in &published {
        let signed = SignedCheckpoint::open(&world.vault.get(key).unwrap().unwrap(), &keys).unwrap();
        let size = signed.checkpoint().size;
        assert!(key.ends_with(&format!("/{size:010}")));
        assert_eq!(signed.checkpoint().root, root_of(&leaves[..usize::try_from(size).unwrap()]), "{key}");
    }
    published.len()
}

/// A crash: everything of this exchange was done but for the commit.
fn dies_before_commit(world: &mut World, appliance: &mut Appliance, records: Vec<Record>) {
    does_all_but_commit(world, appliance, records);
    world.restart();
}

fn does_all_but_commit(world: &mut World, appliance: &mut Appliance, records: Vec<Record>) {
    let batch = appliance.freeze(records);
    let (asked, spki, now) = (appliance.ask(Some(batch)), appliance.spki(), world.now);
    world.core.begin().unwrap();
    world.core.attempt(|core| core.sync(spki, &asked, now)).unwrap();
    world.core.keep_unkept(now).unwrap();
}

fn again(world: &mut World, appliance: &mut Appliance) -> pb::SyncResponse {
    let batch = appliance.unacknowledged.clone().unwrap();
    let asked = appliance.ask(Some(batch.clone()));
    let response = world.exchange(appliance, &asked).unwrap();
    assert!(response.ack.is_some());
    appliance.acknowledged(&batch);
    appliance.absorb(&world.safe.charter, &response);
    response
}

fn raise(world: &mut World, appliance: &mut Appliance) -> Vec<Vec<u8>> {
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    world.send(appliance, vec![event]).orders
}

#[test]
fn what_was_in_the_vault_and_not_committed_is_read_back_with_all_that_it_meant() {
    let (mut quiet, mut crashed) = (World::new(), World::new());
    let mut heads = Vec::new();
    for (world, dies) in [(&mut quiet, false), (&mut crashed, true)] {
        let mut appliance = world.appliance();
        raise(world, &mut appliance);
        let order = appliance.newest_order();
        appliance.order_high = order.sequence;
        let output = b"two files removed".to_vec();
        let body = execution(&order, Verdict::Repaired, Some(Digest::of(&output)));
        let record = Record::Evidence(appliance.seal(world.now, body));
        let records = vec![Record::Attachment(output), record, appliance.heartbeat(world.now)];
        if dies {
            dies_before_commit(world, &mut appliance, records);
            assert_eq!(kept(world), 4, "before anybody calls");
            assert_eq!(acts(world), "ticket claim incident");
            assert_eq!(world.text("SELECT state FROM incident"), "resolved", "the effect is not lost");
            assert_eq!(world.count("SELECT count(*) FROM attachment"), 1);
            again(world, &mut appliance);
        } else {
            world.send(&mut appliance, records);
        }
        assert!(appliance.unproven.is_empty());
        assert_eq!(world.text("SELECT state FROM incident"), "resolved");
        assert_eq!((kept(world), acts(world).as_str()), (4, "ticket claim incident"));
        check_vault(world, &world.tenant);
        heads.push(head(world).0);
        // No restore, so no reason to wait for another heartbeat.
        world.now = world.now.plus(HOUR);
        assert_eq!(raise(world, &mut appliance).len(), 1);
    }
    assert_eq!(heads[0], heads[1]);
}

#[test]
fn the_root_is_the_same_with_and_without_the_crash() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let copy = world.backup();
    let records: Vec<Record> = (0..5).map(|_| appliance.heartbeat(world.now)).collect();
    let mut twin = world.twin(Box::new(MemoryVault::default()));
    let asked = {
        let batch = appliance.freeze(records);
        appliance.ask(Some(batch))
    };
    twin.exchange(&appliance, &asked).unwrap();
    let (spki, now) = (appliance.spki(), world.now);
    world.core.begin().unwrap();
    world.core.attempt(|core| core.sync(spki, &asked, now)).unwrap();
    world.core.keep_unkept(now).unwrap();
    world.restart();
    drop(copy);
    assert_eq!(head(&world), head(&twin));
}

#[test]
fn an_enrolment_that_came_after_the_backup_is_not_lost() {
    let mut world = World::new();
    let mut old = world.appliance();
    let token = world.token(&world.tenant.clone());
    let copy = world.backup();
    let mut young = world.unknown_box();
    let request = young.enrol_request(&token);
    let answer = world.enroll(&request).unwrap();
    young.adopt(&world.safe.trust, &answer);
    let records = vec![young.enrolment(world.now), young.heartbeat(world.now)];
    world.send(&mut young, records);
    let before = head(&world);
    world.restore(copy).unwrap();
    comes_back(&world, &before);
    for appliance in [&mut old, &mut young] {
        assert!(raise(&mut world, appliance).is_empty(), "no order before a heartbeat");
        let beat = appliance.heartbeat(world.now);
        assert_eq!(world.send(appliance, vec![beat]).orders.len(), 1);
    }
    assert!(world.enroll(&request).unwrap() == answer, "and the token is as used as it was");
}

#[test]
fn a_revocation_that_came_after_the_backup_still_holds() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let copy = world.backup();
    let (id, now) = (appliance.id().to_string(), world.now);
    world.core.run(now, |core| core.revoke_appliance(&id, "stolen", now)).unwrap();
    world.restore(copy).unwrap();
    let asked = appliance.ask(None);
    assert!(matches!(world.exchange(&appliance, &asked), Err(CoreError::Denied(_))));
    let (id, again) = (id, world.core.appliances("").unwrap()[0].state.name());
    assert_eq!((id, again), (appliance.id().to_string(), "revoked"));
}

#[test]
fn a_restored_backup_is_brought_up_to_the_vault_and_waits_for_heartbeats() {
    let mut world = World::new();
    let (mut one, mut two) = (world.appliance(), world.appliance());
    raise(&mut world, &mut one);
    let copy = world.backup();
    // What the backup does not know: an order taken and carried out, heartbeats, the other box's events.
    let order = one.newest_order();
    one.order_high = order.sequence;
    let executed = one.executed(world.now, &order, Verdict::Repaired);
    world.send(&mut one, vec![executed]);
    world.now = world.now.plus(HOUR);
    raise(&mut world, &mut one);
    one.order_high = one.newest_order().sequence;
    let records = vec![one.heartbeat(world.now)];
    world.send(&mut one, records);
    raise(&mut world, &mut two);
    let (before, generation) =
        (head(&world), world.count("SELECT count(*) FROM meta WHERE key = 'generation'"));
    assert_eq!(generation, 0, "a young database is of the first generation");

    world.restore(copy).unwrap();
    comes_back(&world, &before);
    assert_eq!(world.count("SELECT value FROM meta WHERE key = 'generation'"), 2);
    assert_eq!(world.text("SELECT state FROM incident"), "resolved", "what the evidence meant");
    let sizes = check_vault(&world, &world.tenant.clone());

    // The boxes go on where they were: no quarantine, a gap for what is lost, and no order yet.
    for appliance in [&mut one, &mut two] {
        let event = appliance.event(world.now, DISK, "scans", Phase::Raised);
        let response = world.send(appliance, vec![event]);
        assert!(response.quarantine.is_empty() && response.orders.is_empty());
    }
    assert_eq!(world.count("SELECT count(*) FROM gap WHERE cause = 'batches-missing'"), 2);
    let beat = one.heartbeat(world.now);
    let orders = world.send(&mut one, vec![beat]).orders;
    assert_eq!(
        open_order(&orders[0], world.core.charter()).sequence,
        3,
        "above all that the executor has seen"
    );
    assert!(world.call(&mut two).orders.is_empty(), "each for itself");
    assert!(check_vault(&world, &world.tenant.clone()) > sizes);
}

/// The last entries may lie in the vault without a checkpoint: the power went between the two.
#[test]
fn a_heartbeat_that_is_read_back_after_a_restore_opens_nothing() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let copy = world.backup();
    let beat = appliance.heartbeat(world.now);
    world.send(&mut appliance, vec![beat]);
    let beat = appliance.heartbeat(world.now);
    does_all_but_commit(&mut world, &mut appliance, vec![beat]);
    world.restore(copy).unwrap();
    assert_eq!(kept(&world), 4);
    again(&mut world, &mut appliance);
    assert!(raise(&mut world, &mut appliance).is_empty());
    let beat = appliance.heartbeat(world.now);
    assert_eq!(world.send(&mut appliance, vec![beat]).orders.len(), 1);
}

/// Nothing more may be signed for this log, or given out of it.
fn is_halted(world: &mut World, appliance: &mut Appliance) {
    let tenant = world.tenant.clone();
    let size = |world: &World| world.core.evidence(&tenant, 0, 0).unwrap().1;
    let folder = format!("{tenant}/checkpoints");
    let (before, published) = (size(world), world.vault.list(&folder).unwrap().len());
    let halted = format!("SELECT coalesce(log_halted, '') FROM tenant WHERE id = '{}'", world.tenant);
    assert!(!world.text(&halted).is_empty());
    let beat = appliance.heartbeat(world.now);
    let batch = appliance.freeze(vec![beat]);
    appliance.unacknowledged = None;
    let asked = appliance.ask(Some(batch));
    assert!(matches!(world.exchange(appliance, &asked), Err(CoreError::Log { .. })));
    appliance.checkpoint = None;
    let asked = appliance.ask(None);
    let response = world.exchange(appliance, &asked).unwrap();
    assert!(
        response.checkpoint.is_empty() && response.inclusions.is_empty() && response.consistency.is_empty()
    );
    assert_eq!((size(world), world.vault.list(&folder).unwrap().len()), (before, published));
}

/// Puts a checkpoint of another history where this log's would be.
fn contradict(world: &World, size: u64) {
    let origin = format!("evidence.{ORGANIZATION}/{}", world.tenant);
    let other = Checkpoint::new(&origin, Head { size, root: leaf_hash(b"another history") });
    let note = other.sign(&SecretKey::ed25519(world.safe.log)).unwrap();
    let key = format!("{}/checkpoints/{size:010}", world.tenant);
    world.vault.put(&key, note.note().as_bytes(), Millis(i64::MAX)).unwrap();
}

#[test]
fn a_vault_that_contradicts_what_is_read_back_halts_the_log() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let records = vec![appliance.heartbeat(world.now), appliance.heartbeat(world.now)];
    let before = head(&world);
    does_all_but_commit(&mut world, &mut appliance, records);
    contradict(&world, before.0.cast_unsigned() + 2);
    world.restart();
    assert_eq!(head(&world), before, "up to there it agrees");
    appliance.unacknowledged = None;
    is_halted(&mut world, &mut appliance);
    world.restart();
    is_halted(&mut world, &mut appliance);
}

#[test]
fn a_vault_that_contradicts_what_is_published_halts_that_log_and_no_other() {
    let mut world = World::new();
    let hill = world.tenant_named("Hill Clinic");
    let (mut appliance, mut neighbour) = (world.appliance(), world.appliance_at(&hill));
    contradict(&world, 5);
    let beat = appliance.heartbeat(world.now);
    let batch = appliance.freeze(vec![beat]);
    let asked = appliance.ask(Some(batch));
    assert!(world.exchange(&appliance, &asked).is_err(), "no answer that speaks of a fork leaves");
    appliance.unacknowledged = None;
    let beat = neighbour.heartbeat(world.now);
    assert!(world.send(&mut neighbour, vec![beat]).quarantine.is_empty());
    assert!(neighbour.unproven.is_empty(), "the other clinic goes on");
    is_halted(&mut world, &mut appliance);
    world.restart();
    is_halted(&mut world, &mut appliance);
}

#[test]
fn a_vault_whose_newest_checkpoint_is_not_of_this_database_halts_it_at_the_start() {
    // Another history of the same size; and one of more entries than there are.
    for (size, says) in [(4, "not of this log"), (7, "a checkpoint of 7 entries")] {
        let mut world = World::new();
        let mut appliance = world.appliance();
        let empty = MemoryVault::default();
        for key in world.vault.list("").unwrap() {
            if !(key.contains("/checkpoints/") && key.ends_with(&format!("{size:010}"))) {
                empty.put(&key, &world.vault.get(&key).unwrap().unwrap(), Millis(i64::MAX)).unwrap();
            }
        }
        world.vault = empty;
        contradict(&world, size);
        world.restart();
        let reason = world.text("SELECT coalesce(log_halted, '') FROM tenant");
        assert!(reason.contains(says), "{size}: {reason}");
        is_halted(&mut world, &mut appliance);
    }
}

#[test]
fn an_entry_that_was_changed_in_the_vault_is_not_read_back() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let stranger = Record::Evidence(
        proto::evidence::seal(
            &appliance.record(
                world.now,
                proto::evidence::Body::Hold(proto::evidence::Hold {
                    held: true,
                    by: "file".into(),
                    checkpoint: None,
                }),
            ),
            &SecretKey::ed25519([66; 32]),
        )
        .unwrap(),
    );
    let Record::Evidence(forged) = stranger else { unreachable!() };
    let key = format!("{}/entries/{:010}", world.tenant, 4);
    world.vault.put(&key, &pack(&[forged]).unwrap(), Millis(i64::MAX)).unwrap();
    world.restart();
    assert_eq!(kept(&world), 2);
    is_halted(&mut world, &mut appliance);
}

#[test]
fn a_checkpoint_signed_by_the_log_key_before_is_as_good() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    // The charter names two log keys; the server changes from one to the other, and then comes back from a backup.
    let (old, new) = (world.safe.log, [32; 32]);
    let (charter, now) = (
        world.safe.charter(|charter| {
            charter.serial = 2;
            charter.log_keys = [old, new].map(|seed| SecretKey::ed25519(seed).public()).into();
        }),
        world.now,
    );
    world.core.run(now, |core| core.publish_charter(&charter, now)).unwrap();
    let copy = world.backup();
    let beat = appliance.heartbeat(now);
    world.send(&mut appliance, vec![beat]);
    let before = world.safe.clone();
    world.safe = World::with(|safe| {
        safe.issuer = before.issuer.clone();
        safe.charter.certificate_authorities.clone_from(&before.charter.certificate_authorities);
        safe.log = new;
        safe.charter.log_keys = [SecretKey::ed25519(new).public()].into();
    })
    .safe;
    world.restore(copy).unwrap();
    assert_eq!(kept(&world), 3);
    assert_eq!(world.text("SELECT coalesce(log_halted, '') FROM tenant"), "");
    let beat = appliance.heartbeat(now);
    let batch = appliance.freeze(vec![beat]);
    let asked = appliance.ask(Some(batch));
    assert!(world.exchange(&appliance, &asked).unwrap().ack.is_some());
    check_vault(&world, &world.tenant.clone());
}

/// A box that has seen more of the log than there is here is not told a smaller past.
#[test]
fn a_smaller_past_is_never_told() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let mut asked = appliance.ask(None);
    asked.checkpoint_size = 99;
    let response = world.exchange(&appliance, &asked).unwrap();
    assert!(
        response.checkpoint.is_empty() && response.consistency.is_empty() && response.inclusions.is_empty()
    );
    asked.checkpoint_size = 1;
    assert!(!world.exchange(&appliance, &asked).unwrap().consistency.is_empty());
}

#[test]
fn the_keys_that_open_a_core_must_be_the_charters() {
    let world = World::new();
    let stranger = World::with(|safe| {
        safe.order = [99; 32];
        safe.charter.order_keys = [SecretKey::ed25519([99; 32]).public()].into();
    });
    let store = control_plane::store::Store::with(world.db.share()).unwrap();
    let refused = open(&stranger.safe, store, Box::new(MemoryVault::default()), 1, world.now);
    assert!(matches!(refused, Err(CoreError::Precondition(why)) if why.contains("order_keys")));
}
