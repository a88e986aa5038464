//! The outbox's schema: an append-only list of steps; the file's `user_version` says how many it has seen.

use rusqlite::Connection;

use super::OutboxError;

const STEPS: &[&str] = &[include_str!("schema/001_outbox.sql"), include_str!("schema/002_lines.sql")];

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
    use proto::{
        digest::Digest,
        ids::StreamId,
        sync::{Ack, Record, unpack},
        time::Millis,
    };
    use runbooks::Fault;

    use super::*;
    use crate::agent::{
        detect,
        outbox::{Limits, Outbox},
    };

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

    /// SHA-256 of every step. A line here never changes: databases in the field have seen exactly that text.
    const RELEASED: [&str; 2] = [
        "903150d7c42059cd1dba1656dc79ef2468669a2713e276998c10766c5174b472",
        "b12141d7c707a90f80e13fce318e3a3c9d5b7d27ee6f34fdf617d21fc9602d68",
    ];

    #[test]
    fn no_released_step_was_edited() {
        let now: Vec<String> = STEPS.iter().map(|step| Digest::of(step.as_bytes()).to_string()).collect();
        assert_eq!(now, RELEASED, "add a step (and its digest here); never edit one");
    }

    /// A row in every table of schema 1, read through the outbox of today.
    #[test]
    fn what_an_older_agent_wrote_is_read_by_this_one() {
        let mut db = Connection::open_in_memory().unwrap();
        migrate_by(&mut db, &STEPS[..1]).unwrap();
        db.execute_batch(include_str!("schema/held_001.sql")).unwrap();
        let mut outbox =
            Outbox::with_connection(db, Limits::new(1 << 20, 1 << 18), StreamId([9; 16])).unwrap();
        assert_eq!(outbox.stream(), StreamId([1; 16]), "who it was, not who it would be if it were new");
        let acknowledged = outbox.acknowledged().unwrap();
        assert_eq!((acknowledged.number, acknowledged.digest), (3, Digest([3; 32])));
        let frozen = outbox.frozen().unwrap().unwrap();
        assert_eq!(
            (frozen.number, frozen.previous, &frozen.records[..]),
            (4, Digest([3; 32]), &b"frozen"[..])
        );
        assert_eq!(outbox.cursor("journal").unwrap().unwrap(), b"cursor");
        let key = detect::Key { fault: Fault::BackupStale, watch: "records".parse().unwrap() };
        let state = detect::State { raised: true, said: Millis(5), held: Millis(6) };
        assert_eq!(outbox.detector(&key).unwrap(), state);
        let ack = Ack { stream: frozen.stream, number: 4, digest: Digest::of(&frozen.records) };
        assert!(outbox.has_evidence() && outbox.acknowledge(&ack).unwrap());
        let next = outbox.freeze().unwrap().unwrap();
        let records = unpack(&next.records).unwrap();
        assert!(
            matches!(&records[..], [Record::Gap(gap), Record::Evidence(kept)] if gap.dropped == 2 && kept == b"{}"),
            "{records:?}"
        );
    }

    #[test]
    fn commits_are_durable_on_the_outboxs_own_connection() {
        let folder = tempfile::tempdir().unwrap();
        let outbox =
            Outbox::open(&folder.path().join("outbox.db"), Limits::new(1 << 20, 1 << 18), StreamId([1; 16]));
        let db = &outbox.as_ref().unwrap().db;
        let full: i64 = db.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        let wal: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        // 2 is FULL: the log is synced at every commit.
        assert_eq!((full, wal.as_str()), (2, "wal"));
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
        let mut before = Connection::open_in_memory().unwrap();
        migrate_by(&mut before, &STEPS[..1]).unwrap();
        assert_eq!(shape(&db), shape(&before));
    }
}
