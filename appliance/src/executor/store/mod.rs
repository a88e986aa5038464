//! executor.db: everything that must survive a power cut. All SQL of the executor is in this folder.
//!
//! The rule: what was decided is on disk before it is acted on (WAL, `synchronous=FULL`), and a database that cannot be
//! read is an error, never a reason to begin anew. Migrations are an append-only list.

mod approved;
mod documents;
mod evidence;
mod journal;
#[cfg(test)]
mod released;
mod running;
mod standing;
mod state;

use std::{ops::Deref, time::Duration};

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use self::{
    documents::{Adopted, Document, DocumentKind, KeptCheckpoint, Shown},
    evidence::{Allowance, Kept},
    journal::{Accepted, Beginning, JournalEntry, JournalState, Past, Use, Waiting},
    standing::{NewStanding, NewUse},
    state::{Mark, State, Times},
};

/// Schema, step by step. Append; never change a step that was released.
const STEPS: &[&str] = &[
    include_str!("schema/001_executor.sql"),
    include_str!("schema/002_bounds.sql"),
    include_str!("schema/003_standing.sql"),
    include_str!("schema/004_stop.sql"),
    include_str!("schema/005_approved.sql"),
    include_str!("schema/006_sealing.sql"),
    include_str!("schema/007_running.sql"),
    include_str!("schema/008_succession.sql"),
];

/// What could not be done with the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says no: a full disk, a damaged page, a broken rule.
    #[error("cannot {doing} in executor.db")]
    Sql {
        /// What was tried.
        doing: &'static str,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The file is damaged.
    #[error("executor.db is damaged: {0}; move it away for inspection, then enrol this box anew")]
    Damaged(String),
    /// Written by a newer program.
    #[error("executor.db has schema {found}; this program knows up to {known}, so a newer one is needed")]
    Newer {
        /// Schema of the file.
        found: usize,
        /// Newest schema known.
        known: usize,
    },
    /// A column holds what was never written there.
    #[error("executor.db: {0}")]
    Unreadable(#[from] proto::field::BadField),
    /// A guard in a statement found another state than the one it expected.
    #[error("executor.db: {0}")]
    Conflict(&'static str),
}

/// For `map_err`: names what was tried.
fn sql(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
    move |source| StoreError::Sql { doing, source }
}

/// The database.
pub struct Store {
    connection: Connection,
}

/// A look at it.
pub struct View<'a>(&'a Connection);

/// A transaction: all or nothing.
pub struct Write<'a>(View<'a>);

impl<'a> Deref for Write<'a> {
    type Target = View<'a>;
    fn deref(&self) -> &View<'a> {
        &self.0
    }
}

impl Store {
    /// Takes a connection, checks what is there and brings it to the newest schema.
    pub fn open(mut connection: Connection) -> Result<Self, StoreError> {
        connection.busy_timeout(Duration::from_secs(5)).map_err(sql("set the lock timeout"))?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(sql("choose the write-ahead log"))?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(sql("choose durable commits"))?;
        connection.pragma_update(None, "trusted_schema", "OFF").map_err(sql("distrust the schema"))?;
        let verdict: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(sql("check the pages"))?;
        if verdict != "ok" {
            return Err(StoreError::Damaged(verdict));
        }
        migrate(&mut connection, STEPS)?;
        Ok(Self { connection })
    }

    /// Reads.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View(&self.connection)
    }

    /// Does all of `work`, durably, or none of it.
    pub fn write<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&Write<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(sql("begin a transaction"))?;
        let done = work(&Write(View(&transaction)))?;
        transaction.commit().map_err(sql("commit"))?;
        Ok(done)
    }
}

fn migrate(connection: &mut Connection, steps: &[&str]) -> Result<(), StoreError> {
    let done: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(sql("read the schema's version"))?;
    let done = done as usize;
    if done > steps.len() {
        return Err(StoreError::Newer { found: done, known: steps.len() });
    }
    for (version, step) in (1_u32..).zip(steps).skip(done) {
        let migrated = |transaction: &Transaction<'_>| {
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "user_version", version)
        };
        let transaction = connection.transaction().map_err(sql("begin a migration"))?;
        migrated(&transaction).map_err(sql("migrate"))?;
        transaction.commit().map_err(sql("commit a migration"))?;
    }
    Ok(())
}

/// Unsigned numbers are kept bit for bit.
fn bits(number: u64) -> i64 {
    number.cast_signed()
}

/// Milliseconds of a span; SQLite's integers end after 292 million years.
fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn span(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(connection: &Connection) -> Vec<(String, String)> {
        let mut query =
            connection.prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name").unwrap();
        query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn every_old_schema_becomes_the_newest() {
        let mut fresh = Connection::open_in_memory().unwrap();
        migrate(&mut fresh, STEPS).unwrap();
        for old in 0..=STEPS.len() {
            let mut database = Connection::open_in_memory().unwrap();
            migrate(&mut database, &STEPS[..old]).unwrap();
            migrate(&mut database, STEPS).unwrap();
            migrate(&mut database, STEPS).unwrap();
            assert_eq!(schema(&database), schema(&fresh), "from {old}");
        }
    }

    #[test]
    fn a_newer_schema_is_left_alone() {
        let connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", 1_000_000).unwrap();
        assert!(matches!(Store::open(connection), Err(StoreError::Newer { .. })));
    }

    #[test]
    fn a_damaged_file_is_an_error_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("executor.db");
        drop(Store::open(Connection::open(&path).unwrap()).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        for byte in bytes.iter_mut().skip(100).take(8000) {
            *byte ^= 0xa5;
        }
        std::fs::write(&path, &bytes).unwrap();
        assert!(Store::open(Connection::open(&path).unwrap()).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_commit_is_durable_and_a_failure_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(Connection::open(dir.path().join("executor.db")).unwrap()).unwrap();
        let full: i64 = store.connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        let wal: String =
            store.connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!((full, wal.as_str()), (2, "wal"));
        let failed: Result<(), StoreError> = store.write(|tx| {
            tx.0.0.execute("INSERT INTO signed VALUES ('hold', 1)", []).unwrap();
            Err(StoreError::Conflict("on purpose"))
        });
        assert!(failed.is_err());
        let count: i64 =
            store.connection.query_row("SELECT count(*) FROM signed", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 0);
    }
}
