//! A runbook: one pre-approved procedure, as data.
//!
//! Strict and closed: an unknown key, an undeclared parameter or a step on the wrong kind of thing is refused when the
//! catalogue is built and again when it is opened. Its identity is the SHA-256 of its canonical JSON: [`Runbook::canonical`].

mod check;

use std::{collections::BTreeMap, time::Duration};

use proto::{
    evidence::Readings,
    ids::{RunbookId, WatchId},
};
use serde::{Deserialize, Serialize};

use crate::{
    fault::{Fault, Presence, WatchKind},
    step::Step,
};

pub use check::SPAN_MAX_SECONDS;

proto::vocabulary! {
    /// What could go wrong by running it; the later, the worse.
    pub enum Risk as "risk" {
        /// Nothing is lost and nobody notices.
        Low = "low",
        /// Something that can be had again is lost, or a service pauses.
        Medium = "medium",
        /// Needs one approver.
        High = "high",
        /// Cannot be undone; needs two approvers.
        Destructive = "destructive",
    }
}

proto::vocabulary! {
    /// What happens when the fault is still there afterwards.
    pub enum OnFailure as "on_failure" {
        /// A human is told.
        Escalate = "escalate",
    }
}

proto::vocabulary! {
    /// What a condition expects of a fault.
    pub enum Expect as "expect" {
        /// It is there.
        Present = "present",
        /// It is not.
        Gone = "gone",
    }
}

proto::vocabulary! {
    /// What an execution keeps as evidence.
    pub enum Collect as "evidence" {
        /// Readings before the first step and after the last.
        Readings = "readings",
        /// What each step counted.
        Counts = "counts",
        /// Each step's output, as an attachment by digest.
        Output = "output",
    }
}

/// A fault that must be there, or must be gone, on what a parameter names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Which fault.
    pub fault: Fault,
    /// The parameter that names where.
    pub on: String,
    /// There or gone.
    pub expect: Expect,
}

impl Condition {
    /// Whether it is met, given the readings of each parameter's entry; `None` when they do not say.
    #[must_use]
    pub fn met(&self, readings: &BTreeMap<String, Readings>) -> Option<bool> {
        let there = self.fault.holds(readings.get(&self.on)?)?;
        Some(there == (self.expect == Expect::Present))
    }
}

/// How often it may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most executions on one appliance in an hour, over all targets.
    pub per_hour: u32,
}

/// One pre-approved procedure. The order of the fields is the order of its canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runbook {
    /// Its name: `RB-DISK-002`.
    pub id: RunbookId,
    /// In a few words.
    pub title: String,
    /// Rises with every change.
    pub version: u32,
    /// Why anyone wants it run.
    pub why: String,
    /// What it helps to comply with: `45 CFR 164.308(a)(7)(ii)(A)`.
    pub hipaa: Vec<String>,
    /// What could go wrong.
    pub risk: Risk,
    /// Whether people at work notice that it runs; see [`Self::disturbs`]. Only catalogues of before clinic hours do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruptive: Option<bool>,
    /// Faults that call for it.
    pub triggers: Vec<Fault>,
    /// Names, and the kind of watch-list entry that each must name.
    pub parameters: BTreeMap<String, WatchKind>,
    /// What it repairs, of which something must be there, and what else must hold, before the first step (guardrail 11).
    pub precondition: Vec<Condition>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Must all be met after the last step, else `on_failure`.
    pub verification: Vec<Condition>,
    /// What happens then.
    pub on_failure: OnFailure,
    /// Seconds between two executions on the same target (guardrail 8).
    pub cooldown_seconds: u64,
    /// How often it may run (guardrail 9).
    pub limits: Limits,
    /// Seconds for all steps together.
    pub timeout_seconds: u64,
    /// What is kept as evidence.
    pub evidence: Vec<Collect>,
    /// How to undo it, or that nobody can; for people.
    pub undo: String,
}

impl Runbook {
    /// Its canonical bytes: JSON without spaces, keys in the order of declaration, maps sorted by key.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data serialises")
    }

    /// Whether something pauses, slows down or goes away that people who work in the clinic may just be using. What is down
    /// already, by the precondition, disturbs nobody by being started. A runbook that does not say is taken to disturb.
    #[must_use]
    pub fn disturbs(&self) -> bool {
        self.disruptive.unwrap_or(true)
    }

    /// [`Self::cooldown_seconds`] as a span.
    #[must_use]
    pub fn cooldown(&self) -> Duration {
        Duration::from_secs(self.cooldown_seconds)
    }

    /// [`Self::timeout_seconds`] as a span.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }

    /// The parameters of an order, derived by code from what the incident names; `None` when this runbook is not for
    /// `fault`, or needs more than one incident can say.
    #[must_use]
    pub fn parameters_for(&self, fault: Fault, watch: &WatchId) -> Option<BTreeMap<String, WatchId>> {
        let mut declared = self.parameters.iter();
        let (Some((name, kind)), None) = (declared.next(), declared.next()) else { return None };
        (self.triggers.contains(&fault) && *kind == fault.kind())
            .then(|| [(name.clone(), watch.clone())].into())
    }

    /// Whether what it repairs is there: one at least of the faults that it expects present, and none of those that it
    /// expects gone. `readings` by parameter.
    #[must_use]
    pub fn presence(&self, readings: &BTreeMap<String, Readings>) -> Presence {
        let met = |wanted| {
            let conditions = self.precondition.iter().filter(move |condition| condition.expect == wanted);
            conditions.map(|condition| condition.met(readings)).collect::<Vec<_>>()
        };
        let (repaired, besides) = (met(Expect::Present), met(Expect::Gone));
        let one_is_there = repaired.contains(&Some(true));
        let none_is_there = !repaired.is_empty() && repaired.iter().all(|met| *met == Some(false));
        if besides.contains(&Some(false)) || none_is_there {
            Presence::Gone
        } else if !one_is_there || besides.contains(&None) {
            Presence::Unknown
        } else {
            Presence::Present
        }
    }

    /// Whether it worked: all of its verification is met, and known to be. `readings` by parameter.
    #[must_use]
    pub fn worked(&self, readings: &BTreeMap<String, Readings>) -> bool {
        !self.verification.is_empty()
            && self.verification.iter().all(|condition| condition.met(readings) == Some(true))
    }
}
