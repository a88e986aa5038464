//! What agents and executors committed, written down beside it by triggers of the database itself: in the same
//! transaction, so neither more nor less, and without the programs knowing.

use prost::Message as _;
use proto::{
    digest::Digest,
    log::Hash,
    pb,
    sync::{Event, Record},
};
use rusqlite::Connection;

/// On an outbox: every event that was ever taken.
pub(super) fn install_agent(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "CREATE TABLE seen_event (number INTEGER PRIMARY KEY, bytes BLOB);
         CREATE TRIGGER see_event AFTER INSERT ON record WHEN new.rank < 2
         BEGIN INSERT INTO seen_event (bytes) VALUES (new.bytes); END",
    )
}

/// On an executor's database: every record of evidence that was ever appended, every one that was let go, every
/// checkpoint that was kept.
pub(super) fn install_executor(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "CREATE TABLE seen_kept (number INTEGER PRIMARY KEY, idx INTEGER, digest BLOB);
         CREATE TRIGGER see_kept AFTER INSERT ON evidence
         BEGIN INSERT INTO seen_kept (idx, digest) VALUES (new.idx, new.digest); END;
         CREATE TABLE seen_gone (number INTEGER PRIMARY KEY, digest BLOB);
         CREATE TRIGGER see_gone AFTER DELETE ON evidence
         BEGIN INSERT INTO seen_gone (digest) VALUES (old.digest); END;
         CREATE TABLE seen_checkpoint (number INTEGER PRIMARY KEY, size INTEGER, root BLOB);
         CREATE TRIGGER see_checkpoint AFTER INSERT ON checkpoint
         BEGIN INSERT INTO seen_checkpoint (size, root) VALUES (new.size, new.root); END;
         CREATE TRIGGER see_next_checkpoint AFTER UPDATE ON checkpoint
         BEGIN INSERT INTO seen_checkpoint (size, root) VALUES (new.size, new.root); END",
    )
}

/// All events that an agent ever committed, in order.
pub(super) fn events(db: &Connection) -> anyhow::Result<Vec<Event>> {
    let mut query = db.prepare_cached("SELECT bytes FROM seen_event ORDER BY number")?;
    let mut events = Vec::new();
    for bytes in query.query_map([], |row| row.get::<_, Vec<u8>>(0))? {
        match Record::try_from(pb::Record::decode(&bytes?[..])?)? {
            Record::Event(event) => events.push(event),
            other => anyhow::bail!("telemetry that is no event: {other:?}"),
        }
    }
    Ok(events)
}

/// Evidence appended after line `after`: line, index, digest.
pub(super) fn kept(db: &Connection, after: i64) -> rusqlite::Result<Vec<(i64, u64, Digest)>> {
    db.prepare_cached("SELECT number, idx, digest FROM seen_kept WHERE number > ?1 ORDER BY number")?
        .query_map([after], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned(), Digest(row.get(2)?)))
        })?
        .collect()
}

/// Evidence let go after line `after`.
pub(super) fn gone(db: &Connection, after: i64) -> rusqlite::Result<Vec<(i64, Digest)>> {
    db.prepare_cached("SELECT number, digest FROM seen_gone WHERE number > ?1 ORDER BY number")?
        .query_map([after], |row| Ok((row.get(0)?, Digest(row.get(1)?))))?
        .collect()
}

/// Checkpoints kept after line `after`: line, size, root.
pub(super) fn checkpoints(db: &Connection, after: i64) -> rusqlite::Result<Vec<(i64, u64, Hash)>> {
    db.prepare_cached("SELECT number, size, root FROM seen_checkpoint WHERE number > ?1 ORDER BY number")?
        .query_map([after], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned(), Hash(row.get(2)?)))
        })?
        .collect()
}

/// IDs of the orders that are written down as started and not over; a use of a standing order with its number: `id#2`.
pub(super) fn started(db: &Connection) -> rusqlite::Result<Vec<String>> {
    db.prepare_cached(
        "SELECT order_id || coalesce('#' || standing_count, '') FROM journal WHERE state = 'started'",
    )?
    .query_map([], |row| row.get(0))?
    .collect()
}

/// Orders of the journal that are not over.
pub(super) fn unfinished(db: &Connection) -> rusqlite::Result<u64> {
    let query = "SELECT count(*) FROM journal WHERE state IN ('accepted', 'started')";
    db.prepare_cached(query)?.query_row([], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}

/// Bytes of evidence that an executor keeps.
pub(super) fn evidence_bytes(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT coalesce(sum(length(envelope)), 0) FROM evidence")?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(i64::cast_unsigned)
}

/// Bytes in an outbox, waiting or on their way: telemetry, and evidence.
pub(super) fn outbox_bytes(db: &Connection) -> rusqlite::Result<(u64, u64)> {
    let sum = |of: &str, on_its_way: &str| {
        let waiting = format!("SELECT coalesce(sum(length(bytes)), 0) FROM record WHERE rank {of}");
        let both = format!("SELECT ({waiting}) + (SELECT coalesce(sum({on_its_way}), 0) FROM frozen)");
        db.prepare_cached(&both)?.query_row([], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
    };
    Ok((sum("< 2", "telemetry_bytes")?, sum("= 2", "evidence_bytes")?))
}

/// Whether an executor believes that the log was forked, for certain.
pub(super) fn fork_alarm(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT count(*) > 0 FROM shown WHERE fork = 1")?.query_row([], |row| row.get(0))
}

/// A standing order that was signed: its ID and box, how often it may be used, and until when.
pub(super) type Standing = (String, (String, u32, i64));

/// All standing orders that the control plane has.
pub(super) fn standing(db: &Connection) -> rusqlite::Result<Vec<Standing>> {
    db.prepare_cached("SELECT id, appliance, most, expires_ms FROM standing")?
        .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?))))?
        .collect()
}

/// How many orders the control plane has, standing ones too.
pub(super) fn orders(db: &Connection) -> rusqlite::Result<i64> {
    let query = "SELECT (SELECT count(*) FROM \"order\") + (SELECT count(*) FROM standing)";
    db.prepare_cached(query)?.query_row([], |row| row.get(0))
}
