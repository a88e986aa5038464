//! Absorbing an answer: its acknowledgement to the outbox, everything else to the executor.

use std::time::Duration;

use proto::{
    digest::Digest,
    ids::{Incarnation, StreamId},
    local, pb,
    sync::{Ack, StreamState},
};

use super::{AgentCore, AgentError, Asked};
use crate::{
    agent::{
        chain, executor,
        outbox::Intake,
        sources::evidence::{self, Place},
    },
    world::draw,
};

/// Requests after which evidence that the server still misses is sent once more: a newer version of it may take what the
/// one before did not. A request is held open for half a minute while there is nothing to say.
const TRY_AGAIN_AFTER: u64 = 60;

/// What an answer came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Absorbed {
    /// Whether the batch of the request was acknowledged.
    pub acknowledged: bool,
    /// Whether the batch goes again as the first of another stream.
    pub began_anew: bool,
    /// What became of each order, in order.
    pub outcomes: Vec<local::Outcome>,
    /// What the executor did not believe, and what was wrong with the acknowledgement.
    pub problems: Vec<String>,
    /// Evidence is sent again from this index on.
    pub moved_back_to: Option<u64>,
    /// How long the control plane wants us to wait.
    pub come_again: Duration,
    /// Why it withholds orders; empty: it does not.
    pub quarantine: String,
}

impl AgentCore {
    /// Takes the answer to `asked`, which may come late, or twice. After an error the answer is as good as lost: what it
    /// acknowledged stays acknowledged, all else comes again.
    pub fn absorb(&mut self, asked: &Asked, response: pb::SyncResponse) -> Result<Absorbed, AgentError> {
        let newest = self.open && asked.turn == self.turn;
        self.open &= !newest;
        let mut absorbed = Absorbed {
            come_again: Duration::from_millis(response.come_again_ms.into()),
            quarantine: response.quarantine.clone(),
            ..Absorbed::default()
        };
        let mut is_refused = false;
        match response.ack.clone().map(Ack::try_from).transpose() {
            Ok(Some(ack)) => absorbed.acknowledged = self.outbox.acknowledge(&ack)?,
            Ok(None) => is_refused = newest && !response.quarantine.is_empty(),
            Err(bad) => absorbed.problems.push(bad.within("ack").to_string()),
        }
        let evidence_next = response.evidence_next;
        self.deliver(asked, response, &mut absorbed)?;
        // The contract's one reason for that: it has two histories of this stream. Nothing more of this one would be taken,
        // and evidence is to come through. After the delivery: a stop must arrive where nothing can be written.
        if is_refused {
            absorbed.began_anew = self.begin_anew(asked)?;
        }
        if newest {
            absorbed.moved_back_to = self.resend_evidence(asked, evidence_next)?;
        }
        Ok(absorbed)
    }

    fn begin_anew(&mut self, asked: &Asked) -> Result<bool, AgentError> {
        let Some(batch) = &asked.request.batch else { return Ok(false) };
        let sent = StreamState { number: batch.number, digest: Digest::of(&batch.records) };
        Ok(self.outbox.begin_anew(sent, StreamId(draw(self.entropy.as_ref())))?)
    }

    fn deliver(
        &mut self,
        asked: &Asked,
        response: pb::SyncResponse,
        absorbed: &mut Absorbed,
    ) -> Result<(), AgentError> {
        let inclusion =
            |i: pb::Inclusion| local::Inclusion { sha256: i.sha256, index: i.index, hashes: i.hashes };
        let mut deliver = local::Deliver {
            time_token: response.time_token,
            charter: response.charter,
            catalogue: response.catalogue,
            policy: response.policy,
            checkpoint: response.checkpoint,
            consistency: response.consistency,
            inclusions: response.inclusions.into_iter().map(inclusion).collect(),
            orders: response.orders,
            standing: response.standing,
            stop: response.stop,
            documents: response.documents,
            succession: response.succession,
        };
        if deliver == local::Deliver::default() {
            return Ok(());
        }
        // Before the executor has it: afterwards it is not sent again. What cannot be written must not hold up a stop.
        if let Err(error) = self.authorities.go_by(&deliver.charter) {
            absorbed.problems.push(chain(&error));
            deliver.charter.clear();
        }
        let delivered = executor::deliver(self.executor.as_mut(), deliver)?;
        self.delivered = Some((asked_by(asked)?, delivered.order_high));
        absorbed.outcomes = delivered.outcomes;
        absorbed.problems.extend(delivered.problems);
        Ok(())
    }

    /// A charter that came with a certificate, if the executor does not have it yet; empty otherwise.
    pub fn newer_charter(&mut self, envelope: Vec<u8>) -> Result<Vec<u8>, AgentError> {
        let charter = self.authorities.go_by(&envelope).map_err(AgentError::Charter)?;
        let known = executor::describe(self.executor.as_mut())?.charter_serial;
        Ok(charter.filter(|charter| charter.serial > known).map_or_else(Vec::new, |_| envelope))
    }

    /// Moves the evidence cursor back when the server misses what the executor still has, and none of it is on its way:
    /// after the server was restored from a backup, or this outbox was lost and begun anew.
    fn resend_evidence(&mut self, asked: &Asked, server_next: u64) -> Result<Option<u64>, AgentError> {
        let incarnation = asked_by(asked)?;
        let place = Place::read(self.outbox.cursor(evidence::SOURCE)?.as_deref(), incarnation);
        if server_next >= place.next {
            self.moved_back = None;
            return Ok(None);
        }
        if self.outbox.has_evidence() {
            return Ok(None);
        }
        let description = executor::describe(self.executor.as_mut())?;
        let next = server_next.max(description.evidence_first);
        let helped_not = self.moved_back.is_some_and(|(move_back, turn)| {
            move_back == (server_next, next) && self.turn.wrapping_sub(turn) < TRY_AGAIN_AFTER
        });
        let another = asked.request.incarnation != description.incarnation;
        if another || helped_not || next >= place.next {
            return Ok(None);
        }
        let cursor = Some(Place { incarnation, next }.write());
        let source = evidence::SOURCE.to_owned();
        // No record goes with it, so the time does not matter.
        self.outbox.commit(&Intake { source, cursor, ..Intake::default() }, proto::time::Millis(0))?;
        self.moved_back = Some(((server_next, next), self.turn));
        Ok(Some(next))
    }
}

fn asked_by(asked: &Asked) -> Result<Incarnation, AgentError> {
    Incarnation::from_field("incarnation", &asked.request.incarnation).map_err(AgentError::Description)
}
