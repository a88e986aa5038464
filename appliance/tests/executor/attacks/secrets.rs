//! Secrets of the clinic: only this box opens them, and they show nowhere but in their file.

use std::path::Path;

use proto::{
    document::{Core, Document, Kind},
    evidence::Body,
    ids::Incarnation,
    sealed::{Binding, SealingKey},
};

use super::Scene;

const SECRET: &[u8] = b"correct horse battery staple";
const FILE: &str = "/etc/orderly/restic.password";

impl Scene {
    fn sealing_key(&mut self) -> SealingKey {
        let beat = |body| if let Body::Heartbeat(beat) = body { Some(beat) } else { None };
        self.bodies().into_iter().rev().find_map(beat).unwrap().sealing_key.unwrap()
    }

    fn own(&self) -> Incarnation {
        Incarnation::from_field("incarnation", &self.incarnation).unwrap()
    }

    fn sealed_as(&mut self, serial: u64, name: &str, secret: &[u8]) -> Document {
        let binding = Binding { appliance: self.office.appliance, incarnation: self.own(), name };
        let content = self.sealing_key().seal(secret, &binding).unwrap();
        self.secret(serial, name, content)
    }

    fn secret(&self, serial: u64, name: &str, content: Vec<u8>) -> Document {
        let core = Core {
            appliance: Some(self.office.appliance),
            incarnation: Some(self.own()),
            kind: Kind::Secret,
            name: name.into(),
            ..self.drawn(serial, content)
        };
        Document::new(&core.encode(), self.office.charter.serial, Vec::new()).unwrap()
    }

    fn kept(&self) -> Option<Vec<u8>> {
        self.appliance.machine.lock().secrets.get(Path::new(FILE)).cloned()
    }
}

#[test]
fn a_sealed_secret_comes_to_its_place_is_rotated_and_removed_and_shows_nowhere_else() {
    let mut scene = Scene::new();
    let first = scene.sealed_as(1, "restic", SECRET);
    assert_eq!(scene.hand_over(&first), Vec::<String>::new());
    assert_eq!(scene.kept().as_deref(), Some(SECRET));
    let second = scene.sealed_as(2, "restic", b"another one altogether");
    assert_eq!(scene.hand_over(&second), Vec::<String>::new());
    assert_eq!(scene.kept().as_deref(), Some(&b"another one altogether"[..]));
    scene.is_not_taken(&first, "serial 1 is older than 2");
    // After a restart, perhaps with an empty /run, it is there again.
    scene.appliance.machine.lock().secrets.clear();
    scene.core = scene.appliance.open();
    assert_eq!(scene.kept().as_deref(), Some(&b"another one altogether"[..]));
    assert_eq!(scene.taken().len(), 2, "each is evidence");
    let evidence: Vec<u8> = scene.office.archive.values().flatten().copied().collect();
    let database = scene.appliance.database();
    for secret in [SECRET, b"another one altogether"] {
        for place in [&evidence, &database] {
            assert!(!place.windows(secret.len()).any(|part| part == secret));
        }
    }
    let removed = scene.secret(3, "restic", Vec::new());
    assert_eq!(scene.hand_over(&removed), Vec::<String>::new());
    assert_eq!(scene.kept(), None);
}

#[test]
fn one_that_the_box_cannot_open_or_has_no_place_for_is_refused_by_the_field() {
    let mut scene = Scene::new();
    let elsewhere = scene.sealed_as(1, "shadow", SECRET);
    scene.is_not_taken(&elsewhere, "names no such place under [secrets]");
    // Sealed under another name, and handed over as this one.
    let content = scene.sealed_as(1, "acme", SECRET).core.content;
    let renamed = scene.secret(1, "restic", content);
    scene.is_not_taken(&renamed, "cannot be opened");
    let other = proto::sealed::OpeningKey::new([5; 32]).public();
    let binding = Binding { appliance: scene.office.appliance, incarnation: scene.own(), name: "restic" };
    let foreign = scene.secret(1, "restic", other.seal(SECRET, &binding).unwrap());
    scene.is_not_taken(&foreign, "cannot be opened");
    assert_eq!(scene.kept(), None);
}
