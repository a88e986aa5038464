//! How much the outbox may hold, and what goes when there is no room.
//!
//! Three compartments, so that none can crowd out another. Telemetry is dropped from its own: what merely goes on
//! first, then the oldest; one gap record says how much and when. Lines of logs are dropped from theirs, the oldest first,
//! and a gap record of their own counts them. Evidence is never dropped: when its compartment is full nothing more is
//! taken, and the executor keeps it.

use prost::Message as _;
use proto::{pb, sync::Record};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{EVIDENCE, Item, whole};

/// What the outbox may hold, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events and gaps.
    pub telemetry: u64,
    /// Evidence and its attachments.
    pub evidence: u64,
    /// Lines of logs, packed.
    pub lines: u64,
}

impl Limits {
    /// Of `whole` bytes, the share `reserve` for evidence alone; of the rest, a third for lines.
    #[must_use]
    pub fn new(whole: u64, reserve: u64) -> Self {
        let rest = whole.saturating_sub(reserve);
        let lines = rest / 3;
        Self { telemetry: rest - lines, evidence: reserve, lines }
    }
}

/// What a row costs beyond its bytes: its header, its place in the index.
const ROW: u64 = 48;

/// What a record of `bytes` encoded bytes costs.
pub(super) fn weight(bytes: usize) -> u64 {
    bytes as u64 + ROW
}

/// What an item costs in all.
pub(super) fn weight_of(item: &Item) -> u64 {
    match item {
        Item::Event(event) => weight(pb::Record::from(Record::Event(event.clone())).encoded_len()),
        // An upper bound, without copying bulk: tags, lengths and digests stay under 64 bytes each.
        Item::Lines(lines) => weight(pb::Record::from(Record::Lines(lines.clone())).encoded_len()),
        Item::Evidence { envelope, attachments } => {
            [envelope].into_iter().chain(attachments).map(|bytes| weight(bytes.len() + 64)).sum()
        }
    }
}

/// What is in the outbox, frozen batch included. Kept beside the database and measured when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    /// Bytes.
    pub(super) telemetry: u64,
    /// Bytes.
    pub(super) evidence: u64,
    /// Bytes.
    pub(super) lines: u64,
    /// Whether a gap waits to be told.
    pub(super) gap: bool,
}

impl Usage {
    pub(super) fn measure(db: &Connection) -> rusqlite::Result<Self> {
        let (telemetry, evidence) = db.query_row(
            "SELECT coalesce(sum(length(bytes) + ?2) FILTER (WHERE rank < ?1), 0),
                    coalesce(sum(length(bytes) + ?2) FILTER (WHERE rank = ?1), 0) FROM record",
            params![EVIDENCE, ROW.cast_signed()],
            |row| Ok((whole(row, 0)?, whole(row, 1)?)),
        )?;
        let lines = db.query_row(
            "SELECT coalesce(sum(length(bytes) + ?1), 0) FROM lines",
            [ROW.cast_signed()],
            |row| whole(row, 0),
        )?;
        let frozen = db
            .query_row("SELECT telemetry_bytes, evidence_bytes, lines_bytes FROM frozen", [], |row| {
                Ok((whole(row, 0)?, whole(row, 1)?, whole(row, 2)?))
            })
            .optional()?;
        let gap = db.query_row(
            "SELECT (SELECT count(*) FROM gap) + (SELECT count(*) FROM lines_gap) > 0",
            [],
            |row| row.get(0),
        )?;
        let more = frozen.unwrap_or_default();
        Ok(Self { telemetry: telemetry + more.0, evidence: evidence + more.1, lines: lines + more.2, gap })
    }

    pub(super) fn add(&mut self, rank: u8, bytes: u64) {
        *self.compartment(rank) += bytes;
    }

    pub(super) fn remove(&mut self, rank: u8, bytes: u64) {
        let held = self.compartment(rank);
        *held = held.saturating_sub(bytes);
    }

    fn compartment(&mut self, rank: u8) -> &mut u64 {
        if rank == EVIDENCE { &mut self.evidence } else { &mut self.telemetry }
    }
}

/// Drops telemetry until its compartment holds what is in it; a frozen batch is promised and stays.
pub(super) fn make(tx: &Transaction<'_>, usage: &mut Usage, limits: &Limits) -> rusqlite::Result<()> {
    while usage.telemetry > limits.telemetry {
        let oldest: Option<(i64, u8, i64, u64)> = tx
            .prepare_cached(
                "SELECT sequence, rank, at_ms, length(bytes) FROM record WHERE rank < ?1 ORDER BY rank, sequence LIMIT 1",
            )?
            .query_row([EVIDENCE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, whole(row, 3)?)))
            .optional()?;
        let Some((sequence, rank, at, bytes)) = oldest else { break };
        tx.prepare_cached("DELETE FROM record WHERE sequence = ?1")?.execute([sequence])?;
        tx.prepare_cached(
            "INSERT INTO gap (only, dropped, first_ms, last_ms) VALUES (1, 1, ?1, ?1)
             ON CONFLICT (only) DO UPDATE SET dropped = dropped + 1,
             first_ms = min(first_ms, excluded.first_ms), last_ms = max(last_ms, excluded.last_ms)",
        )?
        .execute([at])?;
        usage.remove(rank, bytes + ROW);
        usage.gap = true;
    }
    make_for_lines(tx, usage, limits)
}

/// Drops the oldest lines until there is room for the rest; the newest record stays, however large it is.
fn make_for_lines(tx: &Transaction<'_>, usage: &mut Usage, limits: &Limits) -> rusqlite::Result<()> {
    while usage.lines > limits.lines {
        let oldest: Option<(i64, i64, u64, u64)> = tx
            .prepare_cached(
                "SELECT sequence, at_ms, count, length(bytes) FROM lines
                 WHERE sequence < (SELECT max(sequence) FROM lines) ORDER BY sequence LIMIT 1",
            )?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?, whole(row, 2)?, whole(row, 3)?)))
            .optional()?;
        let Some((sequence, at, count, bytes)) = oldest else { break };
        tx.prepare_cached("DELETE FROM lines WHERE sequence = ?1")?.execute([sequence])?;
        tx.prepare_cached(
            "INSERT INTO lines_gap (only, dropped, first_ms, last_ms) VALUES (1, ?1, ?2, ?2)
             ON CONFLICT (only) DO UPDATE SET dropped = dropped + excluded.dropped,
             first_ms = min(first_ms, excluded.first_ms), last_ms = max(last_ms, excluded.last_ms)",
        )?
        .execute(params![count.cast_signed(), at])?;
        usage.lines = usage.lines.saturating_sub(bytes + ROW);
        usage.gap = true;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_items_weight_is_never_less_than_its_rows() {
        for size in [0, 1, 127, 128, 20_000, 60_000] {
            let records = [Record::Attachment(vec![1; size]), Record::Evidence(vec![2; size])];
            let exact: u64 = records.iter().map(|r| weight(pb::Record::from(r.clone()).encoded_len())).sum();
            let item = Item::Evidence { envelope: vec![2; size], attachments: vec![vec![1; size]] };
            assert!((exact..exact + 200).contains(&weight_of(&item)), "{size}");
            assert!(proto::sync::pack(records).len() as u64 <= exact);
        }
    }
}
