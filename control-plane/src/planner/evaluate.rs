//! How well is chosen: a labelled set of incidents, and what rules or a model make of it, counted.
//!
//! The rule: a label that names a runbook is worth something only when that runbook may be chosen, so a set whose labels
//! are not among the allowed is refused. To escalate is right where the label says so, and nowhere else.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proto::{
    evidence::Readings,
    field::BadField,
    ids::{RunbookId, SiteId, WatchId},
    time::Millis,
};
use runbooks::{Catalogue, Policy, Risk};
use serde::{Deserialize, Serialize};

use super::{Allowed, Case, Other, Tried, prompt::ESCALATE, rules};

/// What is asked of a planner: this share of the solvable incidents gets its runbook, in percent.
pub const SOLVED_AT_LEAST: usize = 85;

/// One incident of a set, a line of JSON.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    group: String,
    fault: String,
    entry: WatchId,
    #[serde(default)]
    readings: Readings,
    #[serde(default)]
    note: String,
    #[serde(default)]
    others: Vec<(String, WatchId)>,
    /// Runbook, whether it helped, how many hours ago it ended; newest first.
    #[serde(default)]
    tried: Vec<(RunbookId, bool, u64)>,
    /// All that policy allows; without it, everything.
    allow: Option<BTreeSet<RunbookId>>,
    label: String,
    /// For whoever reads the set.
    #[serde(rename = "why")]
    _why: String,
}

/// One incident with what is right for it.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// Its name in the set.
    pub id: String,
    /// What kind of difficulty it is.
    pub group: String,
    /// The incident.
    pub case: Case,
    /// What policy allows.
    pub policy: Policy,
    /// What is right.
    pub label: Choice,
}

/// A runbook, or a person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Choice {
    /// This one.
    Run(RunbookId),
    /// A person.
    Escalate,
}

impl Choice {
    /// As it is written in a set.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Run(runbook) => runbook.as_str(),
            Self::Escalate => ESCALATE,
        }
    }
}

/// All incidents are of one place, that no policy speaks of.
#[must_use]
pub fn site() -> SiteId {
    "00000000-0000-7000-8000-000000000000".parse().expect("a constant")
}

/// Reads a set: one incident a line. The complaint names the line and what would be right.
pub fn read(text: &str, catalogue: &Catalogue, now: Millis) -> Result<Vec<Labelled>, BadField> {
    let mut all: Vec<Labelled> = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bad = |field: &str, problem: String| BadField::new(format!("line {}: {field}", at + 1), problem);
        let line: Line = serde_json::from_str(line)
            .map_err(|error| bad("JSON", format!("is not an incident: {error}")))?;
        if all.iter().any(|other| other.id == line.id) {
            return Err(bad("id", format!("{:?} is there already; each must have its own", line.id)));
        }
        let policy = Policy { allow: line.allow, ..Policy::default_local() };
        let label = match line.label.as_str() {
            ESCALATE => Choice::Escalate,
            name => {
                let allowed = Allowed::of(&line.fault, site(), catalogue, &policy);
                let pick = allowed.ok().and_then(|allowed| allowed.pick(name));
                let right = format!("{name:?} must be {ESCALATE:?} or a runbook that may be chosen for it");
                Choice::Run(pick.ok_or_else(|| bad("label", right))?.into_runbook())
            }
        };
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        all.push(Labelled {
            id: line.id,
            group: line.group,
            policy,
            label,
            case: Case {
                kind: line.fault,
                watch: line.entry,
                readings: line.readings,
                note: line.note,
                others: line.others.into_iter().map(|(kind, watch)| Other { kind, watch }).collect(),
                tried: line
                    .tried
                    .into_iter()
                    .map(|(runbook, helped, ago)| Tried { runbook, helped, ended: now.minus(hours(ago)) })
                    .collect(),
            },
        });
    }
    if all.is_empty() {
        Err(BadField::new("set", "must have one incident at least, a line each"))
    } else {
        Ok(all)
    }
}

/// What the rules make of an incident.
#[must_use]
pub fn by_rules(incident: &Labelled, catalogue: &Catalogue) -> Choice {
    let allowed = Allowed::of(&incident.case.kind, site(), catalogue, &incident.policy);
    let chosen = allowed.ok().and_then(|allowed| rules::choose(&allowed, &incident.case).ok());
    chosen.map_or(Choice::Escalate, |(pick, _)| Choice::Run(pick.into_runbook()))
}

/// So many of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// That were right.
    pub right: usize,
    /// Of these.
    pub of: usize,
}

impl Share {
    fn count(&mut self, right: bool) {
        self.right += usize::from(right);
        self.of += 1;
    }

    /// In percent; of nothing, all.
    #[must_use]
    pub fn percent(self) -> f64 {
        if self.of == 0 { 100.0 } else { 100.0 * self.right as f64 / self.of as f64 }
    }
}

/// What was chosen, held against what is right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Score {
    /// All incidents.
    pub all: Share,
    /// Those that a runbook solves.
    pub solvable: Share,
    /// Those that are a person's.
    pub persons: Share,
    /// Choices of high or destructive risk that were not right.
    pub wrong_high_risk: usize,
    /// By kind of difficulty.
    pub groups: BTreeMap<String, Share>,
    /// How often what was chosen for what.
    pub confusion: BTreeMap<(Choice, Choice), usize>,
    /// Incidents that were not chosen for as labelled, and what was chosen.
    pub wrong: Vec<(String, Choice, Choice)>,
}

impl Score {
    /// Counts one more.
    pub fn count(&mut self, incident: &Labelled, chosen: Choice, catalogue: &Catalogue) {
        let right = chosen == incident.label;
        self.all.count(right);
        self.groups.entry(incident.group.clone()).or_default().count(right);
        match incident.label {
            Choice::Run(_) => self.solvable.count(right),
            Choice::Escalate => self.persons.count(right),
        }
        if let Choice::Run(runbook) = &chosen {
            let risk = catalogue.runbook(runbook).map(|entry| entry.runbook.risk);
            self.wrong_high_risk += usize::from(!right && risk.is_none_or(|risk| risk >= Risk::High));
        }
        if !right {
            self.wrong.push((incident.id.clone(), incident.label.clone(), chosen.clone()));
        }
        *self.confusion.entry((incident.label.clone(), chosen)).or_default() += 1;
    }

    /// Whether that is good enough to be let loose on clinics; nobody is ever to be asked to approve what is wrong.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.solvable.right * 100 >= self.solvable.of * SOLVED_AT_LEAST && self.wrong_high_risk == 0
    }
}
