//! Documents that people approve: drawn up, approved, delivered, taken back; and nothing by the server's own word.

use std::sync::LazyLock;

use baseline::Exception;
use control_plane::{
    core::{
        approved::{Called, Standing},
        export,
    },
    store::Store,
};
use proto::{
    charter::Approver,
    document::{Core, Document},
    keys::SecretKey,
    pb,
    standing::set_digest,
};

use crate::{
    appliance::Appliance,
    approvals::assertion,
    world::{DAY, World, bad_field},
};

const NAME: &str = "NXH-045";

static PASSKEY: LazyLock<SecretKey> = LazyLock::new(SecretKey::generate_p256);

/// A clinic with a box, under a charter that names an approver.
fn practice() -> (World, Appliance) {
    let mut world = World::with(|safe| {
        safe.charter.approvers = vec![Approver {
            name: "ann".into(),
            key: PASSKEY.public(),
            rp_id: "msp.example".into(),
            origin: "https://msp.example".into(),
        }];
    });
    let appliance = world.appliance();
    (world, appliance)
}

fn exception(world: &World) -> Exception {
    Exception {
        control: NAME.parse().unwrap(),
        reason: "A driver of the scanner reads them.".into(),
        risk: "An attack on the kernel finds its way.".into(),
        compensating: "The driver goes with the scanner, in March.".into(),
        approver: "Security official".into(),
        issued: world.now,
        expires: world.now.plus(7 * DAY),
    }
}

fn called(tenant: &str) -> Called<'_> {
    Called { tenant, appliance: "", kind: "exception", name: NAME }
}

fn draft(world: &mut World) -> Vec<u8> {
    let (tenant, now, content) = (world.tenant.clone(), world.now, exception(world).canonical());
    world.core.run(now, |core| core.draft_document(called(&tenant), content, now)).unwrap()
}

fn publish(world: &mut World, core: &[u8]) -> Document {
    let (now, approvals) = (world.now, vec![assertion("ann", core, &PASSKEY)]);
    world.core.run(now, |office| office.publish_document(core, approvals, now)).unwrap()
}

/// What an answer gives, opened as an executor opens it.
fn given(world: &World, response: &pb::SyncResponse) -> Vec<Document> {
    let open = |envelope: &Vec<u8>| Document::open(envelope, world.core.charter()).unwrap().into_value();
    response.documents.iter().map(open).collect()
}

fn stands(world: &mut World) -> Vec<Standing> {
    let now = world.now;
    let all = world.core.run(now, |core| core.documents("", "exception", now)).unwrap();
    all.into_iter().map(|(_, stands)| stands).collect()
}

#[test]
fn an_approved_exception_reaches_every_box_of_its_clinic_once_and_no_other() {
    let (mut world, mut appliance) = practice();
    let other = world.tenant_named("Elm Street Clinic");
    let mut elsewhere = world.appliance_at(&other);
    let core = draft(&mut world);
    assert!(world.call(&mut appliance).documents.is_empty(), "a draft is nothing");
    let document = publish(&mut world, &core);
    assert!(world.core.take_wakes().contains(&appliance.id()));
    let response = world.call(&mut appliance);
    assert_eq!(given(&world, &response), std::slice::from_ref(&document));
    assert!(world.call(&mut elsewhere).documents.is_empty(), "another clinic's");
    appliance.documents = Some(set_digest([document.core_digest]));
    assert!(world.call(&mut appliance).documents.is_empty(), "it has it");
    appliance.documents = None;
    assert_eq!(world.call(&mut appliance).documents.len(), 1, "the same again, when it lost it");
    assert_eq!(stands(&mut world), [Standing::InForce]);
}

#[test]
fn nothing_is_kept_without_an_approval_that_holds() {
    let (mut world, _) = practice();
    let core = draft(&mut world);
    let now = world.now;
    let mut unknown = assertion("ann", &core, &PASSKEY);
    unknown.approver = "mallory".into();
    let forged = assertion("ann", &core, &SecretKey::generate_p256());
    let of_another = assertion("ann", b"another core", &PASSKEY);
    for (approvals, why) in [
        (vec![], "needs an approver"),
        (vec![unknown], "not approved"),
        (vec![forged], "not approved"),
        (vec![of_another], "not approved"),
    ] {
        let refused =
            world.core.run(now, |office| office.publish_document(&core, approvals, now)).unwrap_err();
        assert!(refused.to_string().contains(why), "{why}: {refused}");
    }
    assert_eq!(stands(&mut world), []);
}

#[test]
fn a_draft_that_could_not_hold_is_refused_by_the_field() {
    let (mut world, _) = practice();
    let (tenant, now) = (world.tenant.clone(), world.now);
    let good = exception(&world);
    let mut refused = |called: Called<'_>, content: Vec<u8>| {
        bad_field(world.core.run(now, |core| core.draft_document(called, content, now)))
    };
    let past = Exception { issued: now.minus(DAY), expires: now, ..good.clone() };
    assert_eq!(refused(called(&tenant), past.canonical()), "content.expires");
    let long = Exception { expires: now.plus(366 * DAY), ..good.clone() };
    assert_eq!(refused(called(&tenant), long.canonical()), "content.expires");
    let unknown = Exception { control: "NXH-900".parse().unwrap(), ..good.clone() };
    let called_so = Called { name: "NXH-900", ..called(&tenant) };
    assert_eq!(refused(called_so, unknown.canonical()), "content.control");
    assert_eq!(refused(Called { name: "NXH-001", ..called(&tenant) }, good.canonical()), "content.control");
    assert_eq!(refused(Called { kind: "order", ..called(&tenant) }, good.canonical()), "kind");
    assert_eq!(refused(called(&tenant), Vec::new()), "content");
}

