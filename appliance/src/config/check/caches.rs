//! Cache folders: whatever lies in one goes when its file system is full, so nothing that has to stay may lie there.
//!
//! The rule: a folder that says of itself what it is, on the file system that it is to make room on, outside of what the
//! system is made of, and apart from everything that this configuration names for another purpose.

use std::path::{Component, Path};

use super::{BadValue, Checked, Config, WatchEntry, absolute, bad, kept};
use crate::config::Filesystem;

/// What the system is made of, and what is no disk.
const SYSTEM: &[&str] = &[
    "/bin", "/boot", "/dev", "/efi", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/nix", "/proc", "/sbin",
    "/sys", "/usr",
];

/// Checks the cache folders of a file system.
pub(super) fn check(entry: &Filesystem, config: &Config) -> Checked {
    for (at, path) in entry.caches.iter().enumerate() {
        let key = format!("watch.filesystem.{}.caches[{at}]", entry.id);
        absolute(&key, path)?;
        let wrong = |allowed: String| -> BadValue { bad(&key, format!("{path:?}"), allowed) };
        if !path.components().any(says_so) {
            return Err(wrong(
                "everything in it is removed, so it or a folder above it must be called what it is: cache or tmp, \
                 such as /var/cache"
                    .to_owned(),
            ));
        }
        if !path.starts_with(&entry.path) || *path == entry.path {
            let mount = &entry.path;
            return Err(wrong(format!("must lie below {mount:?}: there it is to make room")));
        }
        if let Some(system) = SYSTEM.iter().find(|system| path.starts_with(system)) {
            return Err(wrong(format!("must not lie in {system}: the system is made of that")));
        }
        let other = kept(config, &entry.id)
            .into_iter()
            .find(|(_, kept)| kept.starts_with(path) || path.starts_with(kept))
            .or_else(|| read(config).into_iter().find(|(_, read)| read.starts_with(path)));
        if let Some((other, other_path)) = other {
            return Err(wrong(format!(
                "everything in it is removed, so it must lie apart from {other} = {other_path:?}"
            )));
        }
    }
    Ok(())
}

/// Whether a part of a path says that what lies below can be had again.
fn says_so(part: Component<'_>) -> bool {
    let Component::Normal(name) = part else { return false };
    let name = name.to_string_lossy().to_ascii_lowercase();
    name.contains("cache") || name == "tmp"
}

/// What is read, and so must be there, though it may lie in a folder that changes: backed up, searched, believed.
fn read(config: &Config) -> Vec<(String, &Path)> {
    let mut read: Vec<(String, &Path)> = Vec::new();
    for entry in config.watch.values() {
        let id = entry.id();
        match entry {
            WatchEntry::Backup(backup) => {
                for (at, source) in backup.sources.iter().enumerate() {
                    read.push((format!("watch.backup.{id}.sources[{at}]"), source));
                }
            }
            WatchEntry::Log(log) => read.push((format!("watch.log.{id}.path"), &log.path)),
            WatchEntry::Certificate(certificate) => {
                read.push((format!("watch.certificate.{id}.roots"), &certificate.roots));
                if let Some(file) = &certificate.file {
                    read.push((format!("watch.certificate.{id}.file"), file));
                }
            }
            WatchEntry::Filesystem(other) => {
                read.push((format!("watch.filesystem.{id}.path"), &other.path));
            }
            _ => {}
        }
    }
    read
}
