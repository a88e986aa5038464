//! Who changed what, from where: the trail, the acts that name it, a clinic that leaves, a runbook that somebody proposes.

use control_plane::{
    access::{Grant, Principal, Role, Scope},
    core::CoreError,
};
use proto::{
    act::{Act, Claim},
    digest::Digest,
    evidence::Verdict,
    sync::Phase,
};
use serde_json::Value;

use crate::world::{DAY, DISK, HOUR, World, bad_field, denied};

fn alice() -> Principal {
    let grant = Grant { role: Role::Operator, scope: Scope::Organization };
    Principal::token("alice".into(), "192.0.2.7".into(), grant)
}

fn acts(world: &World, tenant: &str) -> Vec<Act> {
    let (rows, _) = world.core.evidence(tenant, 0, u32::MAX).unwrap();
    let acts = rows.into_iter().filter(|row| row.appliance.is_none());
    acts.map(|row| Claim::read(&row.envelope).unwrap().unwrap().unverified()).collect()
}

fn precondition<T>(outcome: Result<T, CoreError>) -> String {
    match outcome {
        Err(CoreError::Precondition(why)) => why,
        Err(other) => panic!("must not be the time for it, says: {other}"),
        Ok(_) => panic!("must not be the time for it, was done"),
    }
}

#[test]
fn a_change_says_who_from_where_and_what_was_before_and_its_act_names_that() {
    let mut world = World::new();
    let (tenant, now) = (world.tenant.clone(), world.now);
    let until = now.plus(HOUR);
    let shadow = |world: &mut World| {
        world.core.run(now, |core| {
            core.acting_as(alice(), "Tenants/Shadow", now, |core| {
                core.shadow_tenant(&tenant, Some(until), now)
            })
        })
    };
    shadow(&mut world).unwrap();
    let row = world.core.trail(&tenant, None, 0).unwrap().remove(0);
    assert_eq!(row.sha256, Digest::of(row.record.as_bytes()));
    let record: Value = serde_json::from_str(&row.record).unwrap();
    for (field, said) in
        [("by", "alice"), ("role", "operator"), ("from", "192.0.2.7"), ("call", "Tenants/Shadow")]
    {
        assert_eq!(record[field], said);
    }
    let change = &record["changes"][0];
    assert_eq!((change["what"].as_str(), &change["before"]["shadow_until"]), (Some("policy"), &Value::Null));
    assert_eq!(change["after"]["shadow_until"], until.to_string());
    let act = acts(&world, &tenant).pop().unwrap();
    assert_eq!((act.deed.kind(), act.record), ("policy", Some(row.sha256)));
}

#[test]
fn a_change_that_nothing_else_is_signed_about_is_signed_as_that() {
    let mut world = World::new();
    let (tenant, now) = (world.tenant.clone(), world.now);
    let annex = |world: &mut World, name: &str| {
        world.core.run(now, |core| {
            core.acting_as(alice(), "Sites/Create", now, |core| core.create_site(&tenant, name, now))
        })
    };
    annex(&mut world, "Annex").unwrap();
    let act = acts(&world, &tenant).pop().unwrap();
    let row = world.core.trail(&tenant, None, 0).unwrap().remove(0);
    assert_eq!((act.deed.kind(), act.record), ("operation", Some(row.sha256)));
    assert!(act.deed.sentence().contains("Sites/Create") && row.record.contains("Annex"));
    // What people typed stays where it can be cleaned.
    assert!(!acts(&world, &tenant).iter().any(|act| act.deed.sentence().contains("Annex")));
    // What failed changed nothing, and is in neither.
    let before = (acts(&world, &tenant).len(), world.count("SELECT count(*) FROM audit"));
    assert!(annex(&mut world, "Annex").is_err());
    assert_eq!((acts(&world, &tenant).len(), world.count("SELECT count(*) FROM audit")), before);
    // A look changes nothing either.
    world
        .core
        .run(now, |core| core.acting_as(alice(), "Sites/List", now, |core| core.sites(&tenant)))
        .unwrap();
    assert_eq!((acts(&world, &tenant).len(), world.count("SELECT count(*) FROM audit")), before);
}

#[test]
fn each_clinics_trail_and_log_tell_of_it_alone() {
    let mut world = World::new();
    let (here, there, now) = (world.tenant.clone(), world.tenant_named("Hill Clinic"), world.now);
    let scope = Scope::Tenant(world.core.tenant(&there).unwrap().id);
    let grant = Grant { role: Role::Auditor, scope };
    world
        .core
        .run(now, |core| {
            core.acting_as(alice(), "Operators/IssueToken", now, |core| {
                core.issue_operator_token("hill-audit", grant, DAY, now)?;
                core.issue_operator_token("everywhere", Grant::everything(), DAY, now)
            })
        })
        .unwrap();
    let said = |tenant: &str| {
        let acts = acts(&world, tenant);
        acts.iter().map(|act| act.deed.sentence()).filter(|s| s.contains("access")).collect::<Vec<_>>()
    };
    assert!(said(&here).len() == 1 && said(&here)[0].contains("everywhere"));
    assert_eq!(said(&there).len(), 2);
    // Who sees one clinic sees its trail, and nothing of the organization's.
    let eve = Principal::token("eve".into(), "192.0.2.9".into(), grant);
    let (trail, all) = world
        .core
        .run(now, |core| {
            let all = core.trail("", None, 0)?.len();
            Ok((core.acting_as(eve, "Operators/Audit", now, |core| core.trail("", None, 0))?, all))
        })
        .unwrap();
    assert!(all > trail.len() && trail.iter().all(|row| row.record.contains(&there)), "{trail:?}");
    let record: Value = serde_json::from_str(&trail[0].record).unwrap();
    let changed = record["changes"].to_string();
    assert!(changed.contains("hill-audit") && !changed.contains("everywhere"), "{changed}");
}

