//! The allowed set: what may be chosen for a fault at all.
//!
//! The rule: a runbook is in it when the fault triggers it and policy allows it (DESIGN.md section 4, rule 2). Nobody
//! but the set makes a [`Pick`], so that rules and model alike can do no more than point into it.

use proto::ids::{RunbookId, SiteId};
use runbooks::{Catalogue, Entry, Fault, Mode, Policy};

/// The runbooks that may be chosen for one fault; at least one, by name.
#[derive(Debug, Clone)]
pub struct Allowed<'c> {
    fault: Fault,
    entries: Vec<&'c Entry>,
}

/// A member of an allowed set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pick(RunbookId);

/// Why there is nothing to choose from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Nothing {
    /// No such fault.
    #[error("{0} is not a fault that any runbook could mend")]
    NoFault(String),
    /// No runbook is for it.
    #[error("no runbook is triggered by {0}")]
    NotTriggered(Fault),
    /// Policy allows none of those that are.
    #[error("policy allows no runbook that is triggered by {0}")]
    NotAllowed(Fault),
}

impl<'c> Allowed<'c> {
    /// What may be chosen for `kind` at `site`.
    pub fn of(kind: &str, site: SiteId, catalogue: &'c Catalogue, policy: &Policy) -> Result<Self, Nothing> {
        let fault: Fault = kind.parse().map_err(|_| Nothing::NoFault(kind.to_owned()))?;
        let triggered: Vec<&Entry> =
            catalogue.entries.values().filter(|e| e.runbook.triggers.contains(&fault)).collect();
        if triggered.is_empty() {
            return Err(Nothing::NotTriggered(fault));
        }
        let allowed = |entry: &&Entry| {
            policy.allows(&entry.runbook.id, site) && policy.mode_of(&entry.runbook) != Mode::Never
        };
        let entries: Vec<&Entry> = triggered.into_iter().filter(allowed).collect();
        if entries.is_empty() { Err(Nothing::NotAllowed(fault)) } else { Ok(Self { fault, entries }) }
    }

    /// The fault that it is for.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// Its members, by name.
    #[must_use]
    pub fn entries(&self) -> &[&'c Entry] {
        &self.entries
    }

    /// Whether there is anything to decide.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.entries.len() > 1
    }

    /// The member of exactly that name.
    #[must_use]
    pub fn pick(&self, name: &str) -> Option<Pick> {
        self.entries.iter().find(|e| e.runbook.id.as_str() == name).map(|e| Pick(e.runbook.id.clone()))
    }

    /// The same, of an entry.
    pub(super) fn member(&self, entry: &Entry) -> Option<Pick> {
        self.pick(entry.runbook.id.as_str())
    }
}

impl Pick {
    /// Which runbook.
    #[must_use]
    pub fn runbook(&self) -> &RunbookId {
        &self.0
    }

    /// The same, to keep.
    #[must_use]
    pub fn into_runbook(self) -> RunbookId {
        self.0
    }
}
