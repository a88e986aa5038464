//! The state that two parties must agree on when they sync: batches, acknowledgements, incarnations, restores.
//!
//! Tables, not loops: each function takes what is known and what arrived, and says the one thing to do.

use prost::Message as _;

use crate::{
    digest::Digest,
    field::{BadField, text},
    ids::{EventId, Incarnation, Nonce, StreamId, WatchId},
    pb,
    time::Millis,
};

/// The most bytes of records one batch carries.
pub const BATCH_MAX: usize = 1 << 20;
/// The most records one batch carries.
pub const BATCH_RECORDS_MAX: usize = 10_000;
/// The most proofs asked for in one exchange.
pub const UNPROVEN_MAX: usize = 64;
/// The longest an answer may be held back, in milliseconds.
pub const HOLD_MAX_MS: u32 = 60_000;

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
        IssueGate::Open { next: state.seen_high.max(state.issued_high) + 1 }
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
    /// How long the answer may be held back, in milliseconds.
    pub hold_ms: u32,
    /// Program version, reported.
    pub version: String,
}

impl TryFrom<pb::SyncRequest> for Exchange {
    type Error = BadField;
    fn try_from(m: pb::SyncRequest) -> Result<Self, BadField> {
        if m.unproven.len() > UNPROVEN_MAX {
            return Err(BadField::new("unproven", format!("must be at most {UNPROVEN_MAX}, are {}", m.unproven.len())));
        }
        Ok(Self {
            batch: m.batch.map(|b| Batch::try_from(b).map_err(|bad| bad.within("batch"))).transpose()?,
            incarnation: Incarnation::from_field("incarnation", &m.incarnation)?,
            nonce: Nonce::from_field("nonce", &m.nonce)?,
            checkpoint_size: m.checkpoint_size,
            unproven: m.unproven.iter().map(|d| Digest::from_field("unproven", d)).collect::<Result<_, _>>()?,
            order_high: m.order_high,
            charter_serial: m.charter_serial,
            catalogue_version: m.catalogue_version,
            policy_serial: m.policy_serial,
            hold_ms: m.hold_ms.min(HOLD_MAX_MS),
            version: text("version", &m.version, 100)?,
        })
    }
}

impl TryFrom<pb::Batch> for Batch {
    type Error = BadField;
    fn try_from(m: pb::Batch) -> Result<Self, BadField> {
        if m.records.len() > BATCH_MAX {
            return Err(BadField::new("records", format!("must be at most {BATCH_MAX} bytes, has {}", m.records.len())));
        }
        if m.number == 0 {
            return Err(BadField::new("number", "must be at least 1"));
        }
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
        Self { stream: b.stream.to_vec(), number: b.number, previous: b.previous.to_vec(), records: b.records }
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

/// One thing that a batch carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Something seen.
    Event(Event),
    /// Exact bytes of an evidence envelope.
    Evidence(Vec<u8>),
    /// Bulk that evidence names by digest.
    Attachment(Vec<u8>),
    /// What was dropped.
    Gap(Gap),
}

/// Whether a fault begins, goes on, or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It began.
    Raised,
    /// It is still there.
    Ongoing,
    /// It is gone.
    Cleared,
}

/// Something seen, as the agent reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its ID.
    pub id: EventId,
    /// What, as triggers name it: `directory.over-limit`.
    pub kind: String,
    /// Where: an entry of the box's own watch list.
    pub watch: WatchId,
    /// Begin, middle or end.
    pub phase: Phase,
    /// When, by the agent's clock.
    pub at: Millis,
    /// Measured then.
    pub readings: Vec<(String, i64)>,
    /// A redacted line for people.
    pub note: String,
}

/// What was dropped because the outbox was full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// `buffer-full`.
    pub cause: String,
    /// How many records.
    pub dropped: u64,
    /// From.
    pub first: Millis,
    /// To.
    pub last: Millis,
}

impl TryFrom<pb::Record> for Record {
    type Error = BadField;
    fn try_from(m: pb::Record) -> Result<Self, BadField> {
        match m.kind.ok_or_else(|| BadField::new("kind", "must be one that this version knows"))? {
            pb::record::Kind::Event(e) => Event::try_from(e).map(Self::Event).map_err(|b| b.within("event")),
            pb::record::Kind::Evidence(bytes) => Ok(Self::Evidence(bytes)),
            pb::record::Kind::Attachment(a) => {
                let named = Digest::from_field("attachment.sha256", &a.sha256)?;
                if Digest::of(&a.content) != named {
                    return Err(BadField::new("attachment.sha256", "must be the digest of the content"));
                }
                Ok(Self::Attachment(a.content))
            }
            pb::record::Kind::Gap(g) => Ok(Self::Gap(Gap {
                cause: text("gap.cause", &g.cause, 40)?,
                dropped: g.dropped,
                first: Millis(g.first_ms),
                last: Millis(g.last_ms),
            })),
        }
    }
}

