//! What can still be read of a damaged outbox that the executor has set aside, taken into a new one.
//!
//! The rule: the new outbox is another stream, and what is taken into it was read record by record and is as the contract
//! has it. Events go again under their own IDs, so that one that had already arrived counts once. Evidence is not taken
//! from here: the executor hands out anew what is not proven, for the place where it was read up to is left behind.

use std::{fs, path::Path};

use prost::Message as _;
use proto::{
    ids::WatchId,
    pb,
    sync::{Record, unpack},
    time::Millis,
};
use runbooks::Fault;
use rusqlite::{Connection, OpenFlags, Row, params};

use super::{EVIDENCE, Intake, Item, Outbox, OutboxError, detect, keep_detector, sql};
use crate::agent::sources::evidence;

/// What follows the name of an outbox that was set aside.
pub const DAMAGED: &str = ".damaged";
/// What follows it once everything that could be read was taken; the newest is kept, for people.
const SALVAGED: &str = ".salvaged";
/// SQLite's own files beside a database.
pub const BESIDE: [&str; 2] = ["-wal", "-shm"];
/// How many events are taken into one commit.
const AT_ONCE: usize = 500;

/// What was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Salvaged {
    /// Events.
    pub events: usize,
    /// Places up to which sources were read.
    pub cursors: usize,
    /// Faults that were known.
    pub detectors: usize,
}

/// Takes what is left of the outbox that was set aside beside `path`, if one was.
pub(super) fn salvage(outbox: &mut Outbox, path: &Path) -> Result<Option<Salvaged>, OutboxError> {
    let damaged = beside(path, DAMAGED);
    if !fs::symlink_metadata(&damaged).is_ok_and(|found| found.is_file()) {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut saved = Salvaged::default();
    if let Ok(from) = Connection::open_with_flags(&damaged, flags) {
        saved.cursors = cursors(outbox, &from)?;
        saved.detectors = detectors(outbox, &from)?;
        saved.events = events(outbox, &from)?;
    }
    for suffix in [""].into_iter().chain(BESIDE) {
        let kept = beside(path, &format!("{SALVAGED}{suffix}"));
        // What cannot be kept for people must not be salvaged again and again either.
        if fs::rename(beside(path, &format!("{DAMAGED}{suffix}")), &kept).is_err() {
            let _ = fs::remove_file(&kept);
        }
    }
    Ok(Some(saved))
}

fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Rows until the first that cannot be read.
fn rows<T>(
    from: &Connection,
    query: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    take: &mut dyn FnMut(T) -> Result<(), OutboxError>,
) -> Result<(), OutboxError> {
    let Ok(mut query) = from.prepare(query) else { return Ok(()) };
    let Ok(found) = query.query_map([], read) else { return Ok(()) };
    for row in found {
        match row {
            Ok(row) => take(row)?,
            Err(_) => break,
        }
    }
    Ok(())
}

/// Where sources were read up to; a place that the new outbox knows already is newer.
fn cursors(outbox: &Outbox, from: &Connection) -> Result<usize, OutboxError> {
    let mut saved = 0;
    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?));
    rows(from, "SELECT source, cursor FROM cursor", read, &mut |(source, cursor)| {
        if source != evidence::SOURCE {
            saved += outbox
                .db
                .execute("INSERT INTO cursor VALUES (?1, ?2) ON CONFLICT DO NOTHING", params![source, cursor])
                .map_err(sql("take over a cursor"))?;
        }
        Ok(())
    })?;
    Ok(saved)
}

/// Which faults were said: they are not said again, and their end is.
fn detectors(outbox: &mut Outbox, from: &Connection) -> Result<usize, OutboxError> {
    let mut saved = Vec::new();
    let read = |row: &Row<'_>| {
        let (fault, watch): (String, String) = (row.get(0)?, row.get(1)?);
        let state =
            detect::State { raised: row.get(2)?, said: Millis(row.get(3)?), held: Millis(row.get(4)?) };
        Ok(fault.parse::<Fault>().ok().zip(watch.parse::<WatchId>().ok()).map(|key| (key, state)))
    };
    rows(from, "SELECT fault, watch, raised, said_ms, held_ms FROM detector", read, &mut |found| {
        saved.extend(found);
        Ok(())
    })?;
    let tx = outbox.db.transaction().map_err(sql("begin"))?;
    for ((fault, watch), state) in &saved {
        let key = detect::Key { fault: *fault, watch: watch.clone() };
        keep_detector(&tx, &key, state).map_err(sql("take over a detector's state"))?;
    }
    tx.commit().map_err(sql("commit"))?;
    Ok(saved.len())
}

