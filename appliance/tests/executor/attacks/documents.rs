//! Exceptions from the baseline: what they do, and that neither the control plane nor the agent can give one.

use std::time::Duration;

use appliance::world::Clock as _;
use baseline::{Exception, Reading, ReadingValue};
use proto::{
    digest::Digest,
    document::{Core, Document, Kind},
    evidence::{Body, DocumentTaken, Scan, Standing},
    keys::SecretKey,
    local,
    time::Millis,
};

use super::{
    Scene,
    orders::{assertion, with_an_approver},
    stranger,
};
use crate::support::{collect, describe};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const CONTROL: &str = "NXH-045";

impl Scene {
    fn exception(&self, until: Millis) -> Exception {
        Exception {
            control: CONTROL.parse().unwrap(),
            reason: "A driver of the scanner reads them.".into(),
            risk: "An attack on the kernel finds its way.".into(),
            compensating: "The driver goes with the scanner, in March.".into(),
            approver: "Security official".into(),
            issued: self.office.now,
            expires: until,
        }
    }

    pub(super) fn drawn(&self, serial: u64, content: Vec<u8>) -> Core {
        Core {
            organization: self.office.charter.organization.clone(),
            tenant: self.office.tenant,
            appliance: None,
            incarnation: None,
            kind: Kind::Exception,
            name: CONTROL.into(),
            serial,
            issued: self.office.now,
            content,
        }
    }

    /// A week's exception.
    fn week(&self, serial: u64) -> Core {
        self.drawn(serial, self.exception(self.office.now.plus(7 * DAY)).canonical())
    }

    pub(super) fn approved(&self, core: &Core, passkey: &SecretKey) -> Document {
        let bytes = core.encode();
        let approvals = vec![assertion(Digest::of(&bytes), passkey)];
        Document::new(&bytes, self.office.charter.serial, approvals).unwrap()
    }

    pub(super) fn hand_over(&mut self, document: &Document) -> Vec<String> {
        let documents = vec![document.seal(&self.office.order_key)];
        self.deliver(local::Deliver { documents, ..local::Deliver::default() }).problems
    }

    pub(super) fn is_not_taken(&mut self, document: &Document, why: &str) {
        let before = describe(&mut self.core).documents;
        let problems = self.hand_over(document);
        assert!(problems.len() == 1 && problems[0].contains(why), "{why}: {problems:?}");
        assert_eq!(describe(&mut self.core).documents, before);
    }

    pub(super) fn bodies(&mut self) -> Vec<Body> {
        self.office.take(&collect(&mut self.core, 0));
        self.office.records().into_iter().map(|record| record.body).collect()
    }

    fn newest_scan(&mut self) -> Scan {
        let scan = |body| if let Body::Scan(scan) = body { Some(scan) } else { None };
        self.bodies().into_iter().rev().find_map(scan).expect("a scan was signed")
    }

    fn stands(&mut self) -> (Standing, Option<Digest>) {
        self.work();
        let found = self.newest_scan().findings[&CONTROL.to_owned().try_into().unwrap()].clone();
        (found.standing, found.exception)
    }

    pub(super) fn taken(&mut self) -> Vec<DocumentTaken> {
        let taken = |body| if let Body::Document(taken) = body { Some(taken) } else { None };
        self.bodies().into_iter().filter_map(taken).collect()
    }

    /// A box on which the control has drifted, and whose charter names an approver.
    fn drifted() -> (Self, SecretKey) {
        let mut scene = Self::new();
        let passkey = with_an_approver(&mut scene);
        let reading = Reading::from([("value".to_owned(), ReadingValue::Number(0))]);
        scene.appliance.machine.lock().seen.insert(CONTROL.parse().unwrap(), reading);
        scene.appliance.clock.pass(HOUR);
        assert_eq!(scene.stands(), (Standing::Drifted, None));
        scene.office.now = scene.appliance.clock.wall();
        scene.tell_time();
        (scene, passkey)
    }
}

#[test]
fn an_approved_exception_waives_its_control_until_its_end_and_each_step_is_evidence() {
    let (mut scene, passkey) = Scene::drifted();
    let core = scene.week(1);
    let exception = Digest::of(&core.content);
    let document = scene.approved(&core, &passkey);
    assert_eq!(scene.hand_over(&document), Vec::<String>::new());
    assert_eq!(scene.stands(), (Standing::Excepted, Some(exception)), "at once, and signed");
    let set = proto::standing::set_digest([document.core_digest]);
    assert_eq!(describe(&mut scene.core).documents, set.to_vec());
    assert_eq!(scene.hand_over(&document), Vec::<String>::new(), "the answer was lost");
    let taken = scene.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(
        (taken[0].name.as_str(), taken[0].content, taken[0].is_withdrawal),
        (CONTROL, exception, false)
    );
    assert_eq!(taken[0].approvers, ["owner"]);
    // The power fails; it is still there.
    scene.core = scene.appliance.open();
    scene.appliance.clock.pass(HOUR);
    assert_eq!(scene.stands(), (Standing::Excepted, Some(exception)));
    // Nobody withdraws it; its end comes.
    scene.appliance.clock.pass(7 * DAY);
    scene.office.now = scene.appliance.clock.wall();
    scene.tell_time();
    assert_eq!(scene.stands(), (Standing::Drifted, None));
    assert!(describe(&mut scene.core).documents.is_empty());
}

