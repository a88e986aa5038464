//! Clinic hours that this box's own configuration names: a control plane that does not know them, or denies them, cannot
//! have people disturbed.

use std::time::Duration;

use proto::{local, standing::StandingOrder};
use runbooks::{ClinicHours, Policy};

use super::Scene;

const MINUTE: Duration = Duration::from_secs(60);

/// Around the hour at which a scene begins, and over within half an hour.
const HOURS: &str = "sunday 08:00-12:30 UTC";

fn hours(text: &str) -> ClinicHours {
    ClinicHours::during([text.parse().unwrap()])
}

impl Scene {
    fn at_work(own: &str) -> Self {
        let mut scene = Self::new();
        scene.appliance.settings.clinic_hours = hours(own);
        scene.core = scene.appliance.open();
        scene.tell_time();
        scene.work();
        scene
    }

    fn ran(&self, step: &str, watch: &str) -> usize {
        self.appliance.machine.count(step, watch)
    }
}

#[test]
fn an_order_that_disturbs_is_refused_while_people_work_and_runs_when_they_are_gone() {
    let mut scene = Scene::at_work(HOURS);
    assert!(scene.office.policy().clinic_hours.is_empty(), "the control plane says otherwise");
    let order = scene.good_order(1, 1);
    scene.is_refused_by(scene.sealed(&order), "window");
    let refusal = scene.refusals().remove(0);
    assert_eq!((refusal.guardrail, refusal.order.is_some()), (10, true));
    assert!(refusal.reason.contains("runbook RB-DISK-002 disturbs people at work"), "{}", refusal.reason);
    // What nobody notices runs.
    let restore = scene.office.order(2, 2, &scene.incarnation, "RB-RESTORE-001", "records");
    assert!(scene.send(restore).accepted);
    scene.work();
    assert_eq!(scene.ran("restic.test-restore", "records"), 1);
    scene.pass(31 * MINUTE);
    scene.still_runs_a_good_order(3);
}

/// The order key signs time tokens as well: whoever has it says that it is evening, when the box's own clock knows better.
#[test]
fn a_token_that_lies_about_the_hour_ends_no_working_day() {
    let mut scene = Scene::new();
    scene.appliance.settings.clinic_hours = hours(HOURS);
    scene.core = scene.appliance.open();
    scene.office.now = scene.office.now.plus(600 * MINUTE);
    scene.tell_time();
    scene.work();
    let order = scene.good_order(1, 1);
    scene.is_refused_by(scene.sealed(&order), "window");
    assert_eq!(scene.ran("files.prune", "uploads"), 0);
}

/// What was admitted a moment before people came is not begun when they are there.
#[test]
fn an_order_that_waits_into_clinic_hours_is_not_begun() {
    let mut scene = Scene::at_work("sunday 12:01-12:30 UTC");
    assert!(scene.send(scene.sealed(&scene.good_order(1, 1))).accepted);
    scene.appliance.clock.pass(2 * MINUTE);
    scene.work();
    assert_eq!(scene.ran("files.prune", "uploads"), 0);
    let refusals = scene.refusals();
    assert_eq!((refusals.len(), refusals[0].name.as_str()), (1, "window"), "{refusals:?}");
}

#[test]
fn a_standing_order_waits_for_the_end_of_clinic_hours_too() {
    let mut scene = Scene::at_work(HOURS);
    let standing = scene.standing(1, "RB-BACKUP-001", "records");
    assert_eq!(scene.give(&standing), [""; 0]);
    scene.pass(20 * MINUTE);
    assert_eq!(scene.backups(), 0);
    let refusals = scene.refusals();
    assert_eq!(refusals.len(), 1, "once for as long as the fault is there: {refusals:?}");
    assert_eq!(refusals[0].name, "window");
    assert!(refusals[0].order.as_ref().is_some_and(|order| order.standing.is_some()), "{refusals:?}");
    scene.pass(11 * MINUTE);
    assert_eq!(scene.backups(), 1);
    // One for what nobody notices does not wait.
    let mut scene = Scene::at_work(HOURS);
    let drill = scene.standing(2, "RB-RESTORE-001", "records");
    scene.give(&StandingOrder { trigger: "restore.due".into(), ..drill });
    scene.pass(10 * MINUTE);
    assert_eq!(scene.ran("restic.test-restore", "records"), 1);
}

/// Joined with the control plane's own hours, it is refused in either.
#[test]
fn hours_of_a_policy_are_added_and_take_none_away() {
    let mut scene = Scene::at_work("sunday 08:00-12:10 UTC");
    scene.office.policy_serial = 2;
    let policy = Policy { clinic_hours: hours("sunday 12:05-12:20 UTC"), ..scene.office.policy() };
    let policy = policy.seal(&scene.office.order_key);
    scene.deliver(local::Deliver { policy, ..local::Deliver::default() });
    // By its own hours alone; by the policy's alone; and a minute before the end of both.
    for (n, minutes) in [(1, 2), (2, 10), (3, 7)] {
        scene.pass(minutes * MINUTE);
        let order = scene.good_order(n, u64::from(n));
        scene.is_refused_by(scene.sealed(&order), "window");
    }
    scene.pass(2 * MINUTE);
    scene.still_runs_a_good_order(4);
}
