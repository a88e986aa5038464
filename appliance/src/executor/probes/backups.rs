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
    if let Some(due) = measured.iter().map(|readings| is_due(readings)).collect::<Option<Vec<bool>>>() {
        reading.insert("restores_due".into(), count(due.into_iter().filter(|due| *due).count()));
    }
    reading.insert("stale".into(), count(measured.iter().filter(stale).count()));
    reading.insert("unreadable".into(), count(measured.iter().filter(|r| age(r) < 0).count()));
    Ok(reading)
}

/// Whether a proof of a restore is missing; `None`: it is wanted, but nobody knows when there was one.
fn is_due(readings: &Readings) -> Option<bool> {
    let of = |name: &str| readings.get(name).copied();
    let Some(every) = of("restore_every_seconds") else { return Some(false) };
    Some(match of("restore_age_seconds")? {
        // The first proof is ordered at once; that there is none yet is drift when there was time enough for one.
        ..0 => of("oldest_seconds").is_none_or(|oldest| oldest >= every),
        age => age >= every,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_missing_once_there_was_time_for_one() {
        let due = |pairs: &[(&str, i64)]| {
            is_due(&pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect())
        };
        let every = ("restore_every_seconds", 100);
        assert_eq!(due(&[]), Some(false));
        assert_eq!(due(&[every]), None);
        assert_eq!(due(&[every, ("restore_age_seconds", 99)]), Some(false));
        assert_eq!(due(&[every, ("restore_age_seconds", 100)]), Some(true));
        assert_eq!(due(&[every, ("restore_age_seconds", -1)]), Some(true));
        assert_eq!(due(&[every, ("restore_age_seconds", -1), ("oldest_seconds", 99)]), Some(false));
        assert_eq!(due(&[every, ("restore_age_seconds", -1), ("oldest_seconds", 100)]), Some(true));
    }
}
