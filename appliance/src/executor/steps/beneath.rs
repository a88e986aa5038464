//! Opening things inside a directory, and nothing outside of it.
//!
//! The rule: openat2(2) with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_XDEV. The kernel resolves the path as a
//! whole, so nobody wins a race by swapping a directory for a symlink between a check and a use.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use nix::{
    NixPath,
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2},
    libc,
};

/// Opens the directory that the owner of the box named; no part of its path may be a symlink.
pub(super) fn root(path: &Path) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(AT_FDCWD, path, how)
}

/// Opens a directory beneath `root`; an empty path is `root` itself.
pub(super) fn folder(root: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    open(root, path, OFlag::O_DIRECTORY)
}

/// Opens a file beneath `root` for reading; a pipe or a device does not hold it up.
pub(super) fn file<P: NixPath + ?Sized>(root: impl AsFd, path: &P) -> Result<OwnedFd, Errno> {
    open(root, path, OFlag::O_NONBLOCK | OFlag::O_NOCTTY)
}

fn open<P: NixPath + ?Sized>(root: impl AsFd, path: &P, flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new().flags(flags | OFlag::O_RDONLY | OFlag::O_CLOEXEC).resolve(
        ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV,
    );
    openat2(root, path, how)
}

/// Gone meanwhile, or something that is never followed: not ours to look at, and no fault.
pub(super) fn is_not_ours(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ELOOP | Errno::EXDEV | Errno::ENOTDIR)
}

/// Whether a file's mode is that of a regular file.
pub(super) fn is_regular(mode: libc::mode_t) -> bool {
    mode & libc::S_IFMT == libc::S_IFREG
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `/proc` is a file system of its own wherever this runs.
    #[test]
    fn what_lies_on_another_file_system_is_not_opened() {
        let top = root(Path::new("/")).unwrap();
        assert!(folder(&top, Path::new("")).is_ok());
        assert_eq!(folder(&top, Path::new("proc")).unwrap_err(), Errno::EXDEV);
        assert_eq!(file(&top, "proc/version").unwrap_err(), Errno::EXDEV);
    }

    #[test]
    fn no_path_leads_out() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(outside.path().join("watched/folder")).unwrap();
        std::fs::write(outside.path().join("precious"), b"x").unwrap();
        let watched = root(&outside.path().join("watched")).unwrap();
        assert!(folder(&watched, Path::new("folder")).is_ok());
        for out in ["..", "folder/../.."] {
            assert_eq!(folder(&watched, Path::new(out)).unwrap_err(), Errno::EXDEV, "{out}");
        }
        assert_eq!(file(&watched, "../precious").unwrap_err(), Errno::EXDEV);
        assert_eq!(file(&watched, &outside.path().join("precious")).unwrap_err(), Errno::EXDEV);
    }
}
