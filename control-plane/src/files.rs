//! Writes and reads files so that a power cut leaves the old content or the new one, never half of either.
//!
//! The rule: temporary file beside the target, write, fsync, put into place, fsync the folder. What must never be
//! overwritten (keys, vault objects) is put into place by a hard link, which fails when the name is taken.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use proto::{field::BadField, keys::SecretKey};

/// The most bytes a key file may have; a P-256 key takes about 330.
const KEY_FILE_MAX: u64 = 4096;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Its owner: 0600.
    Secret,
    /// Everybody: 0644.
    Public,
    /// Everybody, and nobody writes it again: 0444.
    Sealed,
}

impl Access {
    fn mode(self) -> u32 {
        match self {
            Self::Secret => 0o600,
            Self::Public => 0o644,
            Self::Sealed => 0o444,
        }
    }
}

/// Why a file could not be read or written. Says which, never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Not readable.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not writable.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// More than was asked for.
    #[error("{} must be at most {max} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The bound.
        max: u64,
    },
    /// Something of that name is there already.
    #[error("{} exists already and is not overwritten; move it away or choose another name", path.display())]
    Taken {
        /// Which.
        path: PathBuf,
    },
    /// A secret that others can read.
    #[error("{} holds a secret and must be readable by its owner alone, has mode {mode:04o}; run chmod 600", path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not UTF-8.
    #[error("{} must be text in UTF-8", path.display())]
    NotText {
        /// Which.
        path: PathBuf,
    },
    /// Not a key file.
    #[error("{} is not a key", path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: BadField,
    },
}

/// Writes `path`, in place of what is there.
pub fn replace(path: &Path, bytes: &[u8], access: Access) -> Result<(), FileError> {
    Staged::write(path, bytes, access, None)
        .and_then(|staged| staged.rename(path))
        .and_then(|()| sync_folder(parent(path)))
        .map_err(|source| FileError::Write { path: path.to_owned(), source })
}

/// Writes `path`, which must not exist.
pub fn create(path: &Path, bytes: &[u8], access: Access) -> Result<(), FileError> {
    Staged::write(path, bytes, access, None)
        .and_then(|staged| staged.link(path))
        .and_then(|()| sync_folder(parent(path)))
        .map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => FileError::Taken { path: path.to_owned() },
            _ => FileError::Write { path: path.to_owned(), source },
        })
}

/// Makes `path` and the folders above it, each durable and for its owner alone (0700); what exists is left as it is.
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    let wrong = |source| FileError::Write { path: path.to_owned(), source };
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    create_folder(parent(path))?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made.map_err(wrong)?,
    }
    sync_folder(parent(path)).map_err(wrong)
}

/// Reads all of `path`, which must have at most `max` bytes.
pub fn read(path: &Path, max: u64) -> Result<Vec<u8>, FileError> {
    let wrong = |source| FileError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    // A pipe without a writer would hold up whoever opens it.
    let open = || match fs::metadata(path)?.file_type().is_fifo() {
        true => Err(io::Error::new(ErrorKind::InvalidInput, "it is a pipe")),
        false => File::open(path),
    };
    open().and_then(|file| file.take(max.saturating_add(1)).read_to_end(&mut bytes)).map_err(wrong)?;
    if bytes.len() as u64 > max {
        return Err(FileError::TooLarge { path: path.to_owned(), max });
    }
    Ok(bytes)
}

/// Reads text.
pub fn read_text(path: &Path, max: u64) -> Result<String, FileError> {
    String::from_utf8(read(path, max)?).map_err(|_| FileError::NotText { path: path.to_owned() })
}

/// Reads a secret, which nobody but its owner may be able to read.
pub fn read_secret(path: &Path, max: u64) -> Result<String, FileError> {
    let mode = fs::metadata(path)
        .map_err(|source| FileError::Read { path: path.to_owned(), source })?
        .permissions()
        .mode()
        & 0o777;
    if mode & 0o077 != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    read_text(path, max)
}

