//! Files that must survive a power cut and that nobody else may read.
//!
//! The rule: a file is whole or absent. It is written beside its place, synced, renamed, and then the folder is synced;
//! what is private is born with mode 0600 and never had another. What somebody else put in its place is not believed:
//! secrets and their folders must be this user's or root's, and are never reached through a symlink.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{Flock, FlockArg},
    libc,
    unistd::{Gid, Uid},
};

/// What could not be done to a file, and which.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {path}")]
pub struct FileError {
    /// What was tried: `create`.
    pub doing: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |source| FileError { doing, path: path.to_owned(), source }
}

/// Makes a folder that only its owner may enter (0700), or takes the rights of others on an existing one away.
pub fn private_folder(path: &Path) -> Result<(), FileError> {
    private_folder_of(path, None)
}

/// The same for a folder that root makes for `user`, or that is that user's already; afterwards it is.
pub fn private_folder_of(path: &Path, user: Option<(Uid, Gid)>) -> Result<(), FileError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed("create folder", parent))?;
        let status = fs::metadata(parent).map_err(failed("look at folder", parent))?;
        let mode = status.permissions().mode() & 0o7777;
        // Whoever may write there could put another folder in this one's place; not where the sticky bit is set.
        if mode & 0o022 != 0 && mode & 0o1000 == 0 {
            return Err(distrusted(
                parent,
                format!("others may write it (mode {mode:o}); must be 755 or less"),
            ));
        }
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_parent(path)?,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(failed("create folder", path)(source)),
    }
    let found = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(path)
        .map_err(failed("use as a folder", path))?;
    let status = found.metadata().map_err(failed("look at folder", path))?;
    is_of(user.map_or_else(Uid::effective, |(uid, _)| uid), path, &status)?;
    if status.permissions().mode() & 0o077 != 0 {
        found
            .set_permissions(Permissions::from_mode(0o700))
            .map_err(failed("close to others the folder", path))?;
    }
    match user {
        Some((uid, gid)) => fchown(&found, Some(uid.as_raw()), Some(gid.as_raw()))
            .map_err(failed("give to the agent's user the folder", path)),
        None => Ok(()),
    }
}

/// Writes a file that does not exist yet, with mode 0600; whole or absent, also after a power cut.
pub fn create_private(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let beside = write_beside(path, content)?;
    // link(2) and not rename(2): it refuses to replace what is there.
    let linked = fs::hard_link(&beside, path).map_err(failed("create", path));
    fs::remove_file(&beside).map_err(failed("remove", &beside))?;
    linked?;
    sync_parent(path)
}

/// Writes a file with mode 0600 in the place of an older one; after a power cut it is the one or the other.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let beside = write_beside(path, content)?;
    fs::rename(&beside, path).map_err(failed("replace", path))?;
    sync_parent(path)
}

fn write_beside(path: &Path, content: &[u8]) -> Result<PathBuf, FileError> {
    let mut name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
    name.push(".new");
    let beside = path.with_file_name(name);
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &beside)(e)),
        _ => {}
    }
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(failed("write", &beside))?;
    Ok(beside)
}

fn distrusted(path: &Path, problem: String) -> FileError {
    failed("trust", path)(io::Error::new(io::ErrorKind::PermissionDenied, problem))
}

/// Whether a file or folder belongs to `user`, to this process's, or to root.
fn is_of(user: Uid, path: &Path, status: &Metadata) -> Result<(), FileError> {
    let owner = Uid::from_raw(status.uid());
    if owner.is_root() || owner == user || owner == Uid::effective() {
        return Ok(());
    }
    Err(distrusted(path, format!("it belongs to user {owner}; must belong to this user or to root")))
}

/// Reads a secret; refuses one that others may read, because then it is none, and one that others put there.
pub fn read_secret(path: &Path) -> Result<String, FileError> {
    read_secret_of(path, Uid::effective())
}

