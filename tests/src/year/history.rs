//! What happens: record after record, each by the appliance whose turn it is.

use std::time::Duration;

use anyhow::{Context as _, Result};
use proto::{
    digest::Digest,
    evidence::{
        Beats, Body, CheckpointSeen, Clock, ClockSource, Enrolment, Execution, Head as ChainHead, Heartbeat,
        Identity, OrderFacts, Record, Step, StepResult, Synchronised, Verdict, seal,
    },
    identity::KeyProtection,
    ids::{IncidentId, OrderId, SiteId},
    log::Head,
    order::{Core, Issuance, Order, Plan as Chosen},
    time::Millis,
};

use super::{
    EVERY, Plan,
    papers::{BEGIN, ORGANIZATION, Papers, charter_at},
};

/// How often an order is carried out, in records.
const ORDERS: u64 = 200;
const RUNBOOK: &str = "RB-DISK-002";

/// A record as it comes into the log.
pub(super) struct Made {
    pub(super) envelope: Vec<u8>,
    /// The order behind it, where there is one: the digest of its payload, and its envelope.
    pub(super) order: Option<(Digest, Vec<u8>)>,
}

/// What comes next.
pub(super) struct History<'p> {
    papers: &'p Papers,
    plan: Plan,
    chains: Vec<ChainHead>,
    sequences: Vec<u64>,
}

impl<'p> History<'p> {
    pub(super) fn new(papers: &'p Papers, plan: Plan) -> Result<Self> {
        let boxes = papers.boxes.len();
        Ok(Self { papers, plan, chains: vec![ChainHead::default(); boxes], sequences: vec![0; boxes] })
    }

    /// The record at `index`, by an appliance that has seen the log as it stood at `seen`.
    pub(super) fn record(&mut self, index: u64, seen: Head) -> Result<Made> {
        let boxes = self.papers.boxes.len() as u64;
        let turn = usize::try_from(index % boxes)?;
        let at = self.at(index);
        let mut order = None;
        let body = if index < boxes {
            self.enrolment(turn)
        } else if index % ORDERS == ORDERS - 1 {
            let (execution, envelope) = self.execution(turn, index, at)?;
            order = Some((execution.order.digest, envelope));
            Body::Execution(std::boxed::Box::new(execution))
        } else {
            self.heartbeat(turn, at)?
        };
        let one = &self.papers.boxes[turn];
        let record = Record {
            chain: self.chains[turn].link(one.incarnation),
            identity: Identity {
                organization: ORGANIZATION.to_owned(),
                tenant: self.papers.tenant,
                appliance: one.appliance,
            },
            clock: Clock {
                at,
                source: ClockSource::Token,
                wall_offset_ms: 3,
                floor: at,
                synchronised: Some(Synchronised::Yes),
            },
            checkpoint: (seen.size > 0).then_some(CheckpointSeen {
                size: seen.size,
                root: Digest(seen.root.0),
                log: 1,
            }),
            key_protection: KeyProtection::File,
            body,
        };
        let envelope = seal(&record, &one.key)?;
        self.chains[turn] = self.chains[turn].after(Digest::of(&envelope));
        Ok(Made { envelope, order })
    }

    /// A time after all of it.
    pub(super) fn now(&self) -> Millis {
        self.at(self.plan.records).plus(Duration::from_secs(60))
    }

    fn at(&self, index: u64) -> Millis {
        let turns = index / self.papers.boxes.len() as u64;
        BEGIN.plus(Duration::from_secs(EVERY.as_secs() * turns))
    }

    fn enrolment(&self, turn: usize) -> Body {
        let one = &self.papers.boxes[turn];
        let certificate = Digest::of(&one.enrolled.certificate);
        Body::Enrolment(Enrolment { certificate, tls_spki: one.spki, charter_serial: 1, predecessor: None })
    }

    fn heartbeat(&self, turn: usize, at: Millis) -> Result<Body> {
        let watch = [("uploads", "directory"), ("records", "backup"), ("intake-log", "log")];
        Ok(Body::Heartbeat(Heartbeat {
            charter_serial: charter_at(at),
            catalogue_version: 1,
            policy_serial: 1,
            order_high: self.sequences[turn],
            every_ms: u64::try_from(EVERY.as_millis())?,
            watch: watch
                .iter()
                .map(|(id, kind)| Ok((id.parse()?, (*kind).to_owned())))
                .collect::<Result<_>>()?,
            hold: None,
            refusals_not_signed: 0,
            version: "0.1.0".to_owned(),
            up_ms: 40 * 24 * 3600 * 1000,
            footprint: None,
            sealing_key: None,
            beats: Some(Beats { made: 1, every_ms: 300_000, longest_ms: 300_040, ..Beats::default() }),
        }))
    }

    fn execution(&mut self, turn: usize, index: u64, at: Millis) -> Result<(Execution, Vec<u8>)> {
        let entry = self.papers.catalogue.runbook(&RUNBOOK.parse()?).context("a runbook of the catalogue")?;
        let one = &self.papers.boxes[turn];
        self.sequences[turn] += 1;
        let mut random = [0; 10];
        random[2..].copy_from_slice(&index.to_be_bytes());
        let parameter = entry.runbook.parameters.keys().next().context("a runbook's parameter")?.clone();
        let core = Core {
            id: OrderId::new(at, random),
            organization: ORGANIZATION.to_owned(),
            tenant: self.papers.tenant,
            site: SiteId::new(BEGIN, [4; 10]),
            appliance: one.appliance,
            incarnation: one.incarnation,
            incident: IncidentId::new(at, random),
            runbook: entry.runbook.id.clone(),
            runbook_digest: entry.digest,
            parameters: [(parameter, "uploads".parse()?)].into(),
            approve_until: None,
        };
        let issuance = Issuance {
            charter_serial: charter_at(at),
            policy_serial: 1,
            sequence: self.sequences[turn],
            issued: at,
            lifetime: Duration::from_secs(600),
        };
        let reason = format!("{RUNBOOK} is for directory.over-limit");
        let plan = Chosen { planner: "rules".to_owned(), model: String::new(), prompt_digest: None, reason };
        let order = Order::issue(core, &issuance, plan, Vec::new());
        let readings = |bytes| [("bytes", bytes), ("files", 24)].map(|(name, n)| (name.to_owned(), n)).into();
        let step = |action: &str| Step {
            action: action.to_owned(),
            result: StepResult::Done,
            took_ms: 12,
            counts: [("files_removed".to_owned(), 8)].into(),
            output: None,
        };
        let execution = Execution {
            order: facts(&order),
            hipaa: entry.runbook.hipaa.clone(),
            guardrails: (1..=12).map(|n| format!("guardrail {n}")).collect(),
            before: readings(5_500_000),
            steps: entry.runbook.steps.iter().map(|s| step(s.action.as_str())).collect(),
            after: readings(3_500_000),
            verdict: Verdict::Repaired,
            took_ms: 19,
        };
        Ok((execution, order.seal(&self.papers.order_key)))
    }
}

fn facts(order: &Order) -> OrderFacts {
    OrderFacts {
        digest: Digest::of(&order.encode()),
        id: order.core.id,
        incident: order.core.incident,
        sequence: order.sequence,
        charter_serial: order.charter_serial,
        policy_serial: order.policy_serial,
        runbook: order.core.runbook.clone(),
        runbook_digest: order.core.runbook_digest,
        parameters: order.core.parameters.clone(),
        plan: order.plan.clone(),
        approvers: Vec::new(),
        standing: None,
    }
}
