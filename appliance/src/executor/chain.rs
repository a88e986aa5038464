//! Appending to the chain of evidence.
//!
//! The rule: record and new head are one commit, together with whatever the record is about; and every record carries
//! the newest checkpoint that this executor has verified, so that a log cannot be forked behind its back.

use std::sync::Arc;

use proto::{
    digest::Digest,
    evidence::{self, Body, CheckpointSeen, Clock, EvidenceError, Identity, OrderFacts, Record},
    identity::KeyProtection,
    ids::Incarnation,
    keys::SecretKey,
};

use super::{
    ExecutorCore, ExecutorError,
    store::{Times, Write},
};

/// Signs records about one moment.
pub(super) struct Sealer {
    key: Arc<SecretKey>,
    protection: KeyProtection,
    incarnation: Incarnation,
    identity: Identity,
    log: u64,
    clock: Clock,
    times: Times,
}

impl ExecutorCore {
    /// A sealer for now, in the name of `identity`.
    pub(super) fn sealer(&self, identity: Identity) -> Sealer {
        Sealer {
            key: self.key.clone(),
            protection: self.protection,
            incarnation: self.incarnation,
            identity,
            log: self.trust.log(),
            clock: self.time.stamp(),
            times: self.time.durable(),
        }
    }
}

impl Sealer {
    /// How time stands at that moment.
    pub(super) fn times(&self) -> &Times {
        &self.times
    }

    /// Signs a record and appends it, within the caller's transaction.
    pub(super) fn append(&self, tx: &Write<'_>, body: Body) -> Result<(), ExecutorError> {
        let head = tx.head()?;
        let checkpoint = tx.checkpoint()?;
        let mut record = Record {
            chain: head.link(self.incarnation),
            identity: self.identity.clone(),
            clock: self.clock,
            checkpoint: checkpoint.map(|c| CheckpointSeen {
                size: c.head.size,
                root: Digest(c.head.root.0),
                log: self.log,
            }),
            key_protection: self.protection,
            body,
        };
        let envelope = match evidence::seal(&record, &self.key) {
            // It would be as large the next time: better a lean record than none, and an executor that tries for ever.
            Err(EvidenceError::TooLarge(bytes)) => {
                tracing::error!("a record of {bytes} bytes is signed without what makes it large");
                record.body = lean(record.body);
                evidence::seal(&record, &self.key)?
            }
            sealed => sealed?,
        };
        let digest = Digest::of(&envelope);
        tx.keep_evidence(head.next, digest, &envelope)?;
        tx.move_head(head, head.after(digest))?;
        tx.keep_times(&self.times)?;
        Ok(())
    }
}

/// A body without whatever can make it large: texts and readings. What happened, and to what, stays.
fn lean(body: Body) -> Body {
    let without_texts = |order: &mut OrderFacts| {
        order.plan.reason.clear();
        order.plan.model.clear();
    };
    match body {
        Body::Execution(mut execution) => {
            without_texts(&mut execution.order);
            execution.hipaa.clear();
            execution.before.clear();
            execution.after.clear();
            execution.steps.iter_mut().for_each(|step| step.counts.clear());
            Body::Execution(execution)
        }
        Body::Refusal(mut refusal) => {
            refusal.order.as_mut().into_iter().for_each(without_texts);
            Body::Refusal(refusal)
        }
        Body::Heartbeat(mut heartbeat) => {
            heartbeat.watch.clear();
            Body::Heartbeat(heartbeat)
        }
        Body::Scan(mut scan) => {
            scan.findings.values_mut().for_each(|found| found.reading.clear());
            Body::Scan(scan)
        }
        small
        @ (Body::Enrolment(_) | Body::Hold(_) | Body::Document(_) | Body::Update(_) | Body::Unknown) => small,
    }
}
