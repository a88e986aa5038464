//! The write-ahead log of the database's file: a thread of its own moves it into the database, so that no commit waits.
//!
//! The rule: what is committed is durable in the write-ahead log, and moving it is housekeeping. Where commits come without a
//! pause the thread cannot begin the log anew; then a commit does, once in a long while, and only what is left.

use std::{
    cell::Cell,
    ffi::c_int,
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, hooks::Wal};

/// Pages in the log that are worth moving.
const MANY: c_int = 1_000;
/// As many as a commit moves itself: 32 MB.
const TOO_MANY: c_int = 8_000;
/// The most bytes of the log's file that are kept for what comes.
const FILE_MAX: i64 = 64 << 20;

thread_local! {
    /// Pages in the log after this thread's newest commit.
    static PAGES: Cell<c_int> = const { Cell::new(0) };
}

/// Moves the log of one file.
pub(super) struct Mover {
    bell: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    /// Takes over from `db`, the one connection that writes to the file at `path`.
    pub(super) fn start(db: &Connection, path: &Path) -> rusqlite::Result<Self> {
        db.pragma_update(None, "journal_size_limit", FILE_MAX)?;
        // In the place of SQLite's own, which moves the log in every so-manieth commit.
        db.wal_hook(Some(count));
        let own = Connection::open(path)?;
        let (bell, rung) = sync_channel(1);
        let thread = thread::Builder::new().name("wal".into()).spawn(move || move_on(&own, &rung));
        // Without the thread the commits do it.
        Ok(Self { bell: Some(bell), thread: thread.ok() })
    }

    /// After a commit on `db`.
    pub(super) fn committed(&self, db: &Connection) {
        match PAGES.replace(0) {
            pages if pages >= TOO_MANY => checkpoint(db),
            // It has been rung already, or is not there.
            pages if pages >= MANY => drop(self.bell.as_ref().map(|bell| bell.try_send(()))),
            _ => {}
        }
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.bell = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn count(_: &Wal, pages: c_int) -> rusqlite::Result<()> {
    PAGES.set(pages);
    Ok(())
}

fn move_on(own: &Connection, rung: &Receiver<()>) {
    while rung.recv().is_ok() {
        checkpoint(own);
    }
}

/// Waits for nobody; what cannot be moved now is moved next time.
fn checkpoint(db: &Connection) {
    if let Err(error) = db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::warn!(%error, "the write-ahead log is not moved into the database: {error}");
    }
}

#[cfg(test)]
mod tests {
    use crate::store::Store;

    /// Commits of a hundred pages each.
    fn write(store: &Store, numbers: std::ops::Range<u64>) {
        for number in numbers {
            store.begin().unwrap();
            store.put_number(&format!("{}{number}", "0".repeat(400_000)), number).unwrap();
            store.commit().unwrap();
        }
    }

    fn count(store: &Store) -> i64 {
        store.db.query_row("SELECT count(*) FROM meta", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn the_log_does_not_grow_for_ever_and_nothing_in_it_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (path, log) = (folder.path().join("x.db"), folder.path().join("x.db-wal"));
        let store = Store::open(&path).unwrap();
        write(&store, 0..20);
        let reader = Store::open_reader(&path).unwrap();
        reader.snapshot().unwrap();
        assert_eq!(count(&reader), 20);
        // Whoever reads holds up nobody, and sees what he saw.
        write(&store, 20..40);
        assert_eq!((count(&reader), count(&store)), (20, 40));
        reader.commit().unwrap();
        write(&store, 40..180);
        let length = std::fs::metadata(&log).unwrap().len();
        assert!(length < 48 << 20, "{length} bytes of 72 MB that were written");
        drop((reader, store));
        assert!(!log.exists(), "the last connection takes it away");
        assert_eq!(count(&Store::open(&path).unwrap()), 180);
    }
}
