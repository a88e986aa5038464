//! Standing orders and their counters. One is kept for each runbook and watch entry: the newest ever taken, so that neither
//! an older one nor the same one comes back with a counter at zero.

use std::time::Duration;

use proto::{
    digest::Digest,
    ids::{OrderId, RunbookId, WatchId},
    time::Millis,
};
use rusqlite::named_params;

use super::{StoreError, View, Write, millis, sql};

/// How many are kept: more than any box has runbooks of low risk on watch entries. Expired ones make room.
const KEPT_MAX: i64 = 512;

/// A standing order as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptStanding {
    /// Its payload's digest.
    pub digest: Digest,
    /// The envelope's bytes.
    pub envelope: Vec<u8>,
    /// How many of its executions are used up.
    pub used: u32,
}

/// A standing order that is to be kept.
#[derive(Debug, Clone)]
pub struct NewStanding<'a> {
    /// Which procedure.
    pub runbook: &'a RunbookId,
    /// On which entry.
    pub watch: &'a WatchId,
    /// When it was signed.
    pub issued: Millis,
    /// When it ends.
    pub expires: Millis,
    /// Its payload's digest.
    pub digest: Digest,
    /// The envelope's bytes.
    pub envelope: &'a [u8],
}

/// One use of a standing order, for the journal.
#[derive(Debug, Clone)]
pub struct NewUse<'a> {
    /// The standing order.
    pub id: OrderId,
    /// Its payload's digest.
    pub digest: Digest,
    /// The envelope's bytes.
    pub envelope: &'a [u8],
    /// Runbook and target.
    pub key: (RunbookId, String),
    /// The entry.
    pub watch: &'a WatchId,
    /// Executions used before.
    pub used: u32,
    /// For how long its fault had been seen.
    pub held: Duration,
}

impl View<'_> {
    /// All that are kept.
    pub fn standing(&self) -> Result<Vec<KeptStanding>, StoreError> {
        let read = || -> rusqlite::Result<Vec<KeptStanding>> {
            self.0
                .prepare_cached("SELECT digest, envelope, used FROM standing ORDER BY runbook, watch")?
                .query_map([], |row| {
                    Ok(KeptStanding { digest: Digest(row.get(0)?), envelope: row.get(1)?, used: row.get(2)? })
                })?
                .collect()
        };
        read().map_err(sql("read the standing orders"))
    }
}

impl Write<'_> {
    /// Keeps one in the place of an older one. `false`: one as new is here, or there is no room.
    pub fn keep_standing(&self, new: &NewStanding<'_>) -> Result<bool, StoreError> {
        let kept = || -> rusqlite::Result<usize> {
            self.0.0.execute(
                "DELETE FROM standing WHERE expires_ms <= (SELECT floor_ms FROM state)
                 AND (SELECT count(*) FROM standing) >= ?1",
                [KEPT_MAX],
            )?;
            self.0.0.execute(
                "INSERT INTO standing (runbook, watch, issued_ms, expires_ms, digest, envelope)
                 SELECT :runbook, :watch, :issued, :expires, :digest, :envelope
                 WHERE (SELECT count(*) FROM standing) < :most
                 ON CONFLICT (runbook, watch) DO UPDATE SET issued_ms = :issued, expires_ms = :expires,
                     digest = :digest, envelope = :envelope, used = 0 WHERE issued_ms < :issued",
                named_params! {
                    ":runbook": new.runbook.as_str(), ":watch": new.watch.as_str(), ":issued": new.issued.0,
                    ":expires": new.expires.0, ":digest": new.digest.0, ":envelope": new.envelope,
                    ":most": KEPT_MAX,
                },
            )
        };
        Ok(kept().map_err(sql("keep a standing order"))? == 1)
    }

    /// Counts one use of a standing order and writes it into the journal, accepted: both or neither.
    pub fn draw(&self, new: &NewUse<'_>, active: Duration) -> Result<(), StoreError> {
        let count = new.used.saturating_add(1);
        let drawn = || -> rusqlite::Result<usize> {
            let counted = self.0.0.execute(
                "UPDATE standing SET used = :count WHERE runbook = :runbook AND watch = :watch AND digest = :digest
                 AND used = :used",
                named_params! {
                    ":count": count, ":runbook": new.key.0.as_str(), ":watch": new.watch.as_str(),
                    ":digest": new.digest.0, ":used": new.used,
                },
            )?;
            self.0.0.execute("UPDATE state SET standing_runs = standing_runs + 1", [])?;
            self.0.0.execute(
                "INSERT INTO journal (sequence, digest, order_id, runbook, target, state, envelope, accepted_active,
                                      standing_count, standing_held)
                 SELECT -standing_runs, :digest, :order, :runbook, :target, 'accepted', :envelope, :active, :count, :held
                 FROM state",
                named_params! {
                    ":digest": new.digest.0, ":order": new.id.to_string(), ":runbook": new.key.0.as_str(),
                    ":target": new.key.1, ":envelope": new.envelope, ":active": millis(active), ":count": count,
                    ":held": millis(new.held),
                },
            )?;
            Ok(counted)
        };
        match drawn().map_err(sql("draw on a standing order"))? {
            1 => Ok(()),
            _ => Err(StoreError::Conflict("a standing order is not as it was read")),
        }
    }
}
