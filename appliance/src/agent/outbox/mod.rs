//! The outbox: what waits for the control plane, in SQLite, with all SQL of this database.
//!
//! The rule: a source's cursor, its detectors' states and the records that came of them commit together or not at all,
//! so that every record is taken once; a batch is frozen when first sent and deleted by its own acknowledgement alone,
//! so that every record arrives once. Bounded: see `room.rs`.
//!
//! ```text
//!  commit ──> record, lines ──freeze──> frozen ──acknowledge──> gone
//!               │ no room: telemetry only
//!               └──────────────> gap ──freeze, first of its batch──> frozen
//! ```

mod batch;
mod inspect;
mod room;
mod salvage;
mod schema;

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use prost::Message as _;
use proto::{
    ids::StreamId,
    pb,
    sync::{BATCH_MAX, Event, LINES_TEXT_MAX, Lines, Phase, Record},
    time::Millis,
};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::detect;

pub use inspect::{Raised, Summary, inspect};
pub use room::Limits;
use room::Usage;
pub use salvage::{BESIDE, DAMAGED, Salvaged};

/// The largest record that a batch can carry, in encoded bytes: key and length take five.
const RECORD_MAX: usize = BATCH_MAX - 5;
/// The largest attachment that a batch can carry, in bytes: its digest and framing need the rest.
pub const ATTACHMENT_MAX: usize = BATCH_MAX - 256;

/// The most that a record of lines weighs: text that does not pack grows a little.
const LINES_RECORD: u64 = (LINES_TEXT_MAX + LINES_TEXT_MAX / 64) as u64;

/// Something to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Telemetry: dropped when there is no room.
    Event(Event),
    /// Never dropped. Its attachments go ahead of it, so that whoever reads the envelope has them already.
    Evidence {
        /// Exact bytes.
        envelope: Vec<u8>,
        /// At most [`ATTACHMENT_MAX`] bytes each.
        attachments: Vec<Vec<u8>>,
    },
    /// Lines of a log: sent after everything else, and dropped before everything else.
    Lines(Lines),
}

impl From<Event> for Item {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

/// What one look at a source came to.
#[derive(Debug, Clone, Default)]
pub struct Intake {
    /// Whose cursor.
    pub source: String,
    /// Where the next look begins; `None` leaves it where it is.
    pub cursor: Option<Vec<u8>>,
    /// Detectors whose state may have changed.
    pub detectors: Vec<(detect::Key, detect::State)>,
    /// What is to be sent, in order.
    pub items: Vec<Item>,
}

/// What went wrong with the outbox. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Cannot be opened, or is not a database.
    #[error(
        "cannot open the outbox {path}; when it cannot be repaired, move it away: evidence is kept by the executor, unsent telemetry is lost"
    )]
    Open {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        cause: rusqlite::Error,
    },
    /// Written by a newer version of this program.
    #[error(
        "the outbox has schema {found}, this version knows up to {known}; install the version that wrote it, or a newer one"
    )]
    Newer {
        /// What the file says.
        found: i64,
        /// What this version knows.
        known: i64,
    },
    /// A schema step failed.
    #[error("cannot bring the outbox to schema {step}")]
    Migrate {
        /// Which step.
        step: i64,
        /// Why.
        #[source]
        cause: rusqlite::Error,
    },
    /// Reading or writing failed: a full or broken disk.
    #[error("cannot {doing} in the outbox")]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        cause: rusqlite::Error,
    },
    /// What lies there cannot have been written by this program.
    #[error("the outbox is damaged: {0}; move it away, and a new one begins")]
    Damaged(String),
    /// Too large for any batch. Sources make none of that size.
    #[error("a record must be at most {RECORD_MAX} bytes, has {0}")]
    TooLarge(usize),
}

/// A number that is never negative: SQLite knows signed ones only.
fn whole(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(i64::unsigned_abs)
}

