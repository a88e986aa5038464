//! The journal of orders: accepted, started, finished or refused; a row never goes back.

use std::time::Duration;

use proto::{
    digest::Digest,
    evidence::{Readings, Verdict},
    field::BadField,
    ids::{OrderId, RunbookId},
    time::Millis,
};
use runbooks::Runbook;
use rusqlite::{OptionalExtension as _, Row, named_params};
use serde::{Deserialize, Serialize};

use super::{StoreError, View, Write, bits, millis, span, sql};

/// How many executions are remembered: more than a day at the highest rate, and no cooldown is longer.
const EXECUTIONS: i64 = 2_000;
/// How many refused orders.
const REFUSALS: i64 = 200;
/// Of how many the output is kept.
const OUTPUTS: i64 = 100;

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalState {
    /// Its sequence is spent; nothing was done yet.
    Accepted,
    /// Its first step may have begun.
    Started,
    /// There is evidence of what became of it.
    Finished,
    /// There is evidence that it was refused after all.
    Refused,
}

/// An order that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its sequence.
    pub sequence: u64,
    /// Digest of its payload.
    pub digest: Digest,
    /// The envelope's bytes: an order's, or a standing order's.
    pub envelope: Vec<u8>,
    /// Which use of a standing order it is; `None`: an order for this one run.
    pub standing: Option<Use>,
}

/// One use of a standing order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// Which, from 1.
    pub count: u32,
    /// For how long its fault had been seen.
    pub held: Duration,
}

/// What the journal needs to know of an order that is accepted.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The order.
    pub waiting: Waiting,
    /// Its ID.
    pub id: OrderId,
    /// Runbook and target.
    pub key: (RunbookId, String),
    /// When its approvals end; `None`: it has none.
    pub approved_until: Option<Millis>,
}

/// What was known when an order started: enough for its evidence, should the power fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beginning {
    /// The procedure, as it stood in the catalogue then.
    pub runbook: Runbook,
    /// Guardrails passed.
    pub guardrails: Vec<String>,
    /// Measured before the first step.
    pub before: Readings,
}

/// One order, for lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its ID.
    pub order: String,
    /// Its runbook.
    pub runbook: String,
    /// How far it has come.
    pub state: JournalState,
    /// What it came to.
    pub verdict: Option<Verdict>,
}

/// One earlier order, for cooldown and budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Its runbook.
    pub runbook: String,
    /// Its target.
    pub target: String,
    /// Active time of its start, or of its acceptance while it waits.
    pub began: Duration,
    /// Active time of its end.
    pub ended: Option<Duration>,
    /// What it came to.
    pub verdict: Option<Verdict>,
}

impl JournalState {
    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Started => "started",
            Self::Finished => "finished",
            Self::Refused => "refused",
        }
    }

    fn read(name: &str) -> Result<Self, BadField> {
        [Self::Accepted, Self::Started, Self::Finished, Self::Refused]
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| BadField::new("journal.state", "is none that this version knows"))
    }
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data serialises")
}

fn parse<T: for<'de> Deserialize<'de>>(column: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| BadField::new(column, e.to_string()).into())
}

fn verdict(text: Option<String>) -> Result<Option<Verdict>, StoreError> {
    text.map(|text| parse("journal.verdict", &text)).transpose()
}

