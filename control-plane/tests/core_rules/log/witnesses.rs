//! Outside witnesses as the core sees them: what is kept of their word, and what halts a log.

use control_plane::{
    core::witnesses::{LOG_WITNESS, submission},
    store::Store,
};
use proto::{
    digest::Digest,
    ids::TenantId,
    keys::SecretKey,
    log::{Checkpoint, Cosigner, Hash, Head, SignedCheckpoint, VerifierKey, WitnessKey, log_origin},
    time::Millis,
};

use crate::world::{DAY, ORGANIZATION, SECOND, World};

const NAME: &str = "witness.example/w1";

fn secret() -> SecretKey {
    SecretKey::ed25519([88; 32])
}

pub fn key() -> WitnessKey {
    WitnessKey::new(NAME, &secret().public()).unwrap()
}

pub fn watched() -> World {
    World::with(|safe| safe.charter.witnesses = vec![key().to_string()])
}

fn id(world: &World) -> TenantId {
    world.tenant.parse().unwrap()
}

pub fn cosign(checkpoint: &SignedCheckpoint, at: Millis) -> Vec<u8> {
    let secret = secret();
    let line = Cosigner::new(NAME, &secret).unwrap().cosign(checkpoint, at).unwrap();
    checkpoint.with(&[line]).unwrap().note().as_bytes().to_vec()
}

/// The log's newest checkpoint as a witness gets it to see.
pub fn newest(world: &World) -> SignedCheckpoint {
    let store = Store::with(world.db.share()).unwrap();
    let asked = submission(&store, id(world), 0).unwrap().expect("there is something to cosign");
    assert!(asked.request.proof.is_empty());
    let log =
        VerifierKey::new(&log_origin(ORGANIZATION, id(world)), &SecretKey::ed25519(world.safe.log).public());
    SignedCheckpoint::open(asked.request.checkpoint.as_bytes(), &[log.unwrap()]).unwrap()
}

/// Any checkpoint, signed with the log's own key.
fn signed(world: &World, size: u64, root: [u8; 32]) -> SignedCheckpoint {
    let head = Head { size, root: Hash(root) };
    let log = SecretKey::ed25519(world.safe.log);
    Checkpoint::new(&log_origin(ORGANIZATION, id(world)), head).sign(&log).unwrap()
}

pub fn keep(world: &mut World, note: &[u8]) -> Result<(), control_plane::core::CoreError> {
    let (tenant, now) = (id(world), world.now);
    world.core.run(now, |core| core.keep_cosigned(tenant, &key(), note, now))
}

fn contradicts(world: &mut World, shown: Option<&[u8]>) {
    let (tenant, now) = (id(world), world.now);
    world.core.run(now, |core| core.witness_contradicts(tenant, &key(), "422 no", shown, now)).unwrap();
}

/// Entries in the log: what the box sent, and what the server did.
fn size(world: &World) -> u64 {
    u64::try_from(world.count("SELECT log_size FROM tenant")).unwrap()
}

fn halted(world: &World) -> String {
    world.text("SELECT coalesce(log_halted, '') FROM tenant")
}

fn incidents(world: &World) -> String {
    world.text("SELECT coalesce(group_concat(kind || ' ' || state), '') FROM incident ORDER BY kind")
}

fn standing(world: &World) -> (u64, Millis, String) {
    let (standing, keys, size) = world.core.witnessed(&world.tenant).unwrap();
    assert_eq!((standing.len(), keys.len()), (1, 1));
    assert_eq!(size, self::size(world));
    (standing[0].1.size, standing[0].1.at, standing[0].1.trouble.clone())
}

