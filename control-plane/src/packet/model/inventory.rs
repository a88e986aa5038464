//! What runs on the boxes, and what other hosts could reach of it.

use std::collections::BTreeMap;

use proto::{
    evidence::{Body, Seen, Standing, Update},
    ids::ApplianceId,
    time::Millis,
};

use crate::bundle::{Fact, Facts};

/// The control that counts the sockets which other hosts can reach.
pub(in crate::packet) const LISTENING: &str = "NXH-028";

/// What a box ran, from one heartbeat until another said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The box.
    pub appliance: ApplianceId,
    /// The program's version.
    pub program: String,
    /// The catalogue's.
    pub catalogue: u64,
    /// Serial of the policy.
    pub policy: u64,
    /// First heartbeat that says so: when, and its record.
    pub since: (Millis, u64),
    /// The newest one.
    pub until: Millis,
}

/// Other software on a box, from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Updated<'f> {
    /// The box.
    pub appliance: ApplianceId,
    /// When its executor saw it, and its record.
    pub at: (Millis, u64),
    /// What ran before, and what ran then.
    pub update: &'f Update,
}

/// What other hosts could reach of one box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    /// The box.
    pub appliance: ApplianceId,
    /// Scans that looked.
    pub looks: u64,
    /// Of these, the ones that found none but the DHCP client's.
    pub none: u64,
    /// The newest that looked: when, and its record.
    pub newest: (Millis, u64),
    /// What it counted, by kind of socket.
    pub counts: Vec<(String, i64)>,
    /// How it was judged.
    pub standing: Standing,
}

/// Every change up to `until`, box by box.
pub(super) fn versions(facts: &Facts, until: Millis) -> Vec<Version> {
    let mut all: BTreeMap<ApplianceId, Vec<Version>> = BTreeMap::new();
    for fact in facts.records.iter().filter(|fact| fact.record.clock.at < until) {
        let Body::Heartbeat(beat) = &fact.record.body else { continue };
        let (appliance, at) = (fact.record.identity.appliance, fact.record.clock.at);
        let of_box = all.entry(appliance).or_default();
        match of_box.last_mut() {
            Some(last)
                if last.program == beat.version
                    && last.catalogue == beat.catalogue_version
                    && last.policy == beat.policy_serial =>
            {
                last.until = at;
            }
            _ => of_box.push(Version {
                appliance,
                program: beat.version.clone(),
                catalogue: beat.catalogue_version,
                policy: beat.policy_serial,
                since: (at, fact.index),
                until: at,
            }),
        }
    }
    all.into_values().flatten().collect()
}

/// The update that a record tells of.
pub(super) fn updated(fact: &Fact) -> Option<Updated<'_>> {
    let Body::Update(update) = &fact.record.body else { return None };
    let (appliance, at) = (fact.record.identity.appliance, (fact.record.clock.at, fact.index));
    Some(Updated { appliance, at, update })
}

/// What scans of the month counted, box by box.
pub(super) fn sockets(records: &[&Fact]) -> Vec<Sockets> {
    let mut all: BTreeMap<ApplianceId, Sockets> = BTreeMap::new();
    for fact in records {
        let Body::Scan(scan) = &fact.record.body else { continue };
        let Some((_, found)) = scan.findings.iter().find(|(control, _)| control.to_string() == LISTENING)
        else {
            continue;
        };
        let appliance = fact.record.identity.appliance;
        let count = |seen: &Seen| match seen {
            Seen::Number(n) => Some(*n),
            _ => None,
        };
        let before = all.get(&appliance).map_or((0, 0), |before| (before.looks, before.none));
        let now = Sockets {
            appliance,
            looks: before.0 + 1,
            none: before.1 + u64::from(found.standing == Standing::Compliant),
            newest: (fact.record.clock.at, fact.index),
            counts: found
                .reading
                .iter()
                .filter_map(|(what, seen)| Some((what.to_string(), count(seen)?)))
                .collect(),
            standing: found.standing,
        };
        all.insert(appliance, now);
    }
    all.into_values().collect()
}
