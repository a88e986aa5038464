//! How old the newest snapshot of a repository is, and how large all of it, cheaply: restic is run, and the files are
//! counted, only when something changed in it.

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
    Limit, beneath,
    restic::{AHEAD, Restic, Snapshot},
    walk,
};

/// How long a repository may take to list its snapshots.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// What a repository looked like, the times of its snapshots, and its bytes.
pub(super) struct Seen {
    look: Digest,
    times: Vec<Millis>,
    bytes: Option<u64>,
}

/// A repository that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repository {
    /// Time of the newest snapshot, if there is one.
    pub(super) newest: Option<Millis>,
    /// Time of the oldest.
    pub(super) oldest: Option<Millis>,
    /// What its files take; `None`: they cannot be counted.
    pub(super) bytes: Option<u64>,
}

/// How it stands; `None`: the repository cannot be read.
pub(super) fn read(
    restic: &Restic<'_>,
    id: &WatchId,
    seen: &Mutex<BTreeMap<WatchId, Seen>>,
    now: Millis,
    limit: &Limit<'_>,
) -> Option<Repository> {
    let look = look(restic.repository).ok()?;
    let known = |map: &BTreeMap<WatchId, Seen>| {
        let seen = map.get(id).filter(|seen| seen.look == look)?;
        Some(seen.as_of(now))
    };
    if let Some(known) = known(&seen.lock().unwrap_or_else(PoisonError::into_inner)) {
        return Some(known);
    }
    let times: Vec<Millis> = restic.snapshots(limit)?.iter().map(Snapshot::time).collect();
    let bytes = bytes(restic.repository, limit);
    let found = Seen { look, times, bytes };
    let known = found.as_of(now);
    seen.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), found);
    Some(known)
}

impl Seen {
    fn as_of(&self, now: Millis) -> Repository {
        let oldest = self.times.iter().copied().min();
        Repository { newest: newest_of(&self.times, now), oldest, bytes: self.bytes }
    }
}

fn bytes(repository: &Path, limit: &Limit<'_>) -> Option<u64> {
    let mut bytes = 0_u64;
    let root = beneath::root(repository).ok()?;
    walk::walk(&root, limit, &mut |_, _, status| {
        bytes = bytes.saturating_add(u64::try_from(status.st_size).unwrap_or(0));
    })
    .ok()?;
    Some(bytes)
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

    #[test]
    fn the_oldest_counts_whatever_the_order() {
        let hour = |n: u64| Millis(0).plus(Duration::from_secs(n * 3600));
        let seen = Seen { look: Digest::of(b""), times: vec![hour(2), hour(1), hour(3)], bytes: Some(7) };
        let expected = Repository { newest: Some(hour(3)), oldest: Some(hour(1)), bytes: Some(7) };
        assert_eq!(seen.as_of(hour(10)), expected);
    }
}
