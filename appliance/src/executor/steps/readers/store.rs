//! Whether the appliance's own databases are whole.

use std::path::Path;

use proto::evidence::Readings;
use rusqlite::{Connection, OpenFlags};

use super::readings;

/// `damaged`: 0 none, 1 at least one, −1 one that is there cannot be read. One that is not there yet is not damaged.
pub(in crate::executor::steps) fn read(databases: &[&Path]) -> Readings {
    let found: Vec<i64> = databases.iter().filter(|path| path.exists()).map(|path| damaged(path)).collect();
    let worst = if found.contains(&1) { 1 } else { found.into_iter().min().unwrap_or(0) };
    readings([("damaged", worst)])
}

fn damaged(path: &Path) -> i64 {
    let looked = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .and_then(|db| db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)));
    match looked {
        Ok(verdict) => i64::from(verdict != "ok"),
        Err(rusqlite::Error::SqliteFailure(error, _))
            if matches!(
                error.code,
                rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase
            ) =>
        {
            1
        }
        Err(_) => -1,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    #[test]
    fn a_damaged_database_is_found_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let absent = folder.path().join("b.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch("CREATE TABLE t (v BLOB); INSERT INTO t VALUES (zeroblob(9000)), (zeroblob(9000))")
            .unwrap();
        drop(db);
        assert_eq!(read(&[&path, &absent]), readings([("damaged", 0)]));
        let mut bytes = fs::read(&path).unwrap();
        bytes[4096..4200].fill(0xff);
        fs::File::create(&path).unwrap().write_all(&bytes).unwrap();
        assert_eq!(read(&[&absent, &path]), readings([("damaged", 1)]));
        assert_eq!(fs::read(&path).unwrap(), bytes);
        fs::write(
            &path,
            "not a database, and long enough to be taken for one; see sqlite.org/fileformat2.html",
        )
        .unwrap();
        assert_eq!(read(&[&path]), readings([("damaged", 1)]));
    }
}
