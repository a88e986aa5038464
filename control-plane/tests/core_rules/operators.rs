//! What operators ask for: every refused input names its field, and one clinic's lists never show another's things.

use std::time::Duration;

use control_plane::{
    access::Grant,
    core::{Core, CoreError, admin::Token, people::Invitee},
};
use proto::{charter::CharterError, dsse, keys::SecretKey, sync::Phase};
use runbooks::{Catalogue, CatalogueError};

use crate::world::{DAY, DISK, HOUR, MINUTE, START, World, bad_field, denied, shipped};

fn not_found<T>(outcome: Result<T, CoreError>) -> String {
    match outcome {
        Err(CoreError::NotFound(what)) => what,
        Err(other) => panic!("must not be found, says: {other}"),
        Ok(_) => panic!("must not be found, was"),
    }
}

fn exists<T>(outcome: Result<T, CoreError>) -> String {
    match outcome {
        Err(CoreError::Exists(what)) => what,
        Err(other) => panic!("must exist, says: {other}"),
        Ok(_) => panic!("must exist, was made"),
    }
}

#[test]
fn names_are_plain_short_their_own_and_never_somebody_elses_id() {
    let mut world = World::new();
    let (tenant, now) = (world.tenant.clone(), world.now);
    for name in ["", "a\nb", "\u{1b}[31m", &"x".repeat(101), tenant.as_str()] {
        let made = world.core.run(now, |core| core.create_tenant(name, now).map(drop));
        assert_eq!(bad_field(made), "name", "{name:?}");
        let made = world.core.run(now, |core| core.create_site(&tenant, name, now).map(drop));
        assert_eq!(bad_field(made), "name", "{name:?}");
    }
    assert!(
        exists(world.core.run(now, |core| core.create_tenant("Riverside Dental", now))).contains("Riverside")
    );
    assert!(
        exists(world.core.run(now, |core| core.create_site(&tenant, "Main St", now))).contains("Main St")
    );
    world.core.run(now, |core| core.create_tenant(&"ü".repeat(50), now)).unwrap();
    assert_eq!(world.core.tenants().unwrap().len(), 2);
}

#[test]
fn a_name_that_looks_like_another_is_taken_and_one_with_unseen_letters_is_none() {
    let mut world = World::new();
    let (tenant, now) = (world.tenant.clone(), world.now);
    let issue = |core: &mut Core, name: &str| {
        core.issue_operator_token(name, Grant::everything(), DAY, now).map(drop)
    };
    let invite = |core: &mut Core, name: &str| {
        let invitee = Invitee { name: name.into(), email: String::new(), grant: Grant::everything() };
        core.invite(invitee, HOUR, now).map(drop)
    };
    world.core.run(now, |core| issue(core, "ci").and_then(|()| invite(core, "alice"))).unwrap();
    for unseen in ["Riverside\u{200b} Dental", "\u{202e}latneD edisreviR", "Main\u{ad} St", "ali\u{2060}ce"] {
        for made in [
            world.core.run(now, |core| core.create_tenant(unseen, now).map(drop)),
            world.core.run(now, |core| core.create_site(&tenant, unseen, now).map(drop)),
            world.core.run(now, |core| issue(core, unseen)),
            world.core.run(now, |core| invite(core, unseen)),
        ] {
            assert_eq!(bad_field(made), "name", "{unseen:?}");
        }
    }
    for alike in
        ["riverside dental", "Riverside  Dental", "Ｒｉｖｅｒｓｉｄｅ Dental", "RIVERSIDE\u{a0}DENTAL"]
    {
        exists(world.core.run(now, |core| core.create_tenant(alike, now)));
    }
    for alike in ["MAIN ST", "Main Sｔ", " Main St"] {
        exists(world.core.run(now, |core| core.create_site(&tenant, alike, now)));
    }
    for alike in ["Alice", "CI", "ａlice", "ALICE"] {
        exists(world.core.run(now, |core| issue(core, alike)));
        exists(world.core.run(now, |core| invite(core, alike)));
    }
    assert_eq!(bad_field(world.core.run(now, |core| invite(core, "Control  Plane"))), "name");
}

