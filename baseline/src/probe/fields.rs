//! What each probe's reading consists of: fields, and for each the values that it can have.
//!
//! This is the whole of what baseline evidence can say. A reader that yields anything else is not believed, and what it
//! yielded is not kept.

use proto::field::BadField;

use super::Probe;
use crate::reading::{OTHER, Reading, ReadingValue, Word};

/// What a field can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no.
    Flag,
    /// A whole number.
    Number,
    /// Four octal digits: permission bits.
    Mode,
    /// One of these words, or [`OTHER`].
    Word(&'static [&'static str]),
    /// Any of these words, or [`OTHER`].
    Words(&'static [&'static str]),
}

impl Kind {
    /// Whether a field of this kind can have this value.
    #[must_use]
    pub fn admits(self, value: &ReadingValue) -> bool {
        let known = |words: &[&str], word: &Word| word.as_str() == OTHER || words.contains(&word.as_str());
        match (self, value) {
            (Self::Flag, ReadingValue::Flag(_)) | (Self::Number, ReadingValue::Number(_)) => true,
            (Self::Mode, ReadingValue::Word(word)) => word.as_mode().is_some(),
            (Self::Word(words), ReadingValue::Word(word)) => known(words, word),
            (Self::Words(words), ReadingValue::Words(found)) => found.iter().all(|word| known(words, word)),
            _ => false,
        }
    }

    /// What it can be, for a complaint.
    #[must_use]
    pub fn describe(self) -> String {
        match self {
            Self::Flag => "true or false".into(),
            Self::Number => "a whole number".into(),
            Self::Mode => "four octal digits in quotes".into(),
            Self::Word(words) => format!("one of: {}, {OTHER}", words.join(", ")),
            Self::Words(words) => format!("a list of: {}, {OTHER}", words.join(", ")),
        }
    }
}

impl Probe {
    /// The fields of its reading. One that does not apply is left out (the mode of a file that is not there).
    #[must_use]
    pub fn fields(&self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::Sysctl { .. } => &[("value", Kind::Number)],
            Self::Sshd { keyword } => keyword.fields(),
            Self::HostKeys {} => &[("exposed", Kind::Number), ("keys", Kind::Number), ("weak", Kind::Number)],
            Self::File { .. } => FILE,
            Self::Unit { property, .. } => property.fields(),
            Self::Mount { .. } => &[
                ("fstype", Kind::Word(FILE_SYSTEMS)),
                ("mounted", Kind::Flag),
                ("options", Kind::Words(MOUNT_OPTIONS)),
            ],
            Self::Listening {} => LISTENING,
            Self::Firewall {} => {
                &[("input", Kind::Word(&["drop", "accept", "absent"])), ("open_ports", Kind::Number)]
            }
            Self::Cmdline {} => {
                &[("hardening", Kind::Words(HARDENING)), ("weakening", Kind::Words(WEAKENING))]
            }
            Self::AuditRules {} => &[
                ("enabled", Kind::Number),
                ("keys", Kind::Words(AUDIT_KEYS)),
                ("lost", Kind::Number),
                ("rules", Kind::Number),
            ],
            Self::Chrony {} => &[
                ("leap", Kind::Word(CHRONY_LEAP)),
                ("offset_ms", Kind::Number),
                ("sources", Kind::Number),
                ("stratum", Kind::Number),
            ],
            Self::Luks { .. } => {
                &[("encrypted", Kind::Flag), ("key_bits", Kind::Number), ("version", Kind::Number)]
            }
            Self::Users {} => USERS,
            Self::Module { .. } => &[("blocked", Kind::Flag), ("loaded", Kind::Flag)],
            Self::Setting { key, .. } => key.fields(),
            Self::Lockdown {} => &[("mode", Kind::Word(&["none", "integrity", "confidentiality"]))],
            Self::Lsm {} => &[("active", Kind::Words(LSMS))],
            Self::Swap {} => &[("areas", Kind::Number), ("unencrypted", Kind::Number)],
            Self::Coredump {} => &[
                ("handler", Kind::Word(&["systemd-coredump", "discard", "file"])),
                ("storage", Kind::Word(&["none", "external", "journal"])),
            ],
            Self::Backups {} => BACKUPS,
        }
    }

    /// The kind of a field; the complaint lists the fields that there are.
    pub(crate) fn field(&self, name: &str) -> Result<Kind, BadField> {
        let found = self.fields().iter().find(|(field, _)| *field == name);
        found.map(|(_, kind)| *kind).ok_or_else(|| {
            let names: Vec<&str> = self.fields().iter().map(|(field, _)| *field).collect();
            BadField::new(name, format!("is no field of {}; fields are: {}", self.name(), names.join(", ")))
        })
    }

    /// Refuses a reading that this probe cannot yield. Fields may be missing; whoever judges says which matter.
    pub fn admits(&self, reading: &Reading) -> Result<(), BadField> {
        for (name, value) in reading {
            let kind = self.field(name)?;
            if !kind.admits(value) {
                return Err(BadField::new(name, format!("must be {}", kind.describe())));
            }
        }
        Ok(())
    }
}

