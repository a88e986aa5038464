//! What owners do about people, and what logs, trail and vault say of it. Without a door.

use std::time::Duration;

use control_plane::{
    access::{Grant, PersonState, Principal, Role, Scope, SessionKind},
    core::{
        Core, CoreError,
        people::{Invitee, NewPasskey, Proof},
    },
};
use proto::{act::Actor, digest::Digest, pb::ReviewAccess, time::Millis};

use crate::world::{DAY, HOUR, World, bad_field, denied};

fn invitee(name: &str, grant: Grant) -> Invitee {
    Invitee { name: name.into(), email: String::new(), grant }
}

fn invite(world: &mut World, name: &str, grant: Grant) -> String {
    let now = world.now;
    world.core.run(now, |core| core.invite(invitee(name, grant), HOUR, now)).unwrap().1.secret
}

/// A passkey that nobody shows: the door verifies, the core keeps.
fn passkey(id: u8) -> NewPasskey {
    NewPasskey { id: vec![id; 32], label: "Laptop".into(), credential: "as the crate writes it".into() }
}

fn acts(world: &World, tenant: &str, kind: &str) -> String {
    world.text(&format!(
        "SELECT coalesce(group_concat(summary, '; '), '') FROM
           (SELECT summary FROM act WHERE tenant = '{tenant}' AND kind = '{kind}' ORDER BY number)"
    ))
}

#[test]
fn people_and_tokens_share_one_set_of_names() {
    let mut world = World::new();
    let now = world.now;
    invite(&mut world, "alice", Grant::everything());
    world.core.run(now, |core| core.issue_operator_token("ci", Grant::everything(), DAY, now)).unwrap();
    let token = world.core.run(now, |core| core.issue_operator_token("alice", Grant::everything(), DAY, now));
    assert!(matches!(token, Err(CoreError::Exists(_))));
    let person = world.core.run(now, |core| core.invite(invitee("ci", Grant::everything()), HOUR, now));
    assert!(matches!(person, Err(CoreError::Exists(_))));
    world.core.run(now, |core| core.end_person("alice", now)).unwrap();
    let again = world.core.run(now, |core| core.invite(invitee("alice", Grant::everything()), HOUR, now));
    assert!(matches!(again, Err(CoreError::Precondition(_))), "acts still call somebody so");
    let console = Actor::Console.to_string();
    for (name, email, valid, field) in [
        ("", "", HOUR, "name"),
        (console.as_str(), "", HOUR, "name"),
        ("a\nb", "", HOUR, "name"),
        (" bob", "", HOUR, "name"),
        ("bob", "bob", HOUR, "email"),
        ("bob", "", Duration::ZERO, "valid_hours"),
        ("bob", "", DAY * 31, "valid_hours"),
    ] {
        let asked = Invitee { name: name.into(), email: email.into(), grant: Grant::everything() };
        let made = world.core.run(now, |core| core.invite(asked, valid, now).map(drop));
        assert_eq!(bad_field(made), field, "{name:?}");
    }
}

#[test]
fn logs_in_sight_say_who_came_and_went_and_the_trail_says_all() {
    let mut world = World::new();
    let (here, elsewhere, now) = (world.tenant.clone(), world.tenant_named("Hill Clinic"), world.now);
    let clinic = |world: &World, id: &str| Scope::Tenant(world.core.tenant(id).unwrap().id);
    let first = Grant { role: Role::Technician, scope: clinic(&world, &here) };
    let second = Grant { role: Role::Technician, scope: clinic(&world, &elsewhere) };
    let owner = Principal::person("olga".into(), "192.0.2.1".into(), Grant::everything(), true);
    let as_owner = |world: &mut World, grant: Grant| {
        world
            .core
            .run(now, |core| {
                core.acting_as(owner.clone(), "People/Invite", now, |core| {
                    core.invite(invitee("bob", grant), HOUR, now).map(drop)
                })
            })
            .unwrap();
    };
    as_owner(&mut world, first);
    assert_eq!(
        (acts(&world, &here, "access"), acts(&world, &elsewhere, "access")),
        ("bob was given access".into(), String::new())
    );
    as_owner(&mut world, second);
    assert_eq!(acts(&world, &here, "access-end"), "the access of bob was taken back");
    assert_eq!(acts(&world, &elsewhere, "access"), "bob was given access");
    world
        .core
        .run(now, |core| {
            core.acting_as(owner.clone(), "People/End", now, |core| core.end_person("bob", now).map(drop))
        })
        .unwrap();
    assert_eq!(acts(&world, &elsewhere, "access-end"), "the access of bob was taken back");
    let trail = world.core.trail("", None, 0).unwrap();
    let ended: serde_json::Value = serde_json::from_str(&trail[0].record).unwrap();
    assert_eq!((&ended["by"], &ended["from"]), (&"olga".into(), &"192.0.2.1".into()));
    assert_eq!(ended["changes"][0]["before"]["ended"], false);
    assert_eq!(ended["changes"][0]["after"]["ended"], true);
    // A clinic that comes later learns who sees it.
    invite(&mut world, "alice", Grant::everything());
    let lake = world.tenant_named("Lake Clinic");
    assert_eq!(acts(&world, &lake, "access"), "alice was given access");
}

