//! A bundle on disk.
//!
//! The rule: reading a stranger's folder never leaves it, never waits, and never takes more than its bounds. Links are
//! not followed, only plain files are opened, and what is counted is counted before it is read.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{BYTES_MAX, Bundle, FILES_MAX, ReadError, Source, bounds};

/// Folders within folders: a tile's path has six.
const DEPTH_MAX: usize = 8;

/// What a bundle may have, whether or not there is something in it.
const FOLDERS: [&str; 12] = [
    "appliances",
    "attachments",
    "baseline",
    "catalogue",
    "charter",
    "evidence",
    "exceptions",
    "log",
    "orders",
    "oscal",
    "packet",
    "proofs",
];

/// A folder that was listed; its files are read when they are asked for.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    files: BTreeMap<String, Kind>,
}

/// What stood there when the folder was listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A plain file, known by device and inode: whatever is opened later must be the same.
    Plain {
        device: u64,
        inode: u64,
    },
    Other(&'static str),
}

/// Why a folder cannot be a bundle, or could not be written as one.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The disk said no.
    #[error("cannot read or write {path}")]
    Disk {
        /// Where.
        path: PathBuf,
        /// What it said.
        #[source]
        cause: std::io::Error,
    },
    /// More than any bundle has.
    #[error("a bundle must have at most {FILES_MAX} files and folders, {path} has more")]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// More than any bundle has.
    #[error("a bundle must have at most {BYTES_MAX} bytes, {path} has more")]
    TooLarge {
        /// The folder.
        path: PathBuf,
    },
    /// Deeper than any bundle is.
    #[error("a bundle must have at most {DEPTH_MAX} folders within one another, {path} is deeper")]
    TooDeep {
        /// The folder.
        path: PathBuf,
    },
    /// A bundle is written once.
    #[error("{path} must not exist yet, or be an empty folder")]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A name that would leave the folder.
    #[error("{path:?} must be made of letters, digits, dots, hyphens and underscores")]
    Name {
        /// The path.
        path: String,
    },
}

impl Folder {
    /// Lists a folder. What is in it is judged when it is read; only what no bundle can be is refused here.
    pub fn open(root: &Path) -> Result<Self, FolderError> {
        let mut folder = Self { root: root.to_owned(), files: BTreeMap::new() };
        let (mut bytes, mut seen) = (0, 0);
        let mut waiting = vec![(String::new(), 0)];
        while let Some((within, depth)) = waiting.pop() {
            let path = root.join(&within);
            let disk = |cause| FolderError::Disk { path: path.clone(), cause };
            if depth > DEPTH_MAX {
                return Err(FolderError::TooDeep { path });
            }
            for entry in fs::read_dir(&path).map_err(disk)? {
                let entry = entry.map_err(disk)?;
                // Folders count as well: empty ones could be without end.
                seen += 1;
                if seen > FILES_MAX {
                    return Err(FolderError::TooMany { path: root.to_owned() });
                }
                let name = entry.file_name().to_string_lossy().into_owned();
                let relative = if within.is_empty() { name.clone() } else { format!("{within}/{name}") };
                let found = fs::symlink_metadata(entry.path()).map_err(disk)?;
                let plain_name = is_plain(&name) && entry.file_name().to_str().is_some();
                if found.is_dir() && plain_name {
                    waiting.push((relative, depth + 1));
                    continue;
                }
                bytes += found.len();
                folder.files.insert(relative, kind(&found, plain_name));
                if bytes > BYTES_MAX {
                    return Err(FolderError::TooLarge { path: root.to_owned() });
                }
            }
        }
        Ok(folder)
    }
}

impl Source for Folder {
    fn paths(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    fn read(&self, path: &str) -> Result<Cow<'_, [u8]>, ReadError> {
        let listed = *self.files.get(path).ok_or(ReadError::Absent)?;
        if let Kind::Other(found) = listed {
            return Err(ReadError::NotAFile { found });
        }
        // A named pipe was not listed as plain, so this cannot wait; a link put here since has another inode.
        let file = File::open(self.root.join(path)).map_err(ReadError::Disk)?;
        let opened = file.metadata().map_err(ReadError::Disk)?;
        if kind(&opened, true) != listed {
            return Err(ReadError::NotAFile { found: "another one than was listed" });
        }
        let most = bounds::most(path);
        if opened.len() > most {
            return Err(ReadError::TooLarge { bytes: opened.len(), most });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(opened.len()).unwrap_or_default());
        file.take(most + 1).read_to_end(&mut bytes).map_err(ReadError::Disk)?;
        // It may have grown since.
        match bytes.len() as u64 {
            length if length > most => Err(ReadError::TooLarge { bytes: length, most }),
            _ => Ok(Cow::Owned(bytes)),
        }
    }
}

