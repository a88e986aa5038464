//! Policy at three levels: organization, clinic, place. Each only takes away, and what a box is told is all of it at once.

use control_plane::core::{level::Level, shown::Shown};
use proptest::prelude::*;
use proto::{act::Change, ids::RunbookId};
use runbooks::{Mode, Patch, Policy, Risk, Setting};

use crate::{
    appliance::Appliance,
    world::{DAY, DISK, MINUTE, World, bad_field},
};

const DISK_RUNBOOK: &str = "RB-DISK-002";

fn patch(text: &str) -> Patch {
    Patch::parse(text).unwrap()
}

fn level(world: &World, tenant: &str, site: &str) -> Level {
    world.core.level(tenant, site, "").unwrap()
}

fn change(world: &mut World, level: Level, text: &str) {
    let (now, settings) = (world.now, patch(text));
    world.core.run(now, |core| core.patch_policy(level, &settings, now)).unwrap();
}

/// What a box is told, opened as it opens it.
fn told(world: &mut World, appliance: &mut Appliance) -> Policy {
    appliance.policy_serial = 0;
    let response = world.call(appliance);
    let policy = Policy::open(&response.policy, world.core.charter()).unwrap().into_value();
    appliance.policy_serial = policy.serial;
    policy
}

fn disk(policy: &Policy, world: &World) -> Mode {
    let runbook: RunbookId = DISK_RUNBOOK.parse().unwrap();
    policy.mode_of(&world.core.catalogue().0.runbook(&runbook).unwrap().runbook)
}

