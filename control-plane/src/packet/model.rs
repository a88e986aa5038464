//! The figures of one month: what the packet's sentences and tables are made of.

use std::{collections::BTreeMap, time::Duration};

use proto::{
    digest::Digest,
    evidence::{Body, Execution, Heartbeat, Record, StepResult},
    ids::ApplianceId,
    time::Millis,
};

use super::{PacketError, readings};
use crate::bundle::{Fact, Facts, Gap, Month, Period, Watch, gaps, watches};

/// One month of one clinic.
#[derive(Debug)]
pub struct Model<'f> {
    /// What it is made from.
    pub facts: &'f Facts,
    /// Which month.
    pub month: Month,
    /// The part of it that was over.
    pub period: Period,
    /// Records of that time, by log index.
    pub records: Vec<&'f Fact>,
    /// Orders carried out.
    pub actions: Vec<Action>,
    /// Orders refused.
    pub refused: Vec<Refused>,
    /// Refusals that were counted and not recorded one by one.
    pub refused_counted: u64,
    /// Backup repositories that orders were about.
    pub repositories: Vec<Repository>,
    /// Paragraphs that the month's actions support.
    pub citations: Vec<Citation>,
    /// How well each appliance was watched.
    pub watches: Vec<Watch>,
    /// Newest heartbeat of each appliance, up to the period's end.
    pub newest: BTreeMap<ApplianceId, &'f Heartbeat>,
    /// What is missing.
    pub gaps: Vec<Gap>,
}

/// An order carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Log index of its record.
    pub record: u64,
    /// When.
    pub at: Millis,
    /// On which box.
    pub appliance: ApplianceId,
    /// The runbook's title, or its ID where the catalogue is not here.
    pub title: String,
    /// The runbook's ID.
    pub runbook: String,
    /// Entries of the watch list.
    pub target: String,
    /// What changed.
    pub change: String,
    /// In a word or three.
    pub result: &'static str,
    /// The fault is gone.
    pub good: bool,
    /// Citations, short.
    pub hipaa: Vec<String>,
    /// Who chose the runbook.
    pub planner: String,
    /// Who approved it.
    pub approvers: Vec<String>,
    /// Why, in the planner's words.
    pub reason: String,
    /// From first step to verdict.
    pub took: Duration,
}

/// An order refused, or orders held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Log index of its record.
    pub record: u64,
    /// When.
    pub at: Millis,
    /// By which box.
    pub appliance: ApplianceId,
    /// By which guardrail.
    pub guardrail: String,
    /// What was wrong.
    pub reason: String,
    /// A person at the box, not a guardrail.
    pub hold: bool,
}

/// A backup repository in a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Who watches it.
    pub appliance: ApplianceId,
    /// Its entry in the watch list.
    pub id: String,
    /// Backups made.
    pub backups: u64,
    /// The newest: when, and its record.
    pub last_backup: Option<(Millis, u64)>,
    /// Restores proven.
    pub restores: u64,
    /// The newest: when, its record, and how long it took.
    pub last_restore: Option<(Millis, u64, Duration)>,
    /// Attempts at either that failed.
    pub failures: u64,
}

/// A paragraph and what supports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// `164.308(a)(7)(ii)(A)`.
    pub paragraph: String,
    /// Actions that cite it.
    pub actions: u64,
    /// Of these, the ones after which the fault was gone.
    pub good: u64,
    /// Their records.
    pub records: Vec<u64>,
}

/// What evidence calls the stop by the control plane.
const QUARANTINE: &str = "quarantine";
const BACKUP: &str = "restic.backup";
const RESTORE: &str = "restic.test-restore";

