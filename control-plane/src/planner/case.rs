//! What is known of an incident when something is chosen for it.

use std::time::Duration;

use proto::{
    evidence::Readings,
    ids::{RunbookId, WatchId},
    time::Millis,
};

/// How far back executions say something about the next one.
pub const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);

/// An incident, as the planner sees it. Of whom it is does not belong in here.
#[derive(Debug, Clone)]
pub struct Case {
    /// The fault, as events name it.
    pub kind: String,
    /// The entry of the box's watch list.
    pub watch: WatchId,
    /// Measured when it was seen.
    pub readings: Readings,
    /// The agent's line for people, as it came.
    pub note: String,
    /// What else is wrong on the same box.
    pub others: Vec<Other>,
    /// Executions on the same entry within [`REMEMBERED`], newest first.
    pub tried: Vec<Tried>,
}

/// Another fault that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// The fault.
    pub kind: String,
    /// The entry.
    pub watch: WatchId,
}

/// An execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Of what.
    pub runbook: RunbookId,
    /// Whether the fault was gone afterwards, as evidence says it.
    pub helped: bool,
    /// When it ended.
    pub ended: Millis,
}

impl Case {
    /// A fault on an entry, of which nothing more is known.
    #[must_use]
    pub fn of(kind: &str, watch: &WatchId) -> Self {
        Self {
            kind: kind.to_owned(),
            watch: watch.clone(),
            readings: Readings::new(),
            note: String::new(),
            others: Vec::new(),
            tried: Vec::new(),
        }
    }

    /// Whether the newest execution of `runbook` on this entry was in vain.
    #[must_use]
    pub fn was_in_vain(&self, runbook: &RunbookId) -> bool {
        self.tried.iter().find(|tried| tried.runbook == *runbook).is_some_and(|tried| !tried.helped)
    }
}
