//! What a batch carries: events, evidence, attachments, gaps, lines.

use prost::{
    DecodeError, Message as _,
    encoding::{DecodeContext, decode_key, skip_field},
};

use super::{BATCH_RECORDS_MAX, Lines, number};
use crate::{
    digest::Digest,
    field::{BadField, text},
    ids::{EventId, WatchId},
    pb,
    time::Millis,
};

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
    /// Lines of a log.
    Lines(Lines),
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
    /// `buffer-full`: records of events; `lines-dropped`: lines of logs.
    pub cause: String,
    /// How many.
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
                dropped: number("gap.dropped", g.dropped)?,
                first: Millis(g.first_ms),
                last: Millis(g.last_ms),
            })),
            pb::record::Kind::Lines(l) => Lines::try_from(l).map(Self::Lines).map_err(|b| b.within("lines")),
        }
    }
}

impl From<Record> for pb::Record {
    fn from(record: Record) -> Self {
        let kind = match record {
            Record::Event(e) => pb::record::Kind::Event(e.into()),
            Record::Evidence(bytes) => pb::record::Kind::Evidence(bytes),
            Record::Attachment(content) => pb::record::Kind::Attachment(pb::Attachment {
                sha256: Digest::of(&content).to_vec(),
                content,
            }),
            Record::Gap(g) => pb::record::Kind::Gap(pb::Gap {
                cause: g.cause,
                dropped: g.dropped,
                first_ms: g.first.0,
                last_ms: g.last.0,
            }),
            Record::Lines(l) => pb::record::Kind::Lines(l.into()),
        };
        Self { kind: Some(kind) }
    }
}

/// A fault's name as catalogues write it. Closed to anything else: it is shown to people and to planners as it came.
fn kind(name: &str) -> Result<String, BadField> {
    let name = text("kind", name, 80)?;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b);
    if name.bytes().all(plain) {
        Ok(name)
    } else {
        Err(BadField::new("kind", "must be lower-case letters, digits, dots and hyphens"))
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
            kind: kind(&m.kind)?,
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
    let broken = |e: DecodeError| BadField::new("records", e.to_string());
    let count = count(bytes).map_err(broken)?;
    if count > BATCH_RECORDS_MAX {
        return Err(BadField::new("records", format!("must be at most {BATCH_RECORDS_MAX}, are {count}")));
    }
    let records = pb::Records::decode(bytes).map_err(broken)?.record;
    records
        .into_iter()
        .enumerate()
        .map(|(at, record)| Record::try_from(record).map_err(|b| b.within(&format!("records[{at}]"))))
        .collect()
}

/// How many records there are, found before any is made: an empty one takes two bytes here and a hundred in memory.
fn count(mut bytes: &[u8]) -> Result<usize, DecodeError> {
    let mut count = 0;
    while !bytes.is_empty() {
        let (tag, kind) = decode_key(&mut bytes)?;
        skip_field(kind, tag, &mut bytes, DecodeContext::default())?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let records =
            vec![Record::Event(event), Record::Evidence(b"{}".to_vec()), Record::Attachment(b"log".to_vec())];
        assert_eq!(unpack(&pack(records.clone())).unwrap(), records);
        let mut bad: pb::Event = match records[0].clone() {
            Record::Event(e) => e.into(),
            _ => unreachable!(),
        };
        bad.watch = "../etc".into();
        let bytes = pb::Records { record: vec![pb::Record { kind: Some(pb::record::Kind::Event(bad)) }] }
            .encode_to_vec();
        assert_eq!(unpack(&bytes).unwrap_err().field, "records[0].event.watch");
        assert!(unpack(b"\xff\xff").is_err());
    }

    #[test]
    fn too_many_records_are_refused_before_they_are_made() {
        // The last one does not decode: whoever gets to it has made all before it.
        let many = [[0x0a, 0].repeat(BATCH_RECORDS_MAX), vec![0x0a, 3, 0x0a, 9, 0]].concat();
        let refused = unpack(&many).unwrap_err().to_string();
        assert!(refused.contains("at most 10000, are 10001"), "{refused}");
        assert!(unpack(&many[..many.len() - 7]).unwrap_err().field.starts_with("records[0]"));
    }
}
