//! Whether the appliance's own databases are whole: the agent's outbox, which can be begun anew, and the executor's, which
//! is a person's.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use proto::evidence::Readings;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};

use super::readings;
use crate::config::Store;

/// How long a writer may hold up a look.
const BUSY: Duration = Duration::from_secs(5);

/// What was last seen of the executor's database, and when (boot-time clock): it is large, and looked through seldom.
#[derive(Default)]
pub(in crate::executor::steps) struct LastLook(Mutex<Option<(Duration, i64)>>);

/// `damaged` of the executor's database and `outbox_damaged`: 0 whole, 1 damaged, −1 there and cannot be read. One that
/// is not there yet is not damaged; of one that others are writing to all the time nothing is said.
pub(in crate::executor::steps) fn read(
    executor: &Path,
    outbox: &Path,
    entry: &Store,
    last: &LastLook,
    boot: Duration,
) -> Readings {
    let mut found = Readings::new();
    let mut last = last.0.lock().unwrap_or_else(PoisonError::into_inner);
    let known = last.filter(|(at, _)| boot.saturating_sub(*at) < entry.every).map(|(_, damaged)| damaged);
    if let Some(damaged) = known.or_else(|| damaged(executor, "state")) {
        if known.is_none() {
            *last = Some((boot, damaged));
        }
        found.extend(readings([("damaged", damaged)]));
    }
    if let Some(damaged) = damaged(outbox, "stream") {
        found.extend(readings([("outbox_damaged", damaged)]));
    }
    found
}

/// `table` is in every such database from its beginning: an emptied file is as good as a damaged one.
fn damaged(path: &Path, table: &str) -> Option<i64> {
    if !path.exists() {
        return Some(0);
    }
    let look = || -> rusqlite::Result<bool> {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(BUSY)?;
        let verdict: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        let begun = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        let begun: i64 = db.query_row(begun, [table], |row| row.get(0))?;
        Ok(verdict == "ok" && begun == 1)
    };
    match look() {
        Ok(is_whole) => Some(i64::from(!is_whole)),
        Err(Error::SqliteFailure(error, _)) => match error.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Some(1),
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => None,
            _ => Some(-1),
        },
        Err(_) => Some(-1),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn database(path: &Path, table: &str) {
        let db = Connection::open(path).unwrap();
        db.execute_batch(&format!(
            "CREATE TABLE {table} (v BLOB); INSERT INTO {table} VALUES (zeroblob(9000)), (zeroblob(9000))"
        ))
        .unwrap();
    }

    fn damage(path: &Path) -> Vec<u8> {
        let mut bytes = fs::read(path).unwrap();
        bytes[4096..4200].fill(0xff);
        fs::write(path, &bytes).unwrap();
        bytes
    }

    struct Scene {
        _folder: tempfile::TempDir,
        executor: PathBuf,
        outbox: PathBuf,
        last: LastLook,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            let (executor, outbox) = (path("executor.db"), path("outbox.db"));
            Self { executor, outbox, _folder: folder, last: LastLook::default() }
        }

        fn look(&self, boot: Duration) -> [i64; 2] {
            let entry: Store = toml::from_str("id = \"it\"").unwrap();
            let found = read(&self.executor, &self.outbox, &entry, &self.last, boot);
            [found["damaged"], found["outbox_damaged"]]
        }
    }

    #[test]
    fn each_database_is_spoken_of_by_itself_and_left_as_it_is() {
        let scene = Scene::new();
        assert_eq!(scene.look(DAY), [0, 0], "not there yet");
        database(&scene.executor, "state");
        database(&scene.outbox, "stream");
        assert_eq!(scene.look(DAY), [0, 0]);
        let bytes = damage(&scene.outbox);
        assert_eq!(scene.look(DAY), [0, 1], "the outbox is looked at every time");
        assert_eq!(fs::read(&scene.outbox).unwrap(), bytes);
        damage(&scene.executor);
        assert_eq!(scene.look(DAY * 2 - BUSY), [0, 1], "the other is looked through once a day");
        assert_eq!(scene.look(DAY * 2), [1, 1]);
    }

    #[test]
    fn neither_garbage_nor_an_emptied_file_nor_half_of_one_passes() {
        let scene = Scene::new();
        database(&scene.outbox, "stream");
        let whole = fs::read(&scene.outbox).unwrap();
        for broken in
            [&b""[..], b"not a database, and long enough to be taken for one", &whole[..4096], &whole[..4000]]
        {
            fs::write(&scene.outbox, broken).unwrap();
            assert_eq!(scene.look(DAY), [0, 1], "{} bytes", broken.len());
        }
        fs::write(&scene.outbox, &whole).unwrap();
        assert_eq!(scene.look(DAY), [0, 0]);
        fs::remove_file(&scene.outbox).unwrap();
        fs::create_dir(&scene.outbox).unwrap();
        assert_eq!(scene.look(DAY), [0, -1]);
    }
}
