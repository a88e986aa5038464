//! Executions for tests: what was measured, done and found.

use std::time::Duration;

use super::{ORGANIZATION, Tenant, id};
use proto::{
    digest::Digest,
    evidence::{Body, Execution, OrderFacts, Readings, Refusal, Step, StepResult, Verdict},
    ids::{IncidentId, OrderId, SiteId},
    order::{Core, Issuance, Order, Plan},
};

/// What an execution is to come to.
pub struct Deed<'a> {
    pub runbook: &'a str,
    pub target: &'a str,
    pub before: &'a [(&'a str, i64)],
    pub after: &'a [(&'a str, i64)],
    pub counts: &'a [(&'a str, i64)],
    pub verdict: Verdict,
    pub output: Option<&'a [u8]>,
}

pub const PRUNED: Deed<'_> = Deed {
    runbook: "RB-DISK-002",
    target: "uploads",
    before: &[("bytes", 62_400_000), ("limit_bytes", 50_000_000), ("files", 1_310)],
    after: &[("bytes", 44_100_000), ("limit_bytes", 50_000_000), ("files", 904)],
    counts: &[("files_removed", 406)],
    verdict: Verdict::Repaired,
    output: None,
};

pub const BACKED_UP: Deed<'_> = Deed {
    runbook: "RB-BACKUP-001",
    target: "records",
    before: &[("age_seconds", 190_000), ("max_age_seconds", 86_400)],
    after: &[("age_seconds", 30), ("max_age_seconds", 86_400)],
    counts: &[("files_new", 1_204)],
    verdict: Verdict::Repaired,
    output: Some(b"snapshot 1f2e3d4c saved\n"),
};

pub const RESTORED: Deed<'_> = Deed {
    runbook: "RB-RESTORE-001",
    target: "records",
    before: &[("restore_age_seconds", -1), ("restore_every_seconds", 604_800)],
    after: &[("restore_age_seconds", 20), ("restore_every_seconds", 604_800)],
    counts: &[("files_compared", 25)],
    verdict: Verdict::Repaired,
    output: Some(b"25 files restored, all digests equal\n"),
};

impl Tenant {
    /// An order for a box, issued and signed.
    pub fn order(&mut self, n: usize, runbook: &str, target: &str) -> (OrderFacts, Vec<u8>) {
        let count = u8::try_from(self.orders.len() % 256).unwrap();
        let entry = self.entries.runbook(&runbook.parse().unwrap()).unwrap();
        let parameter = entry.runbook.parameters.keys().next().unwrap().clone();
        let it = &mut self.boxes[n];
        it.sequence += 1;
        let core = Core {
            id: OrderId::new(self.now, id(3, count)),
            organization: ORGANIZATION.into(),
            tenant: self.tenant,
            site: SiteId::new(self.now, id(4, 0)),
            appliance: it.id,
            incarnation: it.incarnation,
            incident: IncidentId::new(self.now.minus(Duration::from_secs(200)), id(5, count)),
            runbook: entry.runbook.id.clone(),
            runbook_digest: entry.digest,
            parameters: [(parameter, target.parse().unwrap())].into(),
            approve_until: None,
        };
        let issuance = Issuance {
            charter_serial: 1,
            policy_serial: 1,
            sequence: it.sequence,
            issued: self.now,
            lifetime: Duration::from_secs(600),
        };
        let reason = format!("{} is the trigger of one runbook", entry.runbook.triggers[0]);
        let plan = Plan { planner: "rules".into(), model: String::new(), prompt_digest: None, reason };
        let order = Order::issue(core, &issuance, plan, vec![]);
        let facts = OrderFacts {
            digest: Digest::of(&order.encode()),
            id: order.core.id,
            incident: order.core.incident,
            sequence: order.sequence,
            charter_serial: 1,
            policy_serial: 1,
            runbook: order.core.runbook.clone(),
            runbook_digest: order.core.runbook_digest,
            parameters: order.core.parameters.clone(),
            plan: order.plan.clone(),
            approvers: vec![],
            standing: None,
        };
        (facts, order.seal(&self.order_key))
    }

    pub fn execution(&self, order: OrderFacts, deed: &Deed<'_>) -> Execution {
        let runbook = &self.entries.runbook(&order.runbook).unwrap().runbook;
        let readings =
            |all: &[(&str, i64)]| all.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<Readings>();
        let result = if deed.verdict == Verdict::Failed { StepResult::Failed } else { StepResult::Done };
        let step = |action: &str| Step {
            action: action.to_owned(),
            result,
            took_ms: 38_000,
            counts: readings(deed.counts),
            output: deed.output.map(Digest::of),
        };
        Execution {
            hipaa: runbook.hipaa.clone(),
            guardrails: (1..=12).map(|n| format!("guardrail {n}")).collect(),
            before: readings(deed.before),
            steps: runbook.steps.iter().map(|s| step(s.action.as_str())).collect(),
            after: readings(deed.after),
            verdict: deed.verdict,
            took_ms: 41_200,
            order,
        }
    }

    pub fn execute(&mut self, n: usize, deed: &Deed<'_>) {
        self.wait(Duration::from_secs(60));
        let (facts, envelope) = self.order(n, deed.runbook, deed.target);
        self.orders.push(envelope);
        self.attachments.extend(deed.output.map(<[u8]>::to_vec));
        let execution = self.execution(facts, deed);
        self.log(n, Body::Execution(Box::new(execution)));
    }

    pub fn refuse(&mut self, n: usize, guardrail: &str, reason: &str) {
        let (facts, envelope) = self.order(n, "RB-DISK-002", "uploads");
        self.orders.push(envelope);
        let (number, name) = guardrail.split_once(' ').unwrap();
        let refusal = Refusal {
            order_digest: facts.digest,
            order: Some(facts),
            guardrail: number.parse().unwrap(),
            name: name.into(),
            reason: reason.into(),
        };
        self.log(n, Body::Refusal(refusal));
    }
}