impl<'f> Model<'f> {
    /// The figures of `month`, as far as it was over when the bundle was made.
    pub fn new(facts: &'f Facts, month: Month) -> Result<Self, PacketError> {
        let period = month.until(facts.said.made_at);
        if period.from == period.to {
            return Err(PacketError::NotBegun { month, made_at: facts.said.made_at });
        }
        let records: Vec<&Fact> =
            facts.records.iter().filter(|fact| period.contains(fact.record.clock.at)).collect();
        let mut actions: Vec<Action> = records.iter().filter_map(|fact| action(facts, fact)).collect();
        actions.sort_by_key(|action| (action.at, action.record));
        let executions = records.iter().filter_map(|fact| match &fact.record.body {
            Body::Execution(execution) => Some((*fact, &**execution)),
            _ => None,
        });
        Ok(Self {
            refused: records.iter().filter_map(|fact| refused(fact)).collect(),
            refused_counted: heartbeats(&records)
                .map(|(_, beat)| beat.refusals_not_signed)
                .fold(0, u64::saturating_add),
            repositories: repositories(executions),
            citations: cited(&actions),
            watches: watches(facts, &period),
            newest: newest(facts, period.to),
            gaps: gaps(facts, &period),
            facts,
            month,
            period,
            records,
            actions,
        })
    }

    /// Actions after which the fault was gone.
    #[must_use]
    pub fn good(&self) -> usize {
        self.actions.iter().filter(|action| action.good).count()
    }

    /// Time that heartbeats vouch for, of all boxes, in thousandths; `None`: nothing was watched.
    #[must_use]
    pub fn watched_thousandths(&self) -> Option<u128> {
        let span: u128 = self.watches.iter().map(|watch| watch.span.as_millis()).sum();
        let silent: u128 = self.watches.iter().map(|watch| watch.silent.as_millis()).sum();
        (span > 0).then(|| (span - silent.min(span)) * 1000 / span)
    }

    /// Records that are not heartbeats: log index, when, kind, digest.
    pub fn index(&self) -> impl Iterator<Item = (u64, Millis, &'static str, Digest)> + '_ {
        self.records
            .iter()
            .filter(|fact| !matches!(fact.record.body, Body::Heartbeat(_)))
            .map(|fact| (fact.index, fact.record.clock.at, fact.record.body.kind(), fact.digest))
    }
}

fn heartbeats<'a, 'f>(records: &'a [&'f Fact]) -> impl Iterator<Item = (&'f Record, &'f Heartbeat)> + 'a {
    records.iter().filter_map(|fact| match &fact.record.body {
        Body::Heartbeat(beat) => Some((&fact.record, beat)),
        _ => None,
    })
}

fn newest(facts: &Facts, end: Millis) -> BTreeMap<ApplianceId, &Heartbeat> {
    let all: Vec<&Fact> = facts.records.iter().filter(|fact| fact.record.clock.at < end).collect();
    // By log index: later ones take the place of earlier ones.
    heartbeats(&all).map(|(record, beat)| (record.identity.appliance, beat)).collect()
}

fn action(facts: &Facts, fact: &Fact) -> Option<Action> {
    let Body::Execution(execution) = &fact.record.body else { return None };
    let order = &execution.order;
    let target: Vec<&str> = order.parameters.values().map(|watch| watch.as_str()).collect();
    let runbook = facts.runbooks.get(&order.runbook_digest);
    let parts = [
        readings::change(&execution.before, &execution.after),
        readings::counts(execution.steps.iter().map(|step| &step.counts)),
    ];
    Some(Action {
        record: fact.index,
        at: fact.record.clock.at,
        appliance: fact.record.identity.appliance,
        title: runbook.map_or_else(|| order.runbook.to_string(), |runbook| runbook.title.clone()),
        runbook: order.runbook.to_string(),
        target: target.join(", "),
        change: parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; "),
        result: result(execution),
        good: execution.verdict.is_good(),
        hipaa: execution.hipaa.iter().map(|citation| baseline::rule::short(citation)).collect(),
        planner: order.plan.planner.clone(),
        approvers: order.approvers.clone(),
        reason: order.plan.reason.clone(),
        took: Duration::from_millis(execution.took_ms),
    })
}

