//! Standing orders: what they do while nobody can be asked, and what nobody can do with them.

use std::time::Duration;

use appliance::world::Clock as _;
use proto::{
    evidence::{Body, Execution, SeenBy, Verdict},
    local,
    standing::StandingOrder,
};

use super::{Scene, stranger};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

impl Scene {
    pub(super) fn standing(&self, n: u8, runbook: &str, watch: &str) -> StandingOrder {
        self.office.standing(n, &self.incarnation, runbook, watch)
    }

    pub(super) fn give(&mut self, standing: &StandingOrder) -> Vec<String> {
        let standing = vec![standing.seal(&self.office.order_key)];
        self.deliver(local::Deliver { standing, ..local::Deliver::default() }).problems
    }

    /// Lets time pass, as an executor by itself sees it.
    pub(super) fn pass(&mut self, span: Duration) {
        let mut left = span;
        while !left.is_zero() {
            let step = left.min(10 * SECOND);
            self.appliance.clock.pass(step);
            self.work();
            left -= step;
        }
        self.office.now = self.appliance.clock.wall();
    }

    pub(super) fn backups(&self) -> usize {
        self.appliance.machine.count("restic.backup", "records")
    }

    pub(super) fn executions(&mut self) -> Vec<Execution> {
        self.refusals();
        let bodies = self.office.records().into_iter().map(|record| record.body);
        bodies.filter_map(|body| if let Body::Execution(e) = body { Some(*e) } else { None }).collect()
    }
}

#[test]
fn a_common_fault_is_healed_with_nobody_there() {
    let mut scene = Scene::new();
    let standing = scene.standing(1, "RB-BACKUP-001", "records");
    assert_eq!(scene.give(&standing), [""; 0]);
    scene.pass(100 * SECOND);
    assert_eq!(scene.backups(), 0, "an order could still come");
    scene.pass(100 * SECOND);
    assert_eq!(scene.backups(), 1);
    scene.pass(60 * MINUTE);
    assert_eq!(scene.backups(), 1, "the fault is gone");
    let executions = scene.executions();
    assert_eq!(executions.len(), 1);
    let (order, used) = (&executions[0].order, executions[0].order.standing.clone().unwrap());
    assert_eq!(executions[0].verdict, Verdict::Repaired);
    assert_eq!((used.id, used.count, used.most, used.seen_by), (standing.id, 1, 2, SeenBy::Executor));
    assert_eq!((used.trigger.as_str(), order.plan.planner.as_str()), ("backup.stale", "standing"));
    assert!((120_000..200_000).contains(&used.held_ms), "{}", used.held_ms);
    assert_eq!(executions[0].guardrails.len(), 12);
    assert_eq!(order.digest, proto::digest::Digest::of(&standing.encode()));
}

#[test]
fn an_order_that_comes_in_time_takes_its_place() {
    let mut scene = Scene::new();
    let standing = scene.standing(1, "RB-BACKUP-001", "records");
    scene.give(&standing);
    scene.pass(60 * SECOND);
    let order = scene.office.order(2, 1, &scene.incarnation, "RB-BACKUP-001", "records");
    assert!(scene.send(order).accepted);
    scene.pass(60 * MINUTE);
    let executions = scene.executions();
    assert_eq!((executions.len(), executions[0].order.standing.is_none()), (1, true));
    // What ran by a standing order counts for orders too.
    scene.appliance.machine.lock().levels.insert("records".into(), 3600);
    scene.pass(150 * SECOND);
    assert_eq!(scene.backups(), 2);
    scene.appliance.machine.lock().levels.insert("records".into(), 3600);
    let again = scene.office.order(3, 2, &scene.incarnation, "RB-BACKUP-001", "records");
    scene.is_refused_while_another_waits(again, "cooldown");
}

