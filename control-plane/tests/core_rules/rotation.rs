//! Rotation: a stolen online key is exchanged for good, and nothing stands still because of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use control_plane::{
    bundle::{self, verify::Integrity},
    ca::CertificateAuthority,
    core::{self, CoreError, export},
    store::{Document, Store},
    vault::Vault as _,
};
use proto::{
    act::{Act, Actor, Deed, Place},
    charter::Charter,
    digest::Digest,
    dsse,
    evidence::Verdict,
    identity::CertificateFacts,
    ids::TenantId,
    keys::SecretKey,
    log::pack,
    order::ORDER_TYPE,
    sync::Phase,
    time::Millis,
};
use runbooks::Policy;
use serde_json::{Value, json};

use crate::{
    appliance::{Appliance, open_order},
    issuer::Issuer,
    packets,
    world::{DAY, DISK, MINUTE, Memory, ORGANIZATION, START, World},
};

const NEW_ORDER: [u8; 32] = [22; 32];
const NEW_LOG: [u8; 32] = [32; 32];

/// Names these keys, by their seeds.
fn name(charter: &mut Charter, serial: u64, order: &[[u8; 32]], log: &[[u8; 32]]) {
    let public = |seeds: &[[u8; 32]]| seeds.iter().map(|seed| SecretKey::ed25519(*seed).public()).collect();
    charter.serial = serial;
    (charter.order_keys, charter.log_keys) = (public(order), public(log));
}

/// The server's key files are exchanged while it does not run.
fn exchange_keys(world: &mut World) {
    let before = world.safe.clone();
    world.safe = World::with(|safe| {
        safe.issuer = before.issuer.clone();
        safe.charter.certificate_authorities.clone_from(&before.charter.certificate_authorities);
        (safe.order, safe.log) = (NEW_ORDER, NEW_LOG);
        name(&mut safe.charter, 1, &[NEW_ORDER], &[NEW_LOG]);
    })
    .safe;
}

/// A box of a clinic in shadow mode, so that its policy says something of its own.
fn shadowed(world: &mut World) -> Appliance {
    let appliance = world.appliance();
    let (tenant, now) = (world.tenant.clone(), world.now);
    world.core.run(now, |core| core.shadow_tenant(&tenant, Some(now.plus(14 * DAY)), now)).unwrap();
    appliance
}

/// A box takes the new charter and the policy under it, is given orders, and its clinic's bundle verifies.
fn everything_goes_on(world: &mut World, appliance: &mut Appliance) {
    let serial = world.core.charter().serial;
    appliance.policy_serial = 2;
    let beat = appliance.heartbeat(world.now);
    let response = world.send(appliance, vec![beat]);
    assert!(!response.charter.is_empty());
    let policy = Policy::open(&response.policy, world.core.charter()).expect("by the new key").into_value();
    assert_eq!((policy.serial, policy.shadow_until), (3, Some(world.now.plus(14 * DAY))));
    (appliance.charter_serial, appliance.policy_serial) = (serial, 3);

    let (tenant, now) = (world.tenant.clone(), world.now);
    let changed = world.core.run(now, |core| core.shadow_tenant(&tenant, None, now)).unwrap();
    assert_eq!(changed.policy_serial, 4);
    appliance.policy_serial = 4;
    let beat = appliance.heartbeat(world.now);
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    let response = world.send(appliance, vec![beat, event]);
    assert_eq!(open_order(&response.orders[0], world.core.charter()).charter_serial, serial);

    let row = world.core.tenant(&tenant).unwrap();
    let store = Store::with(world.db.share()).unwrap();
    let later = world.now.plus(MINUTE);
    let parts = export::parts(&store, &row, world.core.charter(), None, later).unwrap();
    let report =
        bundle::verify::verify(&bundle::export::build(&parts).unwrap(), Some(&world.safe.trust), later);
    assert_eq!(report.exit_code(), 0, "{report}");
}

