//! Charters: whose keys count.
//!
//! The rule: with a trust file only charters that the organization's keys signed are used for anything. Without one all
//! are, to find contradictions, and nothing is called proven.

use std::collections::BTreeMap;

use proto::{
    charter::{Charter, OrganizationKeys},
    dsse::Envelope,
    evidence::Body,
};

use super::{
    contents::Contents,
    findings::Findings,
    records::Records,
    successions::{self, Successions},
};
use crate::bundle::{Place, Sign, Source};

/// The charters of a bundle, by serial.
#[derive(Debug)]
pub(super) struct Charters {
    by_serial: BTreeMap<u64, Charter>,
    /// The organization's keys vouch for them.
    pub(super) anchored: bool,
    /// What the same keys say of the log.
    pub(super) successions: Successions,
}

impl Charters {
    pub(super) fn newest(&self) -> Option<&Charter> {
        self.by_serial.last_key_value().map(|(_, charter)| charter)
    }

    pub(super) fn by_serial(&self, serial: u64) -> Option<&Charter> {
        self.by_serial.get(&serial)
    }

    /// The newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Charter> {
        self.by_serial.values().rev()
    }
}

/// Reads all charters; under `trust` keeps those alone that it vouches for.
pub(super) fn read(
    source: &dyn Source,
    contents: &Contents,
    trust: Option<&OrganizationKeys>,
    findings: &mut Findings,
) -> Charters {
    let mut tally = findings.begin("Charters are signed by the organization's keys", "charter/");
    let mut by_serial = BTreeMap::new();
    for &serial in &contents.charters {
        let place = Place::Charter(serial);
        let Some(bytes) = findings.read(source, &place) else { continue };
        let path = place.to_string();
        let charter = match open(&bytes, trust) {
            Ok(charter) => charter,
            Err(problem) => {
                findings.fault(&path, None, &problem);
                continue;
            }
        };
        let organization = by_serial.values().next().map(|first: &Charter| first.organization.clone());
        if charter.serial != serial {
            findings.fault(&path, None, &format!("has serial {}", charter.serial));
        } else if organization.is_some_and(|name| name != charter.organization) {
            findings.fault(&path, None, "is of another organization than the charters before it");
        } else {
            tally.proven += 1;
            by_serial.insert(serial, charter);
        }
    }
    if by_serial.is_empty() {
        tally.missing("without a charter that holds no other key counts");
    }
    let anchored = trust.is_some() && !by_serial.is_empty();
    findings.end(tally);
    Charters { by_serial, anchored, successions: successions::read(source, contents, trust, findings) }
}

/// Whether the newest charter that any record goes by is here: it may have taken keys away.
pub(super) fn cited(charters: &Charters, records: &Records, findings: &mut Findings) {
    let mut tally = findings.begin("The newest charter that a record goes by is here", "charter/");
    let acts = records.acts.iter().map(|fact| fact.act.charter_serial);
    let serials = records.facts.iter().filter_map(|fact| match &fact.record.body {
        Body::Enrolment(enrolment) => Some(enrolment.charter_serial),
        Body::Heartbeat(beat) => Some(beat.charter_serial),
        Body::Execution(execution) => Some(execution.order.charter_serial),
        Body::Refusal(_)
        | Body::Hold(_)
        | Body::Scan(_)
        | Body::Document(_)
        | Body::Update(_)
        | Body::Unknown => None,
    });
    let beats = records.traces.iter().filter_map(|trace| match trace.sign {
        Sign::Heartbeat(beat) => Some(beat.charter()),
        Sign::Enrolment | Sign::Deed | Sign::Unknown => None,
    });
    match serials.chain(beats).chain(acts).max() {
        Some(serial) if charters.newest().is_some_and(|newest| newest.serial >= serial) => tally.proven = 1,
        Some(serial) => tally.missing(format!("charter {serial} is not here")),
        None => tally.missing("no record says which"),
    }
    findings.end(tally);
}

fn open(bytes: &[u8], trust: Option<&OrganizationKeys>) -> Result<Charter, String> {
    if let Some(trust) = trust {
        return trust
            .open(bytes)
            .map(|verified| verified.into_value())
            .map_err(|e| super::findings::chain(&e));
    }
    let envelope = Envelope::parse(bytes).map_err(|e| e.to_string())?;
    let charter: Charter =
        serde_json::from_slice(envelope.unverified_payload()).map_err(|e| e.to_string())?;
    charter.check().map_err(|bad| bad.to_string())?;
    Ok(charter)
}