/// Reads a signing key.
pub fn read_secret_key(path: &Path) -> Result<SecretKey, FileError> {
    SecretKey::from_file(&read_secret(path, KEY_FILE_MAX)?)
        .map_err(|source| FileError::Key { path: path.to_owned(), source })
}

/// Makes durable which names a folder holds.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The folder that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A complete, durable file under a name of its own. Goes away unless it is put into place.
pub(crate) struct Staged(PathBuf);

impl Staged {
    /// Beside `target`, so that putting it into place never crosses file systems.
    pub(crate) fn write(
        target: &Path,
        bytes: &[u8],
        access: Access,
        modified: Option<SystemTime>,
    ) -> io::Result<Self> {
        let (staged, mut file) = Self::begin(target)?;
        file.write_all(bytes)?;
        // Not by open(2): there the umask would take part.
        file.set_permissions(Permissions::from_mode(access.mode()))?;
        if let Some(modified) = modified {
            file.set_modified(modified)?;
        }
        file.sync_all()?;
        Ok(staged)
    }

    fn begin(target: &Path) -> io::Result<(Self, File)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = target.file_name().ok_or_else(|| io::Error::from(ErrorKind::InvalidFilename))?;
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!(".{}.{}-{number}.new", name.to_string_lossy(), process::id());
            let path = parent(target).join(name);
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                // Left behind by a process of the same number that was killed.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                opened => return Ok((Self(path), opened?)),
            }
        }
    }

    /// Into place, over what is there.
    fn rename(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.0, target)
    }

    /// Into place, if the name is free.
    pub(crate) fn link(self, target: &Path) -> io::Result<()> {
        fs::hard_link(&self.0, target)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove; after a failure the first error is the one that counts.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn replacing_leaves_one_file_with_the_asked_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for (bytes, access, mode) in [
            (&b"one"[..], Access::Secret, 0o600),
            (b"two", Access::Public, 0o644),
            (b"", Access::Sealed, 0o444),
        ] {
            replace(&path, bytes, access).unwrap();
            assert_eq!(read(&path, 3).unwrap(), bytes);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            assert_eq!(names(folder.path()), ["a"], "no temporary file stays");
        }
    }

    #[test]
    fn creating_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, b"first", Access::Secret).unwrap();
        let refused = create(&path, b"second", Access::Secret).unwrap_err();
        assert!(matches!(refused, FileError::Taken { .. }), "{refused}");
        assert_eq!(read(&path, 100).unwrap(), b"first");
        assert_eq!(names(folder.path()), ["key"]);
    }

    #[test]
    fn creating_does_not_follow_a_link_that_leads_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let (link, elsewhere) = (folder.path().join("key"), folder.path().join("elsewhere"));
        std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        assert!(matches!(create(&link, b"secret", Access::Secret), Err(FileError::Taken { .. })));
        assert!(!elsewhere.exists());
    }

    #[test]
    fn reading_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big");
        fs::write(&path, [0; 11]).unwrap();
        assert_eq!(read(&path, 11).unwrap().len(), 11);
        assert!(matches!(read(&path, 10), Err(FileError::TooLarge { max: 10, .. })));
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("order.key");
        create(&path, SecretKey::ed25519([5; 32]).to_file().as_bytes(), Access::Secret).unwrap();
        assert_eq!(read_secret_key(&path).unwrap().public(), SecretKey::ed25519([5; 32]).public());
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let refused = read_secret_key(&path).unwrap_err().to_string();
        assert!(
            refused.contains("order.key") && refused.contains("0640") && refused.contains("chmod 600"),
            "{refused}"
        );
    }

    #[test]
    fn folders_are_made_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        create_folder(&deep).unwrap();
        create_folder(&deep).unwrap();
        for made in ["a", "a/b", "a/b/c"] {
            let mode = fs::metadata(folder.path().join(made)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{made}");
        }
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(create_folder(&folder.path().join("file")).is_err());
    }
}
