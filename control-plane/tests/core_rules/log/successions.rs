//! A halted log is followed by another, by word of the organization's keys and of nobody else.

use control_plane::{access::Grant, bundle, core::export, store::Store};
use proto::{
    act::{Claim, Deed},
    dsse,
    log::{Hash, log_number},
    succession::{Cause, Succession},
};

use super::*;
use crate::telling::{over::news, usage::used};

const WAITING: &str = "waits";

/// Somebody puts something into the place of the next entries.
fn block(world: &World, log: &str) {
    let size = world.core.tenant(&world.tenant).unwrap().log_size;
    let key = format!("{}{log}/entries/{size:010}", world.tenant);
    world.vault.put(&key, b"mine", Millis(i64::MAX)).unwrap();
}

fn draft(world: &World) -> Succession {
    world.core.draft_succession(&world.tenant, Cause::VaultBlocked, None, world.now).unwrap().0
}

fn signed(world: &World, said: &Succession) -> Vec<u8> {
    let keys = &world.safe.organization;
    dsse::countersign(&said.seal(&[&keys[2]]), &keys[0]).unwrap()
}

fn succeed(world: &mut World, envelope: &[u8]) -> Result<u64, CoreError> {
    let now = world.now;
    world.core.run(now, |core| core.succeed(envelope, now)).map(|row| log_number(&row.log_origin))
}

/// A box with proven evidence, one record that is taken and not proven, and one that waits; its clinic's log is halted.
fn halted() -> (World, Appliance) {
    let mut world = World::new();
    let mut appliance = world.appliance();
    world.call(&mut appliance);
    let beat = appliance.heartbeat(world.now);
    let batch = appliance.freeze(vec![beat]);
    let asked = appliance.ask(Some(batch.clone()));
    world.exchange(&appliance, &asked).unwrap();
    appliance.acknowledged(&batch);
    assert_eq!(appliance.unproven.len(), 1, "its answer was lost");
    block(&world, "");
    world.restart();
    let (id, now) = (appliance.id().to_string(), world.now);
    world.core.run(now, |core| core.issue_operator_token(WAITING, Grant::everything(), HOUR, now)).unwrap();
    assert!(!id.is_empty() && world.text("SELECT log_halted FROM tenant").contains("entries"));
    (world, appliance)
}

/// The box is told, follows, and all that it has is proven in the end.
fn follows(world: &mut World, appliance: &mut Appliance, log: u64) {
    let asked = appliance.ask(None);
    let response = world.exchange(appliance, &asked).unwrap();
    assert!(
        response.checkpoint.is_empty() && response.inclusions.is_empty(),
        "of another log than it goes by"
    );
    appliance.follow(&world.safe.trust, &response);
    assert_eq!(appliance.log, log);
    let beat = appliance.heartbeat(world.now);
    let response = world.send(appliance, vec![beat]);
    assert!(response.succession.is_empty() && response.quarantine.is_empty(), "{}", response.quarantine);
    world.call(appliance);
    assert!(appliance.unproven.is_empty());
}

/// What an auditor is told of the newest log, or of one before.
fn report(world: &World, log: u64) -> bundle::verify::Report {
    let store = Store::with(world.db.share()).unwrap();
    let tenant = world.tenant.parse().unwrap();
    if log != 0 {
        assert!(store.look_at_log(tenant, log).unwrap());
    }
    let row = store.tenant(tenant).unwrap().unwrap();
    let now = world.now.plus(MINUTE);
    let parts = export::parts(&store, &row, world.core.charter(), None, now).unwrap();
    let bundle = bundle::export::build(&parts).unwrap();
    bundle::verify::verify(&bundle, Some(&world.safe.trust), now)
}

#[test]
fn what_was_used_is_counted_once_however_many_logs_there_are() {
    let (mut world, mut appliance) = halted();
    let before = used(&world, "2026-11");
    let envelope = signed(&world, &draft(&world));
    assert_eq!(succeed(&mut world, &envelope).unwrap(), 2);
    follows(&mut world, &mut appliance, 2);
    let after = used(&world, "2026-11");
    let all = world.count(
        "SELECT count(*) FROM (SELECT sha256 FROM evidence UNION SELECT sha256 FROM past_evidence
         UNION SELECT sha256 FROM act UNION SELECT sha256 FROM past_act)",
    );
    assert_eq!((after.appliances, after.active, after.evidence), (1, 1, all.cast_unsigned()));
    assert!(before.evidence < after.evidence && before.bytes < after.bytes, "{before:?} {after:?}");
    assert_eq!(used(&world, "2026-10").evidence, 0);
}