#[test]
fn it_is_taken_back_without_an_approver_and_an_older_one_does_not_come_back() {
    let (mut world, mut appliance) = practice();
    let core = draft(&mut world);
    let document = publish(&mut world, &core);
    appliance.documents = Some(set_digest([document.core_digest]));
    world.wait(DAY);
    let (tenant, now) = (world.tenant.clone(), world.now);
    let withdrawn = world.core.run(now, |core| core.withdraw_document(called(&tenant), now)).unwrap();
    let response = world.call(&mut appliance);
    assert_eq!(given(&world, &response), std::slice::from_ref(&withdrawn));
    assert!(withdrawn.core.is_withdrawal() && withdrawn.core.serial > document.core.serial);
    let approvals = document.approvals.clone();
    let again = world.core.run(now, |office| office.publish_document(&core, approvals, now)).unwrap_err();
    assert!(again.to_string().contains("is older than"), "{again}");
    let twice = world.core.run(now, |core| core.withdraw_document(called(&tenant), now)).unwrap_err();
    assert!(twice.to_string().contains("there is no exception \"NXH-045\""), "{twice}");
    assert_eq!(stands(&mut world), [Standing::Withdrawn]);
}

/// A scan may have been judged with it, whatever became of it since.
#[test]
fn a_bundle_is_offered_every_exception_that_ever_was_and_no_other_clinics() {
    let (mut world, mut appliance) = practice();
    world.call(&mut appliance);
    let core = draft(&mut world);
    let first = publish(&mut world, &core);
    world.wait(DAY);
    let (tenant, now) = (world.tenant.clone(), world.now);
    world.core.run(now, |core| core.withdraw_document(called(&tenant), now)).unwrap();
    let core = draft(&mut world);
    let second = publish(&mut world, &core);
    let other = world.tenant_named("Elm Street Clinic");
    let mut elsewhere = world.appliance_at(&other);
    world.call(&mut elsewhere);
    let store = Store::with(world.db.share()).unwrap();
    let exceptions = |tenant: &str| {
        let row = world.core.tenant(tenant).unwrap();
        let now = world.now;
        export::parts(&store, &row, world.core.charter(), None, now).map(|parts| parts.exceptions)
    };
    assert_eq!(exceptions(&tenant).unwrap(), [first.core.content, second.core.content]);
    assert_eq!(exceptions(&other).unwrap(), Vec::<Vec<u8>>::new());
}

#[test]
fn an_expired_one_and_one_whose_approver_left_are_not_sent_any_more() {
    let (mut world, mut appliance) = practice();
    let core = draft(&mut world);
    publish(&mut world, &core);
    let now = world.now;
    let without = world.safe.charter(|charter| {
        charter.serial = 2;
        charter.approvers.clear();
    });
    world.wait(6 * DAY);
    assert_eq!(world.call(&mut appliance).documents.len(), 1);
    world.core.run(now, |core| core.publish_charter(&without, now).map(|_| ())).unwrap();
    assert!(world.call(&mut appliance).documents.is_empty());
    assert_eq!(stands(&mut world), [Standing::NotApproved]);
    world.wait(2 * DAY);
    let (world, core) = (&mut world, Core::decode(&core).unwrap());
    assert!(world.now > core.issued.plus(7 * DAY));
    assert!(world.call(&mut appliance).documents.is_empty());
}

/// Under the charter that it was approved under, so that its end alone ends it.
#[test]
fn one_whose_end_has_come_is_not_sent_any_more() {
    let (mut world, mut appliance) = practice();
    let core = draft(&mut world);
    publish(&mut world, &core);
    world.wait(6 * DAY);
    assert_eq!(world.call(&mut appliance).documents.len(), 1);
    world.wait(DAY);
    assert!(world.call(&mut appliance).documents.is_empty());
    assert_eq!(stands(&mut world), [Standing::Expired]);
}

#[test]
fn a_newer_charter_has_it_signed_anew() {
    let (mut world, mut appliance) = practice();
    let core = draft(&mut world);
    publish(&mut world, &core);
    let now = world.now;
    let newer = world.safe.charter(|charter| charter.serial = 5);
    world.core.run(now, |core| core.publish_charter(&newer, now).map(|_| ())).unwrap();
    let response = world.call(&mut appliance);
    assert_eq!(given(&world, &response)[0].charter_serial, 5);
}

#[test]
fn a_watch_list_is_for_one_box_and_holds_nothing_else() {
    let (mut world, mut appliance) = practice();
    let (tenant, now, id) = (world.tenant.clone(), world.now, appliance.id().to_string());
    let list = "[[watch.directory]]\nid = \"etc\"\npath = \"/srv/etc\"\nlimit_bytes = 100\n";
    let called = Called { tenant: &tenant, appliance: &id, kind: "watch-list", name: "box" };
    let mut refused = |called: Called<'_>, content: &str| {
        bad_field(world.core.run(now, |core| core.draft_document(called, content.into(), now)))
    };
    assert_eq!(refused(Called { appliance: "", ..called }, list), "appliance");
    assert_eq!(refused(called, "[limits]\norders_per_hour = 1\n"), "content");
    assert_eq!(refused(called, "not toml"), "content");
    let core = world.core.run(now, |core| core.draft_document(called, list.into(), now)).unwrap();
    let document = publish(&mut world, &core);
    assert_eq!(document.core.incarnation, Some(appliance.incarnation));
    let response = world.call(&mut appliance);
    assert_eq!(given(&world, &response), [document]);
    let alone = world.core.run(now, |core| core.withdraw_document(called, now)).unwrap_err();
    assert!(alone.to_string().contains("needs an approver"), "{alone}");
    let mut other = world.appliance();
    assert!(world.call(&mut other).documents.is_empty());
}
