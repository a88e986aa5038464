//! The outbox's schema: an append-only list of steps; the file's `user_version` says how many it has seen.

use rusqlite::Connection;

use super::OutboxError;

const STEPS: &[&str] = &[include_str!("schema/001_outbox.sql")];

/// Brings a database of any age to the newest schema.
pub(super) fn migrate(db: &mut Connection) -> Result<(), OutboxError> {
    migrate_by(db, STEPS)
}

fn migrate_by(db: &mut Connection, steps: &[&str]) -> Result<(), OutboxError> {
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let found: i64 = db
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|cause| OutboxError::Migrate { step: 0, cause })?;
    if found > known {
        return Err(OutboxError::Newer { found, known });
    }
    for (step, sql) in (1..).zip(steps).filter(|(step, _)| *step > found) {
        let migrate = |db: &mut Connection| {
            let tx = db.transaction()?;
            tx.execute_batch(sql)?;
            tx.pragma_update(None, "user_version", step)?;
            tx.commit()
        };
        migrate(db).map_err(|cause| OutboxError::Migrate { step, cause })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(db: &Connection) -> Vec<(String, String)> {
        let mut query =
            db.prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name").unwrap();
        query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn every_older_schema_becomes_the_newest_and_stays_it() {
        let mut fresh = Connection::open_in_memory().unwrap();
        migrate(&mut fresh).unwrap();
        for age in 0..=STEPS.len() {
            let mut old = Connection::open_in_memory().unwrap();
            migrate_by(&mut old, &STEPS[..age]).unwrap();
            migrate(&mut old).unwrap();
            migrate(&mut old).unwrap();
            assert_eq!(shape(&old), shape(&fresh), "from schema {age}");
        }
    }

    #[test]
    fn a_newer_schema_is_left_alone() {
        let mut db = Connection::open_in_memory().unwrap();
        db.pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(migrate(&mut db), Err(OutboxError::Newer { found: 99, .. })));
        assert!(shape(&db).is_empty());
    }

    #[test]
    fn a_failed_step_leaves_the_schema_before_it() {
        let mut db = Connection::open_in_memory().unwrap();
        let steps = [STEPS[0], "CREATE TABLE half (x) STRICT; this is not SQL"];
        assert!(matches!(migrate_by(&mut db, &steps), Err(OutboxError::Migrate { step: 2, .. })));
        let mut fresh = Connection::open_in_memory().unwrap();
        migrate(&mut fresh).unwrap();
        assert_eq!(shape(&db), shape(&fresh));
    }
}
