//! Somebody can write to the vault, and not delete: what they put there is stepped over, said, and never fatal.

use control_plane::{access::Grant, audit};
use proto::ids::{ApplianceId, TenantId};

use super::*;

fn put(world: &World, key: &str, bytes: &[u8]) {
    world.vault.put(key, bytes, Millis(i64::MAX)).unwrap();
}

/// The log goes on, across a start, and everybody's evidence is proven.
#[track_caller]
fn goes_on(world: &mut World, appliances: &mut [&mut Appliance]) {
    world.restart();
    assert_eq!(world.text("SELECT coalesce(group_concat(log_halted), '') FROM tenant"), "");
    for appliance in appliances {
        let beat = appliance.heartbeat(world.now);
        world.send(appliance, vec![beat]);
        world.call(appliance);
        assert!(appliance.unproven.is_empty());
    }
}

/// The keys that an audit names because the index does not know them.
fn not_known(world: &World) -> Vec<String> {
    let store = control_plane::store::Store::with(world.db.share()).unwrap();
    let report = audit::audit(&store, &world.vault, None, world.now, &mut |_, _| {}).unwrap();
    assert!(report.findings.is_empty() && report.unlike_log.is_empty(), "{report}");
    report.not_indexed.into_iter().collect()
}

fn note_by(key: [u8; 32], origin: &str, size: u64) -> Vec<u8> {
    let other = Checkpoint::new(origin, Head { size, root: leaf_hash(b"another history") });
    other.sign(&SecretKey::ed25519(key)).unwrap().note().as_bytes().to_vec()
}

#[test]
fn a_checkpoint_counts_by_its_signature_and_not_by_its_name() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let copy = world.backup();
    let beat = appliance.heartbeat(world.now);
    world.send(&mut appliance, vec![beat]);
    let (tenant, origin) = (world.tenant.clone(), format!("evidence.{ORGANIZATION}/{}", world.tenant));
    let hill = format!("evidence.{ORGANIZATION}/{}", TenantId::new(world.now, [7; 10]));
    let genuine = world.vault.get(&format!("{tenant}/checkpoints/{:010}", head(&world).0)).unwrap().unwrap();
    let log = world.safe.log;
    let strange = [
        (9_999_999_999_u64, b"not a note".to_vec()),
        (9_999_999_998, note_by([66; 32], &origin, 9_999_999_998)),
        // Of another clinic, though our key signed it; and a genuine one under another size.
        (9_999_999_997, note_by(log, &hill, 9_999_999_997)),
        (9_999_999_996, genuine),
    ];
    let mut keys: Vec<String> =
        strange.iter().map(|(size, _)| format!("{tenant}/checkpoints/{size:010}")).collect();
    keys.extend([
        format!("{tenant}/checkpoints/next"),
        format!("{tenant}/checkpoints/{:010}.x", head(&world).0),
    ]);
    for (key, bytes) in keys.iter().zip(strange.iter().map(|(_, bytes)| &bytes[..]).chain([&b"x"[..], b"y"]))
    {
        put(&world, key, bytes);
    }
    keys.sort();
    goes_on(&mut world, &mut [&mut appliance]);
    assert_eq!(not_known(&world), keys, "an audit goes on naming them after a start");
    // A database from a backup is measured by the genuine ones alone.
    let before = head(&world);
    world.restore(copy).unwrap();
    comes_back(&world, &before);
    goes_on(&mut world, &mut [&mut appliance]);
    assert_eq!(not_known(&world), keys);
}

#[test]
fn a_place_that_was_taken_does_not_keep_a_checkpoint_from_being_published() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let copy = world.backup();
    let taken = format!("{}/checkpoints/{:010}", world.tenant, head(&world).0 + 1);
    put(&world, &taken, b"mine");
    let beat = appliance.heartbeat(world.now);
    world.send(&mut appliance, vec![beat]);
    world.call(&mut appliance);
    assert!(appliance.unproven.is_empty(), "the checkpoint was told, so it is published");
    let beside: Vec<String> = world
        .vault_keys("checkpoints")
        .into_iter()
        .filter(|key| key.starts_with(&format!("{taken}.")))
        .collect();
    assert_eq!(beside.len(), 1);
    assert_eq!(not_known(&world).join(" "), taken);
    goes_on(&mut world, &mut [&mut appliance]);
    let before = head(&world);
    world.restore(copy).unwrap();
    comes_back(&world, &before);
    assert_eq!(not_known(&world), [taken]);
}

/// What lies beside counts as much as what lies in its own place: another history there is another history.
#[test]
fn a_contradiction_beside_a_place_that_was_taken_halts_the_log() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let (origin, size) = (format!("evidence.{ORGANIZATION}/{}", world.tenant), head(&world).0 + 1);
    let taken = format!("{}/checkpoints/{size:010}", world.tenant);
    put(&world, &taken, b"mine");
    put(&world, &format!("{taken}.1"), &note_by(world.safe.log, &origin, size.cast_unsigned()));
    world.restart();
    is_halted(&mut world, &mut appliance);
}