#[test]
fn the_last_owner_who_can_sign_in_stays_but_for_the_console() {
    let mut world = World::new();
    let now = world.now;
    let come = |world: &mut World, name: &str, id: u8| {
        let link = Proof::Invitation(invite(world, name, Grant::everything()));
        world.core.run(now, |core| core.add_passkey(&link, passkey(id), "x", now)).map(drop).unwrap();
    };
    let as_olga = |world: &mut World, command: fn(&mut Core, Millis) -> Result<(), CoreError>| {
        let olga = Principal::person("olga".into(), "192.0.2.1".into(), Grant::everything(), true);
        world.core.run(now, |core| core.acting_as(olga, "a call", now, |core| command(core, now)))
    };
    let lesser = |core: &mut Core, now| {
        let grant = Grant { role: Role::Operator, scope: Scope::Organization };
        core.invite(invitee("olga", grant), HOUR, now).map(drop)
    };
    let review = |core: &mut Core, now| {
        let end = ["olga".to_owned(), "bob".to_owned()].into();
        core.review_access(&ReviewAccess { confirm: true, keep: Vec::new(), end }, now).map(drop)
    };
    come(&mut world, "olga", 1);
    let link = Proof::Invitation(invite(&mut world, "bob", Grant::everything()));
    for command in [|core: &mut Core, now| core.end_person("olga", now).map(drop), lesser, review] {
        let refused = as_olga(&mut world, command);
        assert!(
            matches!(&refused, Err(CoreError::Precondition(why)) if why.contains("last owner")),
            "{refused:?}"
        );
    }
    assert_eq!(world.core.person_called("olga").unwrap().grant, Grant::everything());
    world.core.run(now, |core| core.add_passkey(&link, passkey(2), "x", now)).map(drop).unwrap();
    as_olga(&mut world, |core, now| core.end_person("bob", now).map(drop)).unwrap();
    come(&mut world, "carol", 3);
    as_olga(&mut world, lesser).unwrap();
    world.core.run(now, |core| core.end_person("carol", now)).unwrap();
}

#[test]
fn whoever_is_invited_again_begins_anew() {
    let mut world = World::new();
    let now = world.now;
    let first = Proof::Invitation(invite(&mut world, "alice", Grant::everything()));
    let was = world.core.run(now, |core| core.add_passkey(&first, passkey(1), "x", now)).unwrap();
    let again = Proof::Invitation(invite(&mut world, "alice", Grant::everything()));
    let holds = |world: &mut World, session: &str| {
        world.core.run(now, |core| core.full_session(session, now).map(drop)).is_ok()
    };
    assert!(holds(&mut world, &was.session), "a link that nobody has used ends nothing");
    let is = world.core.run(now, |core| core.add_passkey(&again, passkey(2), "x", now)).unwrap();
    assert!(!holds(&mut world, &was.session) && holds(&mut world, &is.session));
    assert!(is.codes.len() == was.codes.len() && is.codes.iter().all(|code| !was.codes.contains(code)));
    assert_eq!(world.count("SELECT count(*) FROM passkey"), 1);
}

#[test]
fn a_review_leaves_no_person_out_and_ends_whom_it_names() {
    let mut world = World::new();
    let now = world.now;
    let link = invite(&mut world, "alice", Grant::everything());
    invite(&mut world, "bob", Grant::everything());
    let (here, other) = (world.tenant.clone(), Proof::Invitation(link));
    let session = world.core.run(now, |core| core.add_passkey(&other, passkey(1), "x", now)).unwrap().session;
    world.core.run(now, |core| core.issue_operator_token("ci", Grant::everything(), DAY, now)).unwrap();
    let review = |keep: &[&str], end: &[&str]| ReviewAccess {
        confirm: true,
        keep: keep.iter().map(|name| (*name).to_owned()).collect(),
        end: end.iter().map(|name| (*name).to_owned()).collect(),
    };
    let forgotten = review(&["ci", "bob"], &[]);
    assert_eq!(bad_field(world.core.run(now, |core| core.review_access(&forgotten, now).map(drop))), "keep");
    let access =
        world.core.run(now, |core| core.review_access(&review(&["ci", "bob"], &["alice"]), now)).unwrap();
    assert_eq!(access.people.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["bob"]);
    assert_eq!(acts(&world, &here, "access-review"), "access was reviewed: 2 kept, 1 ended");
    denied(world.core.run(now, |core| core.session(&session, now)));
}

