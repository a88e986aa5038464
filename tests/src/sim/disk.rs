//! A database that outlives the process that works on it: in memory, shared by name.
//!
//! The rule: what was committed stays, what was not is gone with the process. A commit asks the process's [`Life`] first,
//! so that it can be killed inside of a transaction; and it fails while the disk is full.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};

use super::life::Life;

/// Runs in one process must not meet: names are never used twice.
static NAMES: AtomicU64 = AtomicU64::new(0);

/// One database file.
pub(super) struct Disk {
    name: String,
    /// Keeps it, and looks at what is committed there.
    eye: Connection,
    full: Arc<AtomicBool>,
}

impl Disk {
    pub(super) fn new() -> rusqlite::Result<Self> {
        let name = format!("file:/orderly-simulation-{}?vfs=memdb", NAMES.fetch_add(1, Relaxed));
        let eye = connect(&name)?;
        eye.set_prepared_statement_cache_capacity(64);
        Ok(Self { name, eye, full: Arc::default() })
    }

    /// A connection for a process.
    pub(super) fn open(&self, life: &Arc<Life>) -> rusqlite::Result<Connection> {
        let connection = connect(&self.name)?;
        let (life, full) = (life.clone(), self.full.clone());
        connection.commit_hook(Some(move || full.load(Relaxed) || !life.act()))?;
        Ok(connection)
    }

    /// A connection that nobody kills, for those who check.
    pub(super) fn open_to_look(&self) -> rusqlite::Result<Connection> {
        connect(&self.name)
    }

    /// Nothing more can be written, or it can again.
    pub(super) fn set_full(&self, full: bool) {
        self.full.store(full, Relaxed);
    }

    pub(super) fn is_full(&self) -> bool {
        self.full.load(Relaxed)
    }

    /// A copy of what is committed.
    pub(super) fn backup(&self) -> anyhow::Result<Self> {
        let copy = Self::new()?;
        copy.restore(self)?;
        Ok(copy)
    }

    /// Puts a copy in the place of what is here.
    pub(super) fn restore(&self, copy: &Self) -> anyhow::Result<()> {
        let mut here = self.open_to_look()?;
        let done = Backup::new(&copy.eye, &mut here)?.step(-1)?;
        anyhow::ensure!(done == StepResult::Done, "the copy is {done:?}");
        Ok(())
    }

    /// What is committed.
    pub(super) fn eye(&self) -> &Connection {
        &self.eye
    }
}

fn connect(name: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(name, flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_process_leaves_what_it_committed_and_nothing_else() {
        let disk = Disk::new().unwrap();
        let count =
            || disk.eye().query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
        let life = Life::new();
        let process = disk.open(&life).unwrap();
        process.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
        life.end_after(1);
        process.execute("INSERT INTO t VALUES (2)", []).unwrap();
        process.execute("INSERT INTO t VALUES (3)", []).unwrap_err();
        drop(process);
        assert_eq!(count(), 2);

        let process = disk.open(&Life::new()).unwrap();
        process.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (4)").unwrap();
        drop(process);
        assert_eq!(count(), 2);

        let copy = disk.backup().unwrap();
        disk.eye().execute_batch("INSERT INTO t VALUES (5)").unwrap();
        assert_eq!(count(), 3);
        disk.restore(&copy).unwrap();
        assert_eq!(count(), 2);
    }
}
