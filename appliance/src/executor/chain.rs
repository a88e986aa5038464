//! Appending to the chain of evidence.
//!
//! The rule: record and new head are one commit, together with whatever the record is about; and every record carries
//! the newest checkpoint that this executor has verified, so that a log cannot be forked behind its back.

use std::sync::Arc;

use proto::{
    digest::Digest,
    evidence::{self, Body, CheckpointSeen, Clock, Identity, Record},
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
        let record = Record {
            chain: head.link(self.incarnation),
            identity: self.identity.clone(),
            clock: self.clock,
            checkpoint: checkpoint.map(|c| CheckpointSeen { size: c.head.size, root: Digest(c.head.root.0) }),
            key_protection: self.protection,
            body,
        };
        let envelope = evidence::seal(&record, &self.key)?;
        let digest = Digest::of(&envelope);
        tx.keep_evidence(head.next, digest, &envelope)?;
        tx.move_head(head, head.after(digest))?;
        tx.keep_times(&self.times)?;
        Ok(())
    }
}