#[test]
fn stolen_keys_are_exchanged_through_a_charter_that_names_both() {
    let mut world = World::new();
    let mut appliance = shadowed(&mut world);
    let (order, log, now) = (world.safe.order, world.safe.log, world.now);
    let both = world.safe.charter(|charter| name(charter, 2, &[order, NEW_ORDER], &[log, NEW_LOG]));
    world.core.run(now, |core| core.publish_charter(&both, now)).unwrap();
    exchange_keys(&mut world);
    world.restart();
    assert_eq!(world.count("SELECT policy_serial FROM tenant"), 2, "the old signature holds as yet");
    let only = world.safe.charter(|charter| name(charter, 3, &[NEW_ORDER], &[NEW_LOG]));
    world.core.run(now, |core| core.publish_charter(&only, now)).unwrap();
    everything_goes_on(&mut world, &mut appliance);
    world.restart();
    assert_eq!(world.count("SELECT policy_serial FROM tenant"), 4, "what holds is left alone");
}

#[test]
fn stolen_keys_are_exchanged_at_once_while_the_server_is_down() {
    let mut world = World::new();
    let mut appliance = shadowed(&mut world);
    exchange_keys(&mut world);
    let only = world.safe.charter(|charter| name(charter, 2, &[NEW_ORDER], &[NEW_LOG]));
    core::seed(&Store::with(world.db.share()).unwrap(), Document::Charter, 2, &only, world.now).unwrap();
    world.restart();
    everything_goes_on(&mut world, &mut appliance);
}

/// Without a restart: whoever was away through all of it comes through, and what fails changes nothing.
#[test]
fn keys_are_exchanged_while_the_server_runs() {
    let mut world = World::with(|safe| safe.next = Some((NEW_ORDER, NEW_LOG)));
    let mut appliance = shadowed(&mut world);
    let (order, log, now) = (world.safe.order, world.safe.log, world.now);
    // What a clinic that is made now gets is signed by one of `keys`.
    let signed_by = |world: &mut World, clinic: &str, keys: [u8; 32]| {
        let id = world.tenant_named(clinic);
        let envelope = world.core.tenant(&id).unwrap().policy;
        let mut charter = world.core.charter().clone();
        charter.order_keys = [SecretKey::ed25519(keys).public()].into();
        Policy::open(&envelope, &charter).is_ok()
    };
    let strangers = world.safe.charter(|charter| name(charter, 2, &[[99; 32]], &[log]));
    assert!(world.core.run(now, |core| core.publish_charter(&strangers, now)).is_err());
    let both = world.safe.charter(|charter| name(charter, 2, &[order, NEW_ORDER], &[log, NEW_LOG]));
    // It was in force inside a command that came to nothing.
    let undone = world.core.run(now, |core| {
        core.publish_charter(&both, now)?;
        Err::<(), _>(CoreError::NotFound("nothing".into()))
    });
    assert!(undone.is_err() && signed_by(&mut world, "One", order));
    world.core.run(now, |core| core.publish_charter(&both, now)).unwrap();
    assert!(signed_by(&mut world, "Two", NEW_ORDER));
    assert_eq!(world.count("SELECT min(policy_serial) FROM tenant"), 1, "old signatures hold as yet");
    let only = world.safe.charter(|charter| name(charter, 3, &[NEW_ORDER], &[NEW_LOG]));
    world.core.run(now, |core| core.publish_charter(&only, now)).unwrap();
    // What the box goes by, which has the newest charter by then.
    exchange_keys(&mut world);
    everything_goes_on(&mut world, &mut appliance);
}

