//! Orders: what was carried out was ordered, by a key of the charter, from a catalogue that the release keys signed.

use std::collections::{BTreeMap, BTreeSet};

use proto::{
    digest::Digest,
    evidence::{Body, Execution},
};
use runbooks::{Catalogue, Collect};

use super::{
    charters::Charters,
    contents::Contents,
    findings::Findings,
    permissions::{difference, read},
};
use crate::bundle::{Fact, MissingOrder, Permission, Place, RunbookFacts, Source};

/// Catalogues that hold: versions, and runbooks by digest.
pub(super) fn catalogues(
    source: &dyn Source,
    contents: &Contents,
    charters: &Charters,
    findings: &mut Findings,
) -> (BTreeSet<u64>, BTreeMap<Digest, RunbookFacts>) {
    let mut tally = findings.begin("Catalogues are signed by the release keys", "catalogue/");
    let (mut versions, mut runbooks) = (BTreeSet::new(), BTreeMap::new());
    for &version in &contents.catalogues {
        let place = Place::Catalogue(version);
        let path = place.to_string();
        let Some(bytes) = findings.read(source, &place) else { continue };
        // Any charter will do: what an executor accepted, it accepted under the one of its day.
        let opened = charters.newest_first().find_map(|charter| Catalogue::open(&bytes, charter).ok());
        let Some(catalogue) = opened else {
            if charters.newest().is_some() {
                findings.fault(
                    &path,
                    None,
                    "is not a catalogue that the release keys of a charter here signed",
                );
            }
            continue;
        };
        let catalogue = catalogue.into_value();
        if catalogue.version != version {
            findings.fault(&path, None, &format!("has version {}", catalogue.version));
            continue;
        }
        tally.proven += 1;
        versions.insert(version);
        runbooks.extend(catalogue.entries.into_values().map(|entry| {
            let procedure = entry.runbook;
            let facts = RunbookFacts {
                id: procedure.id.clone(),
                title: procedure.title.clone(),
                hipaa: procedure.hipaa.clone(),
                actions: procedure.steps.iter().map(|step| step.action.as_str()).collect(),
                keeps_output: procedure.evidence.contains(&Collect::Output),
                procedure,
            };
            (entry.digest, facts)
        }));
    }
    findings.end(tally);
    (versions, runbooks)
}

/// Reads all orders and compares every execution with its order and its runbook; gives the orders that hold, and
/// those that are not here.
pub(super) fn check(
    source: &dyn Source,
    contents: &Contents,
    charters: &Charters,
    facts: &[Fact],
    runbooks: &BTreeMap<Digest, RunbookFacts>,
    findings: &mut Findings,
) -> (BTreeMap<Digest, Permission>, Vec<MissingOrder>) {
    let mut tally =
        findings.begin("Everything done was ordered, by a signed order out of a signed catalogue", "orders/");
    let orders = read(source, contents, charters, findings);
    let present: BTreeSet<Digest> = contents.orders.iter().copied().collect();
    let mut missing = Vec::new();
    let mut named = BTreeSet::new();
    for fact in facts {
        let (stated, execution) = match &fact.record.body {
            Body::Execution(execution) => (&execution.order, Some(execution)),
            Body::Refusal(refusal) => {
                named.insert(refusal.order_digest);
                let Some(order) = &refusal.order else { continue };
                (order, None)
            }
            Body::Enrolment(_)
            | Body::Heartbeat(_)
            | Body::Hold(_)
            | Body::Scan(_)
            | Body::Document(_)
            | Body::Update(_)
            | Body::Unknown => continue,
        };
        named.insert(stated.digest);
        let path = contents.place_of(fact.index, fact.digest).to_string();
        let mut holds = true;
        let mut problems = Vec::new();
        match orders.get(&stated.digest) {
            Some(permission) => {
                let procedure = runbooks.get(&stated.runbook_digest).map(|runbook| &runbook.procedure);
                problems.extend(difference(fact, stated, permission, procedure));
            }
            // What was refused need not be anybody's order.
            None if execution.is_none() => continue,
            None if present.contains(&stated.digest) => {
                tally.missing(format!("order {} does not hold, or its charter is not here", stated.digest));
                holds = false;
            }
            None => {
                missing.push(MissingOrder { record: fact.index, order: stated.digest });
                tally.missing(format!("order {} is not here", stated.digest));
                holds = false;
            }
        }
        if let Some(execution) = execution {
            match runbooks.get(&stated.runbook_digest) {
                Some(runbook) => problems.extend(deviation(execution, runbook)),
                None => {
                    tally.missing(format!(
                        "the catalogue with runbook {} of record {} is not here",
                        stated.runbook, fact.index
                    ));
                    holds = false;
                }
            }
            tally.proven += u64::from(holds && problems.is_empty());
        }
        for problem in problems {
            findings.fault(&path, Some(fact.index), &problem);
        }
    }
    for digest in present.difference(&named) {
        findings.fault(&Place::Order(*digest).to_string(), None, "no record names it");
    }
    findings.end(tally);
    (orders, missing)
}

/// Where an execution did something else than its runbook says.
fn deviation(execution: &Execution, runbook: &RunbookFacts) -> Option<String> {
    if execution.order.runbook != runbook.id {
        return Some(format!("calls runbook {} by the name {}", runbook.id, execution.order.runbook));
    }
    if execution.hipaa != runbook.hipaa {
        return Some(format!("cites other paragraphs than runbook {}", runbook.id));
    }
    let done: Vec<&str> = execution.steps.iter().map(|step| step.action.as_str()).collect();
    // It may have stopped early; it cannot have done anything else.
    (!runbook.actions.starts_with(&done)).then(|| format!("did other steps than runbook {} has", runbook.id))
}
