//! Baselines: what scans were judged by.
//!
//! The rule: a scan's signature covers its baseline's digest, so a file with that digest is the one that was meant. One
//! that no scan cites has nothing to vouch for it, and must be this verifier's own.

use std::collections::BTreeMap;

use baseline::{Baseline, HIPAA_V1};
use proto::{digest::Digest, evidence::Body};

use super::{contents::Contents, findings::Findings};
use crate::bundle::{Facts, Place, Source, manifest::GENERATOR};

/// Those that can be read here and are what their name says.
pub(super) fn read(source: &dyn Source, contents: &Contents) -> BTreeMap<Digest, Baseline> {
    let read = |digest: &Digest| {
        let bytes = source.read(&Place::Baseline(*digest).to_string()).ok()?;
        if Digest::of(&bytes) != *digest {
            return None;
        }
        // Its own it knows by heart.
        let own = *bytes == *HIPAA_V1.as_bytes();
        let baseline = if own { Baseline::hipaa_v1().clone() } else { Baseline::parse(&bytes).ok()? };
        Some((*digest, baseline))
    };
    contents.baselines.iter().filter_map(read).collect()
}

/// Checks that every baseline is what its name says, and that the ones that scans cite are here.
pub(super) fn check(source: &dyn Source, contents: &Contents, facts: &Facts, findings: &mut Findings) {
    let mut tally = findings.begin("The baselines that scans were judged by are here", "baseline/");
    let mut cited: BTreeMap<Digest, u64> = BTreeMap::new();
    for fact in &facts.records {
        if let Body::Scan(scan) = &fact.record.body {
            cited.entry(scan.baseline).or_insert(fact.index);
        }
    }
    let own = Digest::of(HIPAA_V1.as_bytes());
    let another_version = facts.said.generator != GENERATOR;
    for &digest in &contents.baselines {
        let place = Place::Baseline(digest);
        let Some(bytes) = findings.read(source, &place) else { continue };
        let found = Digest::of(&bytes);
        let is_cited = cited.remove(&digest).is_some();
        if found != digest {
            findings.fault(&place.to_string(), None, &format!("has digest {found}, its name says otherwise"));
        } else if digest != own && !is_cited && !another_version {
            findings.fault(&place.to_string(), None, "no scan cites it");
        } else if digest == own {
            tally.proven += 1;
        } else if let Err(error) = Baseline::parse(&bytes) {
            // A version to come may have controls that this one cannot read.
            tally.missing(format!("{place} cannot be read here: {error}"));
        } else {
            tally.proven += 1;
        }
    }
    for (digest, record) in cited {
        tally.missing(format!("baseline {digest}, which record {record} cites, is not here"));
    }
    if contents.baselines.is_empty() {
        tally.missing("there is none".to_owned());
    }
    findings.end(tally);
}