pub(super) const YES_NO: &[&str] = &["yes", "no"];

/// Whose a file is: root's, a system account's (an ID below 1000), or anybody else's.
const OWNERS: &[&str] = &["root", "system", "person"];

const FILE: &[(&str, Kind)] = &[
    ("exists", Kind::Flag),
    ("group", Kind::Word(OWNERS)),
    ("kind", Kind::Word(FILE_KINDS)),
    ("mode", Kind::Mode),
    ("owner", Kind::Word(OWNERS)),
];

/// `tcp`, `udp`, `raw`: IPv4 and IPv6 together; `other`: SCTP, DCCP, UDP-Lite, ICMP; all without the DHCP client.
const LISTENING: &[(&str, Kind)] = &[
    ("dhcp_client", Kind::Number),
    ("other", Kind::Number),
    ("raw", Kind::Number),
    ("tcp", Kind::Number),
    ("udp", Kind::Number),
];

/// Accounts; `people`: with an ID from 1000 and a shell; `password_logins`: with a password that can match and a shell.
const USERS: &[(&str, Kind)] = &[
    ("duplicate_ids", Kind::Number),
    ("empty_passwords", Kind::Number),
    ("password_logins", Kind::Number),
    ("people", Kind::Number),
    ("system_shells", Kind::Number),
    ("uid_zero", Kind::Number),
    ("weak_hashes", Kind::Number),
];

/// `exposed_secrets`: password files that others than their owner can read.
const BACKUPS: &[(&str, Kind)] = &[
    ("exposed_secrets", Kind::Number),
    ("repositories", Kind::Number),
    ("restores_due", Kind::Number),
    ("stale", Kind::Number),
    ("unreadable", Kind::Number),
];

/// What a file can be.
pub const FILE_KINDS: &[&str] = &["file", "folder", "link"];
/// Types of file systems.
pub const FILE_SYSTEMS: &[&str] =
    &["btrfs", "erofs", "ext4", "f2fs", "overlay", "ramfs", "squashfs", "tmpfs", "vfat", "xfs", "zfs"];
/// Options of a mount, its own and its file system's together.
pub const MOUNT_OPTIONS: &[&str] =
    &["ro", "rw", "nodev", "noexec", "nosuid", "noatime", "relatime", "strictatime", "nosymfollow"];