/// Boxes get certificates of the new authority with the charter that names it, and it alone counts once the old one is left out.
#[test]
fn certificate_authorities_are_exchanged_while_the_server_runs() {
    let create =
        |seed| Arc::new(CertificateAuthority::create(ORGANIZATION, START.minus(DAY), [seed; 16]).unwrap());
    let (next, stranger) = (create(8), create(7));
    let mut world = World::with(|safe| {
        let here = vec![next.clone(), safe.authority()];
        safe.issuer = Issuer::of(here, &safe.charter.certificate_authorities);
    });
    let (old, new) =
        (world.safe.charter.certificate_authorities[0].clone(), next.certificate_pem().to_owned());
    let authorities = world.safe.issuer.authorities.clone();
    let counts =
        || (authorities.named().issues.certificate_pem().to_owned(), authorities.named().all.clone());
    let charter = |world: &World, serial, names: &[&str]| {
        world.safe.charter(|charter| {
            charter.serial = serial;
            charter.certificate_authorities = names.iter().map(|pem| (*pem).to_owned()).collect();
        })
    };
    let publish = |world: &mut World, envelope: &[u8]| {
        let now = world.now;
        world.core.run(now, |core| core.publish_charter(envelope, now))
    };
    let by = |certificate: &[u8], pem: &String| {
        CertificateFacts::issued_by(certificate, std::slice::from_ref(pem)).is_ok()
    };
    let mut boxes = [world.appliance(), world.appliance()];
    // It would lock all boxes out.
    let lone = charter(&world, 2, &[stranger.certificate_pem()]);
    let refused = core::chain(&publish(&mut world, &lone).unwrap_err());
    assert!(refused.contains("certificate_authorities") && counts().1 == [old.clone()], "{refused}");
    // In force inside a command that came to nothing.
    let (both, now) = (charter(&world, 2, &[&old, &new]), world.now);
    let undone = world.core.run(now, |core| {
        core.publish_charter(&both, now)?;
        Err::<(), _>(CoreError::NotFound("nothing".into()))
    });
    assert!(undone.is_err() && counts() == (old.clone(), vec![old.clone()]));

    publish(&mut world, &both).unwrap();
    assert_eq!(counts(), (new.clone(), vec![old.clone(), new.clone()]));
    world.wait(4 * DAY);
    let asked = boxes.each_ref().map(Appliance::renew_request);
    for (appliance, asked) in boxes.iter_mut().zip(&asked) {
        assert!(by(&appliance.certificate, &old));
        let answer = world.renew(&appliance.certificate, asked).unwrap();
        assert_eq!(answer.charter, both, "the box knows of no new authority but by this");
        assert!(by(&answer.certificate, &new));
        appliance.certificate = answer.certificate;
        appliance.charter_serial = 2;
    }
    // A certificate that went out before must not be given again once nobody believes it.
    let mut late = world.enrolled();
    let request = late.renew_request();
    let only_old = charter(&world, 3, &[&old]);
    publish(&mut world, &only_old).unwrap();
    world.wait(4 * DAY);
    let first = world.renew(&late.certificate, &request).unwrap();
    assert!(by(&first.certificate, &old));
    let only_new = charter(&world, 4, &[&new]);
    publish(&mut world, &only_new).unwrap();
    assert_eq!(counts(), (new.clone(), vec![new.clone()]));
    let again = world.renew(&late.certificate, &request).unwrap();
    assert!(by(&again.certificate, &new) && again.charter == only_new);
    late.certificate = again.certificate;
    world.restart();
    assert_eq!(counts(), (new.clone(), vec![new.clone()]));

    let (row, later) = (world.core.tenant(&world.tenant).unwrap(), world.now.plus(MINUTE));
    let store = Store::with(world.db.share()).unwrap();
    let parts = export::parts(&store, &row, world.core.charter(), None, later).unwrap();
    let report =
        bundle::verify::verify(&bundle::export::build(&parts).unwrap(), Some(&world.safe.trust), later);
    // Enrolled under one, renewed under the other.
    assert_eq!((report.integrity, report.anchored), (Integrity::Sound, true), "{report}");
}

