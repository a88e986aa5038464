//! `files.prune`: removes the oldest files of a directory until it is within its limit, and reads how full it is.
//!
//! The rule: only regular files beneath the directory, never through a symlink, never on another file system, never one
//! that is younger than the owner wants to keep. A file's age counts from its last change or from its arrival here,
//! whichever is later: one that was copied in with an old date is new. Of a file with several names, one name goes.

use std::{
    collections::BinaryHeap,
    ffi::{CStr, CString},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::stat::FileStat,
    unistd::{UnlinkatFlags, unlinkat},
};
use proto::{
    evidence::{Readings, StepResult},
    time::Millis,
};

use super::{
    Limit, beneath,
    walk::{self, Broken},
};
use crate::{config::Directory, world::StepOutcome};

/// The most files that one look remembers: bounds memory, not work.
const REMEMBERED: usize = 100_000;

/// A file that may go. The order is the order of going: oldest first, then by place, so that the choice is not chance.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    modified: (i64, i64),
    folder: PathBuf,
    name: CString,
    size: u64,
    changed: (i64, i64),
    inode: u64,
}

/// How full a directory is, and what of it may go.
struct Survey {
    bytes: u64,
    oldest: Vec<Candidate>,
}

/// `bytes`, `limit_bytes` and `files`.
pub(super) fn measure(directory: &Directory, limit: &Limit<'_>) -> Readings {
    let (mut bytes, mut files) = (0_u64, 0_i64);
    let looked = beneath::root(&directory.path).map_err(Broken::from).and_then(|root| {
        walk::walk(&root, limit, &mut |_, _, status| {
            bytes = bytes.saturating_add(size(status));
            files += 1;
        })
    });
    let (bytes, files) = match looked {
        Ok(()) => (i64::try_from(bytes).unwrap_or(i64::MAX), files),
        Err(why) => {
            tracing::warn!(watch.id = %directory.id, "watched directory {} cannot be read: {why:?}", directory.id);
            (-1, -1)
        }
    };
    let most = i64::try_from(directory.limit_bytes).unwrap_or(i64::MAX);
    [("bytes", bytes), ("limit_bytes", most), ("files", files)]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// Removes files until the directory is within its limit, or nothing more may go.
pub(super) fn prune(directory: &Directory, now: Millis, limit: &Limit<'_>) -> StepOutcome {
    let (mut files, mut bytes) = (0_i64, 0_i64);
    let result = go(directory, now, limit, &mut |size| {
        files += 1;
        bytes = bytes.saturating_add(i64::try_from(size).unwrap_or(i64::MAX));
    });
    let result = match result {
        Ok(()) => StepResult::Done,
        Err(Broken::Over(result)) => result,
        Err(Broken::Unreadable(errno)) => {
            tracing::warn!(watch.id = %directory.id, "watched directory {} cannot be pruned: {errno}", directory.id);
            StepResult::Failed
        }
    };
    let counts = [("files_removed".to_owned(), files), ("bytes_removed".to_owned(), bytes)].into();
    StepOutcome { result, counts, output: Vec::new() }
}

fn go(
    directory: &Directory,
    now: Millis,
    limit: &Limit<'_>,
    removed: &mut dyn FnMut(u64),
) -> Result<(), Broken> {
    let root = beneath::root(&directory.path)?;
    loop {
        let survey = survey(&root, now, directory.keep_newer_than, limit)?;
        let mut over = survey.bytes.saturating_sub(directory.limit_bytes);
        let mut progress = false;
        for candidate in &survey.oldest {
            if over == 0 {
                break;
            }
            if let Some(result) = limit.over() {
                return Err(Broken::Over(result));
            }
            match remove(&root, candidate)? {
                Removal::Removed => {
                    removed(candidate.size);
                    over = over.saturating_sub(candidate.size);
                    progress = true;
                }
                // Perhaps by us: another of its names went. Looked at again before anything newer goes.
                Removal::Changed if progress => break,
                Removal::Changed | Removal::InUse => {}
            }
        }
        // Looked at again: others write there meanwhile, and one look remembers only so many.
        if !progress {
            return Ok(());
        }
    }
}

fn survey(
    root: &OwnedFd,
    now: Millis,
    keep_newer_than: Duration,
    limit: &Limit<'_>,
) -> Result<Survey, Broken> {
    let mut bytes = 0_u64;
    let mut oldest = BinaryHeap::new();
    walk::walk(root, limit, &mut |folder, name, status| {
        bytes = bytes.saturating_add(size(status));
        if may_go(status, now, keep_newer_than) {
            oldest.push(candidate(folder, name, status));
            if oldest.len() > REMEMBERED {
                oldest.pop();
            }
        }
    })?;
    Ok(Survey { bytes, oldest: oldest.into_sorted_vec() })
}

fn candidate(folder: &Path, name: &CStr, status: &FileStat) -> Candidate {
    Candidate {
        modified: (status.st_mtime, status.st_mtime_nsec),
        folder: folder.to_owned(),
        name: name.to_owned(),
        size: size(status),
        changed: (status.st_ctime, status.st_ctime_nsec),
        inode: status.st_ino,
    }
}

fn size(status: &FileStat) -> u64 {
    u64::try_from(status.st_size).unwrap_or(0)
}

/// Whether a file is old enough, by its last change and by its arrival here.
fn may_go(status: &FileStat, now: Millis, keep_newer_than: Duration) -> bool {
    let millis = |seconds: i64, nanos: i64| seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000);
    let modified = millis(status.st_mtime, status.st_mtime_nsec);
    let changed = millis(status.st_ctime, status.st_ctime_nsec);
    Millis(modified.max(changed)).plus(keep_newer_than) <= now
}

/// What became of a candidate.
enum Removal {
    Removed,
    /// It is not the file that was looked at any more.
    Changed,
    /// Something is mounted on it.
    InUse,
}

/// Removes a file, if it is still the one that was looked at.
fn remove(root: &OwnedFd, candidate: &Candidate) -> Result<Removal, Errno> {
    let removed = || {
        let folder = beneath::folder(root, &candidate.folder)?;
        let status = walk::status(&folder, &candidate.name)?;
        let same = beneath::is_regular(status.st_mode)
            && status.st_ino == candidate.inode
            && (status.st_mtime, status.st_mtime_nsec) == candidate.modified
            && (status.st_ctime, status.st_ctime_nsec) == candidate.changed;
        if !same {
            return Ok(Removal::Changed);
        }
        unlinkat(&folder, candidate.name.as_c_str(), UnlinkatFlags::NoRemoveDir).map(|()| Removal::Removed)
    };
    match removed() {
        Err(errno) if beneath::is_not_ours(errno) || errno == Errno::EISDIR => Ok(Removal::Changed),
        Err(Errno::EBUSY) => Ok(Removal::InUse),
        other => other,
    }
}
