//! Exceptions: what was waived, in the words that people approved.
//!
//! The rule: a scan names the exception that it was judged with by its digest, and so does the record that it was taken; a
//! file with that digest is the one that was meant. One that no record names has nothing to vouch for it.

use std::collections::{BTreeMap, BTreeSet};

use baseline::Exception;
use proto::{
    digest::Digest,
    document::Kind,
    evidence::{Body, ControlName},
};

use super::{contents::Contents, findings::Findings};
use crate::bundle::{Fact, Facts, Place, Source};

/// The exceptions that a record names.
pub(in crate::bundle) fn of(body: &Body) -> BTreeSet<Digest> {
    named(body).map(|(digest, _)| digest).collect()
}

/// The same with the control that each waives.
fn named(body: &Body) -> Box<dyn Iterator<Item = (Digest, String)> + '_> {
    let control = |name: &ControlName| name.to_string();
    match body {
        Body::Scan(scan) => Box::new(
            scan.findings.iter().filter_map(move |(name, found)| Some((found.exception?, control(name)))),
        ),
        Body::Document(taken) if taken.what == Kind::Exception && !taken.is_withdrawal => {
            Box::new(std::iter::once((taken.content, taken.name.clone())))
        }
        _ => Box::new(std::iter::empty()),
    }
}

/// Those that are what their name says and what a record names.
pub(super) fn read(
    source: &dyn Source,
    contents: &Contents,
    records: &[Fact],
) -> BTreeMap<Digest, Exception> {
    if contents.exceptions.is_empty() {
        return BTreeMap::new();
    }
    let named = all(records);
    let read = |digest: &Digest| {
        let bytes = source.read(&Place::Exception(*digest).to_string()).ok()?;
        let exception = Exception::of_document(&bytes, &named.get(digest)?.control).ok()?;
        (Digest::of(&bytes) == *digest).then_some((*digest, exception))
    };
    contents.exceptions.iter().filter_map(read).collect()
}

/// What records say of an exception.
struct Named {
    control: String,
    /// Index of the first scan that was judged with it.
    scan: Option<u64>,
}

fn all(records: &[Fact]) -> BTreeMap<Digest, Named> {
    let mut all: BTreeMap<Digest, Named> = BTreeMap::new();
    for fact in records {
        for (digest, control) in named(&fact.record.body) {
            let one = all.entry(digest).or_insert(Named { control, scan: None });
            if matches!(fact.record.body, Body::Scan(_)) {
                one.scan.get_or_insert(fact.index);
            }
        }
    }
    all
}

/// Checks that every exception is what its name says, and that the ones that scans were judged with are here.
pub(super) fn check(source: &dyn Source, contents: &Contents, facts: &Facts, findings: &mut Findings) {
    let mut named = all(&facts.records);
    if named.is_empty() && contents.exceptions.is_empty() {
        return;
    }
    let mut tally = findings.begin("The exceptions that scans were judged with are here", "exceptions/");
    for &digest in &contents.exceptions {
        let place = Place::Exception(digest);
        let Some(bytes) = findings.read(source, &place) else { continue };
        let found = Digest::of(&bytes);
        if found != digest {
            findings.fault(&place.to_string(), None, &format!("has digest {found}, its name says otherwise"));
            continue;
        }
        let Some(one) = named.remove(&digest) else {
            findings.fault(&place.to_string(), None, "no record names it");
            continue;
        };
        match Exception::of_document(&bytes, &one.control) {
            Ok(_) => tally.proven += 1,
            Err(bad) => findings.fault(&place.to_string(), None, &bad.to_string()),
        }
    }
    for (digest, one) in named {
        if let Some(record) = one.scan {
            tally.missing(format!(
                "exception {digest} of {}, which record {record} cites, is not here",
                one.control
            ));
        }
    }
    findings.end(tally);
}