/// A row that nobody can read is one clinic's trouble.
#[test]
fn a_damaged_policy_keeps_nobody_else_from_the_new_key() {
    let mut world = World::new();
    let mut appliance = shadowed(&mut world);
    let hill = world.tenant_named("Hill Clinic");
    let damage = "UPDATE tenant SET policy = x'7b7d' WHERE id = ?1";
    world.db.share().execute(damage, [&hill]).unwrap();
    exchange_keys(&mut world);
    let only = world.safe.charter(|charter| name(charter, 2, &[NEW_ORDER], &[NEW_LOG]));
    core::seed(&Store::with(world.db.share()).unwrap(), Document::Charter, 2, &only, world.now).unwrap();
    world.restart();
    everything_goes_on(&mut world, &mut appliance);
}

/// Evidence is worth more than a fresh order: only what needs the key waits for it, and the incident says why.
#[test]
fn what_a_box_sends_is_taken_while_the_order_key_is_out_of_reach() {
    let away = Arc::new(AtomicBool::new(false));
    let mut world = World::with(|safe| safe.away = Some(away.clone()));
    let mut appliance = world.appliance();
    away.store(true, SeqCst);
    let beat = appliance.heartbeat(world.now);
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    let response = world.send(&mut appliance, vec![beat, event]);
    assert!(response.orders.is_empty() && !response.checkpoint.is_empty(), "{response:?}");
    assert_eq!(world.text("SELECT reason FROM incident"), "the order key cannot be used");
    assert_eq!(world.count("SELECT count(*) FROM \"order\""), 0);
    // What would have to be said anew to every box of the clinic is not done by halves.
    let (tenant, now) = (world.tenant.clone(), world.now);
    let changed = world.core.run(now, |core| core.shadow_tenant(&tenant, Some(now.plus(DAY)), now));
    assert!(matches!(changed, Err(CoreError::Signer(_))), "{changed:?}");
    away.store(false, SeqCst);
    world.wait(2 * MINUTE);
    let response = world.call(&mut appliance);
    assert_eq!(open_order(&response.orders[0], world.core.charter()).core.runbook.to_string(), "RB-DISK-002");
    assert_eq!(world.count("SELECT count(*) FROM act_waiting"), 0);
}

/// The keys are exchanged while the server is down: it starts again on this database.
fn exchanged(world: &mut World, database: Memory) {
    exchange_keys(world);
    let only = world.safe.charter(|charter| name(charter, 2, &[NEW_ORDER], &[NEW_LOG]));
    let store = Store::with(database.share()).unwrap();
    core::seed(&store, Document::Charter, 2, &only, world.now).unwrap();
    drop(store);
    world.restore(database).unwrap();
    assert_eq!(world.text("SELECT coalesce(group_concat(log_halted), '') FROM tenant"), "");
}

/// A paper as the control plane seals it.
fn paper(key: &str, says: &Value, by: &SecretKey) -> Vec<u8> {
    let payload = json!({ "key": key, "says": says }).to_string();
    dsse::seal("application/vnd.orderly.paper.v1+json", payload.as_bytes(), &[by])
}

/// Whoever has a key that was taken away, and can write to the vault, makes no clinic, no order and no packet.
#[test]
fn what_a_key_signs_that_was_taken_away_is_nothing_new() {
    let mut world = World::new();
    world.appliance();
    let stolen = world.safe.order;
    let copy = world.backup();
    exchanged(&mut world, copy);
    let (tenant, id) = (world.tenant.clone(), world.core.tenant(&world.tenant).unwrap().id);
    let month = packets::this_month(&world);
    world.now = month.end().plus(MINUTE);
    let (_, edition, _) = packets::make(&mut world, month);
    for (seed, ending, counts) in [(stolen, "", 0), (NEW_ORDER, ".1", 1)] {
        let (key, now) = (SecretKey::ed25519(seed), world.now);
        let clinic = format!("tenants/{}", TenantId::new(now, [seed[0]; 10]));
        let packet = format!("{tenant}/packets/{month}.json");
        let says = json!({ "name": "Phantom Clinic", "created": now });
        let order = dsse::seal(ORDER_TYPE, &seed, &[&key]);
        for (at, bytes) in [
            (clinic.clone(), paper(&clinic, &says, &key)),
            (format!("{packet}{ending}"), paper(&packet, &serde_json::to_value(&edition).unwrap(), &key)),
            (format!("{tenant}/orders/{}", Digest::of(&seed)), order),
        ] {
            world.vault.put(&at, &bytes, Millis(i64::MAX)).unwrap();
        }
        world.restart();
        assert_eq!(world.core.tenants().unwrap().len(), 1 + counts);
        assert_eq!(world.count("SELECT count(*) FROM order_paper"), counts as i64);
        assert_eq!(world.core.edition(id, month, now).unwrap().is_some(), counts == 1);
    }
}

