//! What lies in the vault beside the log, and comes back from there.

use control_plane::access::Grant;

use super::*;

#[test]
fn a_clinic_that_came_after_the_backup_is_not_lost() {
    let mut world = World::new();
    let copy = world.backup();
    let hill = world.tenant_named("Hill Clinic");
    let mut appliance = world.appliance_at(&hill);
    let size = world.core.tenant(&hill).unwrap().log_size;
    world.restore(copy).unwrap();
    let row = world.core.tenant("Hill Clinic").unwrap();
    // And after all that was there: that it had to come back.
    assert_eq!((row.id.to_string(), row.log_size, row.log_halted), (hill.clone(), size + 1, None));
    let beat = appliance.heartbeat(world.now);
    world.send(&mut appliance, vec![beat]);
    world.call(&mut appliance);
    assert!(appliance.unproven.is_empty());
    assert!(check_vault(&world, &hill) >= 2);
    // An empty one is remembered too, and a restart changes nothing.
    world.restart();
    assert_eq!(world.core.tenants().unwrap().len(), 2);
}

#[test]
fn a_clinic_whose_name_was_given_away_comes_back_under_another() {
    let mut world = World::new();
    let copy = world.backup();
    let lost = world.tenant_named("Hill Clinic");
    let vault = std::mem::take(&mut world.vault);
    world.restore(copy).unwrap();
    let now = world.now;
    world.core.run(now, |core| core.create_tenant("Hill Clinic", now)).unwrap();
    world.vault = vault;
    for _ in 0..2 {
        world.restart();
        let names: Vec<String> = world.core.tenants().unwrap().into_iter().map(|row| row.name).collect();
        let expected = ["Hill Clinic", &format!("Hill Clinic ({lost})"), "Riverside Dental"];
        assert_eq!(names, expected);
    }
}

#[test]
fn a_clinic_that_was_never_made_leaves_no_paper() {
    let mut world = World::new();
    let now = world.now;
    let undone = world.core.run(now, |core| {
        core.create_tenant("Hill Clinic", now)?;
        Err::<(), _>(CoreError::Precondition("on second thoughts".into()))
    });
    assert!(undone.is_err());
    world.restart();
    assert_eq!(world.core.tenants().unwrap().len(), 1);
    world.core.run(now, |core| core.create_tenant("Hill Clinic", now)).unwrap();
}

#[test]
fn an_api_token_that_was_taken_back_after_the_backup_stays_so() {
    let mut world = World::new();
    let now = world.now;
    let [bad, good] = ["bad", "good"].map(|name| {
        world
            .core
            .run(now, |core| core.issue_operator_token(name, Grant::everything(), HOUR, now))
            .unwrap()
            .secret
    });
    let copy = world.backup();
    world.core.run(now, |core| core.revoke_operator_token("bad", now)).unwrap();
    world.restore(copy).unwrap();
    assert!(matches!(world.core.run(now, |core| core.operator(&bad, now)), Err(CoreError::Denied(_))));
    assert_eq!(world.core.run(now, |core| core.operator(&good, now)).unwrap().0, "good");
}

/// The vault has the paper, the database does not: whoever asks again is who was enrolled.
#[test]
fn an_enrolment_that_was_undone_is_the_one_that_comes_back() {
    let mut world = World::new();
    let token = world.token(&world.tenant.clone());
    let mut appliance = world.unknown_box();
    let (request, now) = (appliance.enrol_request(&token), world.now);
    let mut first = None;
    let undone = world.core.run(now, |core| {
        first = Some(core.enroll(&request.clone().try_into()?, now)?);
        Err::<(), _>(CoreError::Precondition("on second thoughts".into()))
    });
    assert!(undone.is_err() && world.count("SELECT count(*) FROM appliance") == 0);
    let copy = world.backup();
    let answer = world.enroll(&request).unwrap();
    assert!(Some(&answer) == first.as_ref(), "the same certificate, of the same appliance");
    assert_eq!(world.vault_keys("enrolments").len(), 1);
    appliance.adopt(&world.safe.trust, &answer);
    let records = vec![appliance.enrolment(world.now), appliance.heartbeat(world.now)];
    world.send(&mut appliance, records);
    let before = head(&world);
    world.restore(copy).unwrap();
    assert_eq!(world.text("SELECT coalesce(log_halted, '') FROM tenant"), "");
    comes_back(&world, &before);
}

#[test]
fn a_halted_log_is_a_persons() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    contradict(&world, 5);
    let beat = appliance.heartbeat(world.now);
    let batch = appliance.freeze(vec![beat]);
    let asked = appliance.ask(Some(batch));
    assert!(world.exchange(&appliance, &asked).is_err());
    for _ in 0..3 {
        world.wait(MINUTE);
        world.restart();
    }
    let row = world.core.tenant(&world.tenant.clone()).unwrap();
    assert!(row.log_halted.unwrap().contains("not of this log"));
    assert_eq!(world.text("SELECT group_concat(kind || ' ' || state) FROM incident"), "log.halted escalated");
    assert_eq!(world.count("SELECT count(*) FROM notification"), 1);
}