#[test]
fn papers_count_by_their_signatures() {
    let mut world = World::new();
    let (mut one, mut two) = (world.appliance(), world.appliance());
    let tenant = world.tenant.clone();
    let now = world.now;
    let secret = world
        .core
        .run(now, |core| core.issue_operator_token("alice", Grant::everything(), HOUR, now))
        .unwrap()
        .secret;
    world.core.run(now, |core| core.revoke_appliance(&two.id().to_string(), "stolen", now)).unwrap();
    let revocation = world.vault.get(&format!("{tenant}/revocations/{}", two.id())).unwrap().unwrap();
    let clinic = world.vault.get(&format!("tenants/{tenant}")).unwrap().unwrap();
    let enrolled = world.vault_keys("enrolments");
    let text = String::from_utf8(world.vault.get(&enrolled[0]).unwrap().unwrap()).unwrap();
    let hash = Digest::of(secret.as_bytes());
    let [broken, plain, copied] = [1, 2, 3].map(|n| TenantId::new(now, [n; 10]));
    let unsigned = serde_json::json!({ "name": "Phantom Clinic", "created": now });
    let mut keys = vec![
        (format!("tenants/{broken}"), b"{".to_vec()),
        (format!("tenants/{plain}"), unsigned.to_string().into_bytes()),
        (format!("tenants/{copied}"), clinic),
        (format!("{tenant}/revocations/{}", one.id()), b"revoked\n".to_vec()),
        (format!("{tenant}/revocations/{}.again", one.id()), revocation),
        (format!("revoked-tokens/{hash}"), b"revoked\n".to_vec()),
        (format!("{tenant}/enrolments/{}", "77".repeat(16)), text.into_bytes()),
        (format!("{tenant}/enrolments/mine"), b"[]".to_vec()),
        (format!("{tenant}/packets/2026-10.json"), b"{}".to_vec()),
        (format!("{tenant}/orders/{hash}"), b"{}".to_vec()),
        ("charters/0000000007".to_owned(), b"{}".to_vec()),
    ];
    keys.sort();
    for (key, bytes) in &keys {
        put(&world, key, bytes);
    }
    goes_on(&mut world, &mut [&mut one]);
    assert_eq!(world.core.tenants().unwrap().len(), 1, "no clinic came of it");
    assert_eq!(world.count("SELECT count(*) FROM appliance WHERE state = 'revoked'"), 1);
    assert_eq!(world.core.run(now, |core| core.operator(&secret, now)).unwrap().0, "alice");
    assert_eq!(world.count("SELECT count(*) FROM incarnation"), 2);
    let asked = two.ask(None);
    assert!(matches!(world.exchange(&two, &asked), Err(CoreError::Denied(_))));
    assert_eq!(not_known(&world), keys.into_iter().map(|(key, _)| key).collect::<Vec<_>>());
    // And what was taken does not keep ours out: a charter of that serial, and a revocation.
    let charter = world.safe.charter(|charter| charter.serial = 7);
    let id: ApplianceId = one.id();
    world.core.run(now, |core| core.publish_charter(&charter, now)).unwrap();
    let copy = world.backup();
    world.core.run(now, |core| core.revoke_appliance(&id.to_string(), "stolen", now)).unwrap();
    world.core.run(now, |core| core.revoke_operator_token("alice", now)).unwrap();
    assert_eq!(world.vault.list("charters").unwrap().len(), 3);
    world.restore(copy).unwrap();
    assert_eq!(world.count("SELECT count(*) FROM appliance WHERE state = 'revoked'"), 2);
    assert!(world.core.run(now, |core| core.operator(&secret, now)).is_err());
}

/// An executor of somebody's own making, whose papers agree; no authority of ours has named it.
#[test]
fn a_box_is_not_enrolled_by_whoever_writes_to_the_vault() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    // The same clinic's ID, organization and all: only the authority is another one.
    let mut other = World::new();
    assert_eq!(other.tenant, world.tenant);
    assert_ne!(other.safe.authority().certificate_pem(), world.safe.authority().certificate_pem());
    let (_, before) =
        ([other.appliance(), other.appliance()], world.count("SELECT count(*) FROM incarnation"));
    let theirs = other.vault_keys("enrolments");
    let strange: Vec<&String> = theirs.iter().filter(|key| world.vault.get(key).unwrap().is_none()).collect();
    assert!(!strange.is_empty());
    for key in strange {
        put(&world, key, &other.vault.get(key).unwrap().unwrap());
    }
    goes_on(&mut world, &mut [&mut appliance]);
    assert_eq!(world.count("SELECT count(*) FROM incarnation"), before);
}

/// Entries are the exception: that log halts, and says which object it is. The server starts, the others go on.
#[test]
fn entries_that_somebody_put_there_in_advance_halt_that_log_alone_and_are_named() {
    for strange in [&b"mine"[..], b"", &[0, 3, 1, 2, 3]] {
        let mut world = World::new();
        let hill = world.tenant_named("Hill Clinic");
        let (mut appliance, mut neighbour) = (world.appliance(), world.appliance_at(&hill));
        let size = world.core.tenant(&world.tenant).unwrap().log_size;
        let key = format!("{}/entries/{size:010}", world.tenant);
        put(&world, &key, strange);
        world.restart();
        let halted = world.core.tenant(&world.tenant).unwrap().log_halted.unwrap();
        assert!(halted.contains(&key), "{halted}");
        is_halted(&mut world, &mut appliance);
        let beat = neighbour.heartbeat(world.now);
        world.send(&mut neighbour, vec![beat]);
        assert_eq!(world.core.tenant(&hill).unwrap().log_halted, None);
        let told = world.text("SELECT group_concat(what || detail) FROM timeline");
        assert!(told.contains(&key), "{told}");
    }
}
