//! The packet against the evidence: it is made again from the bundle, and must come out the same to the byte.
//!
//! The rule: a packet proves nothing, so it may say nothing that the evidence does not. Another version of the generator
//! may word things differently: then a difference proves nothing, and is not held to be a fault.

use super::findings::Findings;
use crate::{
    bundle::{Facts, Month, Place, Source, manifest::GENERATOR},
    packet,
};

const CLAIM: &str = "The packet says what the evidence says";

/// Makes the packet again and compares.
pub(super) fn check(source: &dyn Source, facts: &Facts, findings: &mut Findings) {
    let places = [Place::PacketMarkdown, Place::PacketPdf];
    let Some(month) = facts.said.packet else {
        for place in places {
            if findings.read(source, &place).is_some() {
                findings.fault(
                    &place.to_string(),
                    None,
                    "is not a packet of any month that the manifest names",
                );
            }
        }
        return;
    };
    let file = places.map(|place| place.to_string()).join(", ");
    if findings.fault_count > 0 {
        return findings.unchecked(CLAIM, file, "not made again, because of the faults below");
    }
    if facts.log.is_none() {
        return findings.unchecked(CLAIM, file, "not made again, because no head of the log holds");
    }
    compare(source, facts, month, file, findings);
}

fn compare(source: &dyn Source, facts: &Facts, month: Month, file: String, findings: &mut Findings) {
    let mut tally = findings.begin(CLAIM, file);
    let mut one = |place: Place, made: Result<Option<Vec<u8>>, packet::PacketError>| {
        let path = place.to_string();
        match (findings.read(source, &place), made) {
            (None, _) => tally.missing(format!("{path} is not here")),
            (Some(_), Err(error)) => findings.error(&path, None, &error),
            (Some(_), Ok(None)) => tally.missing("this program was built without what sets pages"),
            (Some(bytes), Ok(Some(made))) if *bytes == *made => tally.proven += 1,
            (Some(_), Ok(Some(_))) if facts.said.generator != GENERATOR => {
                let made_by = &facts.said.generator;
                tally.missing(format!(
                    "{path} comes out otherwise, and was made by {made_by}; this is {GENERATOR}"
                ));
            }
            (Some(_), Ok(Some(_))) => {
                findings.fault(&path, None, "is not the packet that this evidence gives")
            }
        }
    };
    one(Place::PacketMarkdown, packet::markdown(facts, month).map(|text| Some(text.into_bytes())));
    one(Place::PacketPdf, packet::pdf(facts, month));
    findings.end(tally);
}