#[test]
fn what_is_not_there_is_named() {
    let mut world = World::new();
    let (tenant, now) = (world.tenant.clone(), world.now);
    assert!(not_found(world.core.tenant("Hill")).contains("\"Hill\""));
    assert!(not_found(world.core.sites("Hill")).contains("\"Hill\""));
    assert!(not_found(world.core.appliances("Hill")).contains("\"Hill\""));
    assert!(not_found(world.core.incidents("Hill", "", 0)).contains("\"Hill\""));
    assert!(not_found(world.core.orders("Hill", 0)).contains("\"Hill\""));
    assert!(not_found(world.core.evidence("Hill", 0, 0)).contains("\"Hill\""));
    let token =
        world.core.run(now, |core| core.issue_enrolment_token(&tenant, "Side St", HOUR, now).map(drop));
    assert!(not_found(token).contains("\"Side St\""));
    let nobody = "0190a0c0-0000-7000-8000-000000000001";
    assert!(not_found(world.core.incident(nobody)).contains(nobody));
    assert!(
        not_found(world.core.run(now, |core| core.revoke_appliance(nobody, "lost", now))).contains(nobody)
    );
    assert!(not_found(world.core.run(now, |core| core.revoke_operator_token("ci", now))).contains("\"ci\""));
}

#[test]
fn ids_states_and_reasons_are_checked() {
    let mut world = World::new();
    let (id, now) = (world.appliance().id().to_string(), world.now);
    assert_eq!(bad_field(world.core.incident("x")), "id");
    assert_eq!(bad_field(world.core.incident(&id.to_uppercase())), "id");
    assert_eq!(bad_field(world.core.incidents("", "done", 0)), "state");
    let revoke = |world: &mut World, id: &str, reason: &str| {
        let (id, reason) = (id.to_owned(), reason.to_owned());
        world.core.run(now, |core| core.revoke_appliance(&id, &reason, now).map(drop))
    };
    assert_eq!(bad_field(revoke(&mut world, "x", "stolen")), "id");
    for reason in ["", "a\nb", &"x".repeat(201)] {
        assert_eq!(bad_field(revoke(&mut world, &id, reason)), "reason", "{reason:?}");
    }
    assert_eq!(world.core.appliances("").unwrap()[0].state.name(), "active");
    for state in ["open", "planned", "ordered", "resolved", "escalated", "withdrawn"] {
        world.core.incidents("", state, 0).unwrap();
    }
}

#[test]
fn enrolment_tokens_last_a_minute_to_thirty_days_and_are_kept_as_hashes() {
    let mut world = World::new();
    let (tenant, now) = (world.tenant.clone(), world.now);
    for valid in [Duration::ZERO, 30 * DAY + MINUTE] {
        let made =
            world.core.run(now, |core| core.issue_enrolment_token(&tenant, "Main St", valid, now).map(drop));
        assert_eq!(bad_field(made), "valid_minutes");
    }
    let Token { secret, expires } =
        world.core.run(now, |core| core.issue_enrolment_token(&tenant, "Main St", 30 * DAY, now)).unwrap();
    assert_eq!((secret.len(), expires), (43, now.plus(30 * DAY)));
    let dump = world.text("SELECT group_concat(hex(hash)) FROM enrolment_token");
    assert!(!dump.to_lowercase().contains(&hex::encode(secret.as_bytes())));
    let other = world.token(&tenant);
    assert_ne!(other, secret);
}

#[test]
fn api_tokens_end_are_taken_back_and_are_kept_as_hashes() {
    let mut world = World::new();
    let now = world.now;
    for (name, valid, field) in
        [("", DAY, "name"), ("ci", Duration::ZERO, "valid_days"), ("ci", 366 * DAY, "valid_days")]
    {
        let made = world
            .core
            .run(now, |core| core.issue_operator_token(name, Grant::everything(), valid, now).map(drop));
        assert_eq!(bad_field(made), field);
    }
    let ci =
        world.core.run(now, |core| core.issue_operator_token("ci", Grant::everything(), DAY, now)).unwrap();
    let bot =
        world.core.run(now, |core| core.issue_operator_token("bot", Grant::everything(), DAY, now)).unwrap();
    assert!(
        exists(world.core.run(now, |core| core.issue_operator_token("ci", Grant::everything(), DAY, now)))
            .contains("ci")
    );
    let later = now.plus(HOUR);
    assert_eq!(world.core.run(later, |core| core.operator(&ci.secret, later)).unwrap().0, "ci");
    let rows = world.core.operator_tokens().unwrap();
    assert_eq!(
        rows.iter().map(|row| (row.name.as_str(), row.used)).collect::<Vec<_>>(),
        [("bot", proto::time::Millis(0)), ("ci", later)]
    );
    world.core.run(now, |core| core.revoke_operator_token("bot", now)).unwrap();
    let revoked = denied(world.core.run(later, |core| core.operator(&bot.secret, later)));
    let ended = denied(world.core.run(now, |core| core.operator(&ci.secret, now.plus(DAY))));
    let unknown = denied(world.core.run(now, |core| core.operator("guess", now)));
    assert!(revoked == ended && ended == unknown, "guessing teaches nothing");
    world.core.run(now, |core| core.operator(&ci.secret, now.plus(DAY).minus(MINUTE))).unwrap();
}

