//! The state that two parties must agree on when they sync: batches, acknowledgements, incarnations, restores.
//!
//! Tables, not loops: each function takes what is known and what arrived, and says the one thing to do.

mod lines;
mod records;

use crate::{
    digest::Digest,
    field::{BadField, text},
    ids::{Incarnation, Nonce, StreamId},
    pb,
};

pub use lines::{LINES_TEXT_MAX, Lines, LinesPlace, unpack as unpack_lines};
pub use records::{Event, Gap, Phase, Record, pack, unpack};

/// The most bytes of records one batch carries.
pub const BATCH_MAX: usize = 1 << 20;
/// The most records one batch carries.
pub const BATCH_RECORDS_MAX: usize = 10_000;
/// The most proofs asked for in one exchange.
pub const UNPROVEN_MAX: usize = 64;
/// The longest an answer may be held back, in milliseconds.
pub const HOLD_MAX_MS: u32 = 60_000;

/// The highest number of a batch or an order, and the most that a count can be: what SQLite keeps.
pub const NUMBER_MAX: u64 = i64::MAX as u64;

/// A batch as it travels: frozen when first sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whose outbox.
    pub stream: StreamId,
    /// From 1.
    pub number: u64,
    /// Digest of the batch before; all zero for the first.
    pub previous: Digest,
    /// Exact bytes of the records.
    pub records: Vec<u8>,
}

/// The end of a stream as the server knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamState {
    /// Last number committed; 0: none.
    pub number: u64,
    /// Its digest.
    pub digest: Digest,
}

/// What a server does with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// Commit and acknowledge.
    Commit,
    /// Commit, acknowledge, and record that `missing` batches never came.
    CommitAfterGap {
        /// How many.
        missing: u64,
    },
    /// Committed before: acknowledge again.
    Again,
    /// Two histories for one stream: acknowledge nothing, withhold orders, keep evidence coming.
    Conflict,
}

/// The table of batches (DESIGN.md section 5).
#[must_use]
pub fn receipt(state: StreamState, batch: &Batch) -> Receipt {
    let digest = Digest::of(&batch.records);
    let next = state.number.checked_add(1);
    if Some(batch.number) == next {
        if batch.previous == state.digest { Receipt::Commit } else { Receipt::Conflict }
    } else if batch.number > state.number {
        Receipt::CommitAfterGap { missing: batch.number - state.number - 1 }
    } else if batch.number == state.number && digest == state.digest && batch.number != 0 {
        Receipt::Again
    } else {
        Receipt::Conflict
    }
}

/// An acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Whose outbox.
    pub stream: StreamId,
    /// Which batch.
    pub number: u64,
    /// SHA-256 of its records.
    pub digest: Digest,
}

impl Ack {
    /// Whether it acknowledges exactly what was sent. One that does not deletes nothing.
    #[must_use]
    pub fn matches(&self, sent: &Batch) -> bool {
        self.stream == sent.stream && self.number == sent.number && self.digest == Digest::of(&sent.records)
    }
}

/// How a server stands to the incarnation that an exchange names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncarnationCheck {
    /// The enrolled one.
    Same,
    /// Another: the box was wiped, cloned or re-imaged; withhold orders until it is enrolled anew.
    Other,
}

/// The table of incarnations.
#[must_use]
pub fn incarnation(enrolled: Incarnation, offered: Incarnation) -> IncarnationCheck {
    if enrolled == offered { IncarnationCheck::Same } else { IncarnationCheck::Other }
}

/// What a server that was restored from a backup may do for one incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssueGate {
    /// Issue, from this sequence on.
    Open {
        /// The next sequence.
        next: u64,
    },
    /// Wait for a heartbeat signed after the restore.
    AwaitHeartbeat,
    /// The executor has seen a newer charter than this server has: an operator must bring it.
    CharterBehind {
        /// Serial the executor has seen.
        seen: u64,
    },
}

/// What is known for the gate of one incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssueState {
    /// Rises with every restore.
    pub generation: u64,
    /// Generation in which the newest heartbeat arrived; 0: none yet.
    pub heartbeat_generation: u64,
    /// Charter serial that heartbeat named.
    pub seen_charter: u64,
    /// Highest sequence that heartbeat named.
    pub seen_high: u64,
    /// Highest sequence this database has issued.
    pub issued_high: u64,
}