#[test]
fn a_clinic_that_leaves_is_shut_out_and_its_evidence_stays() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let (tenant, now) = (world.tenant.clone(), world.now);
    let id = world.core.tenant(&tenant).unwrap().id;
    let own = Grant { role: Role::Auditor, scope: Scope::Tenant(id) };
    let issue = |world: &mut World, name: &str, grant| {
        world.core.run(now, |core| core.issue_operator_token(name, grant, DAY, now)).unwrap().secret
    };
    let (theirs, everybodys) =
        (issue(&mut world, "theirs", own), issue(&mut world, "ours", Grant::everything()));
    let (unused, late) = (world.token(&tenant), world.unknown_box());
    let before = world.core.evidence(&tenant, 0, u32::MAX).unwrap().1;
    let leave = |world: &mut World, name: &str| {
        world.core.run(now, |core| core.offboard_tenant(&tenant, name, "the contract ended", now))
    };
    assert_eq!(bad_field(leave(&mut world, "Riverside")), "name");
    assert_eq!(world.core.appliances(&tenant).unwrap()[0].state.name(), "active", "nothing was changed");
    assert_eq!(leave(&mut world, "Riverside Dental").unwrap().closed, now);

    assert_eq!(world.core.appliances(&tenant).unwrap()[0].state.name(), "revoked");
    let asked = appliance.ask(None);
    assert!(world.exchange(&appliance, &asked).is_err());
    denied(world.enroll(&late.enrol_request(&unused)));
    denied(world.core.run(now, |core| core.operator(&theirs, now)));
    world.core.run(now, |core| core.operator(&everybodys, now)).unwrap();
    assert!(
        precondition(world.core.run(now, |core| core.create_site(&tenant, "Annex", now))).contains("left")
    );
    assert!(precondition(leave(&mut world, "Riverside Dental")).contains("left already"));
    let (rows, size) = world.core.evidence(&tenant, 0, u32::MAX).unwrap();
    assert!(size > before && rows.iter().any(|row| row.kind == "enrolment"));
    let kinds: Vec<_> = acts(&world, &tenant).iter().map(|act| act.deed.kind()).collect();
    assert!(kinds.contains(&"revocation") && kinds.contains(&"access-end") && kinds.contains(&"closure"));
}

#[test]
fn a_database_from_a_backup_learns_that_a_clinic_left() {
    let mut world = World::new();
    world.appliance();
    let (tenant, now, backup) = (world.tenant.clone(), world.now, world.backup());
    let leave = |core: &mut control_plane::core::Core| {
        core.offboard_tenant(&tenant, "Riverside Dental", "the contract ended", now)
    };
    world.core.run(now, leave).unwrap();
    world.restore(backup).unwrap();
    assert!(
        precondition(world.core.run(now, |core| core.create_site(&tenant, "Annex", now))).contains("left")
    );
}

#[test]
fn a_proposal_names_one_of_the_runbooks_that_may_run_and_goes_the_way_of_all() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    let (id, now) = (world.core.incidents("", "", 0).unwrap()[0].id.to_string(), world.now);
    let propose = |world: &mut World, runbook: &str, why: &str| {
        let now = world.now;
        world.core.run(now, |core| {
            core.acting_as(alice(), "Compliance/Propose", now, |core| {
                core.propose_runbook(&id, runbook, why, now)
            })
        })
    };
    assert!(precondition(propose(&mut world, "RB-DISK-002", "again")).contains("is ordered"));
    let order = appliance.newest_order();
    appliance.order_high = order.sequence;
    let failed = appliance.executed(now, &order, Verdict::Failed);
    world.send(&mut appliance, vec![failed]);
    assert_eq!(world.core.incidents("", "", 0).unwrap()[0].state.name(), "escalated");

    assert_eq!(bad_field(propose(&mut world, "RB-BACKUP-001", "a guess")), "runbook");
    assert_eq!(bad_field(propose(&mut world, "RB-NONE-999", "a guess")), "runbook");
    assert_eq!(bad_field(propose(&mut world, "RB-DISK-002", "")), "why");
    assert_eq!(world.core.incidents("", "", 0).unwrap()[0].state.name(), "escalated", "nothing was changed");

    world.wait(2 * HOUR);
    let beat = appliance.heartbeat(world.now);
    world.send(&mut appliance, vec![beat]);
    let planned = propose(&mut world, "RB-DISK-002", "the disk was replaced").unwrap();
    assert_eq!(planned.state.name(), "planned");
    world.call(&mut appliance);
    let order = appliance.newest_order();
    assert_eq!(order.plan.planner, "proposal");
    assert_eq!(order.plan.reason, "alice proposed RB-DISK-002: the disk was replaced");
}
