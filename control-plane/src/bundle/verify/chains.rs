//! Chains: each executor's records follow one another, and say nothing that contradicts what it said before.

use std::collections::{BTreeMap, BTreeSet};

use proto::{
    digest::Digest,
    evidence::{Body, Record},
};

use super::findings::Findings;
use crate::bundle::{Fact, Facts, Place};

/// Checks every chain. What is missing is for completeness; here only contradictions count.
pub(super) fn check(facts: &Facts, findings: &mut Findings) {
    let mut tally = findings.begin("Each executor's records form one chain", "evidence/");
    for chain in facts.chains().values() {
        let mut state = State::default();
        let before = findings.fault_count;
        for (n, fact) in chain.iter().enumerate() {
            let follows = n.checked_sub(1).map(|before| chain[before]);
            for problem in problems(fact, follows, &mut state) {
                let path = Place::Evidence(fact.index, fact.digest).to_string();
                findings.fault(&path, Some(fact.index), &problem);
            }
        }
        tally.proven += u64::from(findings.fault_count == before);
    }
    if facts.records.is_empty() {
        tally.missing("there are no records that count");
    }
    findings.end(tally);
}

/// What only rises along a chain.
#[derive(Default)]
struct State {
    seen_size: u64,
    sequence: u64,
    charter_serial: u64,
    orders: BTreeSet<Digest>,
    /// Of each standing order, the newest count.
    standing: BTreeMap<Digest, u32>,
}

fn problems(fact: &Fact, before: Option<&Fact>, state: &mut State) -> Vec<String> {
    let record = &fact.record;
    let mut problems = Vec::new();
    if let Some(problem) = link_problem(record, before) {
        problems.push(problem);
    }
    let is_enrolment = match record.body {
        // What a newer version calls an enrolment is not known here.
        Body::Unknown => record.chain.index == 0,
        _ => matches!(record.body, Body::Enrolment(_)),
    };
    if (record.chain.index == 0) != is_enrolment {
        problems.push("must be an enrolment if and only if it is the executor's first record".to_owned());
    }
    if let Some(seen) = record.checkpoint {
        if seen.size < state.seen_size {
            problems.push(format!(
                "has seen {} records of the log, an earlier one {}",
                seen.size, state.seen_size
            ));
        }
        state.seen_size = state.seen_size.max(seen.size);
    }
    if let Body::Heartbeat(beat) = &record.body {
        if beat.charter_serial < state.charter_serial {
            problems.push(format!("goes by charter {} after {}", beat.charter_serial, state.charter_serial));
        }
        state.charter_serial = state.charter_serial.max(beat.charter_serial);
    }
    if let Body::Execution(execution) = &record.body {
        let order = &execution.order;
        if let Some(used) = &order.standing {
            // Its own counter takes the place of the sequence.
            let count = state.standing.entry(order.digest).or_default();
            if used.count <= *count || used.count > used.most {
                let (id, count, most) = (used.id, used.count, used.most);
                problems
                    .push(format!("draws on standing order {id} as number {count} of {most} after another"));
            }
            *count = used.count.max(*count);
            return problems;
        }
        if !state.orders.insert(execution.order.digest) {
            problems.push(format!("carries out order {} a second time", execution.order.id));
        } else if execution.order.sequence <= state.sequence {
            let (sequence, high) = (execution.order.sequence, state.sequence);
            problems.push(format!("carries out order number {sequence} after number {high}"));
        }
        state.sequence = state.sequence.max(execution.order.sequence);
    }
    problems
}

fn link_problem(record: &Record, before: Option<&Fact>) -> Option<String> {
    let link = &record.chain;
    if link.index == 0 && link.previous != Digest::ZERO {
        return Some("is the first record and names one before it".to_owned());
    }
    let before = before?;
    if before.record.chain.index == link.index {
        let other = before.index;
        return Some(format!("is number {} of its executor, as is record {other}: a fork", link.index));
    }
    (before.record.chain.index + 1 == link.index && before.digest != link.previous).then(|| {
        format!("does not follow record {}, which is number {} of its executor", before.index, link.index - 1)
    })
}