impl View<'_> {
    /// What a step printed, by its digest.
    pub fn output(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.0
            .query_row(
                "SELECT content FROM output WHERE digest = :digest LIMIT 1",
                named_params! {":digest": digest.0},
                |row| row.get(0),
            )
            .optional()
            .map_err(sql("read a step's output"))
    }

    fn waiting(&self, doing: &'static str, query: &str) -> Result<Option<Waiting>, StoreError> {
        let read = |row: &Row<'_>| {
            Ok(Waiting {
                sequence: row.get::<_, i64>(0)?.cast_unsigned(),
                digest: Digest(row.get(1)?),
                envelope: row.get(2)?,
                standing: match (row.get(3)?, row.get(4)?) {
                    (Some(count), Some(held)) => Some(Use { count, held: span(held) }),
                    _ => None,
                },
            })
        };
        self.0.query_row(query, [], read).optional().map_err(sql(doing))
    }

    /// The oldest order that was accepted and has not begun.
    pub fn accepted(&self) -> Result<Option<Waiting>, StoreError> {
        let query = "SELECT sequence, digest, envelope, standing_count, standing_held FROM journal
                     WHERE state = 'accepted' ORDER BY sequence LIMIT 1";
        self.waiting("find the next order", query)
    }

    /// The order that has begun and is not over.
    pub fn started(&self) -> Result<Option<Waiting>, StoreError> {
        let query = "SELECT sequence, digest, envelope, standing_count, standing_held FROM journal
                     WHERE state = 'started' ORDER BY sequence LIMIT 1";
        self.waiting("find the running order", query)
    }

    /// Orders that are not over.
    pub fn pending(&self) -> Result<u64, StoreError> {
        let query = "SELECT count(*) FROM journal WHERE state IN ('accepted', 'started')";
        self.0
            .query_row(query, [], |row| row.get::<_, i64>(0))
            .map(i64::cast_unsigned)
            .map_err(sql("count orders"))
    }

    /// Whether an order with exactly this payload is waiting or running.
    pub fn is_pending(&self, digest: Digest) -> Result<bool, StoreError> {
        let query = "SELECT 1 FROM journal WHERE digest = ?1 AND state IN ('accepted', 'started')";
        self.0
            .query_row(query, [digest.0], |_| Ok(()))
            .optional()
            .map(|row| row.is_some())
            .map_err(sql("find an order"))
    }

    /// Whether another order with this ID was accepted, and not refused after all.
    pub fn was_taken(&self, id: OrderId, sequence: u64) -> Result<bool, StoreError> {
        let query =
            "SELECT 1 FROM journal WHERE order_id = ?1 AND sequence <> ?2 AND state <> 'refused' LIMIT 1";
        self.0
            .query_row(query, (id.to_string(), bits(sequence)), |_| Ok(()))
            .optional()
            .map(|row| row.is_some())
            .map_err(sql("find an order by its ID"))
    }

    /// What was known when an order started.
    pub fn beginning(&self, sequence: u64) -> Result<Beginning, StoreError> {
        let text: Option<String> = self
            .0
            .query_row("SELECT beginning FROM journal WHERE sequence = ?1", [bits(sequence)], |row| {
                row.get(0)
            })
            .map_err(sql("read how an order began"))?;
        parse("journal.beginning", text.as_deref().unwrap_or_default())
    }

    /// The newest orders, newest first.
    pub fn journal(&self, most: u32) -> Result<Vec<JournalEntry>, StoreError> {
        let query = "SELECT order_id, runbook, state, verdict FROM journal
                     ORDER BY accepted_active DESC, sequence DESC LIMIT ?1";
        let mut query = self.0.prepare_cached(query).map_err(sql("read the journal"))?;
        let mut rows = query.query([most]).map_err(sql("read the journal"))?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next().map_err(sql("read the journal"))? {
            let text = |at: usize| row.get::<_, String>(at).map_err(sql("read the journal"));
            entries.push(JournalEntry {
                order: text(0)?,
                runbook: text(1)?,
                state: JournalState::read(&text(2)?)?,
                verdict: verdict(row.get(3).map_err(sql("read the journal"))?)?,
            });
        }
        Ok(entries)
    }

    fn past(
        &self,
        doing: &'static str,
        query: &str,
        values: &[(&str, &dyn rusqlite::ToSql)],
    ) -> Result<Vec<Past>, StoreError> {
        let read = || -> rusqlite::Result<Vec<(Past, Option<String>)>> {
            self.0
                .prepare_cached(query)?
                .query_map(values, |row| {
                    let past = Past {
                        runbook: row.get(0)?,
                        target: row.get(1)?,
                        began: span(row.get(2)?),
                        ended: row.get::<_, Option<i64>>(3)?.map(span),
                        verdict: None,
                    };
                    Ok((past, row.get(4)?))
                })?
                .collect()
        };
        let rows = read().map_err(sql(doing))?;
        rows.into_iter().map(|(past, text)| Ok(Past { verdict: verdict(text)?, ..past })).collect()
    }

    /// Orders before `sequence` and uses of standing orders, not refused, that began after that active time; `None`: ever.
    pub fn past_since(&self, sequence: u64, active: Option<Duration>) -> Result<Vec<Past>, StoreError> {
        self.past(
            "read the last hour",
            "SELECT runbook, target, coalesce(started_active, accepted_active) AS began, finished_active, verdict
             FROM journal WHERE (:sequence < 0 OR sequence < :sequence) AND sequence <> :sequence
             AND state <> 'refused' AND began > :active",
            named_params! {":sequence": bits(sequence), ":active": active.map_or(-1, millis)},
        )
    }

    /// Orders before `sequence`, not refused, of this runbook on this target; newest first, at most 100.
    pub fn past_of(&self, sequence: u64, key: &(RunbookId, String)) -> Result<Vec<Past>, StoreError> {
        self.past(
            "read the history of a target",
            "SELECT runbook, target, coalesce(started_active, accepted_active), finished_active, verdict
             FROM journal WHERE runbook = :runbook AND target = :target AND (:sequence < 0 OR sequence < :sequence)
             AND sequence <> :sequence AND state <> 'refused'
             ORDER BY coalesce(started_active, accepted_active) DESC, sequence DESC LIMIT 100",
            named_params! {":runbook": key.0.as_str(), ":target": key.1, ":sequence": bits(sequence)},
        )
    }
}

