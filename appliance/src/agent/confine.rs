//! The agent's own fence: from its start on the kernel lets it open what it needs and nothing else, whoever it runs as
//! (Landlock, Documentation/userspace-api/landlock.rst).
//!
//! The rule: what it may read stands here or in the configuration, it may write in its own folder alone, and it may
//! listen nowhere. The fence is made of files, not of names: when one of them was replaced, the agent must begin anew
//! ([`Fence::is_outdated`]).

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus,
};

use crate::config::{Config, WatchEntry};

/// The newest rights that are asked for; an older kernel gives what it has.
const RIGHTS: ABI = ABI::V5;
/// Programs, libraries, and what names are found by.
const READ: &[&str] = &[
    "/proc",
    "/sys",
    "/usr",
    "/lib",
    "/lib64",
    "/nix/store",
    "/run/current-system",
    "/run/systemd/resolve",
    "/etc/ssl",
    "/etc/pki",
    "/etc/static",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/ld.so.cache",
    "/etc/localtime",
];
/// What journalctl needs besides.
const JOURNAL: &[&str] = &["/var/log/journal", "/run/log/journal", "/etc/machine-id"];
const PROGRAMS: &[&str] = &["/usr", "/bin", "/lib", "/lib64", "/nix/store", "/run/current-system"];

/// How far the kernel holds us to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Wholly.
    Wholly,
    /// As far as this kernel can.
    Partly,
    /// Not at all: it has no Landlock.
    NotAtAll,
}

/// The fence, once it stands.
#[derive(Debug)]
pub struct Fence {
    /// How far it holds.
    pub held: Held,
    parts: BTreeMap<PathBuf, Option<Identity>>,
}

/// Device and inode.
type Identity = (u64, u64);

/// Puts up the fence around this thread and all that it begins; to be called before there are others.
pub fn around_agent(config: &Config) -> Result<Fence, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let everything = AccessFs::from_all(RIGHTS);
    let write = everything & !BitFlags::from(AccessFs::Execute);
    let mut rights: BTreeMap<PathBuf, BitFlags<AccessFs>> = BTreeMap::new();
    let mut allow = |path: &Path, right: BitFlags<AccessFs>| {
        *rights.entry(path.to_owned()).or_default() |= right;
    };
    READ.iter().for_each(|path| allow(Path::new(path), read));
    allow(Path::new("/dev/null"), AccessFs::ReadFile | AccessFs::WriteFile);
    allow(Path::new("/dev/urandom"), read);
    allow(&config.paths.agent(), write);
    for path in [&config.file, &config.trust.ca, &config.trust.organization_keys] {
        allow(folder_of(path), read);
    }
    if let Some(path) = &config.control_plane.proxy_credentials {
        allow(folder_of(path), read);
    }
    for entry in config.watch.values() {
        match entry {
            // Its folder: a log that is rotated away is finished under its new name.
            WatchEntry::Log(log) => allow(folder_of(&log.path), read),
            WatchEntry::Certificate(entry) => allow(folder_of(&entry.roots), read),
            WatchEntry::Journal(_) => {
                JOURNAL.iter().for_each(|path| allow(Path::new(path), read));
                PROGRAMS.iter().for_each(|path| allow(Path::new(path), read | AccessFs::Execute));
            }
            _ => {}
        }
    }
    let mut rules =
        Ruleset::default().handle_access(everything)?.handle_access(AccessNet::BindTcp)?.create()?;
    for (path, right) in &rights {
        // What is not there cannot be opened; when it comes, the fence is outdated.
        let (Ok(found), Ok(opened)) = (fs::metadata(path), PathFd::new(path)) else { continue };
        let right = if found.is_dir() { *right } else { *right & AccessFs::from_file(RIGHTS) };
        rules = rules.add_rule(PathBeneath::new(opened, right))?;
    }
    let held = match rules.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Held::Wholly,
        RulesetStatus::PartiallyEnforced => Held::Partly,
        RulesetStatus::NotEnforced => Held::NotAtAll,
    };
    let parts = rights.into_keys().map(|path| (path.clone(), identity(&path))).collect();
    Ok(Fence { held, parts })
}

impl Fence {
    /// Whether a part of it was replaced, or came to be: the new one is out of reach until the agent begins anew.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        // Looking at what a file is, not into it, is always allowed.
        self.held != Held::NotAtAll
            && self.parts.iter().any(|(path, known)| {
                let now = identity(path);
                now.is_some() && now != *known
            })
    }
}

fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
