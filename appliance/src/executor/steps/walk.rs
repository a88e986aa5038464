//! Walking a directory tree by file descriptors.
//!
//! Regular files are counted, by name: one with two names counts twice. Symlinks, pipes, sockets, devices and what lies
//! on another file system are not looked at.

use std::{
    ffi::{CStr, OsStr},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use nix::{
    dir::{Dir, Type},
    errno::Errno,
    fcntl::AtFlags,
    sys::stat::{FileStat, fstatat},
};
use proto::evidence::StepResult;

use super::{Limit, beneath};

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

/// Calls `visit` with folder (relative to `root`), name and status of every regular file beneath `root`.
///
/// Each folder is opened anew from `root`, so one descriptor is held at a time however deep the tree is.
pub(super) fn walk(
    root: &OwnedFd,
    limit: &Limit<'_>,
    visit: &mut dyn FnMut(&Path, &CStr, &FileStat),
) -> Result<(), Broken> {
    let mut pending = vec![PathBuf::new()];
    while let Some(folder) = pending.pop() {
        if let Some(result) = limit.over() {
            return Err(Broken::Over(result));
        }
        let opened = match beneath::folder(root, &folder) {
            Ok(opened) => opened,
            Err(errno) if beneath::is_not_ours(errno) && !folder.as_os_str().is_empty() => continue,
            Err(errno) => return Err(errno.into()),
        };
        let mut entries = Dir::from_fd(opened)?;
        let mut found = Vec::new();
        for entry in entries.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            match entry.file_type() {
                Some(Type::Directory) => pending.push(folder.join(OsStr::from_bytes(name.to_bytes()))),
                Some(Type::File) | None => found.push(name.to_owned()),
                Some(_) => {}
            }
        }
        for name in found {
            let status = match status(entries.as_fd(), &name) {
                Ok(status) => status,
                Err(Errno::ENOENT) => continue,
                Err(errno) => return Err(errno.into()),
            };
            if beneath::is_regular(status.st_mode) {
                visit(&folder, &name, &status);
            } else if is_folder(&status) {
                // A file system that does not say what an entry is.
                pending.push(folder.join(OsStr::from_bytes(name.to_bytes())));
            }
        }
    }
    Ok(())
}

/// The status of a name in an open folder; of a symlink, its own.
pub(super) fn status(folder: impl AsFd, name: &CStr) -> Result<FileStat, Errno> {
    fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

fn is_folder(status: &FileStat) -> bool {
    status.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR
}
