//! All SQL of the control plane: one SQLite database, verbs of the domain, no decisions.
//!
//! A caller brackets its verbs in [`Store::begin`] and [`Store::commit`]; what a command wrote before it failed is
//! undone by [`Store::undo_to_mark`]. Migrations are an append-only list.

mod acts;
mod appliances;
mod approved;
mod asked;
mod attachments;
mod audit;
mod convert;
mod cosignatures;
mod documents;
mod escalations;
mod evidence;
mod holds;
mod inbox;
mod incidents;
mod levels;
mod lines;
mod mails;
mod model_calls;
mod notifications;
mod order_papers;
mod orders;
mod packets;
mod passkeys;
mod past_logs;
mod people;
#[cfg(test)]
mod released;
mod silence;
mod standing;
mod stops;
mod tenants;
mod timestamps;
mod tokens;
mod totals;
mod usage;
mod vault_objects;
mod wal;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

pub use acts::{NewAct, WaitingAct};
pub use appliances::{ApplianceRow, ApplianceState, IncarnationRow, NewAppliance};
pub use asked::AskedRow;
pub use audit::AuditRow;
pub use cosignatures::CosignatureRow;
pub use documents::Document;
pub use escalations::EscalationRow;
pub use evidence::{EvidenceRow, LogHead, NewEvidence, TenantTiles};
pub use holds::HoldRow;
pub use inbox::GapRow;
pub use incidents::{IncidentChange, IncidentRow, NewIncident, TimelineRow};
pub use levels::{LevelRow, TemplateRow};
pub use lines::LinesRow;
pub use mails::{MailRow, MailState};
pub use model_calls::{ModelCallRow, NewModelCall};
pub use notifications::{NewNotification, NotificationRow, Telling, ToldRow};
pub use orders::{NewOrder, OrderRow, OrderState};
pub use packets::PacketRow;
pub use passkeys::PasskeyRow;
pub use people::{OperatorRow, SessionRow};
pub use standing::StandingRow;
pub use stops::StopRow;
pub use tenants::{NewTenant, SiteRow, TenantRow, Within};
pub use timestamps::TimestampRow;
pub use tokens::{EnrolmentTokenRow, OperatorTokenRow};
pub use totals::{ByState, Totals};
pub use usage::UsageRow;
pub use vault_objects::VaultRow;
use wal::Mover;