/// The same for a secret that may belong to `user`: root enrols, and then it is the agent's.
pub fn read_secret_of(path: &Path, user: Uid) -> Result<String, FileError> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(failed("open", path))?;
    let status = file.metadata().map_err(failed("look at", path))?;
    // Whoever owns the folder, which is not looked at here, could have put anything there.
    let folder = fs::metadata(parent(path)).map_err(failed("look at the folder of", path))?;
    is_of(Uid::from_raw(folder.uid()), path, &status).or_else(|_| is_of(user, path, &status))?;
    let mode = status.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(distrusted(path, format!("others may read it (mode {mode:o}); must be 600")));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed("read", path))?;
    Ok(text)
}

/// Reads a file that is believed because of who can write it: root, or whoever reads it, and nobody else.
pub fn read_pinned(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut file = File::open(path).map_err(failed("open", path))?;
    let status = file.metadata().map_err(failed("look at", path))?;
    is_of(Uid::effective(), path, &status)?;
    let mode = status.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(distrusted(path, format!("others may write it (mode {mode:o}); must be 644")));
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(failed("read", path))?;
    Ok(content)
}

/// Makes what was created, renamed or removed in the folder of `path` survive a power cut.
pub fn sync_parent(path: &Path) -> Result<(), FileError> {
    let folder = parent(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync folder", folder))
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Held while a process works with a folder; gone with the process.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the lock lives as long as the descriptor")] Flock<File>);

/// Claims `path` for this process alone; fails at once when another has it.
pub fn lock(path: &Path) -> Result<Lock, FileError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(failed("open", path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map(Lock)
        .map_err(|(_, errno)| failed("lock, because another process has it,", path)(errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn private_files_are_whole_private_and_never_overwritten_by_creation() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        private_folder(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
        let path = folder.join("key");
        create_private(&path, b"one").unwrap();
        assert_eq!((mode(&path), read_secret(&path).unwrap().as_str()), (0o600, "one"));
        assert!(create_private(&path, b"two").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, b"three").unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap().as_slice()), (0o600, &b"three"[..]));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_leftover_of_a_power_cut_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("key.new"), b"half").unwrap();
        create_private(&dir.path().join("key"), b"whole").unwrap();
        assert_eq!(fs::read(dir.path().join("key")).unwrap(), b"whole");
    }

    #[test]
    fn what_others_may_read_is_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, b"x").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let refused = read_secret(&path).unwrap_err();
        assert!(refused.source.to_string().contains("mode 640"), "{refused:?}");
        assert!(read_pinned(&path).is_ok(), "others may read what is pinned");
        fs::set_permissions(&path, Permissions::from_mode(0o664)).unwrap();
        assert!(read_pinned(&path).unwrap_err().source.to_string().contains("mode 664"));
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        private_folder(dir.path()).unwrap();
        assert_eq!(mode(dir.path()), 0o700);
    }

    #[test]
    fn what_others_could_have_put_there_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        create_private(&real, b"x").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(read_secret(&link).is_err(), "not through a symlink");
        let folder = dir.path().join("folder");
        std::os::unix::fs::symlink(dir.path(), &folder).unwrap();
        assert!(private_folder(&folder).is_err(), "nor is a symlink a folder");
        let shared = dir.path().join("shared");
        private_folder(&shared).unwrap();
        fs::set_permissions(&shared, Permissions::from_mode(0o777)).unwrap();
        let refused = private_folder(&shared.join("state")).unwrap_err();
        assert!(refused.source.to_string().contains("mode 777"), "{refused:?}");
        fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
        private_folder(&shared.join("state")).unwrap();
        if Uid::effective().is_root() {
            for path in [&real, &shared.join("state")] {
                std::os::unix::fs::chown(path, Some(65_534), None).unwrap();
            }
            assert!(read_secret(&real).unwrap_err().source.to_string().contains("belongs to user 65534"));
            assert!(private_folder(&shared.join("state")).is_err());
        }
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = lock(&path).unwrap();
        assert!(lock(&path).is_err());
        drop(held);
        assert!(lock(&path).is_ok());
    }
}