fn sql(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> OutboxError {
    move |cause| OutboxError::Sql { doing, cause }
}

/// The store. One process, one connection.
pub struct Outbox {
    db: Connection,
    stream: StreamId,
    limits: Limits,
    usage: Usage,
}

impl Outbox {
    /// Opens or creates the file at `path`. `fresh` are random bytes: the identity of the stream if it is created now.
    pub fn open(path: &Path, limits: Limits, fresh: StreamId) -> Result<Self, OutboxError> {
        let at = |cause| OutboxError::Open { path: path.to_owned(), cause };
        // Ours alone from the beginning; SQLite gives its other files the same mode. What goes wrong, it will say.
        let _ = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        let db = Connection::open(path).map_err(at)?;
        // Any first read finds out whether this is a database at all.
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(at)?;
        let mut outbox = Self::with_connection(db, limits, fresh)?;
        if let Some(saved) = salvage::salvage(&mut outbox, path)? {
            tracing::warn!(
                "the outbox was damaged and begins anew; taken over: {} events, {} places in sources, {} faults",
                saved.events,
                saved.cursors,
                saved.detectors
            );
        }
        Ok(outbox)
    }

    /// The same over a connection of the caller's, as a simulation has it.
    pub fn with_connection(mut db: Connection, limits: Limits, fresh: StreamId) -> Result<Self, OutboxError> {
        let set = |db: &Connection| -> rusqlite::Result<()> {
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "synchronous", "FULL")?;
            db.pragma_update(None, "cache_size", -1024)?; // KiB: the box is small
            db.pragma_update(None, "temp_store", "MEMORY")?; // the agent may write nowhere but here
            db.pragma_update(None, "journal_size_limit", 4 << 20)?;
            db.busy_timeout(std::time::Duration::from_secs(5)) // `status` reads beside us
        };
        set(&db).map_err(sql("set up the connection"))?;
        schema::migrate(&mut db)?;
        let stream = batch::stream(&db, fresh)?;
        let usage = Usage::measure(&db).map_err(sql("measure what waits"))?;
        Ok(Self { db, stream, limits, usage })
    }

    /// Whose outbox this is.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// Where the next look at `source` begins; `None`: it was never looked at.
    pub fn cursor(&self, source: &str) -> Result<Option<Vec<u8>>, OutboxError> {
        self.db
            .prepare_cached("SELECT cursor FROM cursor WHERE source = ?1")
            .and_then(|mut query| query.query_row([source], |row| row.get(0)).optional())
            .map_err(sql("read a cursor"))
    }

    /// How a detector stands; a new one is quiet.
    pub fn detector(&self, key: &detect::Key) -> Result<detect::State, OutboxError> {
        let read = |row: &Row<'_>| {
            Ok(detect::State { raised: row.get(0)?, said: Millis(row.get(1)?), held: Millis(row.get(2)?) })
        };
        self.db
            .prepare_cached("SELECT raised, said_ms, held_ms FROM detector WHERE fault = ?1 AND watch = ?2")
            .and_then(|mut query| {
                query.query_row(params![key.fault.as_str(), key.watch.as_str()], read).optional()
            })
            .map(Option::unwrap_or_default)
            .map_err(sql("read a detector"))
    }

    /// Takes what one look came to, all of it in one transaction. `now` is kept with evidence, for people.
    pub fn commit(&mut self, intake: &Intake, now: Millis) -> Result<(), OutboxError> {
        let tx = self.db.transaction().map_err(sql("begin"))?;
        let mut usage = self.usage;
        if let Some(cursor) = &intake.cursor {
            // The guard keeps an idle source from writing, and so from waking the disk.
            tx.prepare_cached(
                "INSERT INTO cursor (source, cursor) VALUES (?1, ?2)
                 ON CONFLICT (source) DO UPDATE SET cursor = excluded.cursor WHERE cursor IS NOT excluded.cursor",
            )
            .and_then(|mut query| query.execute(params![intake.source, cursor]))
            .map_err(sql("move a cursor"))?;
        }
        for (key, state) in &intake.detectors {
            keep_detector(&tx, key, state).map_err(sql("keep a detector's state"))?;
        }
        for item in &intake.items {
            if let Item::Lines(lines) = item {
                usage.lines += keep_lines(&tx, lines)?;
            }
            for (rank, at, record) in rows(item, now) {
                let bytes = record.encode_to_vec();
                if bytes.len() > RECORD_MAX {
                    return Err(OutboxError::TooLarge(bytes.len()));
                }
                insert(&tx, rank, at, &bytes).map_err(sql("keep a record"))?;
                usage.add(rank, room::weight(bytes.len()));
            }
        }
        room::make(&tx, &mut usage, &self.limits).map_err(sql("make room"))?;
        tx.commit().map_err(sql("commit"))?;
        self.usage = usage;
        Ok(())
    }

    /// How many of `items`, from the first on, there is room for: evidence beyond it stays with the executor. An empty
    /// outbox takes one whatever its size, so that no record is too large to be sent.
    #[must_use]
    pub fn evidence_that_fits(&self, items: &[Item]) -> usize {
        let mut used = self.usage.evidence;
        items
            .iter()
            .take_while(|item| {
                let fits = used == 0 || used + room::weight_of(item) <= self.limits.evidence;
                used += room::weight_of(item);
                fits
            })
            .count()
    }

    /// Bytes of evidence there is room for.
    #[must_use]
    pub fn evidence_room(&self) -> u64 {
        self.limits.evidence.saturating_sub(self.usage.evidence)
    }

    /// Bytes of lines there is room for, with the last record going beyond it: for whoever can wait, so that nothing is
    /// dropped for it. A quarter is for those who cannot. An outbox without any lines takes a record whatever its size.
    #[must_use]
    pub fn lines_room(&self) -> usize {
        let taken = self.usage.lines.saturating_add(LINES_RECORD);
        let room = (self.limits.lines / 4 * 3).saturating_sub(taken);
        usize::try_from(room).unwrap_or(usize::MAX).max(usize::from(self.usage.lines == 0))
    }

    /// Whether any evidence is here, waiting or on its way.
    #[must_use]
    pub fn has_evidence(&self) -> bool {
        self.usage.evidence > 0
    }

    /// Whether there is anything to send.
    #[must_use]
    pub fn has_records(&self) -> bool {
        self.usage != Usage::default()
    }
}