#[test]
fn its_counter_outlives_restarts_and_repetition() {
    let mut scene = Scene::new();
    let standing = scene.standing(1, "RB-BACKUP-001", "records");
    scene.appliance.machine.lock().steps_help = false;
    for round in 1..=16 {
        scene.give(&standing);
        scene.pass(10 * MINUTE);
        scene.core = scene.appliance.open();
        scene.tell_time();
        // What did not help is not done again within the hour, whoever restarts what.
        let expected = if round <= 6 { 1 } else { 2 };
        assert_eq!(scene.backups(), expected, "after {round} times ten minutes");
    }
    let refused: Vec<String> = scene.refusals().into_iter().map(|refusal| refusal.reason).collect();
    assert!(refused.iter().any(|reason| reason.contains("was ineffective on this target")), "{refused:?}");
    let counts: Vec<u32> =
        scene.executions().iter().map(|e| e.order.standing.as_ref().unwrap().count).collect();
    assert_eq!(counts, [1, 2]);
    // An older one does not come back in its place, and a newer one begins anew.
    let older = StandingOrder {
        most: 9,
        issued: standing.issued.minus(SECOND),
        ..scene.standing(2, "RB-BACKUP-001", "records")
    };
    let problems = scene.give(&older);
    assert!(problems[0].contains("replay"), "{problems:?}");
    let newer = scene.standing(3, "RB-BACKUP-001", "records");
    assert_eq!(scene.give(&newer), [""; 0]);
    scene.pass(150 * SECOND);
    assert_eq!(scene.backups(), 3, "the last time it helped not is more than an hour ago");
    let problems = scene.give(&standing);
    assert!(problems[0].contains("replay"), "{problems:?}");
}

#[test]
fn what_must_not_be_given_is_refused_by_name() {
    let mut scene = Scene::new();
    let good = scene.standing(1, "RB-BACKUP-001", "records");
    for (guardrail, bad) in [
        ("allowlist", scene.standing(2, "RB-DISK-002", "uploads")),
        ("freshness", StandingOrder { expires: good.issued.plus(31 * 24 * 60 * MINUTE), ..good.clone() }),
        ("binding", StandingOrder { organization: "other.example".into(), ..good.clone() }),
        ("parameters", StandingOrder { watch: "uploads".parse().unwrap(), ..good.clone() }),
        ("parameters", StandingOrder { trigger: "restore.due".into(), ..good.clone() }),
        ("allowlist", StandingOrder { policy_serial: 9, ..good.clone() }),
    ] {
        let before = scene.refusals().len();
        for _ in 0..3 {
            let problems = scene.give(&bad);
            assert!(problems[0].contains(guardrail), "{guardrail}: {problems:?}");
        }
        let refusals = scene.refusals();
        assert_eq!((refusals.len(), refusals.last().unwrap().name.as_str()), (before + 1, guardrail));
    }
    let forged = local::Deliver { standing: vec![good.seal(&stranger())], ..local::Deliver::default() };
    assert!(scene.deliver(forged).problems[0].contains("signature"));
    // It is no order either.
    let as_order = good.seal(&scene.office.order_key);
    scene.is_refused_by(as_order, "signature");
    scene.pass(60 * MINUTE);
    assert!(scene.appliance.machine.lock().performed.is_empty());
}

#[test]
fn without_trusted_time_or_while_held_it_waits_and_says_so_once() {
    let mut scene = Scene::new();
    let standing = scene.standing(1, "RB-BACKUP-001", "records");
    scene.give(&standing);
    scene.appliance.machine.lock().held = true;
    scene.pass(30 * MINUTE);
    scene.core = scene.appliance.open();
    scene.appliance.machine.lock().held = false;
    scene.pass(30 * MINUTE);
    assert_eq!(scene.backups(), 0);
    let names: Vec<String> = scene.refusals().into_iter().map(|refusal| refusal.name).collect();
    assert_eq!(names, ["hold", "freshness"]);
    scene.tell_time();
    scene.pass(MINUTE);
    assert_eq!(scene.backups(), 1);
    // Expired by the boot-time clock, with nobody there to say so.
    scene.appliance.machine.lock().levels.insert("records".into(), 3600);
    scene.appliance.clock.pass(Duration::from_secs(21 * 86_400));
    scene.pass(30 * MINUTE);
    assert_eq!(scene.backups(), 1);
}
