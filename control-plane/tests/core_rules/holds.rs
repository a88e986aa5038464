//! Holds: at every level, effective at the next exchange of every box below it, on both sides, until they end.

use control_plane::core::{CoreError, level::Level};
use proto::{act::Deed, evidence::Body, ids::ApplianceId, sync::Phase, sync::Record};

use crate::{
    acts::acts,
    appliance::Appliance,
    world::{DISK, HOUR, MINUTE, SECOND, World, bad_field},
};

fn hold(world: &mut World, level: Level, until: Option<proto::time::Millis>) {
    let now = world.now;
    world.core.run(now, |core| core.hold(level, "they are moving", until, now)).unwrap();
}

fn release(world: &mut World, level: Level) {
    let now = world.now;
    world.core.run(now, |core| core.release(level, now)).unwrap();
}

fn is_stopped(appliance: &Appliance) -> bool {
    appliance.stop.as_ref().is_some_and(|stop| stop.stopped)
}

fn raise(world: &mut World, appliance: &mut Appliance, watch: &str) -> usize {
    let event = appliance.event(world.now, DISK, watch, Phase::Raised);
    world.send(appliance, vec![event]).orders.len()
}

/// A clinic of two places with a box each, and another clinic with one.
struct Scene {
    world: World,
    here: Appliance,
    beside: Appliance,
    elsewhere: Appliance,
}

impl Scene {
    fn new() -> Self {
        let mut world = World::new();
        let here = world.appliance();
        let hill = world.tenant_named("Hill Clinic");
        let elsewhere = world.appliance_at(&hill);
        let (tenant, now) = (world.tenant.clone(), world.now);
        world.core.run(now, |core| core.create_site(&tenant, "Side St", now)).unwrap();
        world.site = "Side St".into();
        let beside = world.appliance();
        Self { world, here, beside, elsewhere }
    }

    fn level(&self, tenant: bool, site: &str, appliance: Option<ApplianceId>) -> Level {
        let tenant = if tenant { self.world.tenant.clone() } else { String::new() };
        let id = appliance.map(|id| id.to_string()).unwrap_or_default();
        self.world.core.level(&tenant, site, &id).unwrap()
    }

    fn levels(&self) -> [(Level, [bool; 3]); 4] {
        [
            (self.level(false, "", None), [true, true, true]),
            (self.level(true, "", None), [true, true, false]),
            (self.level(true, "Main St", None), [true, false, false]),
            (self.level(false, "", Some(self.here.id())), [true, false, false]),
        ]
    }

    /// Which of them are stopped once each has called.
    fn stopped(&mut self) -> [bool; 3] {
        [&mut self.here, &mut self.beside, &mut self.elsewhere].map(|appliance| {
            self.world.call(appliance);
            is_stopped(appliance)
        })
    }
}

#[test]
fn a_hold_at_any_level_stops_every_box_below_it_and_no_other() {
    let mut scene = Scene::new();
    let ids = [scene.here.id(), scene.beside.id(), scene.elsewhere.id()];
    for (level, expected) in scene.levels() {
        scene.world.core.take_wakes();
        hold(&mut scene.world, level, None);
        let held: Vec<_> = ids.iter().zip(expected).filter(|(_, held)| *held).map(|(id, _)| *id).collect();
        assert_eq!(scene.world.core.take_wakes(), held.iter().copied().collect(), "{level:?}");
        assert_eq!(scene.stopped(), expected, "{level:?}");
        let stop = scene.here.stop.clone().unwrap();
        let why = match level {
            Level::Organization => "the organization holds all its clinics",
            _ => "they are moving",
        };
        assert!(stop.is_hold() && stop.reason.ends_with(why), "{stop:?}");
        assert!(scene.world.call(&mut scene.here).stop.is_empty(), "once");
        scene.world.wait(SECOND);
        release(&mut scene.world, level);
        assert_eq!(scene.world.core.take_wakes(), held.into_iter().collect(), "{level:?}");
        assert_eq!(scene.stopped(), [false; 3], "{level:?}");
        scene.world.wait(SECOND);
    }
    let acts = acts(&scene.world);
    let said = |wanted: &str| acts.iter().filter(|act| act.deed.kind() == wanted).count();
    assert_eq!((said("hold"), said("release")), (4, 4));
    assert!(matches!(acts.last().unwrap().deed, Deed::Release { appliance: Some(id), .. } if id == ids[0]));
}

