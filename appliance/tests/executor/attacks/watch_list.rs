//! A box's watch list: an approver changes it, and nobody else can.

use proto::{
    digest::Digest,
    document::{Core, Document, Kind, WATCH_LIST},
    evidence::Body,
    ids::Incarnation,
    keys::SecretKey,
    local::{self, request::Call, response::Answer},
};

use super::{
    Scene,
    orders::{assertion, with_an_approver},
};
use crate::support::{ask, describe};

/// Another list than the box's own: `etc` is on it, `uploads` is not.
const LIST: &str = "[[watch.directory]]\nid = \"etc\"\npath = \"/srv/etc\"\nlimit_bytes = 100\nkeep_newer_than_seconds = 0\n";

impl Scene {
    fn list(&self, serial: u64, content: &str) -> Core {
        Core {
            appliance: Some(self.office.appliance),
            incarnation: Some(Incarnation::from_field("incarnation", &self.incarnation).unwrap()),
            kind: Kind::WatchList,
            name: WATCH_LIST.into(),
            ..self.drawn(serial, content.into())
        }
    }

    /// The entries that the newest heartbeat names.
    fn watched(&mut self) -> Vec<String> {
        self.work();
        let beat = |body| if let Body::Heartbeat(beat) = body { Some(beat) } else { None };
        let beat = self.bodies().into_iter().rev().find_map(beat).unwrap();
        beat.watch.keys().map(ToString::to_string).collect()
    }

    fn listed(&mut self) -> Vec<u8> {
        match ask(&mut self.core, Call::WatchList(local::WatchList {})) {
            Answer::WatchList(list) => list.content,
            other => panic!("{other:?}"),
        }
    }
}

fn scene() -> (Scene, SecretKey) {
    let mut scene = Scene::new();
    scene.appliance.machine.lock().levels.insert("etc".into(), 500);
    let passkey = with_an_approver(&mut scene);
    (scene, passkey)
}

#[test]
fn an_approved_list_takes_the_place_of_the_boxs_own_across_restarts_and_is_evidence() {
    let (mut scene, passkey) = scene();
    assert_eq!(scene.watched(), ["records", "scans", "uploads"]);
    let list = scene.approved(&scene.list(1, LIST), &passkey);
    assert_eq!(scene.hand_over(&list), Vec::<String>::new());
    assert_eq!(scene.watched(), ["etc"], "the control plane hears of it at once");
    assert_eq!(scene.listed(), LIST.as_bytes());
    assert_eq!(describe(&mut scene.core).watch_list, Digest::of(LIST.as_bytes()).to_vec());
    let taken = scene.taken();
    assert_eq!((taken[0].what, taken[0].content), (Kind::WatchList, Digest::of(LIST.as_bytes())));
    scene.core = scene.appliance.open();
    scene.tell_time();
    assert_eq!(scene.listed(), LIST.as_bytes());
    // What is on it can be worked on, what is not any more cannot.
    let order = scene.office.core(1, &scene.incarnation, "RB-DISK-002", "uploads");
    let order = scene.sealed(&scene.office.issue(order, 1));
    scene.is_refused_while_another_waits(order, "parameters");
    // Back to the box's own: an approver's to say, too.
    let withdrawn = scene.list(2, "");
    scene.is_not_taken(&Document::new(&withdrawn.encode(), 2, Vec::new()).unwrap(), "needs an approver");
    let withdrawn = scene.approved(&withdrawn, &passkey);
    assert_eq!(scene.hand_over(&withdrawn), Vec::<String>::new());
    assert_eq!(scene.watched(), ["records", "scans", "uploads"]);
    assert!(scene.listed().is_empty());
}

#[test]
fn whoever_owns_the_control_plane_and_its_order_key_cannot_change_what_is_watched() {
    let (mut scene, passkey) = scene();
    let core = scene.list(1, LIST);
    let bytes = core.encode();
    scene.is_not_taken(&Document::new(&bytes, 2, Vec::new()).unwrap(), "needs an approver of the charter");
    let forged = assertion(Digest::of(&bytes), &SecretKey::generate_p256());
    scene.is_not_taken(&Document::new(&bytes, 2, vec![forged]).unwrap(), "does not verify");
    // An approved one for another box, or for this one before it was wiped.
    let other = "0190a0c0-0000-7000-8000-0000000000ff".parse().unwrap();
    let elsewhere = Core { appliance: Some(other), ..core.clone() };
    scene.is_not_taken(&scene.approved(&elsewhere, &passkey), "appliance");
    let before = Core { incarnation: Some(Incarnation([9; 16])), ..core };
    scene.is_not_taken(&scene.approved(&before, &passkey), "incarnation");
    assert_eq!(scene.watched(), ["records", "scans", "uploads"]);
    assert!(scene.listed().is_empty() && scene.taken().is_empty());
}

#[test]
fn a_list_that_a_configuration_could_not_hold_is_refused_by_the_key_and_an_older_one_too() {
    let (mut scene, passkey) = scene();
    for (text, key) in [
        ("[[watch.directory]]\nid = \"etc\"\npath = \"srv\"\nlimit_bytes = 1\n", "watch.directory.etc.path"),
        // A log that is a secret's place would send it line by line.
        (
            "[[watch.log]]\nid = \"it\"\npath = \"/etc/orderly/restic.password\"\nraise = [\"a\"]\n",
            "secrets.restic",
        ),
        ("[[watch.shell]]\nid = \"x\"\n", "shell"),
        ("[limits]\norders_per_hour = 1000\n", "limits"),
        ("not toml", "not as it must be"),
    ] {
        let list = scene.approved(&scene.list(1, text), &passkey);
        scene.is_not_taken(&list, key);
    }
    let newer = scene.approved(&scene.list(3, LIST), &passkey);
    assert_eq!(scene.hand_over(&newer), Vec::<String>::new());
    let older = scene.approved(&scene.list(2, ""), &passkey);
    scene.is_not_taken(&older, "serial 2 is older than 3");
    assert_eq!(scene.watched(), ["etc"]);
}

#[test]
fn when_its_approver_leaves_the_charter_the_boxs_own_list_holds() {
    let (mut scene, passkey) = scene();
    let list = scene.approved(&scene.list(1, LIST), &passkey);
    scene.hand_over(&list);
    assert_eq!(scene.watched(), ["etc"]);
    scene.office.charter.serial = 3;
    scene.office.charter.approvers.clear();
    let charter = scene.office.charter_bytes();
    scene.deliver(local::Deliver { charter, ..local::Deliver::default() });
    assert_eq!(scene.watched(), ["records", "scans", "uploads"]);
}