/// The table of restores: no order until an executor's heartbeat tells (serial, high).
#[must_use]
pub fn issue_gate(state: &IssueState, charter_serial: u64) -> IssueGate {
    if state.heartbeat_generation < state.generation || state.heartbeat_generation == 0 {
        IssueGate::AwaitHeartbeat
    } else if state.seen_charter > charter_serial {
        IssueGate::CharterBehind { seen: state.seen_charter }
    } else {
        match state.seen_high.max(state.issued_high).checked_add(1) {
            Some(next) if next <= NUMBER_MAX => IssueGate::Open { next },
            // An executor that says it has seen all numbers there are must first say otherwise.
            _ => IssueGate::AwaitHeartbeat,
        }
    }
}

/// An exchange, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What is sent, if anything.
    pub batch: Option<Batch>,
    /// The executor's.
    pub incarnation: Incarnation,
    /// The executor's question for a time token.
    pub nonce: Nonce,
    /// Newest checkpoint verified.
    pub checkpoint_size: u64,
    /// Evidence that waits for proofs.
    pub unproven: Vec<Digest>,
    /// Highest sequence handed to the executor.
    pub order_high: u64,
    /// Newest charter there.
    pub charter_serial: u64,
    /// Newest catalogue there.
    pub catalogue_version: u64,
    /// Newest policy there.
    pub policy_serial: u64,
    /// What the set of standing orders there is called by; `None`: there are none.
    pub standing: Option<Digest>,
    /// Newest stop or release there; 0: none.
    pub stop_serial: u64,
    /// What the set of documents in force there is called by; `None`: there are none.
    pub documents: Option<Digest>,
    /// Which of the clinic's logs the executor goes by, and the checkpoint is of; from 1.
    pub log: u64,
    /// How long the answer may be held back, in milliseconds.
    pub hold_ms: u32,
    /// Program version, reported.
    pub version: String,
}

fn number(field: &str, value: u64) -> Result<u64, BadField> {
    if value > NUMBER_MAX {
        return Err(BadField::new(field, format!("must be at most {NUMBER_MAX}, is {value}")));
    }
    Ok(value)
}

/// What a set is called by; empty bytes stand for none.
fn set(field: &str, bytes: &[u8]) -> Result<Option<Digest>, BadField> {
    if bytes.is_empty() { Ok(None) } else { Digest::from_field(field, bytes).map(Some) }
}

impl TryFrom<pb::SyncRequest> for Exchange {
    type Error = BadField;
    fn try_from(m: pb::SyncRequest) -> Result<Self, BadField> {
        number("order_high", m.order_high)?;
        if m.unproven.len() > UNPROVEN_MAX {
            return Err(BadField::new(
                "unproven",
                format!("must be at most {UNPROVEN_MAX}, are {}", m.unproven.len()),
            ));
        }
        Ok(Self {
            batch: m.batch.map(|b| Batch::try_from(b).map_err(|bad| bad.within("batch"))).transpose()?,
            incarnation: Incarnation::from_field("incarnation", &m.incarnation)?,
            nonce: Nonce::from_field("nonce", &m.nonce)?,
            checkpoint_size: m.checkpoint_size,
            unproven: m
                .unproven
                .iter()
                .map(|d| Digest::from_field("unproven", d))
                .collect::<Result<_, _>>()?,
            order_high: m.order_high,
            charter_serial: m.charter_serial,
            catalogue_version: m.catalogue_version,
            policy_serial: m.policy_serial,
            standing: set("standing", &m.standing)?,
            stop_serial: m.stop_serial,
            documents: set("documents", &m.documents)?,
            log: m.log.max(1),
            hold_ms: m.hold_ms.min(HOLD_MAX_MS),
            version: text("version", &m.version, 100)?,
        })
    }
}

impl TryFrom<pb::Batch> for Batch {
    type Error = BadField;
    fn try_from(m: pb::Batch) -> Result<Self, BadField> {
        if m.records.len() > BATCH_MAX {
            return Err(BadField::new(
                "records",
                format!("must be at most {BATCH_MAX} bytes, has {}", m.records.len()),
            ));
        }
        if m.number == 0 {
            return Err(BadField::new("number", "must be at least 1"));
        }
        number("number", m.number)?;
        Ok(Self {
            stream: StreamId::from_field("stream", &m.stream)?,
            number: m.number,
            previous: Digest::from_field("previous", &m.previous)?,
            records: m.records,
        })
    }
}

impl From<Batch> for pb::Batch {
    fn from(b: Batch) -> Self {
        Self {
            stream: b.stream.to_vec(),
            number: b.number,
            previous: b.previous.to_vec(),
            records: b.records,
        }
    }
}