#[test]
fn while_it_lasts_nothing_is_signed_and_what_was_signed_does_not_leave() {
    let mut scene = Scene::new();
    let level = scene.level(true, "", None);
    assert_eq!(raise(&mut scene.world, &mut scene.here, "uploads"), 1);
    hold(&mut scene.world, level, None);
    assert!(scene.world.call(&mut scene.here).orders.is_empty(), "signed before, on its way again");
    assert_eq!(raise(&mut scene.world, &mut scene.here, "scans"), 0);
    let reason = scene.world.text("SELECT reason FROM incident WHERE watch = 'scans'");
    assert!(reason.starts_with("guardrail 12 (hold): orders are paused by an operator"), "{reason}");
    let line = scene.world.text("SELECT what || ' ' || detail FROM timeline WHERE what = 'held-back'");
    assert!(line.contains("guardrail 12"), "{line}");
    assert_eq!(scene.world.count(r#"SELECT count(*) FROM "order""#), 1);
    for _ in 0..3 {
        scene.world.wait(2 * MINUTE);
        scene.world.call(&mut scene.here);
    }
    assert_eq!(scene.world.count("SELECT count(*) FROM timeline WHERE what = 'held-back'"), 1, "said once");
    // Just held back once more, so that by itself it would not be tried now.
    release(&mut scene.world, level);
    let orders = scene.world.call(&mut scene.here).orders.len();
    assert_eq!(orders, 2, "the one that was held up, and the other, at once");
    assert!(!is_stopped(&scene.here));
}

#[test]
fn one_ends_by_itself_and_several_end_one_by_one() {
    let mut scene = Scene::new();
    let (clinic, here) = (scene.level(true, "", None), scene.level(false, "", Some(scene.here.id())));
    let until = scene.world.now.plus(HOUR);
    hold(&mut scene.world, clinic, Some(until));
    hold(&mut scene.world, here, None);
    assert_eq!(scene.stopped(), [true, true, false]);
    scene.world.core.take_wakes();
    scene.world.wait(HOUR);
    assert!(scene.world.core.take_wakes().contains(&scene.beside.id()));
    assert_eq!(scene.stopped(), [true, false, false]);
    let (kinds, now) = (acts(&scene.world), scene.world.now);
    assert_eq!(kinds.iter().filter(|act| act.deed.kind() == "release").count(), 1);
    assert_eq!(scene.world.count("SELECT count(*) FROM hold"), 1);
    let past = scene.world.core.run(now, |core| core.hold(clinic, "x", Some(now), now));
    assert_eq!(bad_field(past), "until");
    assert_eq!(bad_field(scene.world.core.run(now, |core| core.hold(clinic, "", None, now))), "reason");
    assert!(scene.world.core.run(now, |core| core.release(clinic, now)).is_err(), "there is none any more");
}

#[test]
fn who_may_hold_releases_nothing_by_holding_for_a_moment() {
    let mut scene = Scene::new();
    let (all, now) = (scene.level(false, "", None), scene.world.now);
    let until = |world: &mut World, end| world.core.run(now, |core| core.hold(all, "x", Some(end), now));
    for held in [None, Some(now.plus(HOUR))] {
        hold(&mut scene.world, all, held);
        let refused = until(&mut scene.world, now.plus(MINUTE));
        assert!(matches!(refused, Err(CoreError::Precondition(why)) if why.contains("released first")));
        assert_eq!(scene.stopped(), [true; 3]);
        if held.is_none() {
            release(&mut scene.world, all);
        }
    }
    assert_eq!(until(&mut scene.world, now.plus(2 * HOUR)).unwrap().until, now.plus(2 * HOUR));
}

#[test]
fn a_hold_and_a_quarantine_do_not_end_one_another() {
    let mut scene = Scene::new();
    let here = scene.level(false, "", Some(scene.here.id()));
    scene.world.send(&mut scene.here, vec![Record::Evidence(b"{}".to_vec())]);
    let by_quarantine = scene.here.stop.clone().unwrap();
    assert!(by_quarantine.stopped && !by_quarantine.is_hold());
    hold(&mut scene.world, here, None);
    assert!(scene.world.call(&mut scene.here).stop.is_empty(), "it is stopped, and why has not changed");
    scene.world.wait(SECOND);
    let (id, now) = (scene.here.id().to_string(), scene.world.now);
    scene.world.core.run(now, |core| core.readmit_appliance(&id, "seen on site", now)).unwrap();
    scene.world.call(&mut scene.here);
    assert!(scene.here.stop.as_ref().is_some_and(|stop| stop.stopped && stop.is_hold()));
    scene.world.wait(SECOND);
    release(&mut scene.world, here);
    scene.world.call(&mut scene.here);
    assert!(!is_stopped(&scene.here));
}

/// A database from a backup must not let go of what was held since.
#[test]
fn a_hold_outlives_a_restore_of_the_database() {
    let mut scene = Scene::new();
    let levels = scene.levels();
    hold(&mut scene.world, levels[2].0, None);
    let backup = scene.world.backup();
    hold(&mut scene.world, levels[1].0, None);
    release(&mut scene.world, levels[2].0);
    hold(&mut scene.world, levels[3].0, None);
    scene.world.restore(backup).unwrap();
    scene.world.wait(SECOND);
    let held =
        scene.world.text("SELECT group_concat(place, ' ') FROM (SELECT place FROM hold ORDER BY place)");
    let mut expected = [levels[1].0.key(), levels[3].0.key()];
    expected.sort();
    assert_eq!(held, expected.join(" "));
    assert_eq!(scene.stopped(), [true, true, false]);
}

#[test]
fn a_box_that_says_it_is_held_by_an_operator_gets_no_order_until_it_says_otherwise() {
    let mut scene = Scene::new();
    let here = scene.level(false, "", Some(scene.here.id()));
    hold(&mut scene.world, here, None);
    scene.world.call(&mut scene.here);
    let said = |held| proto::evidence::Hold { held, by: "operator".into(), checkpoint: None };
    let at = scene.world.now;
    let record = Record::Evidence(scene.here.seal(at, Body::Hold(said(true))));
    scene.world.send(&mut scene.here, vec![record]);
    release(&mut scene.world, here);
    assert_eq!(raise(&mut scene.world, &mut scene.here, "uploads"), 0, "it has not heard yet");
    let record = Record::Evidence(scene.here.seal(at, Body::Hold(said(false))));
    scene.world.send(&mut scene.here, vec![record]);
    scene.world.wait(2 * MINUTE);
    assert_eq!(scene.world.call(&mut scene.here).orders.len(), 1);
}
