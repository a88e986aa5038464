//! Steps: the closed vocabulary of what a runbook can do.
//!
//! Every step names the parameter that it works on, never a path, a unit or a URL: where that is stands in the box's own
//! watch list. There is no shell step, and none is to be added; a new verb is a reviewed change to this enum.

use serde::{Deserialize, Serialize};

use crate::fault::WatchKind;

proto::vocabulary! {
    /// What can be done at all.
    pub enum Action as "do" {
        /// Removes the oldest files of a directory until it is within its limit; never outside of it, never through a symlink.
        FilesPrune = "files.prune",
        /// Makes a new snapshot in a restic repository.
        ResticBackup = "restic.backup",
        /// Restores a sample of the newest snapshot into scratch space and compares its SHA-256.
        ResticTestRestore = "restic.test-restore",
        /// Restarts a unit.
        UnitRestart = "unit.restart",
        /// Shrinks the journal to what its owner wants kept.
        JournalVacuum = "journal.vacuum",
        /// Removes the files of the cache folders that the file system's owner has named.
        CachesEmpty = "caches.empty",
        /// Has Nix remove what nothing refers to.
        NixCollectGarbage = "nix.collect-garbage",
        /// Starts the unit that gets a new certificate.
        CertificateRenew = "certificate.renew",
        /// Holds back the hungriest of the units that may be held back, else restarts the hungriest that may be restarted.
        ProcessorRelieve = "processor.relieve",
        /// Restarts the largest of the units that may be restarted.
        MemoryRelieve = "memory.relieve",
        /// Has the clock's keeper correct it at once, restarting the keeper when it does not answer.
        ClockStep = "clock.step",
        /// Restarts what keeps the uplink.
        UplinkRestart = "uplink.restart",
        /// Sets a damaged outbox aside and has the agent begin anew, with what can be read of it.
        StoreRebuild = "store.rebuild",
        /// Sets what has drifted from the baseline, where that can be set.
        BaselineReapply = "baseline.reapply",
    }
}

impl Action {
    /// What its target must be.
    #[must_use]
    pub fn kind(self) -> WatchKind {
        match self {
            Self::FilesPrune => WatchKind::Directory,
            Self::ResticBackup | Self::ResticTestRestore => WatchKind::Backup,
            Self::UnitRestart => WatchKind::Unit,
            Self::JournalVacuum | Self::CachesEmpty | Self::NixCollectGarbage => WatchKind::Filesystem,
            Self::CertificateRenew => WatchKind::Certificate,
            Self::ProcessorRelieve => WatchKind::Processor,
            Self::MemoryRelieve => WatchKind::Memory,
            Self::ClockStep => WatchKind::Clock,
            Self::UplinkRestart => WatchKind::Uplink,
            Self::StoreRebuild => WatchKind::Store,
            Self::BaselineReapply => WatchKind::Baseline,
        }
    }

    /// Does it to what the parameter `target` names.
    #[must_use]
    pub fn on(self, target: &str) -> Step {
        Step { action: self, target: target.to_owned() }
    }
}

/// One typed action on one parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What is done. Its word is its name in evidence.
    #[serde(rename = "do")]
    pub action: Action,
    /// The parameter that names what it is done to.
    pub target: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_evidence_is_the_name_in_the_catalogue() {
        for action in Action::ALL {
            let json = format!(r#"{{"do":"{action}","target":"it"}}"#);
            assert_eq!(serde_json::to_string(&action.on("it")).unwrap(), json);
            assert_eq!(serde_json::from_str::<Step>(&json).unwrap(), action.on("it"));
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
