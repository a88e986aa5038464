//! Acts: what operators and the control plane did is in the log, with who wanted it, and cannot be left out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proto::{
    act::{Act, Actor, Change, Claim, Deed, End},
    evidence::Verdict,
    log::{pack, unpack},
    sync::{Gap, Phase, Record},
    time::Millis,
};

use control_plane::{
    access::{Grant, Principal},
    vault::{MemoryVault, Vault as _},
};

use crate::{
    vault::Guarded,
    world::{DISK, HOUR, MINUTE, World},
};

/// All acts of the clinic, verified as an auditor would, in the order of the log.
pub fn acts(world: &World) -> Vec<Act> {
    let (rows, _) = world.core.evidence(&world.tenant, 0, u32::MAX).unwrap();
    let acts = rows.into_iter().filter(|row| row.appliance.is_none());
    let charter = world.core.charter();
    acts.map(|row| Claim::read(&row.envelope).unwrap().unwrap().verify(charter).unwrap().into_value())
        .collect()
}

fn kinds(world: &World) -> Vec<&'static str> {
    acts(world).iter().map(|act| act.deed.kind()).collect()
}

#[test]
fn what_an_operator_does_is_logged_in_their_name() {
    let mut world = World::new();
    let appliance = world.appliance();
    let (tenant, id, now) = (world.tenant.clone(), appliance.id().to_string(), world.now);
    let alice = || Actor::Operator("alice".into());
    let by_alice = || Principal::token("alice".into(), "192.0.2.7".into(), Grant::everything());
    world
        .core
        .run(now, |core| {
            core.acting_as(by_alice(), "Tenants/Shadow", now, |core| {
                core.shadow_tenant(&tenant, Some(now.plus(HOUR)), now)?;
                core.set_windows(&tenant, &[], now)?;
                core.issue_operator_token("bob", Grant::everything(), Duration::from_secs(60), now)?;
                core.revoke_operator_token("bob", now)?;
                core.revoke_appliance(&id, "stolen, says Mrs Miller", now)
            })
        })
        .unwrap();
    let acts = acts(&world);
    let by_alice: Vec<_> = acts.iter().filter(|act| act.by == alice()).map(|act| act.deed.kind()).collect();
    assert_eq!(by_alice, ["policy", "policy", "access", "access-end", "revocation"]);
    let by_others: Vec<_> =
        acts.iter().filter(|act| act.by != alice()).map(|act| (act.deed.kind(), act.by.clone())).collect();
    assert_eq!(by_others, [("ticket", Actor::ControlPlane), ("claim", Actor::ControlPlane)]);
    assert!(matches!(&acts[2].deed, Deed::Policy { change: Change::Shadow, serial: 2, .. }));
    // Free text of people stays out of what nobody can clean.
    let (rows, _) = world.core.evidence(&tenant, 0, 0).unwrap();
    assert!(!rows.iter().any(|row| String::from_utf8_lossy(&row.envelope).contains("Miller")));
    // In one chain, each after the one before.
    for (n, pair) in acts.windows(2).enumerate() {
        assert_eq!(pair[1].chain.index, n as u64 + 1);
    }
    // Tokens and charters are of every clinic.
    let hill = world.tenant_named("Hill Clinic");
    world
        .core
        .run(now, |core| {
            core.issue_operator_token("carol", Grant::everything(), Duration::from_secs(60), now)
        })
        .unwrap();
    assert_eq!(world.core.evidence(&hill, 0, 0).unwrap().0[0].kind, "access");
}

#[test]
fn a_command_that_fails_leaves_no_act() {
    let mut world = World::new();
    let (tenant, now) = (world.tenant.clone(), world.now);
    let before = world.core.evidence(&tenant, 0, 0).unwrap().1;
    assert!(
        world
            .core
            .run(now, |core| {
                core.set_windows(&tenant, &[], now)?;
                core.set_windows(&tenant, &["never".into()], now)
            })
            .is_err()
    );
    world.core.run(now, |core| core.tenants()).unwrap();
    assert_eq!(world.core.evidence(&tenant, 0, 0).unwrap().1, before);
}

#[test]
fn incidents_and_gaps_are_logged_in_known_words_alone() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let raised = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    let made_up = appliance.event(world.now, "john.miller-1970", "mrn-4711", Phase::Raised);
    let about_itself = appliance.event(world.now, "mary.miller", "appliance", Phase::Raised);
    world.send(&mut appliance, vec![raised, made_up, about_itself]);
    let order = appliance.newest_order();
    let executed = appliance.executed(world.now, &order, Verdict::Repaired);
    let gap =
        |cause: &str| Record::Gap(Gap { cause: cause.into(), dropped: 3, first: world.now, last: world.now });
    let records = vec![executed, gap("buffer-full"), gap("MRN 4711")];
    world.send(&mut appliance, records);
    let words: Vec<String> = acts(&world)
        .iter()
        .filter_map(|act| match &act.deed {
            Deed::Incident { fault, watch, end, .. } => {
                Some(format!("{fault} {} {end}", watch.as_ref().map_or("-", |watch| watch.as_str())))
            }
            Deed::Gap { cause, amount, .. } => Some(format!("{cause} {amount}")),
            _ => None,
        })
        .collect();
    let resolved = format!("{DISK} uploads {}", End::Resolved);
    assert_eq!(words, ["other - escalated", "other - escalated", &resolved, "buffer-full 3", "other 3"]);
}

