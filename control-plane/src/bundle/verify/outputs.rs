//! Outputs: bulk that records name by digest.

use std::collections::{BTreeMap, BTreeSet};

use proto::{digest::Digest, evidence::Body};

use super::{contents::Contents, findings::Findings};
use crate::bundle::{Fact, MissingOutput, Place, RunbookFacts, Source};

/// Checks that every output is what its name says and that a record names it; gives those that are not here although
/// their runbook keeps them.
pub(super) fn check(
    source: &dyn Source,
    contents: &Contents,
    facts: &[Fact],
    runbooks: &BTreeMap<Digest, RunbookFacts>,
    findings: &mut Findings,
) -> Vec<MissingOutput> {
    let mut tally = findings.begin("Outputs are those that the records name", "attachments/");
    let mut named = BTreeSet::new();
    let mut kept: Vec<MissingOutput> = Vec::new();
    for fact in facts {
        let Body::Execution(execution) = &fact.record.body else { continue };
        let keeps = runbooks.get(&execution.order.runbook_digest).is_none_or(|runbook| runbook.keeps_output);
        for output in execution.steps.iter().filter_map(|step| step.output) {
            named.insert(output);
            if keeps {
                kept.push(MissingOutput { record: fact.index, output });
            }
        }
    }
    let mut present = BTreeSet::new();
    for &digest in &contents.attachments {
        let place = Place::Attachment(digest);
        let Some(bytes) = findings.read(source, &place) else { continue };
        present.insert(digest);
        let found = Digest::of(&bytes);
        if found != digest {
            findings.fault(&place.to_string(), None, &format!("has digest {found}, its name says otherwise"));
        } else if !named.contains(&digest) {
            findings.fault(&place.to_string(), None, "no record names it");
        } else {
            tally.proven += 1;
        }
    }
    kept.retain(|wanted| !present.contains(&wanted.output));
    if let Some(first) = kept.first() {
        tally.missing(format!("{} of record {} is not here", first.output, first.record));
    }
    findings.end(tally);
    kept
}
