//! How each object lies in the vault: the index that an audit holds it against.

use proto::{digest::Digest, time::Millis};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// An object of the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultRow {
    /// Its key.
    pub key: String,
    /// Which version of it; empty: the store has none.
    pub version: String,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Not to be deleted before; 0: it was kept before that was noted.
    pub retain_until: Millis,
}

impl Store {
    /// Notes an object. What was noted first stays: only the date moves, and later.
    pub fn put_vault_object(&self, new: &VaultRow) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO vault_object VALUES (?1, ?2, ?3, ?4) ON CONFLICT (key) DO UPDATE SET
                   version = CASE version WHEN '' THEN excluded.version ELSE version END,
                   retain_until_ms = max(retain_until_ms, excluded.retain_until_ms)",
            )?
            .execute(params![new.key, new.version, Col(new.sha256), Col(new.retain_until)])?;
        Ok(())
    }

    /// Notes where an object was copied to: the version of it there. What was promised of its date stays.
    pub fn move_vault_object(&self, new: &VaultRow) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE vault_object SET version = ?2,
                   retain_until_ms = CASE retain_until_ms WHEN 0 THEN ?4 ELSE retain_until_ms END
                   WHERE key = ?1 AND sha256 = ?3",
            )?
            .execute(params![new.key, new.version, Col(new.sha256), Col(new.retain_until)])?;
        Ok(())
    }

    /// One object.
    pub fn vault_object(&self, key: &str) -> Result<Option<VaultRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM vault_object WHERE key = ?1")?;
        Ok(statement.query_row([key], vault_object).optional()?)
    }

    /// Objects of a folder (empty: all) after a key, in order.
    pub fn vault_objects(&self, folder: &str, after: &str, most: u32) -> Result<Vec<VaultRow>, StoreError> {
        let (first, end) = span(folder);
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM vault_object WHERE key >= ?1 AND key < ?2 AND key > ?3 ORDER BY key LIMIT ?4",
        )?;
        Ok(statement.query_map(params![first, end, after, most], vault_object)?.collect::<Result<_, _>>()?)
    }

    /// The last key of a folder, in order.
    pub fn newest_vault_object(&self, folder: &str) -> Result<Option<String>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT max(key) FROM vault_object WHERE key >= ?1 AND key < ?2")?;
        let (first, end) = span(folder);
        Ok(statement.query_row([first, end], |row| row.get(0))?)
    }

    /// How many objects a folder (empty: the vault) has.
    pub fn vault_object_count(&self, folder: &str) -> Result<u64, StoreError> {
        let (first, end) = span(folder);
        let count: i64 = self
            .db
            .prepare_cached("SELECT count(*) FROM vault_object WHERE key >= ?1 AND key < ?2")?
            .query_row([first, end], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }
}

/// From the first key of a folder to the first that is behind it; `0` comes after `/`, `{` after every letter.
fn span(folder: &str) -> (String, String) {
    match folder {
        "" => (String::new(), "{".to_owned()),
        folder => (format!("{folder}/"), format!("{folder}0")),
    }
}

fn vault_object(row: &Row<'_>) -> rusqlite::Result<VaultRow> {
    Ok(VaultRow {
        key: row.get("key")?,
        version: row.get("version")?,
        sha256: col(row, "sha256")?,
        retain_until: col(row, "retain_until_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    fn row(key: &str, version: &str, byte: u8, until: i64) -> VaultRow {
        VaultRow {
            key: key.into(),
            version: version.into(),
            sha256: Digest([byte; 32]),
            retain_until: Millis(until),
        }
    }

    #[test]
    fn what_was_noted_first_stays_and_a_date_moves_later() {
        let store = Store::with(Connection::open_in_memory().unwrap()).unwrap();
        for new in [row("t/1", "", 1, 0), row("t/1", "v1", 1, 5), row("t/1", "v2", 2, 3)] {
            store.put_vault_object(&new).unwrap();
        }
        assert_eq!(store.vault_object("t/1").unwrap(), Some(row("t/1", "v1", 1, 5)));
        assert_eq!(store.vault_object("t/2").unwrap(), None);
    }

    #[test]
    fn what_was_copied_is_noted_where_it_is_now() {
        let store = Store::with(Connection::open_in_memory().unwrap()).unwrap();
        store.put_vault_object(&row("t/1", "", 1, 5)).unwrap();
        store.put_vault_object(&row("t/2", "", 1, 0)).unwrap();
        for (new, noted) in [
            (row("t/1", "a", 1, 9), Some(row("t/1", "a", 1, 5))),
            (row("t/1", "b", 1, 7), Some(row("t/1", "b", 1, 5))),
            (row("t/1", "c", 2, 9), Some(row("t/1", "b", 1, 5))),
            (row("t/2", "a", 1, 9), Some(row("t/2", "a", 1, 9))),
            (row("t/3", "a", 1, 9), None),
        ] {
            store.move_vault_object(&new).unwrap();
            assert_eq!(store.vault_object(&new.key).unwrap(), noted);
        }
    }

    #[test]
    fn a_folder_is_read_in_pages_and_holds_nothing_of_its_neighbours() {
        let store = Store::with(Connection::open_in_memory().unwrap()).unwrap();
        for key in ["a/1", "a/2", "a/b/3", "a-b/1", "a0", "ab/1", "z/1"] {
            store.put_vault_object(&row(key, "", 1, 0)).unwrap();
        }
        let keys = |folder: &str, after: &str, most| -> Vec<String> {
            store.vault_objects(folder, after, most).unwrap().into_iter().map(|row| row.key).collect()
        };
        assert_eq!(keys("a", "", 2), ["a/1", "a/2"]);
        assert_eq!(keys("a", "a/2", 2), ["a/b/3"]);
        assert_eq!(store.vault_object_count("a").unwrap(), 3);
        assert_eq!(store.newest_vault_object("a").unwrap().as_deref(), Some("a/b/3"));
        assert_eq!(store.newest_vault_object("b").unwrap(), None);
        assert_eq!((keys("", "", 99).len(), store.vault_object_count("").unwrap()), (7, 7));
    }
}