#[test]
fn a_cosigned_checkpoint_is_kept_twice_and_the_newest_counts() {
    let mut world = watched();
    let mut appliance = world.appliance();
    assert_eq!(standing(&world), (0, Millis(0), String::new()));
    let first = newest(&world);
    let note = cosign(&first, world.now);
    keep(&mut world, &note).unwrap();
    let begun = size(&world);
    assert_eq!(standing(&world), (begun, world.now, String::new()));
    let kept = format!("{}/cosigned/{begun:010}.{}", world.tenant, key().id());
    assert_eq!(world.vault_keys("cosigned"), [kept]);

    world.now = world.now.plus(5 * SECOND);
    let beat = appliance.heartbeat(world.now);
    world.send(&mut appliance, vec![beat]);
    let (second, at) = (newest(&world), world.now);
    let note = cosign(&second, at);
    keep(&mut world, &note).unwrap();
    let grown = size(&world);
    assert!(grown > begun);
    assert_eq!(standing(&world).0, grown);
    // An answer that comes late is kept, and is not the newest.
    let late = cosign(&first, world.now.plus(SECOND));
    keep(&mut world, &late).unwrap();
    assert_eq!((standing(&world).0, standing(&world).1), (grown, at));
    world.restart();
    assert_eq!(standing(&world).0, grown);
    assert_eq!(world.vault_keys("cosigned").len(), 2);
    assert_eq!(halted(&world), "");
}

#[test]
fn what_was_cosigned_twice_is_kept_as_it_was_first() {
    let mut world = watched();
    let _appliance = world.appliance();
    let copy = world.backup();
    let checkpoint = newest(&world);
    let note = cosign(&checkpoint, world.now);
    keep(&mut world, &note).unwrap();
    // The database forgets it; the vault does not.
    world.restore(copy).unwrap();
    assert_eq!(standing(&world).0, 0);
    let again = cosign(&checkpoint, world.now.plus(DAY));
    keep(&mut world, &again).unwrap();
    assert_eq!(standing(&world).1, world.now);
}

#[test]
fn what_is_not_this_witness_on_this_log_is_not_kept() {
    let mut world = watched();
    let _appliance = world.appliance();
    let right = newest(&world);
    let mut forged = cosign(&right, world.now);
    let last = forged.len() - 10;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let elsewhere = Checkpoint::new("evidence.other.example/t", right.checkpoint().head());
    let elsewhere = elsewhere.sign(&SecretKey::ed25519(world.safe.log)).unwrap();
    let by_another = Checkpoint::new(&right.checkpoint().origin, right.checkpoint().head());
    let by_another = by_another.sign(&SecretKey::ed25519([3; 32])).unwrap();
    for (what, note) in [
        ("no cosignature", right.note().as_bytes().to_vec()),
        ("a forged one", forged),
        ("of another log", cosign(&elsewhere, world.now)),
        ("signed by another key", cosign(&by_another, world.now)),
        ("of another root", cosign(&signed(&world, size(&world), [7; 32]), world.now)),
        ("of more entries", cosign(&signed(&world, size(&world) + 7, [7; 32]), world.now)),
    ] {
        assert!(keep(&mut world, &note).is_err(), "{what}");
    }
    assert_eq!((standing(&world).0, world.vault_keys("cosigned").len()), (0, 0));
    let (stranger, now, tenant) = (WitnessKey::new("v", &secret().public()).unwrap(), world.now, id(&world));
    let note = cosign(&right, now);
    let refused = world.core.run(now, |core| core.keep_cosigned(tenant, &stranger, &note, now)).unwrap_err();
    assert!(refused.to_string().contains("the charter names no such witness"), "{refused}");
}