/// Evidence and what it called for are one append: read back from the vault, nothing is said twice or lost.
#[test]
fn what_is_read_back_brings_its_acts_along_once() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let raised = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    world.send(&mut appliance, vec![raised]);
    let copy = world.backup();
    let order = appliance.newest_order();
    let executed = appliance.executed(world.now, &order, Verdict::Repaired);
    world.send(&mut appliance, vec![executed]);
    let before = kinds(&world);
    assert_eq!(before, ["ticket", "claim", "incident"]);
    world.restore(copy).unwrap();
    assert_eq!(kinds(&world), ["ticket", "claim", "incident", "restore"]);
}

#[test]
fn an_act_that_somebody_else_signed_or_moved_halts_the_log() {
    for forge in [0, 1, 2] {
        let mut world = World::new();
        world.appliance();
        let genuine = acts(&world)[1].clone();
        let mut act = Act {
            chain: world_next(&world),
            deed: Deed::AccessEnd { name: "eve".into() },
            record: None,
            by: Actor::Console,
            ..genuine
        };
        let mut key = proto::keys::SecretKey::ed25519(world.safe.order);
        match forge {
            0 => key = proto::keys::SecretKey::ed25519([77; 32]),
            1 => act.chain.index += 1,
            _ => act.tenant = proto::ids::TenantId::new(world.now, [7; 10]),
        }
        let size = world.core.evidence(&world.tenant, 0, 0).unwrap().1;
        let place = format!("{}/entries/{size:010}", world.tenant);
        let forged = pack(&[act.seal(&key).unwrap()]).unwrap();
        world.vault.put(&place, &forged, Millis(i64::MAX)).unwrap();
        world.restart();
        let halted = world.text("SELECT coalesce(log_halted, '') FROM tenant");
        assert!(halted.contains("cannot be read back"), "{forge}: {halted}");
    }
}

fn world_next(world: &World) -> proto::act::Place {
    let store = control_plane::store::Store::with(world.db.share()).unwrap();
    store.next_act(world.tenant.parse().unwrap()).unwrap()
}

/// A halted log takes nothing, and yet a stolen box must be shut out; the act waits.
#[test]
fn a_halted_log_does_not_keep_a_box_from_being_revoked() {
    let mut world = World::new();
    let appliance = world.appliance();
    let size = world.core.evidence(&world.tenant, 0, 0).unwrap().1;
    let place = format!("{}/entries/{size:010}", world.tenant);
    world.vault.put(&place, &[1, 2, 3], Millis(i64::MAX)).unwrap();
    world.restart();
    assert!(!world.text("SELECT coalesce(log_halted, '') FROM tenant").is_empty());
    let (id, now) = (appliance.id().to_string(), world.now.plus(MINUTE));
    world.core.run(now, |core| core.revoke_appliance(&id, "stolen", now)).unwrap();
    assert_eq!(world.text("SELECT state FROM appliance"), "revoked");
    assert_eq!(world.core.evidence(&world.tenant, 0, 0).unwrap().1, size);
    assert!(world.text("SELECT group_concat(deed) FROM act_waiting").contains("revocation"));
}

/// One append is one object of the vault, evidence and acts alike.
#[test]
fn an_append_is_one_object() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let objects = || world.vault.list(&format!("{}/entries", world.tenant)).unwrap();
    let before = objects().len();
    let beats = (0..20).map(|_| appliance.heartbeat(world.now)).collect();
    let vault = world.vault.clone();
    world.send(&mut appliance, beats);
    let after = vault.list(&format!("{}/entries", world.tenant)).unwrap();
    assert_eq!(after.len(), before + 1);
    let packed = vault.get(after.last().unwrap()).unwrap().unwrap();
    assert_eq!(unpack(&packed).unwrap().len(), 20);
}

