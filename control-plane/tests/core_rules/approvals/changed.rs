//! What was asked is not what would be done any more: void, and asked anew with the reason.

use proto::{act::Verdict, digest::Digest, ids::Incarnation};
use runbooks::Patch;

use super::{approve, asked_about, incident, stand, verdicts, waiting};
use crate::{
    appliance::Appliance,
    world::{World, shipped},
};

#[test]
fn when_things_have_changed_it_is_void_and_asked_anew_with_the_reason() {
    type Changes = fn(&mut World, &mut Appliance);
    for (case, change, why) in [
        (
            "another wording of the runbook",
            (|world, appliance| {
                let mut all = shipped();
                let disk = all.iter_mut().find(|one| one.id.as_str() == "RB-DISK-002").unwrap();
                (disk.version, disk.title) = (disk.version + 1, "otherwise".into());
                let (catalogue, now) = (world.safe.catalogue(2, all), world.now);
                world.core.run(now, |core| core.publish_catalogue(&catalogue, now)).unwrap();
                world.call(appliance);
            }) as Changes,
            "the catalogue has another version of RB-DISK-002",
        ),
        (
            "its approver left the charter",
            |world, appliance| {
                let now = world.now;
                let charter = world.safe.charter(|charter| {
                    charter.serial = 2;
                    charter.approvers.retain(|one| one.name != "ann");
                });
                world.core.run(now, |core| core.publish_charter(&charter, now)).unwrap();
                appliance.charter_serial = 2;
                let beat = appliance.heartbeat(now);
                world.send(appliance, vec![beat]);
            },
            "the charter does not name an approver any more",
        ),
        (
            "the box was enrolled anew",
            |world, appliance| {
                let fresh = Incarnation([7; 16]);
                let db = world.db.share();
                // As an enrolment of the same box would leave it.
                db.execute("UPDATE incarnation SET incarnation = ?1", [&fresh.0[..]]).unwrap();
                db.execute("UPDATE appliance SET incarnation = ?1", [&fresh.0[..]]).unwrap();
                appliance.incarnation = fresh;
                world.call(appliance);
            },
            "the box was enrolled anew",
        ),
    ] {
        let (mut world, mut appliance) = asked_about(None);
        let asked = waiting(&world);
        approve(&mut world, &asked, "ann").unwrap();
        change(&mut world, &mut appliance);
        assert_eq!(stand(&world), "void waiting", "{case}: {}", incident(&world));
        assert!(appliance.orders.is_empty(), "{case}");
        let said = world.text("SELECT reason FROM asked WHERE state = 'void'");
        assert!(said.contains(why), "{case}: {said}");
        let line = world.text("SELECT detail FROM timeline WHERE what = 'void'");
        assert!(line.contains(why), "{case}: {line}");
        assert_eq!(
            verdicts(&world).iter().filter(|(verdict, _)| *verdict == Verdict::Void).count(),
            1,
            "{case}"
        );
        let anew = waiting(&world);
        approve(&mut world, &anew, "bob").unwrap();
        world.call(&mut appliance);
        assert_eq!(appliance.newest_order().core_digest, Digest::of(&anew.core), "{case}");
    }
}

#[test]
fn what_changed_before_the_approval_is_said_to_the_approver() {
    let (mut world, _) = asked_about(None);
    let asked = waiting(&world);
    let settings = Patch::parse(r#"{"per_tenant_hour":50}"#).unwrap();
    let (now, tenant) = (world.now, world.tenant.clone());
    let level = world.core.level(&tenant, "", "").unwrap();
    world.core.run(now, |core| core.patch_policy(level, &settings, now)).unwrap();
    approve(&mut world, &asked, "ann").expect("a change that does not matter");
    let (mut world, _) = asked_about(None);
    let asked = waiting(&world);
    let mut all = shipped();
    all.iter_mut().find(|one| one.id.as_str() == "RB-DISK-002").unwrap().version += 1;
    let catalogue = world.safe.catalogue(2, all);
    world.core.run(now, |core| core.publish_catalogue(&catalogue, now)).unwrap();
    let said = approve(&mut world, &asked, "ann").unwrap_err().to_string();
    assert!(said.contains("another version"), "{said}");
}