/// Parameters of the kernel command line that harden.
pub const HARDENING: &[&str] = &[
    "audit=1",
    "debugfs=off",
    "init_on_alloc=1",
    "init_on_free=1",
    "iommu.strict=1",
    "lockdown=confidentiality",
    "lockdown=integrity",
    "module.sig_enforce=1",
    "nohibernate",
    "page_alloc.shuffle=1",
    "randomize_kstack_offset=on",
    "slab_nomerge",
    "vsyscall=none",
];
/// Parameters that weaken; `shell` stands for any of `init=`, `rd.break`, `systemd.debug_shell`, `single`, `rescue` and
/// `emergency` by which a console gets a shell without a login. NixOS's own `init=/nix/store/…/init` is none.
pub const WEAKENING: &[&str] = &[
    "apparmor=0",
    "audit=0",
    "ima_appraise=off",
    "lockdown=none",
    "mitigations=off",
    "nokaslr",
    "nopti",
    "nosmap",
    "nosmep",
    "selinux=0",
    "shell",
];
/// Keys (`-k`) by which the baseline's own audit rules are known.
pub const AUDIT_KEYS: &[&str] =
    &["identity", "logins", "modules", "mounts", "privileged", "time-change", "trust"];
/// Leap status, as chrony says it, with hyphens.
pub const CHRONY_LEAP: &[&str] = &["normal", "insert-second", "delete-second", "not-synchronised"];
/// Linux security modules.
pub const LSMS: &[&str] = &[
    "apparmor",
    "bpf",
    "capability",
    "evm",
    "ima",
    "integrity",
    "landlock",
    "loadpin",
    "lockdown",
    "safesetid",
    "selinux",
    "smack",
    "tomoyo",
    "yama",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(json: &str) -> Probe {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_reading_holds_only_what_its_probe_declares() {
        let file = probe(r#"{"read":"file","path":"/etc/shadow"}"#);
        for (json, right) in [
            (r#"{}"#, ""),
            (r#"{"exists":true,"mode":"0640","owner":"root","group":"other"}"#, ""),
            (r#"{"path":"miller.pdf"}"#, "is no field of file; fields are: exists, group, kind, mode, owner"),
            (r#"{"owner":"miller"}"#, "must be one of: root, system, person, other"),
            (r#"{"mode":"640"}"#, "must be four octal digits"),
            (r#"{"exists":1}"#, "must be true or false"),
            (r#"{"exists":["root"]}"#, "must be true or false"),
        ] {
            let refused = file.admits(&serde_json::from_str(json).unwrap());
            match refused {
                Ok(()) => assert_eq!(right, "", "{json}"),
                Err(e) => assert!(!right.is_empty() && e.problem.contains(right), "{json}: {e}"),
            }
        }
    }

    /// Every word that a probe declares can be a word at all, and every list of fields is in order, each once.
    #[test]
    fn declared_words_are_words() {
        let mut words: Vec<&str> = Vec::new();
        for kind in super::super::Keyword::ALL.iter().flat_map(|k| k.fields()) {
            words.extend(listed(kind.1));
        }
        for kind in super::super::Property::ALL.iter().flat_map(|p| p.fields()) {
            words.extend(listed(kind.1));
        }
        for kind in super::super::Key::ALL.iter().flat_map(|k| k.fields()) {
            words.extend(listed(kind.1));
        }
        for list in
            [FILE_KINDS, FILE_SYSTEMS, MOUNT_OPTIONS, HARDENING, WEAKENING, AUDIT_KEYS, CHRONY_LEAP, LSMS]
        {
            words.extend(list);
        }
        assert!(words.len() > 100);
        for word in words {
            assert_eq!(Word::of(word, &[word]).as_str(), word);
            assert!(word.parse::<Word>().is_ok(), "{word}");
        }
        for fields in [FILE, LISTENING, USERS, BACKUPS] {
            assert!(fields.is_sorted_by(|a, b| a.0 < b.0), "{fields:?}");
        }
    }

    fn listed(kind: Kind) -> Vec<&'static str> {
        match kind {
            Kind::Word(words) | Kind::Words(words) => words.to_vec(),
            Kind::Flag | Kind::Number | Kind::Mode => Vec::new(),
        }
    }
}
