//! Things to send, of the kind and size that the product makes.

use anyhow::Result;
use appliance::agent::outbox::{Intake, Item};
use proto::{
    digest::Digest,
    evidence::{
        self, Body, Clock, ClockSource, Execution, Head, Identity, OrderFacts, Record, Step, StepResult,
        Synchronised, Verdict,
    },
    identity::KeyProtection,
    ids::{EventId, Incarnation, IncidentId, OrderId},
    keys::SecretKey,
    order::Plan,
    sync::{Event, Phase},
    time::Millis,
};

use crate::clock;

/// Events that one look at a box's sources comes to, and so one commit of its outbox.
pub(super) const LOOK: usize = 64;

/// Looks that come to `count` events in all, none of which was ever seen before.
pub(super) fn looks(count: usize) -> Result<Vec<Vec<Event>>> {
    let now = clock::now();
    let mut random = [0; 10];
    let events = (0..count).map(|number| {
        random[2..].copy_from_slice(&number.to_be_bytes());
        let id = EventId::new(now, random);
        let watch = format!("app-{}", number % LOOK).parse()?;
        // A fault that goes on: no runbook has it, so its one incident stands with a person and takes them all.
        let readings = vec![("lines".to_owned(), 3), ("bytes".to_owned(), 412)];
        let note = "ERROR request failed: connection reset".to_owned();
        Ok(Event { id, kind: "log.match".to_owned(), watch, phase: Phase::Ongoing, at: now, readings, note })
    });
    let events: Vec<Event> = events.collect::<Result<_>>()?;
    Ok(events.chunks(LOOK).map(<[Event]>::to_vec).collect())
}

/// A look as the outbox takes it, with the cursor that moves along.
pub(super) fn intake(look: Vec<Event>) -> Intake {
    let cursor = look.last().map(|event| event.id.to_string().into_bytes());
    let items = look.into_iter().map(Item::from).collect();
    Intake { source: "bench".to_owned(), cursor, items, ..Intake::default() }
}

/// Makes one executor's evidence: the chain of its executions.
pub(super) struct Executor {
    /// Signs.
    pub(super) key: SecretKey,
    /// Whose.
    pub(super) identity: Identity,
    /// Of which state.
    pub(super) incarnation: Incarnation,
    head: Head,
}

impl Executor {
    /// One that has made nothing yet.
    pub(super) fn new(key: SecretKey, identity: Identity, incarnation: Incarnation) -> Self {
        Self { key, identity, incarnation, head: Head::default() }
    }

    /// The next records, sealed.
    pub(super) fn executions(&mut self, count: usize) -> Result<Vec<Vec<u8>>> {
        let next = |_| {
            let body = execution(self.head.next, clock::now())?;
            self.sealed(Body::Execution(Box::new(body)))
        };
        (0..count).map(next).collect()
    }

    /// The next record, sealed.
    pub(super) fn sealed(&mut self, body: Body) -> Result<Vec<u8>> {
        let at = clock::now();
        let record = Record {
            chain: self.head.link(self.incarnation),
            identity: self.identity.clone(),
            clock: Clock {
                at,
                source: ClockSource::Token,
                wall_offset_ms: 3,
                floor: at,
                synchronised: Some(Synchronised::Yes),
            },
            checkpoint: None,
            key_protection: KeyProtection::File,
            body,
        };
        let envelope = evidence::seal(&record, &self.key)?;
        self.head = self.head.after(Digest::of(&envelope));
        Ok(envelope)
    }
}

/// One, of an order for a directory that was over its limit.
pub(super) fn execution(number: u64, at: Millis) -> Result<Execution> {
    let readings = |bytes| {
        [("bytes", bytes), ("files", 24), ("limit_bytes", 4_000_000)].map(|(n, v)| (n.to_owned(), v)).into()
    };
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    let plan = Plan {
        planner: "rules".to_owned(),
        model: String::new(),
        prompt_digest: None,
        reason: "RB-DISK-002 is for directory.over-limit".to_owned(),
    };
    let order = OrderFacts {
        digest: Digest::of(&number.to_be_bytes()),
        id: OrderId::new(at, random),
        incident: IncidentId::new(at, random),
        sequence: number + 1,
        charter_serial: 1,
        policy_serial: 1,
        runbook: "RB-DISK-002".parse()?,
        runbook_digest: Digest::of(b"runbook"),
        parameters: [("directory".to_owned(), "uploads".parse()?)].into(),
        plan,
        approvers: Vec::new(),
        standing: None,
    };
    let step = Step {
        action: "files.prune".to_owned(),
        result: StepResult::Done,
        took_ms: 12,
        counts: [("bytes_removed", 2_000_000), ("files_removed", 8)].map(|(n, v)| (n.to_owned(), v)).into(),
        output: None,
    };
    Ok(Execution {
        order,
        hipaa: names(&["45 CFR 164.308(a)(1)(ii)(D)", "45 CFR 164.310(d)(2)(iv)"]),
        guardrails: names(&[
            "signature",
            "binding",
            "freshness",
            "replay",
            "allowlist",
            "digest",
            "parameters",
            "cooldown",
            "budget",
            "window",
            "hold",
            "precondition",
        ]),
        before: readings(5_500_000),
        steps: vec![step],
        after: readings(3_500_000),
        verdict: Verdict::Repaired,
        took_ms: 19,
    })
}
