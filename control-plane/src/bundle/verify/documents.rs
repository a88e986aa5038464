//! Documents: what approvers decided for the clinic, as the boxes that took it name it.
//!
//! The rule: the text of an exception counts when an approver of a charter here signed it, and when a record of a box names
//! it by the same digests. What no record names is not to be here.

use std::collections::{BTreeMap, BTreeSet};

use baseline::Exception;
use proto::{
    digest::Digest,
    document::{Document, Kind},
    evidence::{Body, DocumentTaken},
};

use super::{charters::Charters, contents::Contents, findings::Findings};
use crate::bundle::{Fact, Place, Source};

/// Reads all documents and compares each with the records that name it; gives the texts that hold.
pub(super) fn check(
    source: &dyn Source,
    contents: &Contents,
    charters: &Charters,
    facts: &[Fact],
    findings: &mut Findings,
) -> BTreeMap<Digest, Exception> {
    let mut tally =
        findings.begin("Every exception that a box took was approved, and its text is here", "documents/");
    let mut texts = BTreeMap::new();
    let present: BTreeSet<Digest> = contents.documents.iter().copied().collect();
    let documents = read(source, contents, charters, findings);
    let mut named = BTreeSet::new();
    for fact in facts {
        let Body::Document(taken) = &fact.record.body else { continue };
        if taken.what != Kind::Exception {
            continue;
        }
        named.insert(taken.core);
        let Some(document) = documents.get(&taken.core) else {
            let why = if present.contains(&taken.core) { "does not hold" } else { "is not here" };
            tally.missing(format!("document {} of record {} {why}", taken.core, fact.index));
            continue;
        };
        match compare(taken, document) {
            Ok(text) => {
                tally.proven += 1;
                texts.extend(text.map(|text| (taken.content, text)));
            }
            Err(problem) => {
                let path = Place::Evidence(fact.index, fact.digest).to_string();
                findings.fault(&path, Some(fact.index), &problem);
            }
        }
    }
    for core in present.difference(&named) {
        findings.fault(&Place::Document(*core).to_string(), None, "no record names it");
    }
    findings.end(tally);
    texts
}

fn read(
    source: &dyn Source,
    contents: &Contents,
    charters: &Charters,
    findings: &mut Findings,
) -> BTreeMap<Digest, Document> {
    let mut all = BTreeMap::new();
    for &core in &contents.documents {
        let place = Place::Document(core);
        let Some(bytes) = findings.read(source, &place) else { continue };
        let document = match Document::decode(&bytes) {
            Ok(document) => document,
            Err(error) => {
                findings.error(&place.to_string(), None, &error);
                continue;
            }
        };
        if document.core_digest != core {
            let problem = format!("has core {}, its name says otherwise", document.core_digest);
            findings.fault(&place.to_string(), None, &problem);
        } else if charters.newest().is_none() {
            // Nobody can say who the approvers were.
        } else if !charters.newest_first().any(|charter| document.holds(charter).is_ok()) {
            findings.fault(&place.to_string(), None, "is not approved under any charter here");
        } else {
            all.insert(core, document);
        }
    }
    all
}

/// The text, if the record says of the document what the document says of itself.
fn compare(taken: &DocumentTaken, document: &Document) -> Result<Option<Exception>, String> {
    let core = &document.core;
    if core.kind != taken.what || core.name != taken.name || core.serial != taken.serial {
        return Err(format!("calls document {} by another kind, name or serial", taken.core));
    }
    if Digest::of(&core.content) != taken.content || core.is_withdrawal() != taken.is_withdrawal {
        return Err(format!("names another content than document {} has", taken.core));
    }
    if core.is_withdrawal() {
        return Ok(None);
    }
    Exception::of_document(&core.content, &core.name)
        .map(Some)
        .map_err(|bad| format!("took document {}, which is no exception: {bad}", taken.core))
}
