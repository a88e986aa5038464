//! Citations: how each paragraph of the Security Rule stands, by everything in a period that serves it.
//!
//! The rule: evidence supports a paragraph; whether a clinic complies with it is for people to judge. What was not looked at
//! is never counted as fine, and what this product does not serve is named.

use std::collections::{BTreeMap, BTreeSet};

use baseline::{
    ControlId,
    map::{self, EvidenceKind, Row},
    rule,
};
use proto::{
    evidence::{Body, ControlFinding, Execution, Standing as Found},
    ids::ApplianceId,
};

use super::Moment;
use crate::bundle::{Fact, Facts, Period};

/// One paragraph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CitationResult {
    /// What serves it, or why nothing here does.
    pub row: &'static Row,
    /// How it stands.
    pub standing: Standing,
    /// What was seen.
    pub seen: Seen,
    /// Records that this rests on, the newest first.
    pub records: Vec<u64>,
    /// The newest of them.
    pub last: Option<Moment>,
}

/// How a paragraph stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Something was looked at, and nothing speaks against it.
    Supported,
    /// A control that serves it has drifted, or the newest action for it did not succeed.
    Finding,
    /// What does not hold is excepted.
    Excepted,
    /// Nobody could look.
    NotEvaluable,
    /// Nothing of the period speaks of it.
    NotTested,
    /// Not by this product.
    NotHere,
}

/// What the evidence of a period has for a paragraph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Controls of all boxes at their newest scan, by how they stood.
    pub controls: BTreeMap<Found, u64>,
    /// Executions of runbooks that cite it.
    pub actions: u64,
    /// Of these, the ones after which the fault was gone.
    pub good: u64,
    /// Other records that serve it, by kind.
    pub records: BTreeMap<EvidenceKind, u64>,
    /// The monthly report itself serves it.
    pub packet: bool,
}

/// All paragraphs, in the rule's order, by the evidence of `period`.
#[must_use]
pub fn citations(facts: &Facts, period: &Period) -> Vec<CitationResult> {
    let within: Vec<&Fact> =
        facts.records.iter().filter(|fact| period.contains(fact.record.clock.at)).collect();
    let gathered = Gathered::new(&within);
    map::shipped().iter().map(|row| gathered.result(row)).collect()
}

/// The period's evidence, sorted once.
struct Gathered<'f> {
    /// The newest finding on each control of each box. A watch list may split a scan in several records.
    controls: BTreeMap<ControlId, BTreeMap<ApplianceId, (Moment, &'f ControlFinding)>>,
    executions: BTreeMap<String, Vec<(&'f Fact, &'f Execution)>>,
    kinds: BTreeMap<EvidenceKind, Vec<Moment>>,
}

impl<'f> Gathered<'f> {
    fn new(facts: &[&'f Fact]) -> Self {
        let mut all = Self { controls: BTreeMap::new(), executions: BTreeMap::new(), kinds: BTreeMap::new() };
        for fact in facts {
            let now = Moment::of(fact);
            let kind = match &fact.record.body {
                Body::Scan(scan) => {
                    for (control, found) in &scan.findings {
                        let Ok(control) = control.to_string().parse() else { continue };
                        let boxes = all.controls.entry(control).or_default();
                        let newest = boxes.entry(fact.record.identity.appliance).or_insert((now, found));
                        // What nobody could look at stays as it was found.
                        if found.standing != Found::NotEvaluable || newest.1.standing != Found::Drifted {
                            *newest = (now, found);
                        }
                    }
                    continue;
                }
                Body::Execution(execution) => {
                    let cited: BTreeSet<String> =
                        execution.hipaa.iter().map(|citation| rule::short(citation)).collect();
                    for citation in cited {
                        all.executions.entry(citation).or_default().push((fact, execution));
                    }
                    if !execution.order.approvers.is_empty() {
                        all.kinds.entry(EvidenceKind::Approval).or_default().push(now);
                    }
                    EvidenceKind::Execution
                }
                Body::Document(_) => EvidenceKind::Approval,
                Body::Enrolment(_) => EvidenceKind::Enrolment,
                Body::Heartbeat(_) => EvidenceKind::Heartbeat,
                Body::Hold(_) => EvidenceKind::Hold,
                Body::Refusal(_) => EvidenceKind::Refusal,
                _ => continue,
            };
            all.kinds.entry(kind).or_default().push(now);
        }
        all
    }

    fn result(&self, row: &'static Row) -> CitationResult {
        let mut seen = Seen::default();
        let mut moments: BTreeMap<u64, Moment> = BTreeMap::new();
        for control in &row.controls {
            for (at, found) in self.controls.get(control).into_iter().flat_map(BTreeMap::values) {
                *seen.controls.entry(found.standing).or_default() += 1;
                moments.insert(at.record, *at);
            }
        }
        let mut newest: BTreeMap<_, bool> = BTreeMap::new();
        for (fact, execution) in self.executions.get(row.paragraph.citation).into_iter().flatten() {
            let good = execution.verdict.is_good();
            seen.actions += 1;
            seen.good += u64::from(good);
            let order = &execution.order;
            newest.insert((fact.record.identity.appliance, &order.runbook, &order.parameters), good);
            moments.insert(fact.index, Moment::of(fact));
        }
        for kind in &row.evidence {
            match kind {
                EvidenceKind::Packet => seen.packet = true,
                EvidenceKind::DriftScan => {}
                // Those that cite the paragraph are counted by their verdict.
                EvidenceKind::Execution if !row.runbooks.is_empty() => {}
                kind => {
                    let found = self.kinds.get(kind).map_or(&[][..], Vec::as_slice);
                    if !found.is_empty() {
                        seen.records.insert(*kind, found.len() as u64);
                    }
                    // Of what repeats, the newest stands for all.
                    moments.extend(found.last().map(|newest| (newest.record, *newest)));
                }
            }
        }
        let standing = standing(row, &seen, newest.values().all(|good| *good));
        let last = moments.values().copied().max_by_key(|moment| (moment.at, moment.record));
        CitationResult { row, standing, seen, records: moments.into_keys().rev().collect(), last }
    }
}

fn standing(row: &Row, seen: &Seen, acted_well: bool) -> Standing {
    // Where other evidence is to be expected, a report alone supports nothing.
    let only_packet = row.evidence == [EvidenceKind::Packet];
    let has = |found| seen.controls.contains_key(&found);
    if row.evidence.is_empty() {
        Standing::NotHere
    } else if has(Found::Drifted) || !acted_well {
        Standing::Finding
    } else if has(Found::Excepted) {
        Standing::Excepted
    } else if has(Found::NotEvaluable) {
        Standing::NotEvaluable
    } else if has(Found::Compliant) || seen.actions > 0 || !seen.records.is_empty() || only_packet {
        Standing::Supported
    } else {
        Standing::NotTested
    }
}
