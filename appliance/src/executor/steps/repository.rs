//! How old the newest snapshot of a repository is, cheaply: restic is run only when something changed in it.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use proto::{digest::Digest, ids::WatchId, time::Millis};

use super::{
    Limit,
    restic::{AHEAD, Restic, Snapshot},
};

/// How long a repository may take to list its snapshots.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// What a repository looked like, and the times of its snapshots.
pub(super) struct Seen {
    look: Digest,
    times: Vec<Millis>,
}

/// Time of the newest snapshot; `None`: there is none, or the repository cannot be read.
pub(super) fn newest(
    restic: &Restic<'_>,
    id: &WatchId,
    seen: &Mutex<BTreeMap<WatchId, Seen>>,
    now: Millis,
    limit: &Limit<'_>,
) -> Option<Millis> {
    let look = look(restic.repository).ok()?;
    let known = |map: &BTreeMap<WatchId, Seen>| {
        map.get(id).filter(|seen| seen.look == look).map(|seen| newest_of(&seen.times, now))
    };
    if let Some(newest) = known(&seen.lock().unwrap_or_else(PoisonError::into_inner)) {
        return newest;
    }
    let times: Vec<Millis> = restic.snapshots(limit)?.iter().map(Snapshot::time).collect();
    let newest = newest_of(&times, now);
    seen.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), Seen { look, times });
    newest
}

fn newest_of(times: &[Millis], now: Millis) -> Option<Millis> {
    let latest = now.plus(AHEAD);
    times.iter().copied().filter(|time| *time <= latest).max()
}

/// A digest over what changes when snapshots come or go, or the repository breaks.
fn look(repository: &Path) -> io::Result<Digest> {
    let mut seen = Vec::new();
    let config = fs::metadata(repository.join("config"))?;
    seen.extend_from_slice(
        format!("{} {} {}\n", config.ino(), config.size(), config.mtime_nsec()).as_bytes(),
    );
    for folder in ["keys", "snapshots"] {
        let mut names = fs::read_dir(repository.join(folder))?
            .map(|entry| entry.map(|entry| entry.file_name().as_bytes().to_vec()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        for name in names {
            seen.extend_from_slice(&name);
            seen.push(b'/');
        }
        seen.push(b'\n');
    }
    Ok(Digest::of(&seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_from_the_future_do_not_count() {
        let hour = |n: u64| Millis(0).plus(Duration::from_secs(n * 3600));
        assert_eq!(newest_of(&[hour(1), hour(3), hour(2)], hour(10)), Some(hour(3)));
        assert_eq!(newest_of(&[hour(1), hour(12), hour(40)], hour(10)), Some(hour(12)));
        assert_eq!(newest_of(&[hour(40)], hour(10)), None);
        assert_eq!(newest_of(&[], hour(10)), None);
    }
}
