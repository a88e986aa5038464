//! Who puts a drifted control right: a runbook of the catalogue, or a person.

use serde::{Deserialize, Serialize};

use crate::probe::UnitName;

/// The runbook that repairs, by its name in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "runbook", deny_unknown_fields)]
pub enum Repair {
    /// What the image says is applied again.
    #[serde(rename = "RB-DRIFT-001")]
    Drift {
        /// How.
        reapply: Reapply,
    },
    /// A new snapshot is made.
    #[serde(rename = "RB-BACKUP-001")]
    Backup {},
    /// A restore is proven.
    #[serde(rename = "RB-RESTORE-001")]
    Restore {},
    /// The clock is synchronised.
    #[serde(rename = "RB-TIME-001")]
    Time {},
    /// None: a person must.
    #[serde(rename = "none")]
    None {
        /// Why no program may, or can.
        why: String,
    },
}

impl Repair {
    /// The runbook's name, if there is one.
    #[must_use]
    pub fn runbook(&self) -> Option<&'static str> {
        match self {
            Self::Drift { .. } => Some("RB-DRIFT-001"),
            Self::Backup {} => Some("RB-BACKUP-001"),
            Self::Restore {} => Some("RB-RESTORE-001"),
            Self::Time {} => Some("RB-TIME-001"),
            Self::None { .. } => None,
        }
    }
}

/// What RB-DRIFT-001 does for a control. Where and to what stands in the control itself: the probe's key, path or name,
/// and the expectation. None of them loosens anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reapply {
    /// Writes the option's number to the probe's key.
    Sysctl {},
    /// Takes away permission bits beyond the expected, and gives the file to root where root is expected.
    FileMode {},
    /// Mounts the probe's path anew with the expected options added.
    Remount {},
    /// Unloads the probe's module.
    UnloadModule {},
    /// Ends the use of unencrypted swap areas.
    SwapOff {},
    /// Starts a unit.
    Start {
        /// Which.
        unit: UnitName,
    },
    /// Stops a unit.
    Stop {
        /// Which.
        unit: UnitName,
    },
    /// Restarts a unit that applies the image's configuration.
    Restart {
        /// Which.
        unit: UnitName,
    },
    /// Activates the running generation again: `/etc`, accounts, modes and units as the image has them.
    Generation {},
}