impl From<Record> for pb::Record {
    fn from(record: Record) -> Self {
        let kind = match record {
            Record::Event(e) => pb::record::Kind::Event(e.into()),
            Record::Evidence(bytes) => pb::record::Kind::Evidence(bytes),
            Record::Attachment(content) => {
                pb::record::Kind::Attachment(pb::Attachment { sha256: Digest::of(&content).to_vec(), content })
            }
            Record::Gap(g) => pb::record::Kind::Gap(pb::Gap {
                cause: g.cause,
                dropped: g.dropped,
                first_ms: g.first.0,
                last_ms: g.last.0,
            }),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<pb::Event> for Event {
    type Error = BadField;
    fn try_from(m: pb::Event) -> Result<Self, BadField> {
        use pb::event::Phase as Wire;
        let phase = match Wire::try_from(m.phase) {
            Ok(Wire::Raised) => Phase::Raised,
            Ok(Wire::Ongoing) => Phase::Ongoing,
            Ok(Wire::Cleared) => Phase::Cleared,
            _ => return Err(BadField::new("phase", "must be raised, ongoing or cleared")),
        };
        if m.note.len() > 1000 {
            return Err(BadField::new("note", format!("must be at most 1000 bytes, has {}", m.note.len())));
        }
        if m.readings.len() > 32 {
            return Err(BadField::new("readings", format!("must be at most 32, are {}", m.readings.len())));
        }
        Ok(Self {
            id: EventId::from_field("id", &m.id)?,
            kind: text("kind", &m.kind, 80)?,
            watch: m.watch.parse()?,
            phase,
            at: Millis(m.at_ms),
            readings: m
                .readings
                .into_iter()
                .map(|r| Ok((text("readings.name", &r.name, 40)?, r.value)))
                .collect::<Result<_, BadField>>()?,
            note: m.note,
        })
    }
}

impl From<Event> for pb::Event {
    fn from(e: Event) -> Self {
        use pb::event::Phase as Wire;
        let phase = match e.phase {
            Phase::Raised => Wire::Raised,
            Phase::Ongoing => Wire::Ongoing,
            Phase::Cleared => Wire::Cleared,
        };
        Self {
            id: e.id.to_string(),
            kind: e.kind,
            watch: e.watch.to_string(),
            phase: phase.into(),
            at_ms: e.at.0,
            readings: e.readings.into_iter().map(|(name, value)| pb::Reading { name, value }).collect(),
            note: e.note,
        }
    }
}

/// Packs records into the bytes that a batch freezes.
#[must_use]
pub fn pack(records: impl IntoIterator<Item = Record>) -> Vec<u8> {
    pb::Records { record: records.into_iter().map(Into::into).collect() }.encode_to_vec()
}

/// Unpacks a batch's bytes; the complaint names the record by its place.
pub fn unpack(bytes: &[u8]) -> Result<Vec<Record>, BadField> {
    let records = pb::Records::decode(bytes).map_err(|e| BadField::new("records", e.to_string()))?.record;
    if records.len() > BATCH_RECORDS_MAX {
        return Err(BadField::new("records", format!("must be at most {BATCH_RECORDS_MAX}, are {}", records.len())));
    }
    records
        .into_iter()
        .enumerate()
        .map(|(at, record)| Record::try_from(record).map_err(|b| b.within(&format!("records[{at}]"))))
        .collect()
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
            ("after a gap", known, batch(8, Digest::of(b"seven"), b"eight"), Receipt::CommitAfterGap { missing: 3 }),
            ("first seen late", StreamState::default(), batch(9, Digest::of(b"8"), b"9"), Receipt::CommitAfterGap { missing: 8 }),
        ] {
            assert_eq!(receipt(state, &sent), expected, "{case}");
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
        ] {
            assert_eq!(issue_gate(&state, 3), expected, "{case}");
        }
    }

    #[test]
    fn records_read_back_and_bad_ones_are_named() {
        let event = Event {
            id: EventId::new(Millis(1_700_000_000_000), [5; 10]),
            kind: "directory.over-limit".into(),
            watch: "uploads".parse().unwrap(),
            phase: Phase::Raised,
            at: Millis(1_700_000_000_000),
            readings: vec![("bytes".into(), 12)],
            note: String::new(),
        };
        let records = vec![Record::Event(event), Record::Evidence(b"{}".to_vec()), Record::Attachment(b"log".to_vec())];
        assert_eq!(unpack(&pack(records.clone())).unwrap(), records);
        let mut bad: pb::Event = match records[0].clone() {
            Record::Event(e) => e.into(),
            _ => unreachable!(),
        };
        bad.watch = "../etc".into();
        let bytes = pb::Records { record: vec![pb::Record { kind: Some(pb::record::Kind::Event(bad)) }] }.encode_to_vec();
        assert_eq!(unpack(&bytes).unwrap_err().field, "records[0].event.watch");
        assert!(unpack(b"\xff\xff").is_err());
    }
}
