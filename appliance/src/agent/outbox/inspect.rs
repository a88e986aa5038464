//! The outbox as `status` sees it: read only, beside a running agent.

use std::path::Path;

use proto::time::Millis;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::{EVIDENCE, OutboxError, sql, whole};

/// What waits in an outbox.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// The stream's identity, hexadecimal.
    pub stream: String,
    /// Number of the last batch that was acknowledged; 0: none.
    pub acknowledged: u64,
    /// Number of the batch on its way.
    pub on_its_way: Option<u64>,
    /// Events that wait, without the batch on its way.
    pub events: u64,
    /// Evidence records and attachments that wait, without the batch on its way.
    pub evidence: u64,
    /// Lines of logs that wait, without the batch on its way.
    pub lines: u64,
    /// Bytes of everything, the batch on its way included.
    pub bytes: u64,
    /// The oldest of everything.
    pub oldest: Option<Millis>,
    /// Records dropped since the last batch was frozen.
    pub dropped: u64,
    /// Lines of logs dropped since then.
    pub lines_dropped: u64,
    /// Faults that were raised and not cleared.
    #[serde(skip)]
    pub faults: Vec<Raised>,
}

/// A fault that was raised and not cleared.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Raised {
    /// What is wrong: `directory.over-limit`.
    pub fault: String,
    /// With which entry of the watch list.
    pub watch: String,
    /// When it was last said.
    pub said: Millis,
}

/// Reads the outbox at `path`; `None`: there is none yet.
pub fn inspect(path: &Path) -> Result<Option<Summary>, OutboxError> {
    if !path.exists() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)
        .map_err(|cause| OutboxError::Open { path: path.to_owned(), cause })?;
    db.busy_timeout(std::time::Duration::from_secs(5)).map_err(sql("set up the connection"))?;
    summary(&db).map_err(|cause| OutboxError::Open { path: path.to_owned(), cause })
}

/// `None`: created, but not yet a stream.
fn summary(db: &Connection) -> rusqlite::Result<Option<Summary>> {
    let tx = db.unchecked_transaction()?; // one view of all tables
    let exists: bool =
        tx.query_row("SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'stream'", [], |row| row.get(0))?;
    if !exists {
        return Ok(None);
    }
    let stream = tx
        .query_row("SELECT lower(hex(id)), number FROM stream", [], |row| Ok((row.get(0)?, whole(row, 1)?)))
        .optional()?;
    let Some((stream, acknowledged)) = stream else { return Ok(None) };
    let (events, evidence, waiting, oldest): (u64, u64, u64, Option<i64>) = tx.query_row(
        "SELECT count(*) FILTER (WHERE rank < ?1), count(*) FILTER (WHERE rank = ?1),
                coalesce(sum(length(bytes)), 0), min(at_ms) FROM record",
        [EVIDENCE],
        |row| Ok((whole(row, 0)?, whole(row, 1)?, whole(row, 2)?, row.get(3)?)),
    )?;
    let (lines, lines_bytes, oldest_line): (u64, u64, Option<i64>) = tx.query_row(
        "SELECT coalesce(sum(count), 0), coalesce(sum(length(bytes)), 0), min(at_ms) FROM lines",
        [],
        |row| Ok((whole(row, 0)?, whole(row, 1)?, row.get(2)?)),
    )?;
    let frozen: Option<(u64, u64, i64)> = tx
        .query_row("SELECT number, length(records), oldest_ms FROM frozen", [], |row| {
            Ok((whole(row, 0)?, whole(row, 1)?, row.get(2)?))
        })
        .optional()?;
    let dropped = |table: &str| -> rusqlite::Result<u64> {
        let query = format!("SELECT coalesce(sum(dropped), 0) FROM {table}");
        tx.query_row(&query, [], |row| whole(row, 0))
    };
    let (dropped, lines_dropped) = (dropped("gap")?, dropped("lines_gap")?);
    let faults = tx
        .prepare("SELECT fault, watch, said_ms FROM detector WHERE raised ORDER BY watch, fault")?
        .query_map([], |row| {
            Ok(Raised { fault: row.get(0)?, watch: row.get(1)?, said: Millis(row.get(2)?) })
        })?
        .collect::<Result<_, _>>()?;
    Ok(Some(Summary {
        stream,
        acknowledged,
        on_its_way: frozen.map(|(number, ..)| number),
        events,
        evidence,
        lines,
        bytes: waiting + lines_bytes + frozen.map_or(0, |(_, bytes, _)| bytes),
        oldest: frozen
            .map(|(.., oldest)| oldest)
            .into_iter()
            .chain(oldest)
            .chain(oldest_line)
            .min()
            .map(Millis),
        dropped,
        lines_dropped,
        faults,
    }))
}
