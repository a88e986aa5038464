//! Secrets: where what is sent sealed to this box may be put.
//!
//! The rule: the executor can write there, it lies there for others, and nothing else that this configuration names removes
//! it, reads it, or is replaced by it.

use std::path::{Path, PathBuf};

use super::{Checked, Config, Repository, WatchEntry, absolute, bad};

/// Where the executor cannot write, or only for itself, by the line of `units/orderly-executor.service` that has it so.
const SHUT_BY_UNIT: &[(&str, &[&str])] =
    &[("PrivateTmp=yes", &["/tmp", "/var/tmp"]), ("ProtectKernelModules=yes", &["/usr/lib/modules"])];
/// Where no file is kept, or where everybody may read it.
const NO_PLACE: &[&str] = &["/dev", "/nix", "/proc", "/sys"];
/// Old files of the journal are removed by RB-DISK-001, and its lines are read.
const JOURNAL: &[&str] = &["/run/log/journal", "/var/log/journal"];

/// Checks names and places of all secrets.
pub(super) fn check(config: &Config) -> Checked {
    for (name, path) in &config.secrets {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=40).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(bad("secrets", name, "must be named by 1 to 40 small letters, digits and hyphens"));
        }
        let key = format!("secrets.{name}");
        absolute(&key, path)?;
        let wrong = |allowed: String| Err(bad(&key, format!("{path:?}"), allowed));
        let lies_in = |folder: &&&str| path.starts_with(folder);
        if let Some((line, folder)) =
            SHUT_BY_UNIT.iter().find_map(|(line, all)| Some((line, all.iter().find(lies_in)?)))
        {
            return wrong(format!(
                "must lie where the executor can write and others can look: its unit has {line}, so not in {folder}"
            ));
        }
        if let Some(folder) = NO_PLACE.iter().find(lies_in) {
            return wrong(format!("must not lie in {folder}: no file is kept there, or everybody reads it"));
        }
        if let Some(folder) = JOURNAL.iter().find(lies_in) {
            return wrong(format!(
                "must not lie in {folder}: the journal is read, and its old files are removed"
            ));
        }
        if let Some((other, place, why)) = named(config).into_iter().find(|(_, place, _)| touch(path, place))
        {
            return wrong(format!("must lie apart from {other} = {place:?}: {why}"));
        }
        let others = config.secrets.iter().filter(|(other, _)| *other != name);
        if let Some((other, place)) = others.into_iter().find(|(_, place)| touch(path, place)) {
            return wrong(format!(
                "must lie apart from secrets.{other} = {place:?}: one would replace the other"
            ));
        }
    }
    Ok(())
}

/// Whether one lies in the other, or is what stands beside a secret while it is written.
fn touch(secret: &Path, place: &Path) -> bool {
    let mut beside = secret.as_os_str().to_owned();
    beside.push(".new");
    let overlaps = |path: &Path| path.starts_with(place) || place.starts_with(path);
    overlaps(secret) || overlaps(Path::new(&beside))
}

/// All that is named for another purpose than to hold a secret: key, place, and what happens there.
fn named(config: &Config) -> Vec<(String, PathBuf, &'static str)> {
    let (paths, trust) = (&config.paths, &config.trust);
    let mut named: Vec<(String, PathBuf, &'static str)> = [
        ("the configuration", config.file.clone(), "it would be replaced"),
        ("trust.organization_keys", trust.organization_keys.clone(), "it would be replaced"),
        ("trust.ca", trust.ca.clone(), "it would be replaced"),
        ("paths.socket", paths.socket.clone(), "it would be replaced"),
        ("paths.hold", paths.hold.clone(), "whatever lies there holds all orders"),
        ("paths.exceptions", paths.exceptions.clone(), "whatever lies there is read as an exception"),
        ("the agent's folder", paths.agent(), "the agent could read and replace it"),
        ("the executor's folder", paths.executor(), "the executor's own state lies there"),
    ]
    .map(|(key, place, why)| (key.to_owned(), place, why))
    .into();
    for entry in config.watch.values() {
        let key = |field: &str| format!("watch.{}.{}.{field}", entry.kind(), entry.id());
        match entry {
            WatchEntry::Directory(entry) => {
                named.push((key("path"), entry.path.clone(), "old files are removed from it"));
            }
            WatchEntry::Log(entry) => {
                named.push((key("path"), entry.path.clone(), "lines of it are sent to the control plane"));
            }
            WatchEntry::Backup(entry) => {
                if let Repository::Local(path) = &entry.repository {
                    named.push((key("repository"), path.clone(), "it is restic's"));
                }
            }
            WatchEntry::Filesystem(entry) => {
                for (at, cache) in entry.caches.iter().enumerate() {
                    named.push((key(&format!("caches[{at}]")), cache.clone(), "everything in it is removed"));
                }
            }
            WatchEntry::Certificate(entry) => {
                named.push((key("roots"), entry.roots.clone(), "it is read as certificates"));
                if let Some(file) = &entry.file {
                    named.push((key("file"), file.clone(), "it is read as a certificate"));
                }
            }
            _ => {}
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = include_str!("../../../units/orderly-executor.service");

    /// Settings of systemd.exec(5) that shut a service out of folders, or give it others in their place.
    const SHUTS: &[&str] = &[
        "BindPaths",
        "BindReadOnlyPaths",
        "DynamicUser",
        "ExecPaths",
        "InaccessiblePaths",
        "MountImages",
        "NoExecPaths",
        "PrivateDevices",
        "PrivateTmp",
        "ProtectControlGroups",
        "ProtectHome",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectProc",
        "ProtectSystem",
        "ReadOnlyPaths",
        "ReadWritePaths",
        "RootDirectory",
        "RootImage",
        "TemporaryFileSystem",
        "User",
    ];

    #[test]
    fn where_the_executor_cannot_write_is_what_its_unit_says() {
        let shuts = |line: &&str| line.split_once('=').is_some_and(|(key, _)| SHUTS.contains(&key));
        let mut lines: Vec<&str> = UNIT.lines().filter(shuts).collect();
        lines.sort_unstable();
        let known: Vec<&str> = SHUT_BY_UNIT.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, known, "a secret must not be put where the executor's unit cannot write");
    }
}
