//! The contract with a clinic, and who has access: acts are the record, and a review leaves nobody out.

use std::time::Duration;

use control_plane::{
    access::Grant,
    core::oversight::{Access, Agreement, REVIEW_EVERY},
};
use proto::{
    digest::Digest,
    pb::{RecordAgreement, ReviewAccess},
    time::Millis,
};

use crate::world::{DAY, World, bad_field};

fn record(world: &mut World, signed: Millis, until: Option<Millis>, document: &[u8]) -> Result<(), String> {
    let (tenant, now) = (world.tenant.clone(), world.now);
    let document = Digest::of(document).to_vec();
    let asked = RecordAgreement {
        tenant,
        change: true,
        signed_ms: signed.0,
        until_ms: until.map_or(0, |until| until.0),
        document,
    };
    let outcome = world.core.run(now, |core| core.record_agreement(&asked, now).map(drop));
    outcome.map_err(|error| error.to_string())
}

fn agreement(world: &World) -> Option<Agreement> {
    world.core.agreement(world.core.tenant(&world.tenant).unwrap().id).unwrap()
}

fn kinds(world: &World, tenant: &str) -> Vec<String> {
    let (rows, _) = world.core.evidence(tenant, 0, 0).unwrap();
    rows.into_iter().filter(|row| row.appliance.is_none()).map(|row| row.kind).collect()
}

#[test]
fn the_newest_agreement_is_in_force_and_a_database_from_a_backup_learns_it_again() {
    let mut world = World::new();
    assert_eq!(agreement(&world), None);
    let (signed, last) = (world.now.minus(30 * DAY), world.now.plus(2 * DAY));
    record(&mut world, signed, Some(last), b"first").unwrap();
    let first = agreement(&world).unwrap();
    assert_eq!((first.signed, first.until, first.document), (signed, Some(last), Digest::of(b"first")));

    let copy = world.backup();
    world.now = world.now.plus(DAY);
    record(&mut world, signed, None, b"second").unwrap();
    world.restore(copy).unwrap();
    assert_eq!(agreement(&world).unwrap().document, Digest::of(b"second"));
    assert_eq!(agreement(&world).unwrap().until, None);
}

#[test]
fn an_agreement_that_cannot_be_is_refused_and_nothing_is_recorded() {
    let mut world = World::new();
    let (now, tomorrow) = (world.now, world.now.plus(DAY));
    for (signed, until, says) in [
        (tomorrow, None, "signed must be a day until today"),
        (Millis(0), None, "signed must be a day until today"),
        (now, Some(now.minus(DAY)), "until must not be before"),
    ] {
        let refused = record(&mut world, signed, until, b"x").unwrap_err();
        assert!(refused.contains(says), "{refused}");
    }
    let asked = RecordAgreement {
        tenant: world.tenant.clone(),
        change: true,
        signed_ms: now.0,
        ..Default::default()
    };
    assert_eq!(
        bad_field(world.core.run(now, |core| core.record_agreement(&asked, now).map(drop))),
        "document"
    );
    assert_eq!(agreement(&world), None);
}

fn review(world: &mut World, keep: &[&str], end: &[&str]) -> Result<Access, String> {
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let asked = ReviewAccess { confirm: true, keep: named(keep), end: named(end) };
    let now = world.now;
    world.core.run(now, |core| core.review_access(&asked, now)).map_err(|error| error.to_string())
}

fn issue(world: &mut World, name: &str, valid: Duration) {
    let now = world.now;
    world.core.run(now, |core| core.issue_operator_token(name, Grant::everything(), valid, now)).unwrap();
}