impl Write<'_> {
    /// Writes down an accepted order.
    pub fn accept(&self, accepted: &Accepted, active: Duration) -> Result<(), StoreError> {
        let Accepted { waiting, id, key, approved_until } = accepted;
        // Guardrail 4 has said so; whatever asked it, one ID is taken once.
        if self.was_taken(*id, waiting.sequence)? {
            return Err(StoreError::Conflict("an order with this ID was taken before"));
        }
        self.0
            .0
            .execute(
                "INSERT INTO journal (sequence, digest, order_id, runbook, target, state, envelope, accepted_active,
                                      approved_until_ms)
                 VALUES (:sequence, :digest, :order, :runbook, :target, 'accepted', :envelope, :active, :until)",
                named_params! {
                    ":sequence": bits(waiting.sequence), ":digest": waiting.digest.0, ":order": id.to_string(),
                    ":runbook": key.0.as_str(), ":target": key.1,
                    ":envelope": waiting.envelope, ":active": millis(active),
                    ":until": approved_until.map(|until| until.0),
                },
            )
            .map(|_| ())
            .map_err(sql("write down an accepted order"))
    }

    fn advance(
        &self,
        sequence: u64,
        from: JournalState,
        to: JournalState,
        query: &str,
        values: &[(&str, &dyn rusqlite::ToSql)],
    ) -> Result<(), StoreError> {
        let (number, from, to) = (bits(sequence), from.name(), to.name());
        let mut all: Vec<(&str, &dyn rusqlite::ToSql)> =
            vec![(":sequence", &number), (":from", &from), (":to", &to)];
        all.extend_from_slice(values);
        match self.0.0.execute(query, all.as_slice()).map_err(sql("move an order on"))? {
            1 => Ok(()),
            _ => Err(StoreError::Conflict("an order of the journal is not where it was left")),
        }
    }

    /// Writes down that the first step is about to begin.
    pub fn start(&self, sequence: u64, beginning: &Beginning, active: Duration) -> Result<(), StoreError> {
        self.advance(
            sequence,
            JournalState::Accepted,
            JournalState::Started,
            "UPDATE journal SET state = :to, started_active = :active, beginning = :beginning
             WHERE sequence = :sequence AND state = :from",
            named_params! {":active": millis(active), ":beginning": json(beginning)},
        )
    }

    /// Writes down what became of a started order.
    pub fn finish(&self, sequence: u64, verdict: Verdict, active: Duration) -> Result<(), StoreError> {
        self.advance(
            sequence,
            JournalState::Started,
            JournalState::Finished,
            "UPDATE journal SET state = :to, finished_active = :active, verdict = :verdict, envelope = x'', beginning = NULL
             WHERE sequence = :sequence AND state = :from",
            named_params! {":active": millis(active), ":verdict": json(&verdict)},
        )?;
        self.forget()
    }

    /// Writes down that an accepted order was refused after all.
    pub fn refuse(&self, sequence: u64, active: Duration) -> Result<(), StoreError> {
        self.advance(
            sequence,
            JournalState::Accepted,
            JournalState::Refused,
            "UPDATE journal SET state = :to, finished_active = :active, envelope = x''
             WHERE sequence = :sequence AND state = :from",
            named_params! {":active": millis(active)},
        )?;
        self.forget()
    }

    /// Keeps what a step printed.
    pub fn keep_output(&self, sequence: u64, digest: Digest, content: &[u8]) -> Result<(), StoreError> {
        self.0
            .0
            .execute(
                "INSERT INTO output (sequence, digest, content) VALUES (:sequence, :digest, :content)",
                named_params! {":sequence": bits(sequence), ":digest": digest.0, ":content": content},
            )
            .map(|_| ())
            .map_err(sql("keep a step's output"))
    }

    /// Executions and refusals are forgotten apart: many refusals must not push the memory of an execution out, on which
    /// cooldown and budget stand. An approved execution is remembered until the floor of time has passed the end of its
    /// approval, so that no approval outlives the memory that it was used.
    fn forget(&self) -> Result<(), StoreError> {
        let forget = |state: &str, keep: i64| {
            let newest = format!(
                "SELECT accepted_active, sequence FROM journal WHERE state = '{state}'
                 ORDER BY accepted_active DESC, sequence DESC LIMIT 1 OFFSET {keep}"
            );
            self.0.0.execute(
                &format!(
                    "DELETE FROM journal WHERE state = '{state}' AND (accepted_active, sequence) <= ({newest})
                     AND (state = 'refused' OR coalesce(approved_until_ms <= (SELECT floor_ms FROM state), 1))"
                ),
                [],
            )
        };
        let outputs =
            format!("SELECT sequence FROM output GROUP BY sequence ORDER BY max(rowid) DESC LIMIT {OUTPUTS}");
        forget("finished", EXECUTIONS)
            .and_then(|_| forget("refused", REFUSALS))
            .and_then(|_| {
                self.0.0.execute(&format!("DELETE FROM output WHERE sequence NOT IN ({outputs})"), [])
            })
            .map(|_| ())
            .map_err(sql("forget old orders"))
    }
}

#[cfg(test)]
mod tests;
