//! Orders: what was carried out was ordered, by a key of the charter, from a catalogue that the release keys signed.

use std::collections::{BTreeMap, BTreeSet};

use proto::{
    approval,
    digest::Digest,
    dsse::{self, Envelope},
    evidence::{Body, Execution, OrderFacts},
    field::BadField,
    order::{ORDER_TYPE, Order},
};
use runbooks::{Catalogue, Collect};

use super::{charters::Charters, contents::Contents, findings::Findings};
use crate::bundle::{Fact, MissingOrder, Place, RunbookFacts, Source};

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
            let runbook = entry.runbook;
            let facts = RunbookFacts {
                id: runbook.id,
                title: runbook.title,
                hipaa: runbook.hipaa,
                actions: runbook.steps.iter().map(|step| step.action.as_str()).collect(),
                keeps_output: runbook.evidence.contains(&Collect::Output),
            };
            (entry.digest, facts)
        }));
    }
    findings.end(tally);
    (versions, runbooks)
}

/// Orders whose signature holds, by digest of the payload.
fn read(
    source: &dyn Source,
    contents: &Contents,
    charters: &Charters,
    findings: &mut Findings,
) -> BTreeMap<Digest, Order> {
    let mut orders = BTreeMap::new();
    for &digest in &contents.orders {
        let place = Place::Order(digest);
        let Some(bytes) = findings.read(source, &place) else { continue };
        match open(&bytes, digest, charters) {
            Ok(Some(order)) => {
                orders.insert(digest, order);
            }
            Ok(None) => {}
            Err(bad) => findings.fault(&place.to_string(), None, &bad.to_string()),
        }
    }
    orders
}

/// `None`: the charter it was signed under is not here.
fn open(bytes: &[u8], digest: Digest, charters: &Charters) -> Result<Option<Order>, BadField> {
    let bad = |problem: String| BadField::new("order", problem);
    let envelope = Envelope::parse(bytes).map_err(|error| bad(error.to_string()))?;
    if Digest::of(envelope.unverified_payload()) != digest {
        return Err(bad("is not the one that its name says".into()));
    }
    let claimed = Order::decode(envelope.unverified_payload())?;
    let Some(charter) = charters.by_serial(claimed.charter_serial) else { return Ok(None) };
    let payload = dsse::open(bytes, ORDER_TYPE, &charter.order_keys, 1)
        .map_err(|error| bad(format!("by charter {}: {error}", charter.serial)))?;
    let order = Order::decode(payload.value())?;
    if !charter.holds_at(order.issued) {
        return Err(bad(format!("was signed after charter {} had ended", charter.serial)));
    }
    approval::approvers(&order.approvals, &charter.approvers, order.core_digest)
        .map_err(|error| bad(error.to_string()))?;
    Ok(Some(order))
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
) -> (BTreeMap<Digest, Order>, Vec<MissingOrder>) {
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
            Body::Enrolment(_) | Body::Heartbeat(_) | Body::Hold(_) | Body::Scan(_) | Body::Unknown => continue,
        };
        named.insert(stated.digest);
        let path = Place::Evidence(fact.index, fact.digest).to_string();
        let mut holds = true;
        let mut problems = Vec::new();
        match orders.get(&stated.digest) {
            Some(order) => problems.extend(difference(fact, stated, order)),
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

/// Where a record says something else than the signed order that it names.
fn difference(fact: &Fact, stated: &OrderFacts, order: &Order) -> Option<String> {
    let core = &order.core;
    let identity = &fact.record.identity;
    let mut approvers: Vec<&str> =
        order.approvals.iter().map(|approval| approval.approver.as_str()).collect();
    let mut stated_approvers: Vec<&str> = stated.approvers.iter().map(String::as_str).collect();
    for names in [&mut approvers, &mut stated_approvers] {
        names.sort_unstable();
        names.dedup();
    }
    let same = [
        ("id", stated.id == core.id),
        ("incident", stated.incident == core.incident),
        ("sequence", stated.sequence == order.sequence),
        ("charter", stated.charter_serial == order.charter_serial),
        ("policy", stated.policy_serial == order.policy_serial),
        ("runbook", stated.runbook == core.runbook && stated.runbook_digest == core.runbook_digest),
        ("parameters", stated.parameters == core.parameters),
        ("plan", stated.plan == order.plan),
        ("approvers", stated_approvers == approvers),
        ("organization", identity.organization == core.organization),
        ("tenant", identity.tenant == core.tenant),
        ("appliance", identity.appliance == core.appliance),
        ("incarnation", fact.record.chain.incarnation == core.incarnation),
    ];
    // A refusal may be exactly about an order that was meant for somebody else.
    let refused = matches!(fact.record.body, Body::Refusal(_));
    let excused =
        |name: &str| refused && ["organization", "tenant", "appliance", "incarnation"].contains(&name);
    let (name, _) = same.into_iter().find(|(name, same)| !same && !excused(name))?;
    Some(format!("states another {name} than the signed order {}", core.id))
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