#[test]
fn a_clinic_that_leaves_takes_its_people_along() {
    let mut world = World::new();
    let (here, now) = (world.tenant.clone(), world.now);
    let row = world.core.tenant(&here).unwrap();
    invite(&mut world, "theirs", Grant { role: Role::Auditor, scope: Scope::Tenant(row.id) });
    invite(&mut world, "ours", Grant::everything());
    world.core.run(now, |core| core.offboard_tenant(&here, &row.name, "moved", now)).unwrap();
    let states: Vec<_> = world.core.people().unwrap().into_iter().map(|row| (row.name, row.state)).collect();
    assert_eq!(states, [("ours".into(), PersonState::Invited), ("theirs".into(), PersonState::Ended)]);
}

#[test]
fn a_database_from_a_backup_lets_nobody_in_who_was_shut_out() {
    let mut world = World::new();
    let now = world.now;
    let [alice, bob, _] = [("alice", 1), ("bob", 2), ("carol", 4)].map(|(name, id)| {
        let link = Proof::Invitation(invite(&mut world, name, Grant::everything()));
        world.core.run(now, |core| core.add_passkey(&link, passkey(id), "x", now)).unwrap().session
    });
    let again = Proof::Session(bob);
    let bob = world.core.run(now, |core| core.add_passkey(&again, passkey(3), "x", now)).unwrap().session;
    let link = invite(&mut world, "bob", Grant::everything());
    let copy = world.backup();
    world.core.run(now, |core| core.end_person("alice", now)).unwrap();
    let lesser = Grant { role: Role::Auditor, scope: Scope::Organization };
    invite(&mut world, "carol", lesser);
    world.core.run(now, |core| core.remove_passkey(&bob, &[2; 32], "x", now)).unwrap();
    world.restore(copy).unwrap();
    assert_eq!(world.count("SELECT count(*) FROM recovery_code"), 0, "some may have been used since");
    denied(world.core.run(now, |core| core.session(&alice, now)));
    assert!(world.core.passkey(&[1; 32]).unwrap().is_none());
    assert!(world.core.passkey(&[2; 32]).unwrap().is_none(), "it was removed since");
    assert!(world.core.passkey(&[3; 32]).unwrap().is_some());
    assert!(world.core.passkey(&[4; 32]).unwrap().is_none(), "what its owner may do was changed since");
    assert_eq!(world.core.person_called("carol").unwrap().state, PersonState::Invited);
    // Invited anew, if need be as what she was, she stays so at the next start.
    let anew = Proof::Invitation(invite(&mut world, "carol", Grant::everything()));
    world.core.run(now, |core| core.add_passkey(&anew, passkey(5), "x", now)).map(drop).unwrap();
    // Sessions may have ended and links been used since.
    denied(world.core.run(now, |core| core.session(&bob, now)));
    assert!(world.core.invited(&link, now).unwrap().is_none());
    world.restart();
    assert_eq!(world.count("SELECT count(*) FROM passkey"), 2);
    assert_eq!(world.core.person_called("carol").unwrap().grant, Grant::everything());
}

#[test]
fn the_first_owner_comes_by_the_link_of_init_and_only_the_first() {
    let mut world = World::new();
    let now = world.now;
    let hash = Digest::of(b"secret");
    let take = |world: &mut World, until| {
        world.core.run(now, |core| core.first_owner("owner", hash, until, now)).unwrap()
    };
    assert!(!take(&mut world, now), "too late");
    assert!(take(&mut world, now.plus(HOUR)));
    assert!(!take(&mut world, now.plus(HOUR)), "there is somebody");
    let proof = Proof::Invitation("secret".into());
    let entered = world.core.run(now, |core| core.add_passkey(&proof, passkey(1), "x", now)).unwrap();
    assert_eq!((entered.person.name.as_str(), entered.person.grant), ("owner", Grant::everything()));
    assert_eq!(world.core.session(&entered.session, now).unwrap().0.kind, SessionKind::Full);
}