#[test]
fn a_review_decides_on_everybody_and_stands_in_every_clinics_log() {
    let mut world = World::new();
    let hill = world.tenant_named("Hill Clinic");
    let now = world.now;
    let access = world.core.run(now, |core| core.review_access(&ReviewAccess::default(), now)).unwrap();
    assert_eq!((access.tokens.len(), access.reviewed, access.due), (0, None, None), "nothing to review");
    for name in ["alice", "bob"] {
        issue(&mut world, name, 300 * DAY);
    }
    issue(&mut world, "brief", DAY);
    world.now = world.now.plus(2 * DAY);
    for (keep, end, says) in [
        (&["alice"][..], &[][..], "nothing is said of \"bob\""),
        (&["alice", "bob"], &["bob"], "must not both name \"bob\""),
        (&["alice", "bob", "brief"], &[], "\"brief\" has none"),
        (&["alice", "bob"], &["eve"], "\"eve\" has none"),
    ] {
        let refused = review(&mut world, keep, end).unwrap_err();
        assert!(refused.contains(says), "{refused}");
    }
    let before = kinds(&world, &hill).len();
    let reviewed = review(&mut world, &["alice"], &["bob"]).unwrap();
    let names: Vec<_> = reviewed.tokens.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["alice"]);
    assert_eq!((reviewed.reviewed, reviewed.due), (Some(world.now), Some(world.now.plus(REVIEW_EVERY))));
    for tenant in [hill, world.tenant.clone()] {
        let kinds = kinds(&world, &tenant);
        assert_eq!(&kinds[kinds.len() - 2..], ["access-end", "access-review"]);
    }
    assert_eq!(before, 3, "refused reviews left nothing");
    let now = world.now.plus(DAY);
    let later = world.core.run(now, |core| core.review_access(&ReviewAccess::default(), now)).unwrap();
    assert_eq!(later.due, reviewed.due, "looking is no review");
}

/// What a new clinic's log tells of access is whole from its beginning.
#[test]
fn a_new_clinic_learns_who_has_access_already() {
    let mut world = World::new();
    issue(&mut world, "alice", 300 * DAY);
    issue(&mut world, "brief", DAY);
    world.now = world.now.plus(2 * DAY);
    let hill = world.tenant_named("Hill Clinic");
    let (rows, _) = world.core.evidence(&hill, 0, 0).unwrap();
    let said: Vec<_> = rows.iter().map(|row| row.summary.as_str()).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("alice was given access until"), "{said:?}");
}

#[test]
fn recipients_are_addresses_and_the_log_keeps_none_of_them() {
    let mut world = World::new();
    let (tenant, now) = (world.tenant.clone(), world.now);
    let change = |world: &mut World, add: &[&str], remove: &[&str]| {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (add, remove) = (named(add), named(remove));
        world.core.run(now, |core| {
            let row = core.change_recipients(&tenant, &add, &remove, now)?;
            core.recipients(row.id)
        })
    };
    let both = change(&mut world, &["owner@Clinic.Example", "auditor@firm.example"], &[]).unwrap();
    assert_eq!(both, ["auditor@firm.example", "owner@clinic.example"]);
    // Again is no change, so there is no act of it.
    change(&mut world, &["owner@clinic.example"], &[]).unwrap();
    for address in
        ["owner", "owner@", "@clinic.example", "a b@c.example", "o@c.example\r\nBcc: eve@e.example", ""]
    {
        assert_eq!(bad_field(change(&mut world, &[address], &[])), "add", "{address:?}");
    }
    let many: Vec<String> = (0..21).map(|n| format!("a{n}@clinic.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(bad_field(change(&mut world, &many, &[])), "add");
    assert!(change(&mut world, &[], &["eve@e.example"]).is_err());
    assert_eq!(change(&mut world, &[], &["auditor@firm.example"]).unwrap(), ["owner@clinic.example"]);
    let tenant = world.tenant.clone();
    let (rows, _) = world.core.evidence(&tenant, 0, 0).unwrap();
    let said: Vec<_> = rows.iter().map(|row| row.summary.as_str()).collect();
    assert_eq!(
        said,
        ["the recipients of packets were changed: 2 now", "the recipients of packets were changed: 1 now"]
    );
}
