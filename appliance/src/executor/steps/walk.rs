//! Walking a directory tree by file descriptors.
//!
//! Every name of a regular file is seen. Symlinks, pipes, sockets, devices and what lies on another file system are not
//! looked at.
//!
//! The rule: whoever may write there does not decide what a walk costs. The clock is looked at every thousand names,
//! memory is bounded, and folders beyond that, or nested deeper than a path can say, are skipped and counted.

use std::{
    ffi::{CStr, OsStr},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    rc::Rc,
};

use nix::{
    dir::{Dir, Type},
    errno::Errno,
    fcntl::AtFlags,
    sys::stat::{FileStat, fstatat},
};
use proto::evidence::StepResult;

use super::{Limit, beneath};

/// How many names are seen between two looks at the clock.
const NAMES: u32 = 1000;
/// The most bytes of folders that are still to be looked into.
const PENDING_MAX: usize = 16 << 20;
/// What a folder costs beside its path.
const OVERHEAD: usize = 64;

/// Why a walk did not come to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// Something cannot be read.
    Unreadable(Errno),
    /// It is over its time, or stopped.
    Over(StepResult),
}

impl From<Errno> for Broken {
    fn from(errno: Errno) -> Self {
        Self::Unreadable(errno)
    }
}

/// Folders that are still to be looked into.
#[derive(Default)]
struct Pending {
    folders: Vec<Rc<Path>>,
    bytes: usize,
    skipped: u64,
}

impl Pending {
    fn push(&mut self, folder: &Path, name: &CStr) {
        let path: Rc<Path> = folder.join(OsStr::from_bytes(name.to_bytes())).into();
        let bytes = self.bytes + path.as_os_str().len() + OVERHEAD;
        if bytes > PENDING_MAX {
            self.skipped += 1;
        } else {
            self.bytes = bytes;
            self.folders.push(path);
        }
    }

    fn pop(&mut self) -> Option<Rc<Path>> {
        let folder = self.folders.pop()?;
        self.bytes -= folder.as_os_str().len() + OVERHEAD;
        Some(folder)
    }
}

/// Calls `visit` with folder (relative to `root`), name and status of every regular file beneath `root`; gives the
/// number of folders that it skipped.
///
/// Each folder is opened anew from `root`, so no more descriptors are held however deep the tree is.
pub(super) fn walk(
    root: &OwnedFd,
    limit: &Limit<'_>,
    visit: &mut dyn FnMut(&Rc<Path>, &CStr, &FileStat),
) -> Result<u64, Broken> {
    let mut pending = Pending::default();
    let mut names = 0_u32;
    let mut next: Option<Rc<Path>> = Some(Path::new("").into());
    while let Some(folder) = next {
        look(limit)?;
        let is_root = folder.as_os_str().is_empty();
        let opened = match beneath::folder(root, &folder) {
            Ok(opened) => opened,
            Err(errno) if beneath::is_not_ours(errno) && !is_root => {
                next = pending.pop();
                continue;
            }
            Err(Errno::ENAMETOOLONG) if !is_root => {
                pending.skipped += 1;
                next = pending.pop();
                continue;
            }
            Err(errno) => return Err(errno.into()),
        };
        let listed = opened.try_clone().map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)))?;
        let mut entries = Dir::from_fd(listed)?;
        for entry in entries.iter() {
            names = (names + 1) % NAMES;
            if names == 0 {
                look(limit)?;
            }
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            match entry.file_type() {
                Some(Type::Directory) => pending.push(&folder, name),
                Some(Type::File) | None => match status(&opened, name) {
                    Ok(status) if beneath::is_regular(status.st_mode) => visit(&folder, name, &status),
                    // A file system that does not say what an entry is.
                    Ok(status) if is_folder(&status) => pending.push(&folder, name),
                    Ok(_) | Err(Errno::ENOENT) => {}
                    Err(errno) => return Err(errno.into()),
                },
                Some(_) => {}
            }
        }
        next = pending.pop();
    }
    Ok(pending.skipped)
}

fn look(limit: &Limit<'_>) -> Result<(), Broken> {
    limit.over().map_or(Ok(()), |result| Err(Broken::Over(result)))
}

/// The status of a name in an open folder; of a symlink, its own.
pub(super) fn status(folder: impl AsFd, name: &CStr) -> Result<FileStat, Errno> {
    fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

fn is_folder(status: &FileStat) -> bool {
    status.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR
}
