//! A vault in a folder, for an installation of one machine.
//!
//! An object is one read-only file and its date the file's modification time. To keep one takes two fsyncs, of the file
//! before it has its name and of the folder after: with the first alone the name could be lost, with the second alone the
//! name could lead to half an object. Of many that go together, some are under way at once: a disk makes them durable
//! together. Copy a vault with its times (`cp -a`, `rsync -a`). Nothing in POSIX stops root from changing a file;
//! what a folder can do is to have every change found.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::PermissionsExt as _,
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use proto::{digest::Digest, time::Millis};

use super::{
    Content, Kept, Lock, OBJECT_MAX, Object, Seen, Vault, VaultError, Version, check_folder, check_key,
    check_size, system_time,
};
use crate::files::{self, Access, FileError, Staged, parent, sync_folder};

/// How many objects are under way at once.
const AT_ONCE: usize = 8;

/// A vault in a folder.
#[derive(Debug, Clone)]
pub struct DirectoryVault {
    root: PathBuf,
}

impl DirectoryVault {
    /// Opens the vault in `root`, which is made when absent.
    pub fn open(root: &Path) -> Result<Self, VaultError> {
        files::create_folder(root).map_err(|source| VaultError::File { key: "folder".to_owned(), source })?;
        Ok(Self::at(root))
    }

    /// The vault in `root`, whatever is there.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Puts objects into place one after the other, then makes their folders durable.
    fn put_some(&self, objects: &[Object<'_>]) -> Result<Vec<Kept>, VaultError> {
        let mut folders = BTreeSet::new();
        let mut all = Vec::with_capacity(objects.len());
        for object in objects {
            let (folder, kept) = self.place(object)?;
            folders.insert(folder);
            all.push(kept);
        }
        for folder in folders {
            let key = folder.strip_prefix(&self.root).unwrap_or(&folder).display().to_string();
            sync_folder(&folder).map_err(|source| VaultError::Io { key, source })?;
        }
        Ok(all)
    }

    /// Puts one object into place and says which folder must be made durable; never touches what is there.
    fn place(&self, object: &Object<'_>) -> Result<(PathBuf, Kept), VaultError> {
        check_size(object)?;
        let path = self.root.join(check_key(object.key)?);
        let io = |source| VaultError::Io { key: object.key.to_owned(), source };
        files::create_folder(parent(&path))
            .map_err(|source| VaultError::File { key: object.key.to_owned(), source })?;
        let until = system_time(object)?;
        // Looking first spares a repeated batch its writes; the link is what decides.
        let fresh = !path.try_exists().map_err(io)?
            && match Staged::write(&path, object.bytes, Access::Sealed, Some(until)).map_err(io)?.link(&path)
            {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
                linked => linked.map(|()| true).map_err(io)?,
            };
        let kept = self.check_back(object, &path, until, fresh)?;
        Ok((parent(&path).to_owned(), kept))
    }

    /// What is there must be what was offered. Reads through the page cache: it finds a wrong file, not a dying disk.
    fn check_back(
        &self,
        object: &Object<'_>,
        path: &Path,
        until: SystemTime,
        fresh: bool,
    ) -> Result<Kept, VaultError> {
        let key = || object.key.to_owned();
        let io = |source| VaultError::Io { key: key(), source };
        let bytes =
            files::read(path, OBJECT_MAX).map_err(|source| VaultError::File { key: key(), source })?;
        let (kept, offered) = (Digest::of(&bytes), Digest::of(object.bytes));
        match (kept == offered, fresh) {
            (true, _) => {}
            (false, true) => return Err(VaultError::ReadBack { key: key() }),
            (false, false) => return Err(VaultError::Changed { key: key(), kept, offered }),
        }
        let file = File::open(path).map_err(io)?;
        let modified = || file.metadata().and_then(|m| m.modified()).map_err(io);
        if !fresh {
            if modified()? < until {
                file.set_modified(until).map_err(io)?;
            }
            // Whoever wrote it may have been killed before this.
            file.sync_all().map_err(io)?;
        }
        let retained = modified()?;
        if retained < until {
            return Err(VaultError::Date { key: key(), until: object.retain_until });
        }
        Ok(Kept { version: String::new(), sha256: kept, retain_until: millis(retained) })
    }

    fn look_at(&self, key: &str) -> Result<Seen, VaultError> {
        let path = self.root.join(check_key(key)?);
        let io = |source| VaultError::Io { key: key.to_owned(), source };
        let facts = match fs::symlink_metadata(&path) {
            Err(error) if is_absent(&error) => return Ok(Seen::default()),
            facts => facts.map_err(io)?,
        };
        // A link, a folder or a pipe under its name is none of ours.
        if !facts.is_file() {
            let version = Version { id: String::new(), content: Content::Other, lock: Lock::None };
            return Ok(Seen { versions: vec![version] });
        }
        let content = match files::read(&path, OBJECT_MAX) {
            Ok(bytes) => Content::Bytes(Digest::of(&bytes)),
            Err(FileError::TooLarge { .. }) => Content::Other,
            Err(source) => return Err(VaultError::File { key: key.to_owned(), source }),
        };
        let until = millis(facts.modified().map_err(io)?);
        let lock = match facts.permissions().mode() & 0o222 {
            0 => Lock::ReadOnlyFile(until),
            _ => Lock::WritableFile(until),
        };
        Ok(Seen { versions: vec![Version { id: String::new(), content, lock }] })
    }

    fn walk(&self, folder: &Path, keys: &mut Vec<String>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                self.walk(&path, keys)?;
            } else if let Some(key) = path.strip_prefix(&self.root).ok().and_then(Path::to_str)
                && check_key(key).is_ok()
            {
                keys.push(key.to_owned());
            }
        }
        Ok(())
    }
}

impl Vault for DirectoryVault {
    fn put_all(&self, objects: &[Object<'_>]) -> Result<Vec<Kept>, VaultError> {
        let each = objects.len().div_ceil(AT_ONCE).max(1);
        let parts = objects.chunks(each);
        if parts.len() <= 1 {
            return self.put_some(objects);
        }
        let kept: Result<Vec<_>, VaultError> = thread::scope(|scope| {
            let parts: Vec<_> = parts.map(|part| scope.spawn(|| self.put_some(part))).collect();
            let done = parts.into_iter().map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic)));
            done.collect()
        });
        Ok(kept?.concat())
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, VaultError> {
        match files::read(&self.root.join(check_key(key)?), OBJECT_MAX) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(FileError::Read { source, .. }) if is_absent(&source) => Ok(None),
            Err(source) => Err(VaultError::File { key: key.to_owned(), source }),
        }
    }

    fn look(&self, keys: &[&str]) -> Result<Vec<Seen>, VaultError> {
        keys.iter().map(|key| self.look_at(key)).collect()
    }

    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<String>, VaultError> {
        let start = if check_folder(folder)?.is_empty() { self.root.clone() } else { self.root.join(folder) };
        check_folder(after)?;
        let mut keys = Vec::new();
        match self.walk(&start, &mut keys) {
            Err(error) if is_absent(&error) => {}
            walked => walked.map_err(|source| VaultError::Io { key: folder.to_owned(), source })?,
        }
        keys.retain(|key| key.as_str() > after);
        keys.sort();
        Ok(keys)
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn millis(time: SystemTime) -> Millis {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
