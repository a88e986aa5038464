//! Freezing and acknowledging: the stream's end as this side knows it.

use prost::{Message as _, encode_length_delimiter};
use proto::{
    digest::Digest,
    ids::StreamId,
    pb,
    sync::{Ack, BATCH_MAX, BATCH_RECORDS_MAX, Batch, Gap, Record, StreamState},
    time::Millis,
};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::{EVIDENCE, Outbox, OutboxError, room::weight, sql, whole};

/// Key of field 1, wire type 2: `Records.record`. A batch is written row by row, never held twice.
const RECORD_KEY: u8 = 0x0a;

/// Reads who this outbox is, or writes `fresh` as who it will be.
pub(super) fn stream(db: &Connection, fresh: StreamId) -> Result<StreamId, OutboxError> {
    db.execute(
        "INSERT INTO stream (only, id, number, digest) VALUES (1, ?1, 0, ?2) ON CONFLICT DO NOTHING",
        params![fresh.0, Digest::ZERO.0],
    )
    .map_err(sql("begin a stream"))?;
    db.query_row("SELECT id FROM stream", [], |row| row.get(0).map(StreamId)).map_err(sql("read the stream"))
}

impl Outbox {
    /// The last batch that was acknowledged.
    pub fn acknowledged(&self) -> Result<StreamState, OutboxError> {
        acknowledged(&self.db).map_err(sql("read the stream"))
    }

    /// The batch on its way, if any.
    pub fn frozen(&self) -> Result<Option<Batch>, OutboxError> {
        let read = |row: &Row<'_>| {
            Ok(Batch {
                stream: self.stream,
                number: whole(row, 0)?,
                previous: Digest(row.get(1)?),
                records: row.get(2)?,
            })
        };
        self.db
            .query_row("SELECT number, previous, records FROM frozen", [], read)
            .optional()
            .map_err(sql("read the frozen batch"))
    }

    /// The batch to send: the one on its way, or the oldest records, frozen now. `None`: nothing waits.
    pub fn freeze(&mut self) -> Result<Option<Batch>, OutboxError> {
        if let Some(batch) = self.frozen()? {
            return Ok(Some(batch));
        }
        if !self.has_records() {
            return Ok(None);
        }
        let mut usage = self.usage;
        let backlog = usage.telemetry + usage.evidence > BATCH_MAX as u64;
        let tx = self.db.transaction().map_err(sql("begin"))?;
        usage.telemetry += freeze(&tx, backlog).map_err(sql("freeze a batch"))?;
        usage.gap = false;
        tx.commit().map_err(sql("commit"))?;
        self.usage = usage;
        self.frozen()
    }

    /// Forgets the frozen batch if `ack` is for exactly it; anything else deletes nothing. Says whether it was.
    pub fn acknowledge(&mut self, ack: &Ack) -> Result<bool, OutboxError> {
        let Some(batch) = self.frozen()?.filter(|batch| ack.matches(batch)) else { return Ok(false) };
        let mut usage = self.usage;
        let tx = self.db.transaction().map_err(sql("begin"))?;
        let (telemetry, evidence, lines) = tx
            .query_row(
                "DELETE FROM frozen RETURNING telemetry_bytes, evidence_bytes, lines_bytes",
                [],
                |row| Ok((whole(row, 0)?, whole(row, 1)?, whole(row, 2)?)),
            )
            .map_err(sql("forget a batch"))?;
        let changed = tx
            .execute(
                "UPDATE stream SET number = ?1, digest = ?2 WHERE number = ?1 - 1",
                params![batch.number.cast_signed(), ack.digest.0],
            )
            .map_err(sql("move the stream on"))?;
        if changed != 1 {
            return Err(OutboxError::Damaged(format!(
                "batch {} is not the next of its stream",
                batch.number
            )));
        }
        usage.telemetry = usage.telemetry.saturating_sub(telemetry);
        usage.evidence = usage.evidence.saturating_sub(evidence);
        usage.lines = usage.lines.saturating_sub(lines);
        tx.commit().map_err(sql("commit"))?;
        self.usage = usage;
        Ok(true)
    }

    /// Goes on as another stream, `fresh`, with the batch on its way as its first, if that is the one whose `sent` past
    /// the server contradicts: it has one from a copy of this outbox. What it knows of the batch, events by their ID and
    /// evidence by its digest, counts once. Says whether it did.
    pub fn begin_anew(&mut self, sent: StreamState, fresh: StreamId) -> Result<bool, OutboxError> {
        let is_sent =
            |batch: &Batch| (batch.number, Digest::of(&batch.records)) == (sent.number, sent.digest);
        if !self.frozen()?.as_ref().is_some_and(is_sent) {
            return Ok(false);
        }
        let anew = |db: &mut Connection| {
            let tx = db.transaction()?;
            tx.execute(
                "UPDATE stream SET id = ?1, number = 0, digest = ?2",
                params![fresh.0, Digest::ZERO.0],
            )?;
            tx.execute("UPDATE frozen SET number = 1, previous = ?1", [Digest::ZERO.0])?;
            tx.commit()
        };
        anew(&mut self.db).map_err(sql("begin another stream"))?;
        self.stream = fresh;
        Ok(true)
    }
}

fn acknowledged(db: &Connection) -> rusqlite::Result<StreamState> {
    db.query_row("SELECT number, digest FROM stream", [], |row| {
        Ok(StreamState { number: whole(row, 0)?, digest: Digest(row.get(1)?) })
    })
}