#[test]
fn one_clinics_lists_never_show_anothers_things() {
    let mut world = World::new();
    let (here, there) = (world.tenant.clone(), world.tenant_named("Hill Clinic"));
    let (mut mine, mut theirs) = (world.appliance_at(&here), world.appliance_at(&there));
    for appliance in [&mut mine, &mut theirs] {
        let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
        world.send(appliance, vec![event]);
    }
    for (tenant, name, own) in [(&here, "Riverside Dental", &mine), (&there, "Hill Clinic", &theirs)] {
        for called in [tenant.as_str(), name] {
            let appliances = world.core.appliances(called).unwrap();
            assert_eq!(appliances.iter().map(|row| row.id).collect::<Vec<_>>(), [own.id()]);
            let incidents = world.core.incidents(called, "", 0).unwrap();
            assert!(incidents.len() == 1 && incidents.iter().all(|row| row.tenant == own.tenant()));
            assert!(world.core.incidents(called, "resolved", 0).unwrap().is_empty());
            let orders = world.core.orders(called, 0).unwrap();
            assert!(orders.len() == 1 && orders.iter().all(|row| row.appliance == own.id()));
            let (evidence, size) = world.core.evidence(called, 0, 0).unwrap();
            let by = |who| evidence.iter().filter(|row| row.appliance == who).count();
            assert_eq!((by(Some(own.id())), by(None)), (2, evidence.len() - 2), "its box's, and acts for it");
            assert_eq!(size, evidence.len() as u64);
            let sites = world.core.sites(called).unwrap();
            assert!(sites.len() == 1 && sites.iter().all(|row| row.tenant == own.tenant()));
        }
    }
    assert_eq!(world.core.appliances("").unwrap().len(), 2);
    assert_eq!(
        (world.core.incidents("", "", 0).unwrap().len(), world.core.orders("", 0).unwrap().len()),
        (2, 2)
    );
    // Nor does an exchange: a box that asks for another clinic's proofs is told nothing.
    let mut asked = mine.ask(None);
    asked.unproven = vec![world.core.evidence(&there, 0, 1).unwrap().0[0].sha256];
    assert!(world.exchange(&mine, &asked).unwrap().inclusions.is_empty());
}

#[test]
fn a_site_of_another_clinic_is_no_place_to_enrol() {
    let mut world = World::new();
    let there = world.tenant_named("Hill Clinic");
    let now = world.now;
    let elsewhere = world.core.sites(&there).unwrap()[0].id.to_string();
    let here = world.tenant.clone();
    let token =
        world.core.run(now, |core| core.issue_enrolment_token(&here, &elsewhere, HOUR, now).map(drop));
    assert!(not_found(token).contains(&elsewhere));
}

#[test]
fn lists_are_as_long_as_asked_for_newest_first() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    for n in 0..3 {
        world.now = world.now.plus(MINUTE);
        let event = appliance.event(world.now, &format!("odd.fault-{n}"), "uploads", Phase::Raised);
        world.send(&mut appliance, vec![event]);
    }
    let kinds = |most| {
        world.core.incidents("", "", most).unwrap().into_iter().map(|row| row.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(2), ["odd.fault-2", "odd.fault-1"]);
    assert_eq!(kinds(0).len(), 3);
    assert_eq!(kinds(u32::MAX).len(), 3);
    let (page, size) = world.core.evidence(&world.tenant, 1, 1).unwrap();
    assert_eq!((page.len(), page[0].log_index), (1, 1));
    assert_eq!(size, 7, "a ticket, a claim, two records, and three incidents that are a person's");
}