#[test]
fn it_is_taken_back_without_an_approver_and_stays_so() {
    let (mut scene, passkey) = Scene::drifted();
    let given = scene.approved(&scene.week(1), &passkey);
    scene.hand_over(&given);
    assert_eq!(scene.stands().0, Standing::Excepted);
    let withdrawn = Document::new(&scene.drawn(2, Vec::new()).encode(), 2, Vec::new()).unwrap();
    assert_eq!(scene.hand_over(&withdrawn), Vec::<String>::new());
    assert_eq!(scene.stands(), (Standing::Drifted, None));
    scene.is_not_taken(&given, "serial 1 is older than 2");
    assert_eq!(scene.taken().iter().map(|taken| taken.is_withdrawal).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn whoever_owns_the_control_plane_and_its_order_key_cannot_waive_a_control() {
    let (mut scene, passkey) = Scene::drifted();
    let core = scene.week(1);
    let bytes = core.encode();
    let with = |approvals| Document::new(&bytes, 2, approvals).unwrap();
    scene.is_not_taken(&with(Vec::new()), "needs an approver of the charter");
    let forged = SecretKey::generate_p256();
    scene.is_not_taken(&with(vec![assertion(Digest::of(&bytes), &forged)]), "does not verify");
    let mut unknown = assertion(Digest::of(&bytes), &forged);
    unknown.approver = "mallory".into();
    scene.is_not_taken(&with(vec![unknown]), "approver mallory is not in the charter");
    // An approval of one exception is none of another.
    let approval = assertion(Digest::of(&bytes), &passkey);
    let longer = scene.drawn(1, scene.exception(scene.office.now.plus(300 * DAY)).canonical());
    let longer = Document::new(&longer.encode(), 2, vec![approval.clone()]).unwrap();
    scene.is_not_taken(&longer, "must answer the SHA-256");
    assert_eq!(scene.stands(), (Standing::Drifted, None));
    assert!(scene.taken().is_empty());
    assert_eq!(scene.hand_over(&with(vec![approval])), Vec::<String>::new(), "the same, as it should be");
}

#[test]
fn whoever_owns_the_agent_cannot_either() {
    let (mut scene, passkey) = Scene::drifted();
    let good = scene.approved(&scene.week(1), &passkey);
    let by_a_stranger =
        local::Deliver { documents: vec![good.seal(&stranger())], ..local::Deliver::default() };
    let problems = scene.deliver(by_a_stranger).problems;
    assert!(problems[0].contains("not signed by an order key"), "{problems:?}");
    let mut changed = good.seal(&scene.office.order_key);
    let at = changed.len() / 2;
    changed[at] ^= 1;
    let problems =
        scene.deliver(local::Deliver { documents: vec![changed], ..local::Deliver::default() }).problems;
    assert_eq!(problems.len(), 1);
    assert_eq!(scene.stands(), (Standing::Drifted, None));
}

#[test]
fn one_for_somebody_else_or_not_as_it_must_be_is_refused_by_the_field() {
    let (mut scene, passkey) = Scene::drifted();
    let other = "0190a0c0-0000-7000-8000-0000000000ff";
    let exception = scene.exception(scene.office.now.plus(7 * DAY));
    let longest = scene.exception(scene.office.now.plus(366 * DAY));
    let past = scene.exception(scene.office.now);
    let over = Exception { issued: scene.office.now.minus(7 * DAY), ..past.clone() };
    let elsewhere = Exception { control: "NXH-001".parse().unwrap(), ..exception };
    let padded = [scene.week(1).content, vec![b' ']].concat();
    let cases: [(&str, Core); 9] = [
        ("tenant", Core { tenant: other.parse().unwrap(), ..scene.week(1) }),
        ("appliance", Core { appliance: Some(other.parse().unwrap()), ..scene.week(1) }),
        (
            "incarnation",
            Core {
                appliance: Some(scene.office.appliance),
                incarnation: Some(proto::ids::Incarnation([9; 16])),
                ..scene.week(1)
            },
        ),
        ("organization", Core { organization: "other.example".into(), ..scene.week(1) }),
        ("content.control", scene.drawn(1, elsewhere.canonical())),
        ("content.expires", scene.drawn(1, longest.canonical())),
        ("content.expires", scene.drawn(1, past.canonical())),
        ("expires is past", scene.drawn(1, over.canonical())),
        ("canonical", scene.drawn(1, padded)),
    ];
    for (field, core) in cases {
        let document = scene.approved(&core, &passkey);
        scene.is_not_taken(&document, field);
    }
    assert_eq!(scene.stands(), (Standing::Drifted, None));
}

#[test]
fn when_its_approver_leaves_the_charter_it_is_not_in_force_any_more() {
    let (mut scene, passkey) = Scene::drifted();
    let given = scene.approved(&scene.week(1), &passkey);
    scene.hand_over(&given);
    assert_eq!(scene.stands().0, Standing::Excepted);
    scene.office.charter.serial = 3;
    scene.office.charter.approvers.clear();
    let charter = scene.office.charter_bytes();
    scene.deliver(local::Deliver { charter, ..local::Deliver::default() });
    scene.appliance.clock.pass(HOUR);
    assert_eq!(scene.stands(), (Standing::Drifted, None));
    assert!(describe(&mut scene.core).documents.is_empty());
}