/// Every schema step ever released, oldest first. Never edit one; add one.
pub const STEPS: &[&str] = &[
    include_str!("schema/001_begin.sql"),
    include_str!("schema/002_standing.sql"),
    include_str!("schema/003_order_papers.sql"),
    include_str!("schema/004_budgets.sql"),
    include_str!("schema/005_shown.sql"),
    include_str!("schema/006_lines.sql"),
    include_str!("schema/007_stops.sql"),
    include_str!("schema/008_approved.sql"),
    include_str!("schema/009_acts.sql"),
    include_str!("schema/010_witnesses.sql"),
    include_str!("schema/011_vault_objects.sql"),
    include_str!("schema/012_packets.sql"),
    include_str!("schema/013_successions.sql"),
    include_str!("schema/014_timestamps.sql"),
    include_str!("schema/015_recipients.sql"),
    include_str!("schema/016_reviews.sql"),
    include_str!("schema/017_access.sql"),
    include_str!("schema/018_model_calls.sql"),
    include_str!("schema/019_deciding.sql"),
    include_str!("schema/020_letters.sql"),
    include_str!("schema/021_people.sql"),
    include_str!("schema/022_door.sql"),
];

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not be opened.
    #[error("cannot open database {path}")]
    Open {
        /// Its file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A newer program wrote it.
    #[error("database has schema {found}, this program knows up to {known}; use the newer program")]
    Newer {
        /// Version in the file.
        found: usize,
        /// Steps in this program.
        known: usize,
    },
    /// An older program wrote it, and no newer one has opened it since.
    #[error("database has schema {found}, this program needs {known}; start `control-plane serve` once")]
    Older {
        /// Version in the file.
        found: usize,
        /// Steps in this program.
        known: usize,
    },
    /// A statement failed.
    #[error("database")]
    Sql(#[from] rusqlite::Error),
    /// A value in the database is not what was put there.
    #[error("database holds a bad value in {column}")]
    Corrupt {
        /// Table and column.
        column: &'static str,
    },
    /// A guarded change found another state than it expected.
    #[error("{what} changed meanwhile")]
    Conflict {
        /// What was to change.
        what: &'static str,
    },
}

/// Memory for pages: a busy group of commands changes more than SQLite would keep, and writes it twice then. In KiB.
const PAGES_KIB: i64 = 64 << 10;

/// The database.
pub struct Store {
    // Before the connection, which is the last to go.
    mover: Option<Mover>,
    db: Connection,
}

impl Store {
    /// Opens (or creates) the database file, durable on every commit.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let open = |source| StoreError::Open { path: path.to_owned(), source };
        let db = Connection::open(path).map_err(open)?;
        db.pragma_update(None, "journal_mode", "WAL").map_err(open)?;
        db.pragma_update(None, "synchronous", "FULL").map_err(open)?;
        db.pragma_update(None, "cache_size", -PAGES_KIB).map_err(open)?;
        let mover = Mover::start(&db, path).map_err(open)?;
        Ok(Self { mover: Some(mover), ..Self::with(db)? })
    }

    /// A second connection that only reads: never waits for a writer.
    pub fn open_reader(path: &Path) -> Result<Self, StoreError> {
        let db = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        Ok(Self { mover: None, db })
    }

    /// Whether a reader finds what this program writes; whoever only reads does not migrate.
    pub fn is_of_this_program(&self) -> Result<(), StoreError> {
        let found: u32 = self.db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let (found, known) = (found as usize, STEPS.len());
        match found.cmp(&known) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less => Err(StoreError::Older { found, known }),
            std::cmp::Ordering::Greater => Err(StoreError::Newer { found, known }),
        }
    }

    /// Uses a connection that somebody else opened (simulation, tests) and brings its schema up to date.
    pub fn with(db: Connection) -> Result<Self, StoreError> {
        db.pragma_update(None, "foreign_keys", true)?;
        db.set_prepared_statement_cache_capacity(128);
        migrate(&db, STEPS)?;
        Ok(Self { mover: None, db })
    }

    /// Begins the transaction of a group of commands.
    pub fn begin(&self) -> Result<(), StoreError> {
        Ok(self.db.execute_batch("BEGIN IMMEDIATE")?)
    }

    /// Begins a transaction that only reads: everything after it sees one state of the database.
    pub fn snapshot(&self) -> Result<(), StoreError> {
        Ok(self.db.execute_batch("BEGIN")?)
    }

    /// Makes it durable.
    pub fn commit(&self) -> Result<(), StoreError> {
        self.db.execute_batch("COMMIT")?;
        if let Some(mover) = &self.mover {
            mover.committed(&self.db);
        }
        Ok(())
    }

    /// Begins a transaction that a power cut may undo, for what can be found out again.
    pub fn begin_lightly(&self) -> Result<(), StoreError> {
        let begun = self.db.execute_batch("PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE");
        // Whatever comes next must be durable.
        Ok(begun.or_else(|error| self.db.execute_batch("PRAGMA synchronous = FULL").and(Err(error)))?)
    }

    /// Ends it. The next one that is made durable makes it so as well.
    pub fn commit_lightly(&self) -> Result<(), StoreError> {
        let done = self
            .db
            .execute_batch("COMMIT")
            .or_else(|error| self.db.execute_batch("ROLLBACK").and(Err(error)));
        self.db.execute_batch("PRAGMA synchronous = FULL")?;
        Ok(done?)
    }

    /// Undoes it.
    pub fn rollback(&self) -> Result<(), StoreError> {
        Ok(self.db.execute_batch("ROLLBACK")?)
    }

    /// Marks a point inside the transaction to which [`Store::undo_to_mark`] goes back.
    pub fn mark(&self) -> Result<(), StoreError> {
        Ok(self.db.prepare_cached("SAVEPOINT command")?.execute([]).map(drop)?)
    }

    /// Keeps what was written since the mark.
    pub fn keep_since_mark(&self) -> Result<(), StoreError> {
        Ok(self.db.prepare_cached("RELEASE command")?.execute([]).map(drop)?)
    }

    /// Forgets what was written since the mark.
    pub fn undo_to_mark(&self) -> Result<(), StoreError> {
        Ok(self.db.execute_batch("ROLLBACK TO command; RELEASE command")?)
    }

    /// A whole number kept under `key`; 0 when there is none.
    pub fn number(&self, key: &str) -> Result<u64, StoreError> {
        let found: Option<i64> = self
            .db
            .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        Ok(found.map_or(0, |n| n.cast_unsigned()))
    }

    /// Keeps a whole number under `key`.
    pub fn put_number(&self, key: &str, value: u64) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )?
            .execute(params![key, value.cast_signed()])?;
        Ok(())
    }
}

fn migrate(db: &Connection, steps: &[&str]) -> Result<(), StoreError> {
    let done: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (version, sql) in (1_u32..).zip(steps) {
        if version > done {
            let tx = db.unchecked_transaction()?;
            tx.execute_batch(sql)?;
            tx.pragma_update(None, "user_version", version)?;
            tx.commit()?;
        }
    }
    if done as usize > steps.len() {
        return Err(StoreError::Newer { found: done as usize, known: steps.len() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(db: &Connection) -> Vec<String> {
        let mut statement =
            db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn every_old_schema_reaches_the_newest() {
        let fresh = Connection::open_in_memory().unwrap();
        migrate(&fresh, STEPS).unwrap();
        for upto in 0..=STEPS.len() {
            let old = Connection::open_in_memory().unwrap();
            migrate(&old, &STEPS[..upto]).unwrap();
            migrate(&old, STEPS).unwrap();
            migrate(&old, STEPS).unwrap();
            assert_eq!(schema(&old), schema(&fresh), "from {upto}");
        }
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let db = Connection::open_in_memory().unwrap();
        db.pragma_update(None, "user_version", 1000).unwrap();
        assert!(matches!(Store::with(db), Err(StoreError::Newer { .. })));
    }
}