impl TryFrom<pb::Ack> for Ack {
    type Error = BadField;
    fn try_from(m: pb::Ack) -> Result<Self, BadField> {
        Ok(Self {
            stream: StreamId::from_field("stream", &m.stream)?,
            number: m.number,
            digest: Digest::from_field("digest", &m.digest)?,
        })
    }
}

impl From<Ack> for pb::Ack {
    fn from(a: Ack) -> Self {
        Self { stream: a.stream.to_vec(), number: a.number, digest: a.digest.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(number: u64, previous: Digest, records: &[u8]) -> Batch {
        Batch { stream: StreamId([1; 16]), number, previous, records: records.to_vec() }
    }

    #[test]
    fn batches() {
        let known = StreamState { number: 4, digest: Digest::of(b"four") };
        for (case, state, sent, expected) in [
            ("first", StreamState::default(), batch(1, Digest::ZERO, b"one"), Receipt::Commit),
            ("next", known, batch(5, Digest::of(b"four"), b"five"), Receipt::Commit),
            ("resent", known, batch(4, Digest::of(b"three"), b"four"), Receipt::Again),
            ("next of another past", known, batch(5, Digest::of(b"4"), b"five"), Receipt::Conflict),
            ("same number, other bytes", known, batch(4, Digest::of(b"three"), b"other"), Receipt::Conflict),
            ("long ago", known, batch(3, Digest::of(b"two"), b"three"), Receipt::Conflict),
            (
                "after a gap",
                known,
                batch(8, Digest::of(b"seven"), b"eight"),
                Receipt::CommitAfterGap { missing: 3 },
            ),
            (
                "first seen late",
                StreamState::default(),
                batch(9, Digest::of(b"8"), b"9"),
                Receipt::CommitAfterGap { missing: 8 },
            ),
        ] {
            assert_eq!(receipt(state, &sent), expected, "{case}");
        }
    }

    #[test]
    fn incarnations() {
        let enrolled = Incarnation([7; 16]);
        let mut one_bit = enrolled;
        one_bit.0[15] ^= 1;
        for (case, offered, expected) in [
            ("the enrolled one", Incarnation([7; 16]), IncarnationCheck::Same),
            ("wiped or re-imaged: drawn anew", Incarnation([8; 16]), IncarnationCheck::Other),
            ("one bit from it", one_bit, IncarnationCheck::Other),
            ("none", Incarnation([0; 16]), IncarnationCheck::Other),
        ] {
            assert_eq!(incarnation(enrolled, offered), expected, "{case}");
        }
    }

    #[test]
    fn an_acknowledgement_is_for_exactly_what_was_sent() {
        let sent = batch(3, Digest::ZERO, b"bytes");
        let ack = Ack { stream: sent.stream, number: 3, digest: Digest::of(b"bytes") };
        assert!(ack.matches(&sent));
        assert!(!Ack { stream: StreamId([2; 16]), ..ack }.matches(&sent));
        assert!(!Ack { number: 2, ..ack }.matches(&sent));
        assert!(!Ack { digest: Digest::of(b"other"), ..ack }.matches(&sent));
    }

    #[test]
    fn after_a_restore_a_heartbeat_opens_the_gate() {
        let state = |heartbeat_generation, seen_charter, seen_high, issued_high| IssueState {
            generation: 2,
            heartbeat_generation,
            seen_charter,
            seen_high,
            issued_high,
        };
        for (case, state, expected) in [
            ("never heard", state(0, 0, 0, 0), IssueGate::AwaitHeartbeat),
            ("heard before the restore", state(1, 3, 9, 9), IssueGate::AwaitHeartbeat),
            ("heard after, executor ahead of the backup", state(2, 3, 12, 9), IssueGate::Open { next: 13 }),
            ("heard after, orders on their way", state(2, 3, 9, 12), IssueGate::Open { next: 13 }),
            ("charter lost in the restore", state(2, 4, 9, 9), IssueGate::CharterBehind { seen: 4 }),
            ("the last number", state(2, 3, NUMBER_MAX - 1, 9), IssueGate::Open { next: NUMBER_MAX }),
            ("no number left", state(2, 3, NUMBER_MAX, 9), IssueGate::AwaitHeartbeat),
            ("numbers that there are not", state(2, 3, u64::MAX, 9), IssueGate::AwaitHeartbeat),
        ] {
            assert_eq!(issue_gate(&state, 3), expected, "{case}");
        }
    }
}
