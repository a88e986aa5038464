//! Drift: a control that a scan found not to be so, from then until a scan found it otherwise.

use std::collections::BTreeMap;

use proto::{
    evidence::{Body, ControlName, Standing},
    ids::ApplianceId,
    time::Millis,
};

use super::Moment;
use crate::bundle::Facts;

/// One control of one box, while it did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift<'f> {
    /// The box.
    pub appliance: ApplianceId,
    /// The control.
    pub control: &'f ControlName,
    /// The scan before, that found it as it must be; `None`: there was none.
    pub held_before: Option<Moment>,
    /// The scan that found it first.
    pub since: Moment,
    /// The newest that still did.
    pub last: Moment,
    /// All that did.
    pub scans: Vec<u64>,
    /// What ended it; `None`: it is open.
    pub ended: Option<(Moment, Ended)>,
}

/// How a drift ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was found as it must be.
    Mended,
    /// Somebody answers for it from then on.
    Excepted,
}

impl Drift<'_> {
    /// Nothing ended it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// It was there at some moment from `from` on.
    #[must_use]
    pub fn reaches(&self, from: Millis) -> bool {
        self.ended.is_none_or(|(end, _)| end.at >= from)
    }
}

/// Every drift that scans before `until` found, the oldest first. A control that nobody could look at stays as it was found.
#[must_use]
pub fn drifts(facts: &Facts, until: Millis) -> Vec<Drift<'_>> {
    let mut open: BTreeMap<(ApplianceId, &ControlName), Drift<'_>> = BTreeMap::new();
    let mut held: BTreeMap<(ApplianceId, &ControlName), Moment> = BTreeMap::new();
    let mut ended = Vec::new();
    for fact in facts.records.iter().filter(|fact| fact.record.clock.at < until) {
        let Body::Scan(scan) = &fact.record.body else { continue };
        let (appliance, now) = (fact.record.identity.appliance, Moment::of(fact));
        for (control, found) in &scan.findings {
            let key = (appliance, control);
            let how = match found.standing {
                Standing::NotEvaluable => continue,
                Standing::Drifted => {
                    let drift = open.entry(key).or_insert_with(|| Drift {
                        appliance,
                        control,
                        held_before: held.get(&key).copied(),
                        since: now,
                        last: now,
                        scans: vec![],
                        ended: None,
                    });
                    drift.last = now;
                    drift.scans.push(now.record);
                    continue;
                }
                Standing::Compliant => {
                    held.insert(key, now);
                    Ended::Mended
                }
                Standing::Excepted => Ended::Excepted,
            };
            if let Some(drift) = open.remove(&key) {
                ended.push(Drift { ended: Some((now, how)), ..drift });
            }
        }
    }
    ended.extend(open.into_values());
    ended.sort_by_key(|drift| (drift.since.at, drift.since.record, drift.control));
    ended
}
