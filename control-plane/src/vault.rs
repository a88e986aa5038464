//! Write-once storage for evidence: what was put stays as it is until its date, whoever asks.
//!
//! The rule: the same key with the same bytes is fine, again and again; with other bytes it is an error. Nothing here
//! deletes, and a date only moves later. A `put` that came back is on the disk.
//!
//! [`DirectoryVault`] keeps an object as one read-only file and its date as the file's modification time: one fsync
//! per object, as evidence comes in by the hundred. Copy a vault with its times (`cp -a`, `rsync -a`).

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proto::{digest::Digest, time::Millis};

use crate::files::{self, Access, FileError, Staged, parent, sync_folder};

/// The most bytes an object may have.
pub const OBJECT_MAX: u64 = 64 << 20;
/// The most bytes a key may have, and each of its parts.
const KEY_MAX: usize = 512;
const PART_MAX: usize = 200;

/// Something to keep.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// Parts of letters, digits, `.`, `_` and `-`, with `/` between them; none begins with a dot.
    pub key: &'a str,
    /// Exactly what comes back.
    pub bytes: &'a [u8],
    /// Not to be deleted before.
    pub retain_until: Millis,
}

/// Why the vault did not do as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A key that could lead out of the vault, or that not every store can hold.
    #[error(
        "vault key {0:?} must be parts of letters, digits, '.', '_' and '-', not beginning with a dot, with '/' between them"
    )]
    Key(String),
    /// Too large.
    #[error("vault object {key} must be at most {OBJECT_MAX} bytes, has {size}")]
    TooLarge {
        /// Which.
        key: String,
        /// Its size.
        size: usize,
    },
    /// Written before with other bytes: somebody tries to change the past, or reuses a key.
    #[error(
        "vault object {key} was written before with other bytes: it has SHA-256 {kept}, offered was {offered}"
    )]
    Changed {
        /// Which.
        key: String,
        /// What is there.
        kept: Digest,
        /// What was to be put.
        offered: Digest,
    },
    /// What was read back is not what was written.
    #[error("vault object {key} does not read back as it was written; the storage is faulty")]
    ReadBack {
        /// Which.
        key: String,
    },
    /// The file system cannot hold the date.
    #[error("vault object {key} cannot be retained until {until}: the file system keeps no such time")]
    Date {
        /// Which.
        key: String,
        /// Its date.
        until: Millis,
    },
    /// The disk.
    #[error("vault object {key} cannot be kept")]
    File {
        /// Which, or the prefix that was listed.
        key: String,
        /// Why.
        #[source]
        source: FileError,
    },
    /// The disk.
    #[error("vault {key} is not accessible")]
    Io {
        /// Which, or the prefix that was listed.
        key: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Write-once storage.
pub trait Vault: Send + Sync {
    /// Keeps all of `objects`, durably, or says why not; then some of them may have been kept. Repeating is harmless.
    fn put_all(&self, objects: &[Object<'_>]) -> Result<(), VaultError>;

    /// The bytes of an object; `None`: there is none of that key.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, VaultError>;

    /// Until when an object is kept; `None`: there is none of that key.
    fn retained_until(&self, key: &str) -> Result<Option<Millis>, VaultError>;

    /// The keys under a folder (`""`: all), sorted.
    fn list(&self, folder: &str) -> Result<Vec<String>, VaultError>;

    /// Keeps one object.
    fn put(&self, key: &str, bytes: &[u8], retain_until: Millis) -> Result<(), VaultError> {
        self.put_all(&[Object { key, bytes, retain_until }])
    }
}

/// The rule on keys: relative, plain parts only. Letters are ASCII, so that a key is a path and a URL alike.
fn check_key(key: &str) -> Result<&str, VaultError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let part_ok = |part: &str| {
        (1..=PART_MAX).contains(&part.len()) && !part.starts_with('.') && part.bytes().all(plain)
    };
    if key.len() <= KEY_MAX && key.split('/').all(part_ok) {
        Ok(key)
    } else {
        Err(VaultError::Key(key.to_owned()))
    }
}

fn check_size(object: &Object<'_>) -> Result<(), VaultError> {
    let size = object.bytes.len();
    if size as u64 > OBJECT_MAX {
        return Err(VaultError::TooLarge { key: object.key.to_owned(), size });
    }
    Ok(())
}

/// A vault in a folder.
#[derive(Debug, Clone)]
pub struct DirectoryVault {
    root: PathBuf,
}

impl DirectoryVault {
    /// Opens the vault in `root`, which is made when absent.
    pub fn open(root: &Path) -> Result<Self, VaultError> {
        files::create_folder(root).map_err(|source| VaultError::File { key: "folder".to_owned(), source })?;
        Ok(Self { root: root.to_owned() })
    }

    /// Puts one object into place and says which folder must be made durable; never touches what is there.
    fn place(&self, object: &Object<'_>) -> Result<PathBuf, VaultError> {
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
        self.check_back(object, &path, until, fresh)?;
        Ok(parent(&path).to_owned())
    }

    /// What is there must be what was offered. Reads through the page cache: it finds a wrong file, not a dying disk.
    fn check_back(
        &self,
        object: &Object<'_>,
        path: &Path,
        until: SystemTime,
        fresh: bool,
    ) -> Result<(), VaultError> {
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
        if modified()? < until {
            return Err(VaultError::Date { key: key(), until: object.retain_until });
        }
        Ok(())
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
    fn put_all(&self, objects: &[Object<'_>]) -> Result<(), VaultError> {
        let folders: BTreeSet<PathBuf> =
            objects.iter().map(|object| self.place(object)).collect::<Result<_, _>>()?;
        for folder in folders {
            let key = folder.strip_prefix(&self.root).unwrap_or(&folder).display().to_string();
            sync_folder(&folder).map_err(|source| VaultError::Io { key, source })?;
        }
        Ok(())
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, VaultError> {
        match files::read(&self.root.join(check_key(key)?), OBJECT_MAX) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(FileError::Read { source, .. }) if is_absent(&source) => Ok(None),
            Err(source) => Err(VaultError::File { key: key.to_owned(), source }),
        }
    }

    fn retained_until(&self, key: &str) -> Result<Option<Millis>, VaultError> {
        match fs::metadata(self.root.join(check_key(key)?)).and_then(|m| m.modified()) {
            Ok(time) => {
                let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                Ok(Some(Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))))
            }
            Err(error) if is_absent(&error) => Ok(None),
            Err(source) => Err(VaultError::Io { key: key.to_owned(), source }),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, VaultError> {
        let start = if folder.is_empty() { self.root.clone() } else { self.root.join(check_key(folder)?) };
        let mut keys = Vec::new();
        match self.walk(&start, &mut keys) {
            Err(error) if is_absent(&error) => {}
            walked => walked.map_err(|source| VaultError::Io { key: folder.to_owned(), source })?,
        }
        keys.sort();
        Ok(keys)
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn system_time(object: &Object<'_>) -> Result<SystemTime, VaultError> {
    u64::try_from(object.retain_until.0)
        .ok()
        .and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)))
        .ok_or_else(|| VaultError::Date { key: object.key.to_owned(), until: object.retain_until })
}

/// A vault in memory, for simulation. Clones are the same vault, so that it outlives the program that is restarted.
#[derive(Debug, Clone, Default)]
pub struct MemoryVault(Arc<Mutex<BTreeMap<String, Kept>>>);

#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    until: Millis,
}

impl MemoryVault {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        // No write is ever half done, so a panic elsewhere leaves nothing to fear.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vault for MemoryVault {
    fn put_all(&self, objects: &[Object<'_>]) -> Result<(), VaultError> {
        let mut all = self.objects();
        for object in objects {
            check_size(object)?;
            system_time(object)?;
            match all.entry(check_key(object.key)?.to_owned()) {
                btree_map::Entry::Vacant(free) => {
                    free.insert(Kept { bytes: object.bytes.to_vec(), until: object.retain_until });
                }
                btree_map::Entry::Occupied(mut taken) => {
                    let there = taken.get_mut();
                    if there.bytes != object.bytes {
                        let (kept, offered) = (Digest::of(&there.bytes), Digest::of(object.bytes));
                        return Err(VaultError::Changed { key: object.key.to_owned(), kept, offered });
                    }
                    there.until = there.until.max(object.retain_until);
                }
            }
        }
        Ok(())
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, VaultError> {
        Ok(self.objects().get(check_key(key)?).map(|kept| kept.bytes.clone()))
    }

    fn retained_until(&self, key: &str) -> Result<Option<Millis>, VaultError> {
        Ok(self.objects().get(check_key(key)?).map(|kept| kept.until))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, VaultError> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{}/", check_key(folder)?) };
        Ok(self.objects().keys().filter(|key| key.starts_with(&prefix)).cloned().collect())
    }
}
