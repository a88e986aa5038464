//! `files.prune`: removes the oldest files of a directory until it is within its limit, and reads how full it is.
//!
//! The rule: only regular files beneath the directory, never through a symlink, never on another file system, never one
//! that is younger than the owner wants to keep.
//!
//! Many people may write there, and none of them may make another's files go. So a file counts with what it takes on the
//! disk, not with what it says (a sparse one says anything), and once, however many names it has. How young it is, is said
//! by its ctime, which only the kernel sets: one that was copied in with an old date is new, one with a date in the future
//! is not new for ever. Which goes first, is said by mtime or ctime, whichever is older: a date can only send a file ahead.

use std::{
    collections::{BTreeMap, BinaryHeap},
    ffi::{CStr, CString, OsStr},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::Path,
    rc::Rc,
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
use crate::{
    config::Directory,
    world::{Foreseen, StepOutcome},
};

/// The most bytes of names that one look remembers: bounds memory, not work.
const REMEMBERED: usize = 32 << 20;
/// The most files with several names that it remembers; more do not count.
const LINKED: usize = 100_000;

/// A file that may go. The order is the order of going: oldest first, then by place, so that the choice is not chance.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    old_since: (i64, i64),
    folder: Rc<Path>,
    name: CString,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: Inode,
    is_linked: bool,
}

impl Candidate {
    /// What remembering it costs.
    fn cost(&self) -> usize {
        size_of::<Self>() + self.folder.as_os_str().len() + self.name.as_bytes().len()
    }
}

/// Device and number.
type Inode = (u64, u64);

/// How full a directory is, and what of it may go.
struct Survey {
    bytes: u64,
    oldest: Vec<Candidate>,
    links: Links,
}

/// Names that were seen of files with several, and how many of them went.
#[derive(Default)]
struct Links(BTreeMap<Inode, (u32, u32)>);

impl Links {
    /// What a name adds to the bytes of its directory.
    fn adds(&mut self, status: &FileStat) -> u64 {
        if status.st_nlink <= 1 {
            return size(status);
        }
        let inode = (status.st_dev, status.st_ino);
        if self.0.len() >= LINKED && !self.0.contains_key(&inode) {
            return 0;
        }
        let (seen, _) = self.0.entry(inode).or_default();
        *seen += 1;
        if *seen == 1 { size(status) } else { 0 }
    }

    /// What its directory loses with a name that was just removed.
    fn loses(&mut self, candidate: &Candidate) -> u64 {
        match self.0.get_mut(&candidate.inode) {
            Some((seen, gone)) => {
                *gone += 1;
                if gone == seen { candidate.size } else { 0 }
            }
            None if candidate.is_linked => 0,
            None => candidate.size,
        }
    }

    /// Whether another of its names went, which changed its ctime.
    fn was_touched(&self, inode: Inode) -> bool {
        self.0.get(&inode).is_some_and(|(_, gone)| *gone > 0)
    }
}

/// `bytes`, `limit_bytes`, `files`, and `folders_skipped`, which nobody has looked into.
pub(super) fn measure(directory: &Directory, limit: &Limit<'_>) -> Readings {
    let (mut bytes, mut files, mut links) = (0_u64, 0_i64, Links::default());
    let looked = beneath::root(&directory.path).map_err(Broken::from).and_then(|root| {
        walk::walk(&root, limit, &mut |_, _, status| {
            bytes = bytes.saturating_add(links.adds(status));
            files += 1;
        })
    });
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let (bytes, files, skipped) = match looked {
        Ok(skipped) => (count(bytes), files, count(skipped)),
        Err(why) => {
            tracing::warn!(watch.id = %directory.id, "watched directory {} cannot be read: {why:?}", directory.id);
            (-1, -1, -1)
        }
    };
    let most = count(directory.limit_bytes);
    [("bytes", bytes), ("limit_bytes", most), ("files", files), ("folders_skipped", skipped)]
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

/// What would be removed now: of one look, which remembers only so many. `most`: how many files are named.
pub(super) fn foresee(directory: &Directory, now: Millis, limit: &Limit<'_>, most: usize) -> Foreseen {
    let (mut files, mut bytes, mut chosen) = (0_i64, 0_i64, Vec::new());
    let looked = beneath::root(&directory.path).map_err(Broken::from).and_then(|root| {
        let survey = survey(&root, now, directory.keep_newer_than, limit)?;
        take(survey, directory, limit, &mut |_, _| Ok(Removal::Removed), &mut |candidate, size| {
            files += 1;
            bytes = bytes.saturating_add(i64::try_from(size).unwrap_or(i64::MAX));
            if chosen.len() < most {
                let path = directory.path.join(&candidate.folder);
                chosen.push(path.join(OsStr::from_bytes(candidate.name.as_bytes())).display().to_string());
            }
        })
    });
    if looked.is_err() {
        (files, bytes) = (-1, -1);
    }
    let counts = [("files_removed".to_owned(), files), ("bytes_removed".to_owned(), bytes)].into();
    Foreseen { chosen, counts }
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
        let mut act = |candidate: &Candidate, links: &Links| remove(&root, candidate, links);
        // Looked at again: others write there meanwhile, and one look remembers only so many.
        if !take(survey, directory, limit, &mut act, &mut |_, size| removed(size))? {
            return Ok(());
        }
    }
}