/// What an execution came to, in the words that the tables colour.
fn result(execution: &Execution) -> &'static str {
    use proto::evidence::Verdict::{Failed, Ineffective, Interrupted, InterruptedRepaired, Repaired};
    match execution.verdict {
        Repaired if did(execution, RESTORE) => "Restore proven",
        Repaired if did(execution, BACKUP) => "Backed up",
        Repaired => "Repaired",
        InterruptedRepaired => "Repaired, interrupted",
        Ineffective => "Fault remains",
        Failed => "Failed",
        Interrupted => "Interrupted",
    }
}

fn did(execution: &Execution, action: &str) -> bool {
    execution.steps.iter().any(|step| step.action == action && step.result == StepResult::Done)
}

fn refused(fact: &Fact) -> Option<Refused> {
    let of = |guardrail, reason: &str, hold| Refused {
        record: fact.index,
        at: fact.record.clock.at,
        appliance: fact.record.identity.appliance,
        guardrail,
        reason: reason.to_owned(),
        hold,
    };
    match &fact.record.body {
        Body::Refusal(refusal) => {
            Some(of(format!("{} {}", refusal.guardrail, refusal.name), &refusal.reason, false))
        }
        Body::Hold(hold) if hold.held => {
            let why = match hold.checkpoint {
                None if hold.by == QUARANTINE => {
                    "The service provider stopped all orders: it had two histories of this box, or could not believe one."
                }
                Some(_) => {
                    "The box was shown a log that contradicts the one it had verified, and stopped all orders."
                }
                None => "A person at the box stopped all orders.",
            };
            Some(of("held".into(), why, true))
        }
        Body::Hold(hold) if hold.by == QUARANTINE => {
            Some(of("released".into(), "The service provider let orders run again.", true))
        }
        Body::Hold(_) => Some(of("released".into(), "A person at the box let orders run again.", true)),
        Body::Enrolment(_)
        | Body::Heartbeat(_)
        | Body::Execution(_)
        | Body::Scan(_)
        | Body::Document(_)
        | Body::Unknown => None,
    }
}

fn repositories<'f>(executions: impl Iterator<Item = (&'f Fact, &'f Execution)>) -> Vec<Repository> {
    let mut all: BTreeMap<(ApplianceId, String), Repository> = BTreeMap::new();
    for (fact, execution) in executions {
        let tried = |action: &str| execution.steps.iter().any(|step| step.action == action);
        if !tried(BACKUP) && !tried(RESTORE) {
            continue;
        }
        let (appliance, at) = (fact.record.identity.appliance, fact.record.clock.at);
        for watch in execution.order.parameters.values() {
            let id = watch.to_string();
            let repository = all.entry((appliance, id.clone())).or_insert_with(|| Repository {
                appliance,
                id,
                backups: 0,
                last_backup: None,
                restores: 0,
                last_restore: None,
                failures: 0,
            });
            // A step that was done counts only when the measurement afterwards agreed.
            if !execution.verdict.is_good() {
                repository.failures += 1;
                continue;
            }
            if did(execution, BACKUP) {
                repository.backups += 1;
                repository.last_backup = Some((at, fact.index));
            }
            if did(execution, RESTORE) {
                repository.restores += 1;
                repository.last_restore = Some((at, fact.index, Duration::from_millis(execution.took_ms)));
            }
        }
    }
    all.into_values().collect()
}

fn cited(actions: &[Action]) -> Vec<Citation> {
    let mut all: BTreeMap<&str, Citation> = BTreeMap::new();
    for action in actions {
        for paragraph in &action.hipaa {
            let citation = all.entry(paragraph).or_insert_with(|| Citation {
                paragraph: paragraph.clone(),
                actions: 0,
                good: 0,
                records: vec![],
            });
            citation.actions += 1;
            citation.good += u64::from(action.good);
            citation.records.push(action.record);
        }
    }
    all.into_values().collect()
}
