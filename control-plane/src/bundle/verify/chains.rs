//! Chains: each executor's records follow one another, and say nothing that contradicts what it said before.

use std::collections::{BTreeMap, BTreeSet};

use proto::{digest::Digest, evidence::Body};

use super::{contents::Contents, findings::Findings};
use crate::bundle::{Facts, Sign, Trace};

/// Checks every chain. What is missing is for completeness; here only contradictions count.
pub(super) fn check(contents: &Contents, facts: &Facts, findings: &mut Findings) {
    let mut tally = findings.begin("Each executor's records form one chain", "evidence/");
    for chain in facts.chains().values() {
        let mut state = State::default();
        let before = findings.fault_count;
        for (n, trace) in chain.iter().enumerate() {
            let before = n.checked_sub(1).map(|before| chain[before]);
            for problem in problems(facts, trace, before, &mut state) {
                let path = contents.place_of(trace.index, trace.digest).to_string();
                findings.fault(&path, Some(trace.index), &problem);
            }
        }
        tally.proven += u64::from(findings.fault_count == before);
    }
    if facts.traces.is_empty() {
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

fn problems(facts: &Facts, trace: &Trace, before: Option<&Trace>, state: &mut State) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(problem) = link_problem(facts, trace, before) {
        problems.push(problem);
    }
    let is_enrolment = match trace.sign {
        // What a newer version calls an enrolment is not known here.
        Sign::Unknown => trace.chain_index == 0,
        sign => sign == Sign::Enrolment,
    };
    if (trace.chain_index == 0) != is_enrolment {
        problems.push("must be an enrolment if and only if it is the executor's first record".to_owned());
    }
    if let Some(seen) = trace.seen() {
        if seen < state.seen_size {
            problems.push(format!("has seen {seen} records of the log, an earlier one {}", state.seen_size));
        }
        state.seen_size = state.seen_size.max(seen);
    }
    if let Sign::Heartbeat(beat) = trace.sign {
        if beat.charter() < state.charter_serial {
            problems.push(format!("goes by charter {} after {}", beat.charter(), state.charter_serial));
        }
        state.charter_serial = state.charter_serial.max(beat.charter());
    }
    let body = facts.record(trace.index).map(|record| &record.body);
    if let (Sign::Deed, Some(Body::Execution(execution))) = (trace.sign, body) {
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

fn link_problem(facts: &Facts, trace: &Trace, before: Option<&Trace>) -> Option<String> {
    // Nothing is noted of one that names what came before it in the log too.
    let named = facts.links.get(&trace.index);
    let number = trace.chain_index;
    if number == 0 && named.is_some_and(|named| *named != Digest::ZERO) {
        return Some("is the first record and names one before it".to_owned());
    }
    let before = before?;
    if before.chain_index == number {
        let other = before.index;
        return Some(format!("is number {number} of its executor, as is record {other}: a fork"));
    }
    (before.chain_index + 1 == number && named.is_some_and(|named| *named != before.digest)).then(|| {
        format!("does not follow record {}, which is number {} of its executor", before.index, number - 1)
    })
}