/// A database from before all that, and from before the keys were exchanged.
#[test]
fn what_it_signed_in_its_time_comes_back() {
    let mut world = World::new();
    let (mut appliance, stolen) = (world.appliance(), world.appliance());
    let copy = world.backup();
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    let orders = world.send(&mut appliance, vec![event]).orders;
    let order = open_order(&orders[0], world.core.charter());
    appliance.order_high = order.sequence;
    let executed = appliance.executed(world.now, &order, Verdict::Repaired);
    world.send(&mut appliance, vec![executed]);
    let hill = world.tenant_named("Hill Clinic");
    world.appliance_at(&hill);
    let now = world.now;
    world.core.run(now, |core| core.revoke_appliance(&stolen.id().to_string(), "stolen", now)).unwrap();
    let month = packets::this_month(&world);
    world.now = month.end().plus(MINUTE);
    let (_, edition, files) = packets::make(&mut world, month);
    let (id, now) = (world.core.tenant(&world.tenant).unwrap().id, world.now);
    world.core.run(now, |core| core.keep_packet(id, month, edition.clone(), &files, now)).unwrap();

    exchanged(&mut world, copy);
    assert_eq!(world.core.tenants().unwrap().len(), 2);
    assert_eq!(world.count("SELECT count(*) FROM appliance WHERE state = 'revoked'"), 1);
    assert_eq!(world.count("SELECT count(*) FROM order_paper"), 1);
    assert_eq!(world.core.edition(id, month, now).unwrap(), Some((edition, None)));
    world.restart();
    let beat = appliance.heartbeat(world.now);
    assert!(world.send(&mut appliance, vec![beat]).quarantine.is_empty());
}

/// The log says itself that the key was taken away.
#[test]
fn no_act_by_it_follows_that_it_was_taken_away() {
    let mut world = World::new();
    world.appliance();
    let stolen = SecretKey::ed25519(world.safe.order);
    let copy = world.backup();
    exchanged(&mut world, copy);
    assert_eq!(world.text("SELECT kind FROM act ORDER BY number DESC LIMIT 1"), "charter");
    let row = world.core.tenant(&world.tenant).unwrap();
    let last = world.text("SELECT lower(hex(sha256)) FROM act ORDER BY number DESC LIMIT 1").parse().unwrap();
    let index = world.count("SELECT max(number) FROM act").cast_unsigned() + 1;
    let act = Act {
        chain: Place { index, previous: last },
        organization: ORGANIZATION.into(),
        tenant: row.id,
        at: world.now,
        charter_serial: 1,
        by: Actor::ControlPlane,
        deed: Deed::Closure {},
        record: None,
    };
    let entry = pack(&[act.seal(&stolen).unwrap()]).unwrap();
    let key = format!("{}/entries/{:010}", world.tenant, row.log_size);
    world.vault.put(&key, &entry, Millis(i64::MAX)).unwrap();
    world.restart();
    let halted = world.core.tenant(&world.tenant).unwrap().log_halted.unwrap();
    assert!(halted.contains("taken away before") && halted.contains(&key), "{halted}");
}