/// Which records are next, and in which order. What fits into one batch goes in the order in which it was kept: a repair
/// ends the incident before it, not the one after. A backlog begins with its evidence, oldest first, so that the proof of
/// a month without a control plane does not wait behind the month's telemetry; among themselves both keep their order.
/// That is safe: an incident that is opened by an event from before its repair is ended by the event that says so, which
/// waits behind it, and an order for it meanwhile finds the fault gone (guardrail 11).
fn lanes(backlog: bool) -> &'static [&'static str] {
    if backlog {
        &[
            "SELECT sequence, rank, at_ms, bytes FROM record WHERE rank = ?1 ORDER BY sequence",
            "SELECT sequence, rank, at_ms, bytes FROM record WHERE rank < ?1 ORDER BY sequence",
        ]
    } else {
        &["SELECT sequence, rank, at_ms, bytes FROM record WHERE ?1 ORDER BY sequence"]
    }
}

/// Moves the gaps and as many of the next records as one batch carries into the frozen row, and lines where those leave
/// room. Gives what the gaps weigh, now that they are records.
fn freeze(tx: &Transaction<'_>, backlog: bool) -> rusqlite::Result<u64> {
    let (mut records, mut count) = (Vec::new(), 0);
    let (mut last_telemetry, mut last_evidence) = (-1_i64, -1_i64);
    let (mut telemetry, mut evidence, mut oldest) = (0, 0, i64::MAX);
    let mut gap_weight = 0;
    for (table, cause) in [("gap", "buffer-full"), ("lines_gap", "lines-dropped")] {
        let Some((gap, first)) = take_gap(tx, table, cause)? else { continue };
        append(&mut records, &gap);
        gap_weight += weight(gap.len());
        oldest = oldest.min(first);
        count += 1;
    }
    telemetry += gap_weight.cast_signed();
    'lanes: for lane in lanes(backlog) {
        let mut query = tx.prepare_cached(lane)?;
        let mut rows = query.query([EVIDENCE])?;
        while let Some(row) = rows.next()? {
            let bytes = row.get_ref(3)?.as_blob()?;
            // Five bytes hold the key and any length below BATCH_MAX.
            if count == BATCH_RECORDS_MAX || records.len() + bytes.len() + 5 > BATCH_MAX {
                break 'lanes;
            }
            append(&mut records, bytes);
            count += 1;
            oldest = oldest.min(row.get(2)?);
            let (held, last) = if row.get::<_, u8>(1)? == EVIDENCE {
                (&mut evidence, &mut last_evidence)
            } else {
                (&mut telemetry, &mut last_telemetry)
            };
            *held += weight(bytes.len()).cast_signed();
            *last = row.get(0)?;
        }
    }
    tx.execute(
        "DELETE FROM record WHERE sequence <= CASE WHEN rank = ?1 THEN ?2 ELSE ?3 END",
        params![EVIDENCE, last_evidence, last_telemetry],
    )?;
    let lines = freeze_lines(tx, &mut records, count, &mut oldest)?;
    let acknowledged = acknowledged(tx)?;
    tx.execute(
        "INSERT INTO frozen (only, number, previous, records, telemetry_bytes, evidence_bytes, lines_bytes, oldest_ms)
         VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            (acknowledged.number + 1).cast_signed(),
            acknowledged.digest.0,
            records,
            telemetry,
            evidence,
            lines,
            oldest
        ],
    )?;
    Ok(gap_weight)
}

/// Moves as many of the oldest lines as there is room for. Gives what they weighed.
fn freeze_lines(
    tx: &Transaction<'_>,
    records: &mut Vec<u8>,
    mut count: usize,
    oldest: &mut i64,
) -> rusqlite::Result<i64> {
    let (mut weighed, mut last) = (0, -1_i64);
    let mut query = tx.prepare_cached("SELECT sequence, at_ms, bytes FROM lines ORDER BY sequence")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(2)?.as_blob()?;
        if count == BATCH_RECORDS_MAX || records.len() + bytes.len() + 5 > BATCH_MAX {
            break;
        }
        append(records, bytes);
        count += 1;
        last = row.get(0)?;
        *oldest = (*oldest).min(row.get(1)?);
        weighed += weight(bytes.len()).cast_signed();
    }
    drop(rows);
    tx.execute("DELETE FROM lines WHERE sequence <= ?1", [last])?;
    Ok(weighed)
}

fn take_gap(tx: &Transaction<'_>, table: &str, cause: &str) -> rusqlite::Result<Option<(Vec<u8>, i64)>> {
    tx.query_row(&format!("DELETE FROM {table} RETURNING dropped, first_ms, last_ms"), [], |row| {
        let gap = Gap {
            cause: cause.to_owned(),
            dropped: whole(row, 0)?,
            first: Millis(row.get(1)?),
            last: Millis(row.get(2)?),
        };
        let first = gap.first.0;
        Ok((pb::Record::from(Record::Gap(gap)).encode_to_vec(), first))
    })
    .optional()
}

fn append(records: &mut Vec<u8>, record: &[u8]) {
    records.push(RECORD_KEY);
    encode_length_delimiter(record.len(), records).expect("a vector takes any number of bytes");
    records.extend_from_slice(record);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appending_is_packing() {
        let records: Vec<Record> =
            [0, 1, 200, 40_000].map(|size| Record::Evidence(vec![b'x'; size])).into_iter().collect();
        let mut bytes = Vec::new();
        for record in records.clone() {
            append(&mut bytes, &pb::Record::from(record).encode_to_vec());
        }
        assert_eq!(bytes, proto::sync::pack(records));
    }
}
