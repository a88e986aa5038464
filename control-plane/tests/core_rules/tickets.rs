//! Enrolment tickets: seen, taken back, and no better than whoever gave them out is now.

use control_plane::{
    access::{Grant, Principal, Role, Scope},
    core::{Core, CoreError, people::Invitee, tickets::ticket_name},
};
use proto::{digest::Digest, time::Millis};

use crate::world::{DAY, HOUR, World, denied};

/// Runs a command in the name of somebody with this grant.
fn act<T>(
    world: &mut World,
    (name, grant): (&str, Grant),
    command: impl FnOnce(&mut Core, Millis) -> Result<T, CoreError>,
) -> Result<T, CoreError> {
    let (by, now) = (Principal::person(name.into(), "192.0.2.1".into(), grant, true), world.now);
    world.core.run(now, |core| core.acting_as(by, "a call", now, |core| command(core, now)))
}

/// A ticket that somebody gives out who holds this grant: its secret.
fn ticket(world: &mut World, by: &str, grant: Grant) -> String {
    let (tenant, site) = (world.tenant.clone(), world.site.clone());
    act(world, (by, grant), |core, now| core.issue_enrolment_token(&tenant, &site, DAY, now)).unwrap().secret
}

fn invite(world: &mut World, name: &str, grant: Grant) {
    let (invitee, now) = (Invitee { name: name.into(), email: String::new(), grant }, world.now);
    world.core.run(now, |core| core.invite(invitee, HOUR, now)).unwrap();
}

fn whole(world: &World, role: Role) -> Grant {
    Grant { role, scope: Scope::Tenant(world.core.tenant(&world.tenant).unwrap().id) }
}

/// Whether a box that nobody knows can enrol with it.
fn enrols(world: &mut World, secret: &str) -> bool {
    let stranger = world.unknown_box();
    match world.enroll(&stranger.enrol_request(secret)) {
        Ok(_) => true,
        refused => denied(refused).is_empty(),
    }
}

#[test]
fn a_ticket_does_not_outlive_the_access_of_whoever_gave_it_out() {
    let mut world = World::new();
    let (now, technician) = (world.now, whole(&world, Role::Technician));
    for name in ["eve", "tom", "mia", "bob"] {
        invite(&mut world, name, technician);
    }
    let issue = |core: &mut Core, now| core.issue_operator_token("ci", technician, 2 * HOUR, now).map(drop);
    world.core.run(now, |core| issue(core, now)).unwrap();
    let held = ["eve", "tom", "mia", "bob", "ci"].map(|name| ticket(&mut world, name, technician));
    let [of_eve, of_tom, of_mia, of_bob, of_ci] = held;
    let ours = world.token(&world.tenant.clone());
    // The boxes that came before with theirs stay.
    let early = ticket(&mut world, "eve", technician);
    let box_of_eve = world.unknown_box();
    world.enroll(&box_of_eve.enrol_request(&early)).unwrap();

    world.core.run(now, |core| core.end_person("eve", now)).unwrap();
    invite(&mut world, "tom", Grant { role: Role::Auditor, ..technician });
    let elsewhere = world.tenant_named("Hill Clinic");
    let hill = Scope::Tenant(world.core.tenant(&elsewhere).unwrap().id);
    invite(&mut world, "mia", Grant { scope: hill, ..technician });
    let said: Vec<_> =
        world.core.tickets("", now).unwrap().into_iter().map(|(row, why)| (row.by, why)).collect();
    let why = |name: &str| said.iter().find(|(by, _)| by == name).unwrap().1;
    assert!(why("eve").unwrap().contains("has ended"), "{said:?}");
    assert!(
        ["tom", "mia"].map(why).iter().all(|why| why.unwrap().contains("may give out none there")),
        "{said:?}"
    );
    assert_eq!(["bob", "ci"].map(why), [None, None]);
    for void in [&of_eve, &of_tom, &of_mia] {
        assert!(!enrols(&mut world, void));
    }
    assert!(enrols(&mut world, &of_bob) && enrols(&mut world, &ours));
    world.enroll(&box_of_eve.enrol_request(&early)).unwrap();
    world.now = world.now.plus(2 * HOUR);
    assert!(!enrols(&mut world, &of_ci), "the token has run out");
    // An owner of everything is shut out: what they gave out at any clinic is void.
    invite(&mut world, "olga", Grant::everything());
    let of_olga = ticket(&mut world, "olga", Grant::everything());
    let now = world.now;
    world.core.run(now, |core| core.end_person("olga", now)).unwrap();
    assert!(!enrols(&mut world, &of_olga));
}