/// It hangs on a box because it must on some; that box has nothing to do with it.
#[test]
fn people_hear_that_a_halted_log_goes_on_and_not_before() {
    let (mut world, appliance) = halted();
    assert_eq!(news(&world, "log.halted"), "raised");
    let (id, now) = (appliance.id().to_string(), world.now);
    world.core.run(now, |core| core.revoke_appliance(&id, "stolen", now)).unwrap();
    assert_eq!(news(&world, "log.halted"), "raised");
    let envelope = signed(&world, &draft(&world));
    assert_eq!(succeed(&mut world, &envelope).unwrap(), 2);
    assert_eq!(news(&world, "log.halted"), "raised gone");
}

#[test]
fn a_halted_log_is_followed_and_nothing_is_lost() {
    let (mut world, mut appliance) = halted();
    let before = head(&world);
    let said = draft(&world);
    assert_eq!(said.old.size, before.0.cast_unsigned());
    let envelope = signed(&world, &said);
    assert_eq!(succeed(&mut world, &envelope).unwrap(), 2);
    assert_eq!(acts(&world), "succession access claim incident access", "how it began, and what had waited");
    follows(&mut world, &mut appliance, 2);
    assert_eq!(world.count("SELECT count(*) FROM evidence"), 2, "what was not proven, and what came since");
    assert_eq!(succeed(&mut world, &envelope).unwrap(), 2, "the same word again changes nothing");
    // Both logs hold, each by itself; the old one is as it was.
    let (old, new) = (report(&world, 1), report(&world, 0));
    assert_eq!((old.fault_count, new.fault_count), (0, 0), "{old}\n{new}");
    assert_eq!(old.log.as_ref().map(|log| log.size), Some(before.0.cast_unsigned()));
    let text = serde_json::to_string(&new).unwrap();
    assert!(text.contains("is not proven by this bundle") && text.contains("in another bundle"), "{text}");
    // And again, from a log that follows one already.
    block(&world, "/log-2");
    world.restart();
    let envelope = signed(&world, &draft(&world));
    assert_eq!(succeed(&mut world, &envelope).unwrap(), 3);
    follows(&mut world, &mut appliance, 3);
    assert_eq!(
        report(&world, 0).fault_count + report(&world, 2).fault_count + report(&world, 1).fault_count,
        0
    );
    // A box that was away all the while is told one after the other.
    let mut young = world.enrolled();
    for log in [2, 3] {
        let asked = young.ask(None);
        let response = world.exchange(&young, &asked).unwrap();
        young.follow(&world.safe.trust, &response);
        assert_eq!(young.log, log);
    }
    let records = vec![young.enrolment(world.now), young.heartbeat(world.now)];
    world.send(&mut young, records);
    world.call(&mut young);
    assert!(young.unproven.is_empty());
}

#[test]
fn a_database_from_a_backup_goes_by_the_successor_too() {
    let (mut world, mut appliance) = halted();
    let copy = world.backup();
    let envelope = signed(&world, &draft(&world));
    succeed(&mut world, &envelope).unwrap();
    follows(&mut world, &mut appliance, 2);
    let before = head(&world);
    world.restore(copy).unwrap();
    comes_back_in(&world, &before);
    world.call(&mut appliance);
    let beat = appliance.heartbeat(world.now);
    world.send(&mut appliance, vec![beat]);
    world.call(&mut appliance);
    assert!(appliance.unproven.is_empty());
    assert_eq!(report(&world, 0).fault_count, 0);
}

fn comes_back_in(world: &World, before: &(i64, String)) {
    assert!(acts(world).starts_with("succession "), "{}", acts(world));
    assert_eq!(world.text("SELECT coalesce(log_halted, '') FROM tenant"), "");
    comes_back(world, before);
}

/// The statement lies in the vault, and the power went before the database knew it.
#[test]
fn a_word_that_lies_in_the_vault_alone_is_followed_at_the_next_start() {
    let (mut world, mut appliance) = halted();
    let envelope = signed(&world, &draft(&world));
    let now = world.now;
    let undone = world.core.run(now, |core| {
        core.succeed(&envelope, now)?;
        Err::<(), _>(CoreError::Precondition("on second thoughts".into()))
    });
    assert!(undone.is_err());
    world.restart();
    assert_eq!(acts(&world).split(' ').next(), Some("succession"));
    follows(&mut world, &mut appliance, 2);
}