#[test]
fn a_charter_is_replaced_only_by_a_newer_one_of_ours() {
    let mut world = World::new();
    let now = world.now;
    let mut publish = |envelope: &[u8]| world.core.run(now, |core| core.publish_charter(envelope, now));
    let same = world.safe.charter(|_| {});
    publish(&same).unwrap();
    let one_signature = {
        let mut charter = world.safe.charter.clone();
        charter.serial = 2;
        charter.seal(&[&world.safe.organization[0], &world.safe.organization[0]])
    };
    assert!(matches!(publish(&one_signature), Err(CoreError::Charter(CharterError::Signature(_)))));
    let forked = world.safe.charter(|charter| charter.not_after = START.plus(80 * DAY));
    assert!(matches!(publish(&forked), Err(CoreError::Charter(CharterError::Forked(1)))));
    for (field, change) in [
        (
            "order_keys",
            (|c| c.order_keys = [SecretKey::ed25519([50; 32]).public()].into())
                as fn(&mut proto::charter::Charter),
        ),
        ("order_keys", |c| c.log_keys = [SecretKey::ed25519([50; 32]).public()].into()),
        ("not_after", |c| c.not_after = START.plus(400 * DAY)),
        ("organization", |c| c.organization = "other.example".into()),
        ("certificate_authorities", |c| c.certificate_authorities.clear()),
    ] {
        let envelope = world.safe.charter(|charter| {
            charter.serial = 2;
            change(charter);
        });
        match publish(&envelope) {
            Err(CoreError::Charter(CharterError::Content(bad))) => assert_eq!(bad.field, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    // A charter under whose release keys the catalogue in force does not stand.
    let other_release = world.safe.charter(|charter| {
        charter.serial = 2;
        charter.release_keys.keys = [SecretKey::ed25519([51; 32]), SecretKey::ed25519([52; 32])]
            .iter()
            .map(SecretKey::public)
            .collect();
    });
    assert!(matches!(publish(&other_release), Err(CoreError::Catalogue(CatalogueError::Signature(_)))));
    let next = world.safe.charter(|charter| charter.serial = 2);
    publish(&next).unwrap();
    assert!(matches!(publish(&same), Err(CoreError::Charter(CharterError::Older { offered: 1, newest: 2 }))));
    assert!(publish(b"{}").is_err());
    assert_eq!(world.core.charter().serial, 2);
    assert_eq!(world.count("SELECT count(*) FROM document WHERE kind = 'charter'"), 2);
}

#[test]
fn a_catalogue_is_replaced_only_by_a_newer_one_signed_by_two() {
    let mut world = World::new();
    let now = world.now;
    let safe = world.safe.clone();
    let mut publish = |envelope: &[u8]| world.core.run(now, |core| core.publish_catalogue(envelope, now));
    publish(&safe.catalogue).unwrap();
    let payload =
        |version, days| Catalogue::build(version, START, START.plus(days * DAY), shipped()).unwrap();
    let alone = Catalogue::seal(&payload(2, 60), &[&safe.release[1]]);
    assert!(matches!(publish(&alone), Err(CoreError::Catalogue(CatalogueError::Signature(_)))));
    let by_organization = Catalogue::seal(&payload(2, 60), &[&safe.organization[0], &safe.organization[1]]);
    assert!(matches!(publish(&by_organization), Err(CoreError::Catalogue(CatalogueError::Signature(_)))));
    let other_type = dsse::seal("text/plain", &payload(2, 60), &[&safe.release[0], &safe.release[1]]);
    assert!(publish(&other_type).is_err());
    let forked = Catalogue::seal(&payload(1, 50), &[&safe.release[0], &safe.release[1]]);
    assert!(matches!(publish(&forked), Err(CoreError::Catalogue(CatalogueError::Forked(1)))));
    publish(&Catalogue::seal(&payload(4, 60), &[&safe.release[0], &safe.release[1]])).unwrap();
    let older = Catalogue::seal(&payload(3, 60), &[&safe.release[0], &safe.release[1]]);
    assert!(matches!(
        publish(&older),
        Err(CoreError::Catalogue(CatalogueError::Older { offered: 3, newest: 4 }))
    ));
    assert_eq!(world.core.catalogue().0.version, 4);
}

/// What a caller is told is what to do about it; what broke inside stays in the log.
#[test]
fn errors_become_statuses_without_the_insides() {
    let mut world = World::new();
    let now = world.now;
    let status = |error: CoreError| tonic::Status::from(error);
    let bad = world.core.run(now, |core| core.create_tenant("", now).map(drop)).unwrap_err();
    let bad = status(bad);
    assert_eq!((bad.code(), bad.message()), (tonic::Code::InvalidArgument, "name must not be empty"));
    world
        .db
        .share()
        .execute_batch("DROP TABLE timeline; DROP TABLE notification; ALTER TABLE site RENAME TO gone")
        .unwrap();
    let broken = status(world.core.sites(&world.tenant.clone()).unwrap_err());
    assert_eq!(broken.code(), tonic::Code::Unavailable);
    assert!(!broken.message().contains("site"), "{}", broken.message());
}