#[test]
fn an_open_ticket_is_seen_and_taken_back_where_it_is_in_sight_even_after_a_restore() {
    let mut world = World::new();
    let (tenant, now) = (world.tenant.clone(), world.now);
    let all = whole(&world, Role::Technician);
    world.core.run(now, |core| core.create_site(&tenant, "Side St", now)).unwrap();
    let sites = world.core.sites(&tenant).unwrap();
    let at = |name: &str| {
        let site = sites.iter().find(|site| site.name == name).unwrap();
        Grant { scope: Scope::Site(site.tenant, site.id), ..all }
    };
    let [first, second] = [(); 2].map(|()| ticket(&mut world, "bob", all));
    let row = world.core.tickets("", now).unwrap().remove(0).0;
    let name = ticket_name(&row);
    let secret = [&first, &second].into_iter().find(|secret| Digest::of(secret.as_bytes()) == row.hash);
    let (secret, copy) = (secret.unwrap().clone(), world.backup());
    // Out of sight it is none.
    let elsewhere = world.tenant_named("Hill Clinic");
    let hill = Grant { scope: Scope::Tenant(world.core.tenant(&elsewhere).unwrap().id), ..all };
    for grant in [hill, at("Side St")] {
        assert!(act(&mut world, ("eve", grant), |core, now| core.tickets("", now)).unwrap().is_empty());
        let refused = act(&mut world, ("eve", grant), |core, now| core.revoke_ticket(&name, now).map(drop));
        assert!(matches!(refused, Err(CoreError::NotFound(_))), "{refused:?}");
    }
    let seen = act(&mut world, ("tom", at("Main St")), |core, now| core.tickets(&tenant, now)).unwrap();
    assert_eq!(seen.len(), 2);
    act(&mut world, ("tom", at("Main St")), |core, now| core.revoke_ticket(&name, now).map(drop)).unwrap();
    assert!(!enrols(&mut world, &secret));
    assert_eq!(world.core.tickets("", now).unwrap().len(), 1);
    let trail = world.core.trail("", None, 0).unwrap();
    assert!(
        trail[0].record.contains(&name) && trail[0].record.contains("\"by\":\"tom\""),
        "{}",
        trail[0].record
    );
    // Somebody who kept the ticket waits for a backup to be put back.
    world.restore(copy).unwrap();
    assert!(!enrols(&mut world, &secret));
    let other = if secret == first { second } else { first };
    invite(&mut world, "bob", all);
    assert!(enrols(&mut world, &other));
}

/// What it says at the door: `isolation`.
#[test]
fn a_hold_of_everything_keeps_its_reason_to_the_organization() {
    let mut world = World::new();
    let (mut appliance, tenant) = (world.appliance(), world.tenant.clone());
    let reason = "we do not pay our supplier";
    let hold = |world: &mut World, tenant: &str, reason: &str| {
        let level = world.core.level(tenant, "", "").unwrap();
        let set = |core: &mut Core, now| core.hold(level, reason, None, now).map(drop);
        act(world, ("olga", Grant::everything()), set).unwrap();
    };
    hold(&mut world, "", reason);
    let reasons = |world: &mut World, grant: Grant| {
        let held = act(world, ("bob", grant), |core, _| core.holds("")).unwrap();
        held.into_iter().map(|row| row.reason).collect::<Vec<_>>()
    };
    let clinic = whole(&world, Role::Auditor);
    let auditor = Grant { role: Role::Auditor, scope: Scope::Organization };
    assert_eq!(reasons(&mut world, auditor), [reason]);
    assert_eq!(reasons(&mut world, clinic), ["the organization holds all its clinics"]);
    world.call(&mut appliance);
    let stop = appliance.stop.clone().unwrap();
    assert!(stop.is_hold() && stop.reason.contains("the organization holds"), "{stop:?}");
    assert!(!stop.reason.contains("supplier"));
    // Its own hold a clinic says in its own words.
    hold(&mut world, &tenant, "we are moving");
    assert!(reasons(&mut world, clinic).contains(&"we are moving".to_owned()));
    let trail = act(&mut world, ("bob", clinic), |core, _| core.trail("", None, 0)).unwrap();
    assert!(!trail.is_empty() && trail.iter().all(|row| !row.record.contains("supplier")));
}
