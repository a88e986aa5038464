//! Settings of `key=value` files that a probe can ask for: which file has which, and of what kind it is.

use super::fields::{Kind, YES_NO};

proto::vocabulary! {
    /// A file with all its drop-ins.
    ///
    /// systemd's are read as `systemd-analyze cat-config` prints them, last one wins; nix.conf as `nix config show` would
    /// (a boolean absent there has Nix's default); loader.conf on the mounted EFI system partition.
    pub enum Source as "file" {
        /// `systemd/journald.conf`.
        Journald = "journald.conf",
        /// `systemd/logind.conf`.
        Logind = "logind.conf",
        /// `nix/nix.conf`.
        Nix = "nix.conf",
        /// systemd-boot's `loader/loader.conf`.
        Loader = "loader.conf",
    }
}

proto::vocabulary! {
    /// A key of one of these files. Each reading has one field, `value`.
    pub enum Key as "key" {
        /// journald.conf: where the journal is kept.
        Storage = "Storage",
        /// journald.conf: the most bytes on disk; −1: the program's own share of the disk.
        SystemMaxUse = "SystemMaxUse",
        /// journald.conf: seconds after which entries go; 0: never for their age.
        MaxRetentionSec = "MaxRetentionSec",
        /// logind.conf: seconds after which an idle session is ended; 0: never.
        StopIdleSessionSec = "StopIdleSessionSec",
        /// nix.conf: whether store paths must be signed.
        RequireSigs = "require-sigs",
        /// nix.conf: number of trusted users and groups besides root.
        TrustedUsers = "trusted-users",
        /// loader.conf: whether the kernel command line can be edited at the console.
        Editor = "editor",
    }
}

impl Key {
    /// The file that has it.
    #[must_use]
    pub fn source(self) -> Source {
        match self {
            Self::Storage | Self::SystemMaxUse | Self::MaxRetentionSec => Source::Journald,
            Self::StopIdleSessionSec => Source::Logind,
            Self::RequireSigs | Self::TrustedUsers => Source::Nix,
            Self::Editor => Source::Loader,
        }
    }

    pub(super) fn fields(self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::Storage => &[("value", Kind::Word(&["volatile", "persistent", "auto", "none"]))],
            Self::SystemMaxUse | Self::MaxRetentionSec | Self::StopIdleSessionSec | Self::TrustedUsers => {
                &[("value", Kind::Number)]
            }
            Self::RequireSigs => &[("value", Kind::Flag)],
            Self::Editor => &[("value", Kind::Word(YES_NO))],
        }
    }
}
