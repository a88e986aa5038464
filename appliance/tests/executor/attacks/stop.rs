//! Stops by the control plane: what a quarantined box does not do any more, and what only claims to be a stop or a release.

use std::time::Duration;

use proto::{evidence::Body, keys::SecretKey, local, stop::Stop};

use super::{Scene, stranger};
use crate::support::describe;

const MINUTE: Duration = Duration::from_secs(60);

impl Scene {
    fn stop(&self, serial: u64, stopped: bool) -> Stop {
        Stop {
            organization: self.office.charter.organization.clone(),
            tenant: self.office.tenant,
            appliance: self.office.appliance,
            serial,
            stopped,
            reason: "two histories of one incarnation".into(),
        }
    }

    fn tell(&mut self, stop: Vec<u8>) -> Vec<String> {
        self.deliver(local::Deliver { stop, ..local::Deliver::default() }).problems
    }

    fn told(&mut self, serial: u64, stopped: bool) -> Vec<String> {
        let stop = self.stop(serial, stopped).seal(&self.office.order_key);
        self.tell(stop)
    }

    fn is_stopped(&mut self) -> bool {
        describe(&mut self.core).hold.contains("control plane has stopped")
    }
}

#[test]
fn a_stop_ends_the_use_of_standing_orders_until_it_is_released() {
    let mut scene = Scene::new();
    let standing = scene.standing(1, "RB-BACKUP-001", "records");
    assert_eq!(scene.give(&standing), [""; 0]);
    assert_eq!(scene.told(5, true), [""; 0]);
    scene.pass(30 * MINUTE);
    // Over a restart too, and whoever is there.
    scene.core = scene.appliance.open();
    scene.tell_time();
    scene.pass(30 * MINUTE);
    assert_eq!(scene.backups(), 0);
    assert!(scene.is_stopped());
    assert_eq!(describe(&mut scene.core).stop_serial, 5);
    let order = scene.sealed(&scene.good_order(1, 1));
    scene.is_refused_by(order, "hold");

    assert_eq!(scene.told(6, false), [""; 0]);
    scene.pass(5 * MINUTE);
    assert_eq!(scene.backups(), 1);
    assert!(!scene.is_stopped());
    scene.refusals();
    let holds: Vec<(bool, String)> = scene
        .office
        .records()
        .into_iter()
        .filter_map(
            |record| if let Body::Hold(hold) = record.body { Some((hold.held, hold.by)) } else { None },
        )
        .collect();
    assert_eq!(holds, [(true, "quarantine".to_owned()), (false, "quarantine".to_owned())]);
}

#[test]
fn what_only_claims_to_stop_or_to_release() {
    let mut scene = Scene::new();
    let other = "0190a0c0-0000-7000-8000-0000000000ff";
    for (case, stop) in [
        ("a stranger's", scene.stop(5, true).seal(&stranger())),
        (
            "of another box",
            Stop { appliance: other.parse().unwrap(), ..scene.stop(5, true) }.seal(&scene.office.order_key),
        ),
        (
            "of another clinic",
            Stop { tenant: other.parse().unwrap(), ..scene.stop(5, true) }.seal(&scene.office.order_key),
        ),
        (
            "of another organization",
            Stop { organization: "other.example".into(), ..scene.stop(5, true) }
                .seal(&scene.office.order_key),
        ),
        ("a policy", scene.office.policy_bytes()),
        ("garbage", b"{}".to_vec()),
    ] {
        assert_eq!(scene.tell(stop).len(), 1, "{case}");
        assert!(!scene.is_stopped(), "{case}");
    }
    assert_eq!(scene.told(5, true), [""; 0]);
    assert_eq!(scene.told(5, true), [""; 0], "the same again");
    for (serial, stopped) in [(4, false), (5, false), (0, false), (4, true)] {
        assert!(scene.told(serial, stopped)[0].contains("older"), "{serial}");
        assert!(scene.is_stopped());
    }
    let release = scene.stop(6, false).seal(&stranger());
    assert_eq!(scene.tell(release).len(), 1);
    assert!(scene.is_stopped());
    assert_eq!(scene.told(7, false), [""; 0]);
    assert!(!scene.is_stopped());
    scene.still_runs_a_good_order(1);
}

#[test]
fn a_stop_of_a_stolen_key_does_not_outlive_its_rotation() {
    let mut scene = Scene::new();
    assert_eq!(scene.told(u64::MAX, true), [""; 0]);
    assert!(scene.told(1, false)[0].contains("older"));
    scene.office.order_key = SecretKey::ed25519([50; 32]);
    scene.office.charter.order_keys = [scene.office.order_key.public()].into();
    scene.office.charter.serial = 2;
    scene.office.policy_serial = 2;
    let rotated = local::Deliver {
        charter: scene.office.charter_bytes(),
        policy: scene.office.policy_bytes(),
        ..local::Deliver::default()
    };
    assert_eq!(scene.deliver(rotated).problems, [""; 0]);
    assert!(!scene.is_stopped());
    assert_eq!(describe(&mut scene.core).stop_serial, 0, "so that the control plane says again what holds");
    assert_eq!(scene.told(1, true), [""; 0]);
    scene.core = scene.appliance.open();
    assert!(scene.is_stopped());
    assert_eq!(scene.told(2, false), [""; 0]);
    scene.tell_time();
    scene.still_runs_a_good_order(1);
}

/// An operator's hold reaches a box as a stop does, and its evidence says whose it is.
#[test]
fn an_operators_hold_is_a_stop_that_is_called_by_its_name() {
    let mut scene = Scene::new();
    let stop = Stop { reason: format!("{}: they are moving", proto::stop::HELD), ..scene.stop(5, true) };
    assert_eq!(scene.tell(stop.seal(&scene.office.order_key)), [""; 0]);
    assert!(scene.is_stopped());
    let order = scene.sealed(&scene.good_order(1, 1));
    scene.is_refused_by(order, "hold");
    assert!(scene.refusals().last().unwrap().reason.contains("paused by an operator"));
    assert_eq!(scene.told(6, false), [""; 0]);
    scene.work();
    scene.refusals();
    let holds: Vec<_> = scene
        .office
        .records()
        .into_iter()
        .filter_map(
            |record| if let Body::Hold(hold) = record.body { Some((hold.held, hold.by)) } else { None },
        )
        .collect();
    assert_eq!(holds, [(true, "operator".to_owned()), (false, "operator".to_owned())]);
    scene.still_runs_a_good_order(2);
}
