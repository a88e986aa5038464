//! The repositories of the watch list, as the executor itself measured them last.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf};

use baseline::{Blind, Reading};
use proto::evidence::Readings;

use super::{Look, count, read, reading};

/// A repository of the watch list.
pub(in crate::executor) struct Backups {
    /// What was read of it last; `None`: nothing yet.
    pub(in crate::executor) readings: Option<Readings>,
    /// Where its password stands.
    pub(in crate::executor) password: Option<PathBuf>,
}

/// Counts them; a field that only some of them can tell is left out.
pub(super) fn read(look: &Look<'_>) -> Result<Reading, Blind> {
    let all = look.backups;
    let mut exposed = 0;
    for path in all.iter().filter_map(|backup| backup.password.as_deref()) {
        let path = look.root.join("proc/1/root").join(path.strip_prefix("/").unwrap_or(path));
        match fs::metadata(path) {
            Ok(found) => exposed += usize::from(found.mode() & 0o077 != 0),
            Err(error) if read::why(&error) == Blind::Absent => {}
            Err(error) => return Err(read::why(&error)),
        }
    }
    let mut reading = reading([("exposed_secrets", count(exposed)), ("repositories", count(all.len()))]);
    let Some(measured) = all.iter().map(|backup| backup.readings.as_ref()).collect::<Option<Vec<_>>>() else {
        return Ok(reading);
    };
    let of = |readings: &Readings, name: &str| readings.get(name).copied();
    let age = |r: &&Readings| of(r, "age_seconds").unwrap_or(-1);
    let stale = |r: &&&Readings| age(r) > of(r, "max_age_seconds").unwrap_or(0);
    let due = |r: &&Readings| match (of(r, "restore_age_seconds"), of(r, "restore_every_seconds")) {
        (Some(age), Some(every)) => Some(age < 0 || age >= every),
        // Wanted, but it is not known when there was one.
        (None, Some(_)) => None,
        (_, None) => Some(false),
    };
    if let Some(due) = measured.iter().map(due).collect::<Option<Vec<bool>>>() {
        reading.insert("restores_due".into(), count(due.into_iter().filter(|due| *due).count()));
    }
    reading.insert("stale".into(), count(measured.iter().filter(stale).count()));
    reading.insert("unreadable".into(), count(measured.iter().filter(|r| age(r) < 0).count()));
    Ok(reading)
}