#[test]
fn only_the_organization_begins_another_log_and_only_in_the_place_of_a_halted_one() {
    let (mut world, _) = halted();
    let hill = world.tenant_named("Hill Clinic");
    let said = draft(&world);
    let keys = &world.safe.organization;
    let (order, log) = (SecretKey::ed25519(world.safe.order), SecretKey::ed25519(world.safe.log));
    for envelope in [
        said.seal(&[&keys[0]]),
        said.seal(&[&keys[0], &keys[0]]),
        said.seal(&[&keys[1], &order, &log, &world.safe.release[0], &world.safe.release[1]]),
    ] {
        assert!(matches!(succeed(&mut world, &envelope), Err(CoreError::Succession(_))));
        // Nor by lying in the vault.
        let key = format!("{}/successions/{}", world.tenant, Digest::of(&envelope));
        world.vault.put(&key, &envelope, Millis(i64::MAX)).unwrap();
    }
    world.restart();
    let refused = |world: &mut World, change: &dyn Fn(&mut Succession), why: &str| {
        let mut said = said.clone();
        change(&mut said);
        let envelope = signed(world, &said);
        match succeed(world, &envelope) {
            Err(CoreError::Precondition(says)) => assert!(says.contains(why), "{says}"),
            other => panic!("{why}: {other:?}"),
        }
    };
    refused(&mut world, &|said| said.old.size -= 1, "it names a head of");
    refused(&mut world, &|said| said.old.root = Digest([7; 32]), "it names a head of");
    // Of a clinic whose log goes on.
    let other = hill.parse().unwrap();
    refused(
        &mut world,
        &|said| {
            let old = proto::succession::NamedHead {
                origin: proto::log::log_origin(ORGANIZATION, other),
                ..said.old.clone()
            };
            *said = Succession::of(ORGANIZATION, other, old, said.cause, said.at).unwrap();
        },
        "goes on",
    );
    assert!(matches!(
        world.core.draft_succession(&hill, Cause::Other, None, world.now),
        Err(CoreError::Precondition(_))
    ));
    assert_eq!(world.count("SELECT count(*) FROM past_log"), 0);
    // A replay: what began the second log does not begin a third.
    let envelope = signed(&world, &said);
    succeed(&mut world, &envelope).unwrap();
    block(&world, "/log-2");
    world.restart();
    assert_eq!(succeed(&mut world, &envelope).unwrap(), 2);
    assert!(!world.text(&format!("SELECT log_halted FROM tenant WHERE id = '{}'", world.tenant)).is_empty());
}

/// A box had seen more than the server knows: the word must name it, or the box does not follow.
#[test]
fn a_larger_head_that_a_box_has_seen_can_be_named_before_and_after() {
    let (mut world, _) = halted();
    let mut larger = draft(&world);
    larger.old.size += 5;
    larger.old.root = Digest([9; 32]);
    let envelope = signed(&world, &larger);
    match succeed(&mut world, &envelope) {
        Err(CoreError::Precondition(says)) => assert!(says.contains("must be entries-lost"), "{says}"),
        other => panic!("nobody could show it: {other:?}"),
    }
    larger.cause = Cause::EntriesLost;
    let known = Head { size: larger.old.size, root: Hash([9; 32]) };
    let drawn =
        world.core.draft_succession(&world.tenant, Cause::EntriesLost, Some(known), world.now).unwrap().0;
    assert_eq!(drawn.old, larger.old);
    let first = signed(&world, &draft(&world));
    succeed(&mut world, &first).unwrap();
    let envelope = signed(&world, &larger);
    succeed(&mut world, &envelope).unwrap();
    assert!(matches!(succeed(&mut world, &first), Err(CoreError::Precondition(_))), "and never back");
    let mut appliance = world.enrolled();
    let asked = appliance.ask(None);
    let told = world.exchange(&appliance, &asked).unwrap().succession;
    assert_eq!(told, envelope);
    appliance.log = 2;
}

/// An act says it, the first of the new log; and what the vault has of the old one stays.
#[test]
fn the_first_entry_says_what_the_log_follows() {
    let (mut world, _) = halted();
    let kept = world.vault.list(&format!("{}/entries", world.tenant)).unwrap();
    let said = draft(&world);
    let envelope = signed(&world, &said);
    succeed(&mut world, &envelope).unwrap();
    let first = world.vault.get(&format!("{}/log-2/entries/{:010}", world.tenant, 0)).unwrap().unwrap();
    let entries = unpack(&first).unwrap();
    let act = Claim::read(entries[0]).unwrap().unwrap().verify(world.core.charter()).unwrap().into_value();
    let Deed::Succession { origin, size, root, cause, .. } = act.deed else { panic!("{:?}", act.deed) };
    assert_eq!((origin, size, root, cause), (said.old.origin, said.old.size, said.old.root, said.cause));
    assert_eq!(act.chain.index, 0);
    assert_eq!(world.vault.list(&format!("{}/entries", world.tenant)).unwrap(), kept);
}