#[test]
fn a_witness_that_only_says_no_calls_a_person_once_a_day() {
    let mut world = watched();
    let _appliance = world.appliance();
    for shown in [None, Some(&b"nothing"[..]), Some(newest(&world).note().as_bytes())] {
        contradicts(&mut world, shown);
    }
    assert_eq!(halted(&world), "", "its word alone halts nothing");
    assert_eq!(incidents(&world), format!("{LOG_WITNESS} escalated"));
    assert!(standing(&world).2.contains("does not cosign this log: 422 no"), "{}", standing(&world).2);
    world.now = world.now.plus(DAY).plus(SECOND);
    contradicts(&mut world, None);
    assert_eq!(incidents(&world), format!("{LOG_WITNESS} escalated,{LOG_WITNESS} escalated"));
    let (tenant, now) = (id(&world), world.now);
    world.core.run(now, |core| core.witness_answers(tenant, &key(), now)).unwrap();
    assert_eq!(standing(&world).2, "", "it answers again");
}

#[test]
fn what_the_logs_key_has_signed_elsewhere_halts_the_log() {
    for (more, says) in [(0, "not of this log"), (7, ": this database is older")] {
        for told in [true, false] {
            let mut world = watched();
            let _appliance = world.appliance();
            let other = cosign(&signed(&world, size(&world) + more, [7; 32]), world.now);
            if told {
                contradicts(&mut world, Some(&other));
            } else {
                let (tenant, now) = (id(&world), world.now);
                world.core.run(now, |core| core.witness_shows(tenant, &key(), &other, now)).unwrap();
            }
            assert!(halted(&world).contains(says), "{more}: {}", halted(&world));
            assert!(incidents(&world).contains("log.halted escalated"), "{}", incidents(&world));
            assert!(incidents(&world).contains("log.witness escalated"), "{}", incidents(&world));
            world.restart();
            assert!(halted(&world).contains(says));
            let (tenant, now) = (id(&world), world.now);
            world.core.run(now, |core| core.witness_answers(tenant, &key(), now)).unwrap();
            assert!(standing(&world).2.contains(says), "what it contradicts stays");
            let store = Store::with(world.db.share()).unwrap();
            assert_eq!(submission(&store, id(&world), 0).unwrap(), None, "nothing more is signed or shown");
        }
    }
}

#[test]
fn what_a_witness_shows_of_this_log_is_taken_and_anything_else_says_nothing() {
    let mut world = watched();
    let _appliance = world.appliance();
    let (tenant, now) = (id(&world), world.now);
    let note = cosign(&newest(&world), now);
    for shown in [&b"nothing"[..], b"", newest(&world).note().as_bytes(), &note] {
        world.core.run(now, |core| core.witness_shows(tenant, &key(), shown, now)).unwrap();
    }
    assert_eq!(standing(&world), (size(&world), now, String::new()));
    assert_eq!((halted(&world), incidents(&world)), (String::new(), String::new()));
}

#[test]
fn what_is_asked_continues_what_was_cosigned() {
    let mut world = watched();
    let mut appliance = world.appliance();
    for _ in 0..3 {
        let beat = appliance.heartbeat(world.now);
        world.send(&mut appliance, vec![beat]);
    }
    let store = Store::with(world.db.share()).unwrap();
    let before = Checkpoint::new(
        &log_origin(ORGANIZATION, id(&world)),
        Head { size: 2, root: proto::log::root(&store.tiles(id(&world)), 2).unwrap() },
    );
    let asked = submission(&store, id(&world), 2).unwrap().unwrap();
    let log = VerifierKey::new(&before.origin, &SecretKey::ed25519(world.safe.log).public()).unwrap();
    let judged = asked.request.judge(&[log], Some(&before)).unwrap();
    assert_eq!((judged.checkpoint().size, asked.size), (size(&world), size(&world)));
    assert_eq!(submission(&store, id(&world), size(&world) + 1).unwrap(), None);
    assert_eq!(judged.checkpoint().root.0, Digest(newest(&world).checkpoint().root.0).0);
    let due = |store: &Store| store.not_cosigned_by(&key()).unwrap();
    assert_eq!(due(&store), [id(&world)]);
    let note = cosign(&newest(&world), world.now);
    keep(&mut world, &note).unwrap();
    assert_eq!((due(&store), store.published().unwrap()), (vec![], vec![id(&world)]));
}