/// Events that wait, from both ends of what cannot be read, and those of the batch that was on its way.
fn events(outbox: &mut Outbox, from: &Connection) -> Result<usize, OutboxError> {
    let mut taken = Taken { outbox, waiting: Vec::new(), events: 0 };
    let read = |row: &Row<'_>| row.get::<_, Vec<u8>>(0);
    rows(from, "SELECT records FROM frozen", read, &mut |bytes| {
        for record in unpack(&bytes).unwrap_or_default() {
            taken.take(record)?;
        }
        Ok(())
    })?;
    let mut last = i64::MIN;
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, u8>(1)?, row.get::<_, Vec<u8>>(2)?));
    rows(from, "SELECT sequence, rank, bytes FROM record ORDER BY sequence", read, &mut |(
        at,
        rank,
        bytes,
    )| {
        last = at;
        taken.take_row(rank, &bytes)
    })?;
    // A walk that broke off in the middle: the rest is there, backwards.
    let backwards = format!(
        "SELECT sequence, rank, bytes FROM record WHERE sequence > {last} ORDER BY sequence DESC LIMIT {AT_ONCE}"
    );
    let mut behind = Vec::new();
    rows(from, &backwards, read, &mut |(_, rank, bytes)| {
        behind.push((rank, bytes));
        Ok(())
    })?;
    for (rank, bytes) in behind.iter().rev() {
        taken.take_row(*rank, bytes)?;
    }
    taken.flush()?;
    Ok(taken.events)
}

struct Taken<'o> {
    outbox: &'o mut Outbox,
    waiting: Vec<Item>,
    events: usize,
}