/// What keeps people safe is done though the vault is away: the act waits, and is logged when the vault is back.
#[test]
fn acts_wait_for_their_vault() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let away = Arc::new(AtomicBool::new(true));
    let mut twin = world.twin(Guarded::fragile(&world.vault, "", &away));
    let (tenant, now) = (world.tenant.clone(), world.now);
    twin.core.run(now, |core| core.set_windows(&tenant, &[], now)).unwrap();
    let event = appliance.event(now, "odd.fault", "uploads", Phase::Raised);
    let batch = appliance.freeze(vec![event]);
    let asked = appliance.ask(Some(batch));
    assert!(twin.exchange(&appliance, &asked).unwrap().ack.is_some(), "a person can still be told");
    assert_eq!(twin.text("SELECT state FROM incident"), "escalated");
    assert_eq!((kinds(&twin).len(), twin.count("SELECT count(*) FROM act_waiting")), (2, 2));
    // Evidence is another matter.
    appliance.acknowledged(appliance.unacknowledged.clone().as_ref().unwrap());
    let beat = appliance.heartbeat(now);
    let batch = appliance.freeze(vec![beat]);
    let asked = appliance.ask(Some(batch));
    assert!(twin.exchange(&appliance, &asked).is_err(), "nothing is acknowledged that is not stored twice");
    away.store(false, Ordering::SeqCst);
    twin.core.run(now, |core| core.watch(now)).unwrap();
    assert_eq!(kinds(&twin), ["ticket", "claim", "policy", "incident"]);
    assert_eq!(twin.count("SELECT count(*) FROM act_waiting"), 0);
}

/// The paper of an enrolment came into the vault, its act did not: it is made up for.
#[test]
fn a_claim_that_was_cut_off_is_made_up_for() {
    let mut world = World::new();
    let empty = world.backup();
    let appliance = world.appliance();
    let id = appliance.id().to_string();
    let papers = MemoryVault::default();
    for key in world.vault.list("").unwrap() {
        if key.contains("/enrolments/") || key.starts_with("tenants") {
            papers.put(&key, &world.vault.get(&key).unwrap().unwrap(), Millis(i64::MAX)).unwrap();
        }
    }
    // Only the papers are there, and a database from before.
    world.vault = papers;
    world.restore(empty).unwrap();
    let tenants: Vec<String> =
        world.core.tenants().unwrap().into_iter().map(|row| row.id.to_string()).collect();
    let logged: Vec<String> = tenants
        .iter()
        .flat_map(|tenant| world.core.evidence(tenant, 0, 0).unwrap().0)
        .map(|row| row.summary)
        .collect();
    assert_eq!(logged, [format!("appliance {id} was claimed")]);
    world.restart();
    assert_eq!(world.count("SELECT count(*) FROM act"), 1, "and once");
}

/// A charter that only the vault has is what an act in the log may have been signed under.
#[test]
fn a_charter_comes_back_from_the_vault() {
    let mut world = World::new();
    world.appliance();
    let now = world.now;
    let second = world.safe.charter(|charter| charter.serial = 2);
    world.core.run(now, |core| core.publish_charter(&second, now)).unwrap();
    assert_eq!(world.text("SELECT kind FROM act WHERE number = 2"), "charter");
    let third = world.safe.charter(|charter| charter.serial = 3);
    world.core.run(now, |core| core.publish_charter(&third, now)).unwrap();
    world.db.share().execute("DELETE FROM document WHERE kind = 'charter' AND serial = 2", []).unwrap();
    world.restart();
    assert_eq!(world.count("SELECT count(*) FROM document WHERE kind = 'charter'"), 3);
}

/// A clinic that is new does not know who had access before it: its log says so, and an access ends once.
#[test]
fn a_new_clinics_log_says_who_has_access_and_an_access_ends_once() {
    let mut world = World::new();
    let now = world.now;
    for name in ["alice", "bob", "gone"] {
        world.core.run(now, |core| core.issue_operator_token(name, Grant::everything(), HOUR, now)).unwrap();
    }
    world.core.run(now, |core| core.revoke_operator_token("gone", now)).unwrap();
    world.now = now.plus(MINUTE);
    let hill = world.tenant_named("Hill Clinic");
    let said = |world: &World, kind: &str| {
        world.text(&format!(
            "SELECT coalesce(group_concat(summary, '; '), '') FROM
               (SELECT summary FROM act WHERE tenant = '{hill}' AND kind = '{kind}' ORDER BY number)"
        ))
    };
    let until = now.plus(HOUR);
    assert_eq!(
        said(&world, "access"),
        format!("alice was given access until {until}; bob was given access until {until}")
    );
    for _ in 0..3 {
        let now = world.now;
        world.core.run(now, |core| core.revoke_operator_token("bob", now)).unwrap();
    }
    assert_eq!(said(&world, "access-end"), "the access of bob was taken back");
    world.restart();
    assert_eq!(said(&world, "access").matches("alice").count(), 1);
    // What is in force and not the first of its kind is said as well.
    let charter = world.safe.charter(|charter| charter.serial = 2);
    let now = world.now;
    world.core.run(now, |core| core.publish_charter(&charter, now)).unwrap();
    let lake = world.tenant_named("Lake Clinic");
    let in_force = format!("SELECT count(*) FROM act WHERE tenant = '{lake}' AND kind = 'charter'");
    assert_eq!(world.count(&in_force), 1);
}