impl Bundle {
    /// Writes the bundle as a folder that is not there yet, or empty.
    pub fn write(&self, root: &Path) -> Result<(), FolderError> {
        let disk = |path: &Path| {
            let path = path.to_owned();
            move |cause| FolderError::Disk { path, cause }
        };
        fs::create_dir_all(root).map_err(disk(root))?;
        if fs::read_dir(root).map_err(disk(root))?.next().is_some() {
            return Err(FolderError::Exists { path: root.to_owned() });
        }
        for folder in FOLDERS {
            let path = root.join(folder);
            fs::create_dir(&path).map_err(disk(&path))?;
        }
        for (relative, bytes) in &self.files {
            if !relative.split('/').all(is_plain) {
                return Err(FolderError::Name { path: relative.clone() });
            }
            let path = root.join(relative);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(disk(parent))?;
            }
            fs::write(&path, bytes).map_err(disk(&path))?;
        }
        Ok(())
    }
}

fn kind(found: &Metadata, plain_name: bool) -> Kind {
    if !plain_name {
        Kind::Other("under a name that no bundle has")
    } else if found.is_file() {
        Kind::Plain { device: found.dev(), inode: found.ino() }
    } else if found.is_symlink() {
        Kind::Other("a symbolic link")
    } else {
        Kind::Other("a device, a pipe or a socket")
    }
}

fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=255).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::{
        super::{FILE_MAX, Place},
        *,
    };

    #[test]
    fn what_was_written_is_read() {
        let scratch = tempfile::tempdir().unwrap();
        let bundle =
            Bundle::new([("a".into(), b"1".to_vec()), ("log/tile/0/x001/000.p/3".into(), vec![7; 96])]);
        let root = scratch.path().join("bundle");
        bundle.write(&root).unwrap();
        let folder = Folder::open(&root).unwrap();
        assert_eq!(Bundle::copy_of(&folder).unwrap(), bundle);
        assert!(root.join("baseline").is_dir());
        assert!(matches!(folder.read("b"), Err(ReadError::Absent)));
        assert!(matches!(bundle.write(&root), Err(FolderError::Exists { .. })));
    }

    #[test]
    fn nothing_outside_is_read_or_written() {
        let scratch = tempfile::tempdir().unwrap();
        let (root, outside) = (scratch.path().join("bundle"), scratch.path().join("outside"));
        fs::create_dir_all(root.join("evidence")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "x").unwrap();
        symlink(outside.join("secret"), root.join("evidence/link")).unwrap();
        symlink(&outside, root.join("folder")).unwrap();
        fs::write(root.join("was-plain"), "x").unwrap();
        fs::write(root.join(".hidden"), "x").unwrap();
        let folder = Folder::open(&root).unwrap();
        assert_eq!(folder.paths(), [".hidden", "evidence/link", "folder", "was-plain"]);

        fs::remove_file(root.join("was-plain")).unwrap();
        symlink(outside.join("secret"), root.join("was-plain")).unwrap();
        for path in folder.paths() {
            assert!(matches!(folder.read(&path), Err(ReadError::NotAFile { .. })), "{path}");
        }
        assert!(matches!(folder.read("../outside/secret"), Err(ReadError::Absent)));

        for path in ["../x", "/x", "a/../x", "a//x", ""] {
            let bundle = Bundle::new([(path.to_owned(), vec![])]);
            let refused = bundle.write(&scratch.path().join("written"));
            fs::remove_dir_all(scratch.path().join("written")).unwrap();
            assert!(matches!(refused, Err(FolderError::Name { .. })), "{path}");
        }
    }

    #[test]
    fn bounds_hold() {
        let scratch = tempfile::tempdir().unwrap();
        let big = File::create(scratch.path().join("big")).unwrap();
        big.set_len(FILE_MAX + 1).unwrap();
        let folder = Folder::open(scratch.path()).unwrap();
        assert!(matches!(folder.read("big"), Err(ReadError::TooLarge { most: FILE_MAX, .. })));

        big.set_len(BYTES_MAX + 1).unwrap();
        assert!(matches!(Folder::open(scratch.path()), Err(FolderError::TooLarge { .. })));

        fs::remove_file(scratch.path().join("big")).unwrap();
        fs::create_dir_all(scratch.path().join("a/".repeat(DEPTH_MAX + 1))).unwrap();
        assert!(matches!(Folder::open(scratch.path()), Err(FolderError::TooDeep { .. })));
    }

    #[test]
    fn every_kind_of_file_has_its_own_bound() {
        let scratch = tempfile::tempdir().unwrap();
        for place in [
            Place::Manifest,
            Place::Evidence(0, proto::digest::Digest::ZERO),
            Place::Proof(0),
            Place::Checkpoint,
            Place::Tile("tile/0/000".parse().unwrap()),
            Place::Entries("tile/entries/000".parse().unwrap()),
        ] {
            let path = scratch.path().join(place.to_string());
            let most = bounds::most(&place.to_string());
            assert!(most < FILE_MAX, "{place}");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            // Sparse: nothing of it is on disk.
            File::create(&path).unwrap().set_len(most + 1).unwrap();
            let refused = Folder::open(scratch.path()).unwrap().read(&place.to_string()).unwrap_err();
            assert_eq!(refused.to_string(), format!("must be at most {most} bytes, has {}", most + 1));
            File::create(&path).unwrap().set_len(most).unwrap();
            assert!(Folder::open(scratch.path()).unwrap().read(&place.to_string()).is_ok(), "{place}");
        }
    }
}