const ONGOING: u8 = 0;
const EVENT: u8 = 1;
const EVIDENCE: u8 = 2;

fn rows(item: &Item, now: Millis) -> Vec<(u8, Millis, pb::Record)> {
    match item {
        Item::Event(event) => {
            let rank = if event.phase == Phase::Ongoing { ONGOING } else { EVENT };
            vec![(rank, event.at, Record::Event(event.clone()).into())]
        }
        Item::Evidence { envelope, attachments } => attachments
            .iter()
            .cloned()
            .map(Record::Attachment)
            .chain([Record::Evidence(envelope.clone())])
            .map(|record| (EVIDENCE, now, record.into()))
            .collect(),
        Item::Lines(_) => Vec::new(),
    }
}

/// Keeps lines in the table of their own. Gives what they weigh.
fn keep_lines(tx: &Transaction<'_>, lines: &Lines) -> Result<u64, OutboxError> {
    let bytes = pb::Record::from(Record::Lines(lines.clone())).encode_to_vec();
    if bytes.len() > RECORD_MAX {
        return Err(OutboxError::TooLarge(bytes.len()));
    }
    tx.prepare_cached("INSERT INTO lines (at_ms, count, bytes) VALUES (?1, ?2, ?3)")
        .and_then(|mut query| query.execute(params![lines.at.0, lines.count, bytes]))
        .map_err(sql("keep lines"))?;
    Ok(room::weight(bytes.len()))
}

fn insert(tx: &Transaction<'_>, rank: u8, at: Millis, bytes: &[u8]) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO record (rank, at_ms, bytes) VALUES (?1, ?2, ?3)")?
        .execute(params![rank, at.0, bytes])?;
    Ok(())
}

fn keep_detector(tx: &Transaction<'_>, key: &detect::Key, state: &detect::State) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO detector (fault, watch, raised, said_ms, held_ms) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (fault, watch) DO UPDATE
         SET raised = excluded.raised, said_ms = excluded.said_ms, held_ms = excluded.held_ms
         WHERE (raised, said_ms, held_ms) IS NOT (excluded.raised, excluded.said_ms, excluded.held_ms)",
    )?
    .execute(params![
        key.fault.as_str(),
        key.watch.as_str(),
        state.raised,
        state.said.0,
        state.held.0
    ])?;
    Ok(())
}
