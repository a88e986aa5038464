//! The exports in NIST's format against the evidence: made again from the bundle, they must come out the same to the byte.
//!
//! The rule: as for the packet. A bundle without any of them is an older version's, and none the worse: whoever wants them makes
//! them from it.

use std::collections::BTreeMap;

use super::findings::Findings;
use crate::{
    bundle::{Facts, Place, Source, manifest::GENERATOR},
    oscal::{self, Export},
};

const CLAIM: &str = "The exports in NIST's format (OSCAL) say what the evidence says";

/// Makes them again and compares.
pub(super) fn check(source: &dyn Source, facts: &Facts, findings: &mut Findings) {
    let mut here = BTreeMap::new();
    for export in Export::ALL {
        if let Some(bytes) = findings.read(source, &Place::Oscal(export)) {
            here.insert(export, bytes);
        }
    }
    if here.is_empty() {
        return;
    }
    if findings.fault_count > 0 {
        return findings.unchecked(CLAIM, "oscal/", "not made again, because of the faults below");
    }
    if facts.log.is_none() {
        return findings.unchecked(CLAIM, "oscal/", "not made again, because no head of the log holds");
    }
    let mut tally = findings.begin(CLAIM, "oscal/");
    let made = oscal::build(facts);
    for export in Export::ALL {
        let place = Place::Oscal(export);
        match (here.get(&export), made.get(&export)) {
            (None, None) => {}
            (Some(bytes), Some(made)) if **bytes == **made => tally.proven += 1,
            (None, Some(_)) => tally.missing(format!("{place} is not here")),
            (Some(_), _) if facts.said.generator != GENERATOR => {
                let made_by = &facts.said.generator;
                tally.missing(format!(
                    "{place} comes out otherwise, and was made by {made_by}; this is {GENERATOR}"
                ));
            }
            (Some(_), _) => {
                findings.fault(&place.to_string(), None, "is not the export that this evidence gives");
            }
        }
    }
    findings.end(tally);
}