#[test]
fn each_level_takes_away_and_gives_back_only_what_is_its_own() {
    let mut world = World::new();
    let (hill, tenant) = (world.tenant_named("Hill Clinic"), world.tenant.clone());
    let (mut here, mut there) = (world.appliance(), world.appliance_at(&hill));
    let (all, clinic) = (Level::Organization, level(&world, &tenant, ""));
    let place = level(&world, &tenant, "Main St");
    change(&mut world, all, r#"{"modes":{"medium":"approval"},"per_tenant_hour":20}"#);
    change(&mut world, clinic, r#"{"runbook_modes":{"RB-DISK-002":"never"},"per_tenant_hour":100}"#);
    change(&mut world, place, r#"{"per_appliance_hour":2}"#);
    let policy = told(&mut world, &mut here);
    assert_eq!(
        (disk(&policy, &world), policy.per_tenant_hour, policy.per_appliance_hour),
        (Mode::Never, 20, 2)
    );
    let policy = told(&mut world, &mut there);
    assert_eq!((disk(&policy, &world), policy.per_appliance_hour), (Mode::Approval, 60));
    // The organization lets go: what the clinic says itself is still there, and what it wanted looser comes through.
    change(&mut world, all, r#"{"unset":["modes","per_tenant_hour"]}"#);
    let policy = told(&mut world, &mut here);
    assert_eq!(
        (disk(&policy, &world), policy.per_tenant_hour, policy.per_appliance_hour),
        (Mode::Never, 100, 2)
    );
    let policy = told(&mut world, &mut there);
    assert_eq!((disk(&policy, &world), policy.per_tenant_hour), (Mode::Automatic, 600));
    change(&mut world, clinic, r#"{"unset":["runbook_modes"]}"#);
    change(&mut world, place, r#"{"unset":["per_appliance_hour"]}"#);
    let policy = told(&mut world, &mut here);
    assert_eq!((disk(&policy, &world), policy.per_appliance_hour), (Mode::Automatic, 60));
    // A clinic that comes later is under the organization, too, and loses that with it.
    change(&mut world, all, r#"{"runbook_modes":{"RB-DISK-002":"approval"}}"#);
    let late = world.tenant_named("Late Clinic");
    let mut late = world.appliance_at(&late);
    let policy = told(&mut world, &mut late);
    assert_eq!((disk(&policy, &world), policy.serial), (Mode::Approval, 1));
    change(&mut world, all, r#"{"unset":["runbook_modes"]}"#);
    let policy = told(&mut world, &mut late);
    assert_eq!(disk(&policy, &world), Mode::Automatic);
}

#[test]
fn every_box_below_is_woken_and_told_under_a_new_serial_and_each_change_is_an_act() {
    let mut world = World::new();
    let mut here = world.appliance();
    let hill = world.tenant_named("Hill Clinic");
    let there = world.appliance_at(&hill);
    let tenant = world.tenant.clone();
    let place = level(&world, &tenant, "Main St");
    for (level, woken, change_) in [
        (Level::Organization, vec![here.id(), there.id()], Change::Organization),
        (level(&world, &tenant, ""), vec![here.id()], Change::Settings),
        (place, vec![here.id()], Change::Site),
    ] {
        world.core.take_wakes();
        let serial = told(&mut world, &mut here).serial;
        change(&mut world, level, r#"{"per_appliance_hour":7}"#);
        assert_eq!(world.core.take_wakes(), woken.into_iter().collect(), "{level:?}");
        assert_eq!(told(&mut world, &mut here).serial, serial + 1);
        let acts = crate::acts::acts(&world);
        let digest = proto::digest::Digest::of(&serde_json::to_vec(&told(&mut world, &mut here)).unwrap());
        let said = acts.iter().rev().find_map(|act| match &act.deed {
            proto::act::Deed::Policy { change, digest: said, serial: of, .. } if *said == digest => {
                Some((*change, *of))
            }
            _ => None,
        });
        assert_eq!(said, Some((change_, serial + 1)), "what the box was told is pinned: {acts:?}");
    }
    assert!(world.call(&mut here).policy.is_empty(), "once");
}

#[test]
fn a_box_that_comes_later_is_told_at_its_enrolment_what_its_place_says() {
    let mut world = World::new();
    let tenant = world.tenant.clone();
    let place = level(&world, &tenant, "Main St");
    change(&mut world, place, r#"{"per_appliance_hour":2}"#);
    let token = world.token(&tenant);
    let request = world.unknown_box().enrol_request(&token);
    for time in ["at first", "when its answer was lost"] {
        let welcome = world.enroll(&request).unwrap();
        let policy = Policy::open(&welcome.policy, world.core.charter()).unwrap().into_value();
        assert_eq!(policy.per_appliance_hour, 2, "{time}");
    }
}

#[test]
fn it_is_shown_which_level_says_what() {
    let mut world = World::new();
    let tenant = world.tenant.clone();
    let place = level(&world, &tenant, "Main St");
    change(
        &mut world,
        Level::Organization,
        r#"{"modes":{"low":"approval"},"windows":["sunday 01:00-03:00 UTC"]}"#,
    );
    let clinic = level(&world, &tenant, "");
    change(&mut world, clinic, r#"{"modes":{"low":"approval"},"runbook_modes":{"RB-DISK-002":"never"}}"#);
    change(&mut world, place, r#"{"windows":["sunday 02:00-04:00 UTC"],"per_appliance_hour":3}"#);
    let shown = world.core.show_policy(place).unwrap();
    let by = |setting: &str| shown.sources().into_iter().find(|one| one.setting == setting).unwrap().levels;
    assert_eq!(by("modes.low"), ["organization", "tenant"]);
    assert_eq!(by("runbook_modes.RB-DISK-002"), ["tenant"]);
    assert_eq!(by("per_appliance_hour"), ["site"]);
    assert_eq!(by("windows"), ["organization", "site"]);
    assert_eq!(by("per_tenant_hour"), [""; 0]);
    let (level, row) = &shown.levels[2];
    assert_eq!(
        Shown::says(*level, &row.policy).to_string(),
        r#"{"per_appliance_hour":3,"windows":["sunday 02:00-04:00 UTC"]}"#
    );
    assert_eq!(shown.whole()["modes"]["low"], "approval");
}

#[test]
fn a_place_judges_by_its_own_policy() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let tenant = world.tenant.clone();
    let place = level(&world, &tenant, "Main St");
    change(&mut world, place, r#"{"runbook_modes":{"RB-DISK-002":"never"}}"#);
    told(&mut world, &mut appliance);
    let event = appliance.event(world.now, DISK, "uploads", proto::sync::Phase::Raised);
    assert!(world.send(&mut appliance, vec![event]).orders.is_empty());
    let said = world.text("SELECT state || ' ' || reason FROM incident");
    assert_eq!(said, format!("escalated policy allows no runbook that is triggered by {DISK}"));
    // Nor does it get a standing order for what needs an approver there.
    let low = |world: &mut World, appliance: &mut Appliance| {
        world.wait(MINUTE);
        let all = crate::standing::takes(world, appliance);
        all.iter().filter(|one| one.runbook.as_str() == "RB-BACKUP-001").count()
    };
    assert_eq!(low(&mut world, &mut appliance), 1);
    change(&mut world, place, r#"{"runbook_modes":{"RB-BACKUP-001":"approval"}}"#);
    told(&mut world, &mut appliance);
    appliance.standing = None;
    assert_eq!(low(&mut world, &mut appliance), 0);
}

#[test]
fn a_template_is_applied_to_all_that_are_named_or_to_none() {
    let mut world = World::new();
    let names: Vec<String> = (0..3).map(|n| world.tenant_named(&format!("Clinic {n}"))).collect();
    let now = world.now;
    let settings = patch(r#"{"modes":{"medium":"approval"},"freeze_until":"2027-01-04T00:00:00.000Z"}"#);
    world.core.run(now, |core| core.put_template("careful", settings, now)).unwrap();
    let serials = |world: &World| {
        world.text("SELECT group_concat(policy_serial, ' ') FROM (SELECT * FROM tenant ORDER BY name)")
    };
    let before = serials(&world);
    let apply = |world: &mut World, template: &str, tenants: &[String], all| {
        world.core.run(now, |core| {
            let tenants = core.tenants_named(tenants, all)?;
            core.apply_template(template, &tenants, now)
        })
    };
    let with_a_stranger = [names[0].clone(), "Nobody's".into()];
    assert!(apply(&mut world, "careful", &with_a_stranger, false).is_err());
    assert!(apply(&mut world, "careless", &names, false).is_err());
    assert_eq!(bad_field(apply(&mut world, "careful", &[], false)), "tenants");
    assert_eq!(bad_field(apply(&mut world, "careful", &names, true)), "tenants");
    assert_eq!(serials(&world), before);
    let twice = [names[0].clone(), "Clinic 0".into(), names[2].clone()];
    apply(&mut world, "careful", &twice, false).unwrap();
    assert_eq!(serials(&world), "2 1 2 1", "each once, the others not");
    apply(&mut world, "careful", &[], true).unwrap();
    assert_eq!(serials(&world), "3 2 3 2");
    for tenant in &names {
        let id = world.core.tenant(tenant).unwrap().id;
        let policy = world.core.policy_of(id).unwrap();
        assert_eq!(policy.mode(Risk::Medium), Mode::Approval);
        assert!(policy.freeze_until.is_some_and(|until| until > now));
        let (rows, _) = world.core.evidence(tenant, 0, 0).unwrap();
        assert!(rows.iter().any(|row| row.kind == "policy" && row.summary.contains("template")), "{rows:?}");
    }
    // A clinic whose damaged policy cannot be read: nothing changes anywhere.
    let damage =
        "UPDATE policy_level SET policy = 'x' WHERE place = (SELECT id FROM tenant WHERE name = 'Clinic 2')";
    world.db.share().execute(damage, []).unwrap();
    assert!(apply(&mut world, "careful", &[], true).is_err());
    assert_eq!(serials(&world), "3 2 3 2");
    world.core.run(now, |core| core.remove_template("careful")).unwrap();
    assert!(apply(&mut world, "careful", &names[..1], false).is_err());
}

#[test]
fn what_cannot_be_is_refused_by_name_and_changes_nothing() {
    let mut world = World::new();
    let (tenant, now) = (world.tenant.clone(), world.now);
    let clinic = level(&world, &tenant, "");
    for (text, field) in [("{}", "settings"), (r#"{"breaker_after":0}"#, "breaker_after")] {
        let settings = patch(text);
        assert_eq!(bad_field(world.core.run(now, |core| core.patch_policy(clinic, &settings, now))), field);
        assert_eq!(bad_field(world.core.run(now, |core| core.put_template("t", settings, now))), field);
    }
    assert_eq!(bad_field(world.core.level("", "Main St", "")), "site");
    assert!(world.core.level(&tenant, "Nowhere", "").is_err());
    assert_eq!(world.count("SELECT max(policy_serial) FROM tenant"), 1);
}

#[test]
fn a_clinic_from_before_levels_keeps_what_it_said() {
    let mut world = World::new();
    let (tenant, now) = (world.tenant.clone(), world.now);
    world.core.run(now, |core| core.shadow_tenant(&tenant, Some(now.plus(DAY)), now)).unwrap();
    world.db.share().execute("DELETE FROM policy_level", []).unwrap();
    world.restart();
    change(&mut world, Level::Organization, r#"{"per_tenant_hour":9}"#);
    change(&mut world, Level::Organization, r#"{"unset":["per_tenant_hour"]}"#);
    let id = world.core.tenant(&tenant).unwrap().id;
    let policy = world.core.policy_of(id).unwrap();
    assert_eq!((policy.shadow(Some(now)), policy.per_tenant_hour), (Some(now.plus(DAY)), 600));
}

/// Any few settings.
fn patches() -> impl Strategy<Value = Patch> {
    let runbook = prop::sample::select(vec![DISK_RUNBOOK, "RB-BACKUP-001", "RB-TIME-001"])
        .prop_map(|id| id.parse::<RunbookId>().unwrap());
    let mode = || prop::sample::select(Mode::ALL.to_vec());
    let modes = prop::collection::btree_map(prop::sample::select(Risk::ALL.to_vec()), mode(), 0..2);
    let own = prop::collection::btree_map(runbook.clone(), mode(), 0..2);
    let allow = prop::option::of(prop::collection::btree_set(runbook, 0..3));
    let unset = prop::collection::btree_set(prop::sample::select(Setting::ALL.to_vec()), 0..3);
    let counts = (prop::option::of(1..99u32), prop::option::of(1..99u32), prop::option::of(any::<bool>()));
    (modes, own, allow, unset, counts).prop_map(|(modes, runbook_modes, allow, unset, counts)| Patch {
        modes,
        runbook_modes,
        allow,
        unset,
        per_appliance_hour: counts.0,
        breaker_after: counts.1,
        standing_orders: counts.2,
        ..Patch::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    /// Whatever is said at whatever level in whatever order: a box is told what all three say together, which is no looser
    /// than any of them alone, and what was told before under the same serial is never said anew.
    #[test]
    fn a_box_is_told_the_join_of_all_three(steps in prop::collection::vec((0..3usize, patches()), 1..6)) {
        let mut world = World::new();
        let mut appliance = world.appliance();
        let tenant = world.tenant.clone();
        let levels = [Level::Organization, level(&world, &tenant, ""), level(&world, &tenant, "Main St")];
        let mut own = [Policy::silent(), Policy::default_local(), Policy::silent()];
        let mut serial = 1;
        for (at, settings) in steps {
            let base = if at == 1 { Policy::default_local() } else { Policy::silent() };
            let now = world.now;
            let done = world.core.run(now, |core| core.patch_policy(levels[at], &settings, now));
            prop_assert_eq!(done.is_ok(), !settings.is_empty());
            if done.is_err() {
                continue;
            }
            settings.apply(&mut own[at], &base).unwrap();
            let told = told(&mut world, &mut appliance);
            serial += 1;
            prop_assert_eq!(told.serial, serial);
            for one in &own {
                prop_assert_eq!(told.tightened_by(one), told.clone(), "it is no looser than {:?}", one);
            }
            // Nor tighter than all of them.
            let all = own[0].tightened_by(&own[2]).tightened_by(&own[1]);
            prop_assert_eq!(&Policy { serial: told.serial, tenant: told.tenant, ..all }, &told);
        }
    }
}