impl Taken<'_> {
    fn take_row(&mut self, rank: u8, bytes: &[u8]) -> Result<(), OutboxError> {
        if rank == EVIDENCE {
            return Ok(());
        }
        match pb::Record::decode(bytes).map(Record::try_from) {
            Ok(Ok(record)) => self.take(record),
            // Half of a record is none.
            _ => Ok(()),
        }
    }

    fn take(&mut self, record: Record) -> Result<(), OutboxError> {
        let Record::Event(event) = record else { return Ok(()) };
        self.waiting.push(event.into());
        if self.waiting.len() < AT_ONCE { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), OutboxError> {
        self.events += self.waiting.len();
        let items = std::mem::take(&mut self.waiting);
        self.outbox.commit(&Intake { items, ..Intake::default() }, Millis(0))
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        ids::{EventId, Incarnation, StreamId},
        sync::{Event, Phase},
    };

    use super::*;
    use crate::agent::{outbox::Limits, sources::evidence::Place};

    const LIMITS: Limits = Limits { telemetry: 32 << 20, evidence: 1 << 20, lines: 1 << 20 };

    fn event(n: u8) -> Event {
        Event {
            id: EventId::new(Millis(1_000 + i64::from(n)), [n; 10]),
            kind: Fault::UnitDown.to_string(),
            watch: "it".parse().unwrap(),
            phase: Phase::Raised,
            at: Millis(1_000),
            readings: [("active".to_owned(), 0)].into(),
            // So that there are pages to damage.
            note: "x".repeat(400),
        }
    }

    /// An outbox with a batch of two events on its way, more that wait, evidence, and where all was read up to.
    fn full(path: &Path, waiting: u8) -> Vec<EventId> {
        let mut outbox = Outbox::open(path, LIMITS, StreamId([1; 16])).unwrap();
        let item = |n| Item::from(event(n));
        let intake = Intake { items: vec![item(1), item(2)], ..Intake::default() };
        outbox.commit(&intake, Millis(1)).unwrap();
        outbox.freeze().unwrap().unwrap();
        let key = detect::Key { fault: Fault::UnitDown, watch: "it".parse().unwrap() };
        let state = detect::State { raised: true, said: Millis(7), held: Millis(7) };
        let mut items: Vec<Item> = (3..3 + waiting).map(item).collect();
        items.push(Item::Evidence { envelope: b"{}".to_vec(), attachments: Vec::new() });
        let source = "log:app".to_owned();
        let intake = Intake { source, cursor: Some(b"here".to_vec()), detectors: vec![(key, state)], items };
        outbox.commit(&intake, Millis(1)).unwrap();
        let cursor = Some(Place { incarnation: Incarnation([2; 16]), next: 9 }.write());
        let source = evidence::SOURCE.to_owned();
        outbox.commit(&Intake { source, cursor, ..Intake::default() }, Millis(1)).unwrap();
        (1..3 + waiting).map(|n| event(n).id).collect()
    }

    fn set_aside(path: &Path) {
        for suffix in ["", "-wal", "-shm"] {
            let to = beside(path, &format!("{DAMAGED}{suffix}"));
            let _ = fs::rename(beside(path, suffix), to);
        }
    }

    fn events_in(outbox: &mut Outbox) -> Vec<EventId> {
        let mut found = Vec::new();
        while let Some(batch) = outbox.freeze().unwrap() {
            for record in unpack(&batch.records).unwrap() {
                match record {
                    Record::Event(event) => found.push(event.id),
                    other => panic!("evidence comes from the executor: {other:?}"),
                }
            }
            let digest = proto::digest::Digest::of(&batch.records);
            let ack = proto::sync::Ack { stream: batch.stream, number: batch.number, digest };
            assert!(outbox.acknowledge(&ack).unwrap());
        }
        found
    }

    #[test]
    fn what_is_whole_is_taken_over_into_another_stream() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        let expected = full(&path, 3);
        set_aside(&path);
        let mut new = Outbox::open(&path, LIMITS, StreamId([9; 16])).unwrap();
        assert_eq!(new.stream(), StreamId([9; 16]));
        assert_eq!(new.cursor("log:app").unwrap().as_deref(), Some(&b"here"[..]));
        assert_eq!(new.cursor(evidence::SOURCE).unwrap(), None, "the executor hands it out anew");
        let key = detect::Key { fault: Fault::UnitDown, watch: "it".parse().unwrap() };
        assert!(new.detector(&key).unwrap().raised);
        assert_eq!(events_in(&mut new), expected);
        drop(new);
        // Once: what was taken is kept for people, and not taken again.
        let mut again = Outbox::open(&path, LIMITS, StreamId([8; 16])).unwrap();
        assert_eq!((again.stream(), events_in(&mut again)), (StreamId([9; 16]), Vec::new()));
        let kept = fs::read(beside(&path, SALVAGED)).unwrap();
        assert!(kept.starts_with(b"SQLite format 3\0") && !beside(&path, DAMAGED).exists());
    }

    #[test]
    fn around_a_hole_both_sides_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        let all = full(&path, 200);
        // All of it in one file, then one leaf of the table of records is overwritten.
        let db = Connection::open(&path).unwrap();
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let marked = event(100).id;
        drop(db);
        let mut bytes = fs::read(&path).unwrap();
        let record = pb::Record::from(Record::Event(event(100))).encode_to_vec();
        let at = bytes.windows(record.len()).position(|window| window == record).expect("it is in the file");
        let page = at / 4096 * 4096;
        bytes[page..page + 4096].fill(0xa5);
        fs::write(&path, bytes).unwrap();
        set_aside(&path);
        let mut new = Outbox::open(&path, LIMITS, StreamId([9; 16])).unwrap();
        let saved = events_in(&mut new);
        assert!(!saved.contains(&marked));
        assert!(saved.len() >= all.len() - 20, "{} of {}", saved.len(), all.len());
        assert!(saved.first() == all.first() && saved.last() == all.last());
        assert!(saved.iter().all(|id| all.contains(id)));
    }

    #[test]
    fn of_something_that_is_no_database_nothing_is_taken_and_a_new_stream_begins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        for garbage in [&b""[..], b"garbage", &[0xff; 9000]] {
            fs::write(beside(&path, DAMAGED), garbage).unwrap();
            let mut new = Outbox::open(&path, LIMITS, StreamId([9; 16])).unwrap();
            assert_eq!(events_in(&mut new), []);
            assert!(!beside(&path, DAMAGED).exists());
        }
    }
}
