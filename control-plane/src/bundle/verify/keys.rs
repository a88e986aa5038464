//! Evidence keys: which executor each belongs to, by papers that the server cannot have written alone.

use std::collections::BTreeMap;

use proto::{evidence::Body, field::BadField, ids::Incarnation};

use super::{charters::Charters, contents::Contents, findings::Findings, head::LogHead};
use crate::bundle::{Enrolled, Fact, Place, Source, enrolled::Papers};

/// Papers by executor.
pub(super) type Keys = BTreeMap<Incarnation, Papers>;

/// Reads the papers of all executors: each agrees in itself.
pub(super) fn read(
    source: &dyn Source,
    contents: &Contents,
    charters: &Charters,
    head: Option<&LogHead>,
    findings: &mut Findings,
) -> Keys {
    let mut tally =
        findings.begin("Each executor's certificate and evidence key vouch for each other", "appliances/");
    let keys = papers(source, contents, charters, head, findings);
    tally.proven = keys.len() as u64;
    if keys.is_empty() {
        tally.missing("no executor's papers hold");
    }
    findings.end(tally);
    keys
}

fn papers(
    source: &dyn Source,
    contents: &Contents,
    charters: &Charters,
    head: Option<&LogHead>,
    findings: &mut Findings,
) -> Keys {
    let mut keys = Keys::new();
    let Some(charter) = charters.newest() else { return keys };
    for &(appliance, incarnation) in &contents.appliances {
        let place = Place::Appliance(appliance, incarnation);
        let Some(bytes) = findings.read(source, &place) else { continue };
        let path = place.to_string();
        let papers = Enrolled::parse(&bytes).and_then(|enrolled| {
            let bad = |problem| Err(BadField::new("enrolment", problem));
            if (enrolled.appliance, enrolled.incarnation) != (appliance, incarnation) {
                return bad("is of another executor than the file's name says");
            }
            if enrolled.encode() != *bytes {
                return bad("is not written as enrolments are written");
            }
            enrolled.papers(&charter.organization, head.map(|head| head.tenant))
        });
        match papers {
            Ok(papers) if keys.contains_key(&incarnation) => {
                let problem =
                    format!("executor {incarnation} is said to be of {} too", papers.spiffe.appliance);
                findings.fault(&path, None, &problem);
            }
            Ok(papers) => {
                keys.insert(incarnation, papers);
            }
            Err(bad) => findings.fault(&path, None, &bad.to_string()),
        }
    }
    keys
}

/// Checks each executor's papers against its own first record and against the charter that it believed.
pub(super) fn confirm(keys: &Keys, facts: &[Fact], charters: &Charters, findings: &mut Findings) {
    let mut tally = findings.begin("Charter and first record confirm each executor's key", "appliances/");
    let firsts: BTreeMap<Incarnation, &Fact> = facts
        .iter()
        .filter(|fact| fact.record.chain.index == 0)
        .map(|fact| (fact.record.chain.incarnation, fact))
        .collect();
    for (incarnation, papers) in keys {
        let path = Place::Appliance(papers.spiffe.appliance, *incarnation).to_string();
        let Some(first) = firsts.get(incarnation) else {
            tally.missing(format!("the first record of executor {incarnation} is not here"));
            if !charters.newest_first().any(|charter| papers.signed_under(charter).is_ok()) {
                findings.fault(&path, None, "certificate is not signed by a charter's certificate authority");
            }
            continue;
        };
        if first.record.body == Body::Unknown {
            tally.missing(format!("the first record of executor {incarnation} is of a newer version"));
            continue;
        }
        let Body::Enrolment(enrolment) = &first.record.body else {
            findings.fault(&path, Some(first.index), "the executor's first record is not its enrolment");
            continue;
        };
        let Some(charter) = charters.by_serial(enrolment.charter_serial) else {
            tally.missing(format!("charter {} is not here", enrolment.charter_serial));
            continue;
        };
        match papers.confirm(enrolment, charter) {
            Ok(()) => tally.proven += 1,
            Err(bad) => findings.fault(&path, Some(first.index), &bad.to_string()),
        }
    }
    findings.end(tally);
}
