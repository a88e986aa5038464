//! What of a systemd unit a probe can ask for.

use super::fields::Kind;

proto::vocabulary! {
    /// A property in systemd's spelling. Each reading has `loaded` (false: there is no such unit, or it is masked) and
    /// `value`; a unit that is not loaded reads as `inactive`, and lacks the value of any other property.
    pub enum Property as "property" {
        /// Whether it runs.
        ActiveState = "ActiveState",
        /// Number of capabilities that it could have; 0 is none.
        CapabilityBoundingSet = "CapabilityBoundingSet",
        /// Memory that can be written and run is refused.
        MemoryDenyWriteExecute = "MemoryDenyWriteExecute",
        /// No set-user-ID program can raise it.
        NoNewPrivileges = "NoNewPrivileges",
        /// It has no network but loopback.
        PrivateNetwork = "PrivateNetwork",
        /// Home folders are out of its sight.
        ProtectHome = "ProtectHome",
        /// What it can write of the system.
        ProtectSystem = "ProtectSystem",
        /// Whether it starts by itself.
        UnitFileState = "UnitFileState",
    }
}

impl Property {
    pub(super) fn fields(self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::ActiveState => &[("loaded", Kind::Flag), ("value", Kind::Word(ACTIVE))],
            Self::UnitFileState => &[("loaded", Kind::Flag), ("value", Kind::Word(FILE_STATE))],
            Self::CapabilityBoundingSet => &[("loaded", Kind::Flag), ("value", Kind::Number)],
            Self::MemoryDenyWriteExecute | Self::NoNewPrivileges | Self::PrivateNetwork => {
                &[("loaded", Kind::Flag), ("value", Kind::Flag)]
            }
            Self::ProtectHome => {
                &[("loaded", Kind::Flag), ("value", Kind::Word(&["no", "yes", "read-only", "tmpfs"]))]
            }
            Self::ProtectSystem => {
                &[("loaded", Kind::Flag), ("value", Kind::Word(&["no", "yes", "full", "strict"]))]
            }
        }
    }
}

const ACTIVE: &[&str] =
    &["active", "reloading", "inactive", "failed", "activating", "deactivating", "maintenance"];
const FILE_STATE: &[&str] = &[
    "enabled",
    "enabled-runtime",
    "linked",
    "linked-runtime",
    "alias",
    "masked",
    "masked-runtime",
    "static",
    "disabled",
    "indirect",
    "generated",
    "transient",
];
