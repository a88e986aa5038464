//! Steps: the closed vocabulary of what a runbook can do.
//!
//! Every step names the parameter that it works on, never a path, a unit or a URL: where that is stands in the box's own
//! watch list. There is no shell step, and none is to be added; a new verb is a reviewed change to this enum.

use serde::{Deserialize, Serialize};

use crate::fault::WatchKind;

/// One typed action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", deny_unknown_fields)]
pub enum Step {
    /// Removes the oldest files of a directory until it is within its limit; never outside of it, never through a symlink.
    #[serde(rename = "files.prune")]
    FilesPrune {
        /// The parameter that names the directory.
        target: String,
    },
    /// Makes a new snapshot in a restic repository.
    #[serde(rename = "restic.backup")]
    ResticBackup {
        /// The parameter that names the repository.
        target: String,
    },
    /// Restores a sample of the newest snapshot into scratch space and compares its SHA-256.
    #[serde(rename = "restic.test-restore")]
    ResticTestRestore {
        /// The parameter that names the repository.
        target: String,
    },
}

impl Step {
    /// The action's name, as evidence says it: `files.prune`.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match self {
            Self::FilesPrune { .. } => "files.prune",
            Self::ResticBackup { .. } => "restic.backup",
            Self::ResticTestRestore { .. } => "restic.test-restore",
        }
    }

    /// The parameter it works on.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::FilesPrune { target }
            | Self::ResticBackup { target }
            | Self::ResticTestRestore { target } => target,
        }
    }

    /// What that parameter must name.
    #[must_use]
    pub fn kind(&self) -> WatchKind {
        match self {
            Self::FilesPrune { .. } => WatchKind::Directory,
            Self::ResticBackup { .. } | Self::ResticTestRestore { .. } => WatchKind::Backup,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_evidence_is_the_name_in_the_catalogue() {
        let target = || "it".to_owned();
        for step in [
            Step::FilesPrune { target: target() },
            Step::ResticBackup { target: target() },
            Step::ResticTestRestore { target: target() },
        ] {
            let json = format!(r#"{{"do":"{}","target":"it"}}"#, step.action());
            assert_eq!(serde_json::to_string(&step).unwrap(), json);
            assert_eq!(serde_json::from_str::<Step>(&json).unwrap(), step);
            assert_eq!(step.target(), "it");
        }
    }

    #[test]
    fn there_is_no_other_verb_and_no_other_key() {
        for json in [
            r#"{"do":"shell","target":"it"}"#,
            r#"{"do":"files.prune"}"#,
            r#"{"do":"files.prune","target":"it","path":"/"}"#,
            r#"{"do":"files.prune","target":7}"#,
            r#"{"target":"it"}"#,
        ] {
            assert!(serde_json::from_str::<Step>(json).is_err(), "{json}");
        }
    }
}
