//! Proof files: each on its own, as anyone else's software would check it.
//!
//! The rule: a record that lies alone comes with its proof. Records that lie together in the log's entries need none: all
//! of them are in the tree whose root the checkpoint signs, and that root is computed from them.

use std::collections::BTreeSet;

use proto::log::{Hash, TlogProof, verify_inclusion};

use super::{
    contents::Contents,
    findings::{Findings, chain},
    head::LogHead,
    parallel,
    records::Records,
};
use crate::bundle::{Place, ReadError, Source};

/// Checks the proof file of every record.
pub(super) fn check(
    source: &dyn Source,
    contents: &Contents,
    records: &Records,
    head: Option<&LogHead>,
    findings: &mut Findings,
) {
    let mut tally = findings.begin("Every record has a proof that it is in the log", "proofs/");
    let mut proven = BTreeSet::new();
    let look = |n: usize| {
        let index = contents.proofs[n];
        (index, one(source, contents, records, head, index))
    };
    parallel::in_order(contents.proofs.len(), look, |(index, found)| match found {
        Ok(true) => drop(proven.insert(index)),
        Ok(false) => {}
        Err(problem) => findings.fault(&Place::Proof(index).to_string(), Some(index), &problem),
    });
    tally.proven = proven.len() as u64;
    match head.map(LogHead::head) {
        None => tally.missing("no head of the log holds"),
        Some(head) if records.growth.root(head.size) == Some(head.root) => tally.proven += records.together,
        Some(_) if records.together > 0 => {
            tally
                .missing(format!("{} records in the log's entries are not under its root", records.together));
        }
        Some(_) => {}
    }
    if records.uncovered > 0 {
        tally.missing(format!("{} records in the log's entries lie beyond its head", records.uncovered));
    }
    let alone = |index: &&u64| records.leaf(**index).is_some() && !proven.contains(*index);
    if let Some(index) = contents.evidence.keys().find(alone) {
        tally.missing(format!("record {index} has none that holds"));
    }
    findings.end(tally);
}

/// Whether the proof of a record holds. `false`: there is nothing to hold it against, which is told elsewhere.
fn one(
    source: &dyn Source,
    contents: &Contents,
    records: &Records,
    head: Option<&LogHead>,
    index: u64,
) -> Result<bool, String> {
    let bytes = match source.read(&Place::Proof(index).to_string()) {
        Ok(bytes) => bytes,
        Err(ReadError::Absent) => return Ok(false),
        Err(error) => return Err(chain(&error)),
    };
    match (records.leaf(index), head) {
        (None, _) if !contents.evidence.contains_key(&index) => {
            Err("is for a record that is not here".to_owned())
        }
        (None, _) | (_, None) => Ok(false),
        (Some(leaf), Some(head)) => holds(&bytes, index, leaf, head).map(|()| true),
    }
}

fn holds(bytes: &[u8], index: u64, leaf: Hash, head: &LogHead) -> Result<(), String> {
    let proof = TlogProof::parse(bytes).map_err(|error| error.to_string())?;
    if proof.index != index {
        return Err(format!("is for record {}", proof.index));
    }
    if !proof.extra.is_empty() {
        return Err("must have no extra line: nothing signs it".to_owned());
    }
    if proof.checkpoint != head.checkpoint.note() {
        return Err("must end with the bundle's own checkpoint".to_owned());
    }
    let log = head.head();
    verify_inclusion(leaf, index, log.size, &proof.hashes, log.root).map_err(|error| error.to_string())
}
