//! One appliance as its control plane sees it: what it says, and what it remembers of the answers.

use anyhow::{Context as _, Result, ensure};
use proto::{
    digest::Digest,
    dsse::Envelope,
    evidence::{Body, Heartbeat, Identity},
    ids::{EventId, StreamId},
    pb,
    standing::set_digest,
    sync::{Batch, Event, Phase, Record, StreamState, pack},
};

use super::{
    Kind,
    members::{Member, evidence_key},
};
use crate::{
    bench::{records::Executor, stage::ORGANIZATION},
    clock,
};

/// What its executor watches: runbooks are for some of it, so standing orders are given.
const WATCH: [(&str, &str); 4] =
    [("uploads", "directory"), ("portal", "log"), ("backups", "backup"), ("clock", "clock")];

/// A batch, and the evidence in it that waits for its proof.
#[derive(Debug, Clone, Default)]
pub(super) struct Prepared {
    pub(super) batch: Option<pb::Batch>,
    unproven: Vec<Vec<u8>>,
}

/// The appliance.
pub(super) struct Simulated {
    number: u64,
    executor: Executor,
    stream: StreamId,
    state: StreamState,
    events: u64,
    asked: u64,
    checkpoint: u64,
    standing: Vec<u8>,
}

impl Simulated {
    pub(super) fn new(number: usize, member: &Member) -> Self {
        let identity = Identity {
            organization: ORGANIZATION.to_owned(),
            tenant: member.tenant,
            appliance: member.appliance,
        };
        Self {
            number: number as u64,
            executor: Executor::new(evidence_key(), identity, member.incarnation),
            stream: StreamId([5; 16]),
            state: StreamState::default(),
            events: 0,
            asked: 0,
            checkpoint: 0,
            standing: Vec::new(),
        }
    }

    /// The next batch of that kind, frozen.
    pub(super) fn prepare(&mut self, kind: Kind) -> Result<Prepared> {
        let mut records = Vec::new();
        for _ in 0..kind.events() {
            // A fault that goes on: no runbook has it, so its one incident stands with a person and takes them all.
            let readings = [("lines", 3), ("bytes", 412)];
            records.push(self.event("log.match", "portal", Phase::Ongoing, &readings)?);
        }
        let sealed = self.executor.executions(kind.evidence())?;
        let unproven = sealed.iter().map(|envelope| Digest::of(envelope).to_vec()).collect();
        records.extend(sealed.into_iter().map(Record::Evidence));
        Ok(Prepared { batch: self.freeze(records), unproven })
    }

    /// The first heartbeat: from then on the control plane knows what is watched, and gives orders.
    pub(super) fn greeting(&mut self) -> Result<Prepared> {
        let watch = WATCH.into_iter().map(|(id, kind)| Ok((id.parse()?, kind.to_owned())));
        let beat = Heartbeat {
            charter_serial: 1,
            catalogue_version: 1,
            policy_serial: 1,
            order_high: 0,
            every_ms: 3_600_000,
            watch: watch.collect::<Result<_>>()?,
            hold: None,
            refusals_not_signed: 0,
            version: "bench".to_owned(),
            up_ms: 60_000,
            footprint: None,
            sealing_key: None,
            beats: None,
        };
        let sealed = self.executor.sealed(Body::Heartbeat(beat))?;
        let unproven = vec![Digest::of(&sealed).to_vec()];
        Ok(Prepared { batch: self.freeze(vec![Record::Evidence(sealed)]), unproven })
    }

    /// A fault that a runbook is for.
    pub(super) fn fault(&mut self) -> Result<Prepared> {
        let readings = [("bytes", 5_500_000), ("files", 24), ("limit_bytes", 4_000_000)];
        let raised = self.event("directory.over-limit", "uploads", Phase::Raised, &readings)?;
        Ok(Prepared { batch: self.freeze(vec![raised]), unproven: Vec::new() })
    }

    fn event(&mut self, kind: &str, watch: &str, phase: Phase, readings: &[(&str, i64)]) -> Result<Record> {
        let (at, mut random) = (clock::now(), [0; 10]);
        self.events += 1;
        random[2..].copy_from_slice(&((self.number << 32) | self.events).to_be_bytes());
        Ok(Record::Event(Event {
            id: EventId::new(at, random),
            kind: kind.to_owned(),
            watch: watch.parse()?,
            phase,
            at,
            readings: readings.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            note: "ERROR request failed: connection reset".to_owned(),
        }))
    }

    fn freeze(&mut self, records: Vec<Record>) -> Option<pb::Batch> {
        if records.is_empty() {
            return None;
        }
        let records = pack(records);
        let (number, previous) = (self.state.number + 1, self.state.digest);
        self.state = StreamState { number, digest: Digest::of(&records) };
        Some(Batch { stream: self.stream, number, previous, records }.into())
    }

    /// The next request. With a batch there is something to say, so it is not held.
    pub(super) fn request(&mut self, said: &Prepared, hold_ms: u32) -> pb::SyncRequest {
        self.asked += 1;
        let mut nonce = vec![9; 16];
        nonce[..8].copy_from_slice(&self.asked.to_be_bytes());
        pb::SyncRequest {
            batch: said.batch.clone(),
            unproven: said.unproven.clone(),
            incarnation: self.executor.incarnation.to_vec(),
            nonce,
            checkpoint_size: self.checkpoint,
            charter_serial: 1,
            catalogue_version: 1,
            policy_serial: 1,
            standing: self.standing.clone(),
            log: 1,
            hold_ms,
            version: "bench".to_owned(),
            ..pb::SyncRequest::default()
        }
    }

    /// Takes an answer of the control plane; gives the orders in it.
    pub(super) fn absorb(&mut self, said: &Prepared, answer: pb::SyncResponse) -> Result<Vec<Vec<u8>>> {
        is_acknowledged(said, &answer)?;
        ensure!(answer.quarantine.is_empty(), "quarantined: {}", answer.quarantine);
        ensure!(answer.inclusions.len() == said.unproven.len(), "evidence was not proven");
        if !answer.checkpoint.is_empty() {
            let size = str::from_utf8(&answer.checkpoint)?.lines().nth(1).context("a checkpoint's size")?;
            self.checkpoint = self.checkpoint.max(size.parse()?);
        }
        if !answer.standing.is_empty() {
            let payload = |order: &Vec<u8>| Ok(Digest::of(Envelope::parse(order)?.unverified_payload()));
            let payloads: Vec<Digest> = answer.standing.iter().map(payload).collect::<Result<_>>()?;
            self.standing = set_digest(payloads).to_vec();
        }
        Ok(answer.orders)
    }
}

/// Whether exactly what was sent is acknowledged; anything less would be a broken promise, and no figure.
pub(super) fn is_acknowledged(said: &Prepared, answer: &pb::SyncResponse) -> Result<()> {
    let Some(sent) = &said.batch else { return Ok(()) };
    let ack = answer.ack.as_ref().context("not acknowledged")?;
    let same = (&ack.stream, ack.number) == (&sent.stream, sent.number)
        && ack.digest == Digest::of(&sent.records).to_vec();
    ensure!(same, "the acknowledgement is for another batch");
    Ok(())
}