/// Goes through what may go, oldest first, until the directory is within its limit; `act` is what is done to each, and
/// `taken` hears of those that it removed, with what that gains. Says whether there was one.
fn take(
    survey: Survey,
    directory: &Directory,
    limit: &Limit<'_>,
    act: &mut dyn FnMut(&Candidate, &Links) -> Result<Removal, Errno>,
    taken: &mut dyn FnMut(&Candidate, u64),
) -> Result<bool, Broken> {
    let Survey { bytes, oldest, mut links } = survey;
    let mut over = bytes.saturating_sub(directory.limit_bytes);
    let mut progress = false;
    for candidate in &oldest {
        // Below a limit of nothing, empty files go too: they take inodes.
        if over == 0 && directory.limit_bytes > 0 {
            break;
        }
        if let Some(result) = limit.over() {
            return Err(Broken::Over(result));
        }
        match act(candidate, &links)? {
            Removal::Removed => {
                let size = links.loses(candidate);
                taken(candidate, size);
                over = over.saturating_sub(size);
                progress = true;
            }
            // Looked at again before anything newer goes.
            Removal::Changed if progress => break,
            Removal::Changed | Removal::InUse => {}
        }
    }
    Ok(progress)
}

fn survey(
    root: &OwnedFd,
    now: Millis,
    keep_newer_than: Duration,
    limit: &Limit<'_>,
) -> Result<Survey, Broken> {
    let (mut bytes, mut remembered, mut links) = (0_u64, 0, Links::default());
    let mut oldest = BinaryHeap::new();
    walk::walk(root, limit, &mut |folder, name, status| {
        bytes = bytes.saturating_add(links.adds(status));
        if may_go(status, now, keep_newer_than) {
            let candidate = candidate(folder, name, status);
            remembered += candidate.cost();
            oldest.push(candidate);
            while remembered > REMEMBERED
                && let Some(newest) = oldest.pop()
            {
                remembered -= newest.cost();
            }
        }
    })?;
    Ok(Survey { bytes, oldest: oldest.into_sorted_vec(), links })
}

fn candidate(folder: &Rc<Path>, name: &CStr, status: &FileStat) -> Candidate {
    let modified = (status.st_mtime, status.st_mtime_nsec);
    let changed = (status.st_ctime, status.st_ctime_nsec);
    Candidate {
        old_since: modified.min(changed),
        folder: folder.clone(),
        name: name.to_owned(),
        size: size(status),
        modified,
        changed,
        inode: (status.st_dev, status.st_ino),
        is_linked: status.st_nlink > 1,
    }
}

/// What a file takes on the disk, in the 512 bytes of stat(2), and never more than it says.
fn size(status: &FileStat) -> u64 {
    let taken = u64::try_from(status.st_blocks).unwrap_or(0).saturating_mul(512);
    u64::try_from(status.st_size).unwrap_or(0).min(taken)
}

/// Whether a file is old enough, by its last change here.
fn may_go(status: &FileStat, now: Millis, keep_newer_than: Duration) -> bool {
    let changed = status.st_ctime.saturating_mul(1000).saturating_add(status.st_ctime_nsec / 1_000_000);
    Millis(changed).plus(keep_newer_than) <= now
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
fn remove(root: &OwnedFd, candidate: &Candidate, links: &Links) -> Result<Removal, Errno> {
    let removed = || {
        let folder = beneath::folder(root, &candidate.folder)?;
        let status = walk::status(&folder, &candidate.name)?;
        let same = beneath::is_regular(status.st_mode)
            && (status.st_dev, status.st_ino) == candidate.inode
            && (status.st_mtime, status.st_mtime_nsec) == candidate.modified
            && ((status.st_ctime, status.st_ctime_nsec) == candidate.changed
                || links.was_touched(candidate.inode));
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

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _};

    use super::*;
    use crate::{clock::SystemClock, executor::steps::Stop, world::Clock as _};

    /// Between the look and the removal somebody saved something new under the name of what was to go.
    #[test]
    fn a_file_that_took_the_place_of_what_was_to_go_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["kept", "written", "replaced"] {
            fs::write(path(name), b"old").unwrap();
        }
        let (clock, stop) = (SystemClock, Stop::default());
        let limit = Limit { clock: &clock, stop: &stop, ends: clock.boot() + Duration::from_secs(90) };
        let root = beneath::root(folder.path()).unwrap();
        let later = clock.wall().plus(Duration::from_secs(3600));
        let seen = survey(&root, later, Duration::ZERO, &limit).unwrap();
        assert_eq!(seen.oldest.len(), 3);
        // Even under the old date the kernel knows, from the next tick of its clock on.
        let before = fs::metadata(path("written")).unwrap();
        let changed = |status: &fs::Metadata| (status.ctime(), status.ctime_nsec());
        while changed(&fs::metadata(path("written")).unwrap()) == changed(&before) {
            fs::write(path("written"), b"new").unwrap();
            let written = fs::File::options().write(true).open(path("written")).unwrap();
            written.set_times(fs::FileTimes::new().set_modified(before.modified().unwrap())).unwrap();
        }
        fs::write(path("new"), b"new").unwrap();
        fs::rename(path("new"), path("replaced")).unwrap();
        for candidate in &seen.oldest {
            let gone = matches!(remove(&root, candidate, &seen.links), Ok(Removal::Removed));
            assert_eq!(gone, candidate.name.to_bytes() == b"kept", "{:?}", candidate.name);
        }
        assert!(path("written").exists() && path("replaced").exists() && !path("kept").exists());
    }
}
