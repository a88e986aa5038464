//! Incidents: what it was, when it was opened, when and how it was over.
//!
//! The rule: only what is signed. What an appliance measured counts before what the control plane says of it. The control
//! plane's act says when an incident was opened and how it ended; where there is none, an incident's number holds the time
//! when it was drawn, and the executor signed it with the order. When a fault began, evidence tells for drift (it lies between two scans) and for standing orders alone. All uses of
//! a standing order have one number, and each was a fault of its own: the executor's begin counts.

use std::{collections::BTreeMap, time::Duration};

use proto::{
    act::{Deed, End},
    evidence::{Body, OrderFacts},
    ids::{ApplianceId, IncidentId},
    time::Millis,
};

use super::actions::targets;
use crate::bundle::{ActFact, Fact, Facts, findings::Drift};

/// A fault that an order was about, or that the control plane signed the end of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Its number.
    pub id: IncidentId,
    /// Which box.
    pub appliance: ApplianceId,
    /// What was wrong: the fault that the runbook is for.
    pub kind: String,
    /// Where.
    pub target: String,
    /// When it was opened: by its number, or when the executor began on a standing order.
    pub opened: Option<Millis>,
    /// How long the fault had been there by then.
    pub detected: Detected,
    /// When a measurement showed that the fault was gone, and its record.
    pub resolved: Option<(Millis, u64)>,
    /// How the control plane says that it ended; `None`: it has not, or it does not say.
    pub end: Option<End>,
    /// Records of all orders about it, refused ones too, and of its end.
    pub records: Vec<u64>,
}

/// How long a fault had been there before something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detected {
    /// Evidence does not tell.
    Unknown,
    /// The executor had seen it for so long when it drew on a standing order.
    After(Duration),
    /// It began after one scan and was found by the next, so much later.
    Within(Duration),
}

impl Incident {
    /// The fault is gone: an appliance measured that, or the control plane signed that it went away by itself.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.resolved.is_some() || matches!(self.end, Some(End::Resolved | End::Withdrawn))
    }

    /// From when it was opened until the fault was measured to be gone.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        Some(self.resolved?.0.since(self.opened?))
    }
}

/// Those of the month, by their begin.
pub(super) fn incidents(
    facts: &Facts,
    records: &[&Fact],
    acts: &[&ActFact],
    drifts: &[Drift<'_>],
) -> Vec<Incident> {
    let mut all: BTreeMap<(IncidentId, Option<u64>), Incident> = BTreeMap::new();
    for fact in records {
        let (order, execution) = match &fact.record.body {
            Body::Execution(execution) => (&execution.order, Some(execution)),
            Body::Refusal(refusal) => match &refusal.order {
                Some(order) => (order, None),
                None => continue,
            },
            _ => continue,
        };
        let (appliance, at) = (fact.record.identity.appliance, fact.record.clock.at);
        let use_of_standing = order.standing.is_some().then_some(fact.index);
        let begun = execution.map(|execution| at.minus(Duration::from_millis(execution.took_ms)));
        let incident = all.entry((order.incident, use_of_standing)).or_insert_with(|| Incident {
            id: order.incident,
            appliance,
            kind: kind(facts, order),
            target: targets(order),
            opened: if use_of_standing.is_some() { begun } else { order.incident.drawn() },
            detected: Detected::Unknown,
            resolved: None,
            end: None,
            records: vec![],
        });
        incident.records.push(fact.index);
        if incident.detected == Detected::Unknown {
            incident.detected = detected(order, &incident.kind, appliance, at, drifts);
        }
        if execution.is_some_and(|execution| execution.verdict.is_good()) {
            incident.resolved = Some((at, fact.index));
        }
    }
    for fact in acts {
        let Deed::Incident { id, appliance, fault, watch, opened, end } = &fact.act.deed else { continue };
        let incident = all.entry((*id, None)).or_insert_with(|| Incident {
            id: *id,
            appliance: *appliance,
            kind: fault.clone(),
            target: watch.as_ref().map(ToString::to_string).unwrap_or_default(),
            opened: None,
            detected: Detected::Unknown,
            resolved: None,
            end: None,
            records: vec![],
        });
        incident.kind.clone_from(fault);
        (incident.opened, incident.end) = (Some(*opened), Some(*end));
        incident.records.push(fact.index);
    }
    let mut all: Vec<_> = all.into_values().collect();
    all.sort_by_key(|incident| (incident.opened, incident.id));
    all
}

/// What was wrong: what a standing order says, else what the runbook is for.
fn kind(facts: &Facts, order: &OrderFacts) -> String {
    if let Some(standing) = &order.standing {
        return standing.trigger.clone();
    }
    match facts.runbooks.get(&order.runbook_digest) {
        Some(runbook) => {
            let triggers: Vec<&str> =
                runbook.procedure.triggers.iter().map(|trigger| trigger.as_str()).collect();
            triggers.join(" or ")
        }
        None => format!("what {} is for", order.runbook),
    }
}

fn detected(
    order: &OrderFacts,
    kind: &str,
    appliance: ApplianceId,
    at: Millis,
    drifts: &[Drift<'_>],
) -> Detected {
    if let Some(standing) = &order.standing {
        return Detected::After(Duration::from_millis(standing.held_ms));
    }
    if !kind.starts_with("baseline.") {
        return Detected::Unknown;
    }
    // The drift that was open then; of several, the one that lay undetected the longest may have been meant.
    let open = drifts.iter().filter(|drift| {
        drift.appliance == appliance
            && drift.since.at <= at
            && drift.ended.is_none_or(|(ended, _)| ended.at >= at)
    });
    open.filter_map(|drift| Some(drift.since.at.since(drift.held_before?.at)))
        .max()
        .map_or(Detected::Unknown, Detected::Within)
}
