//! Incidents of the baseline: opened and closed by scans that an executor has signed, never by an agent's word.
//!
//! The rule: an agent that was taken over can be silent, and that shows; it must not be able to say that what drifted is
//! fine again, nor that something drifted that did not.

use std::fmt::Write as _;

use proto::{
    evidence::{Body, Record, Scan, Standing},
    time::Millis,
};
use runbooks::{Fault, WatchKind};

use super::{Core, CoreError, incidents::Sighting};
use crate::store::{IncarnationRow, IncidentChange};

/// How many controls a line of a timeline names.
const NAMED: usize = 12;

/// Whether only signed scans say of a fault of this name whether it is there.
pub(super) fn is_of_baseline(kind: &str) -> bool {
    kind.parse::<Fault>().is_ok_and(|fault| fault.kind() == WatchKind::Baseline)
}

impl Core {
    /// Takes a scan: each fault of the baseline, on each entry of the watch list that the scan answers for.
    pub(super) fn take_scan(
        &mut self,
        signer: &IncarnationRow,
        record: &Record,
        scan: &Scan,
        now: Millis,
    ) -> Result<(), CoreError> {
        // An older one says nothing about now: evidence may come late, and again.
        let kind = Body::Scan(scan.clone()).kind();
        if self.store.has_later(signer.incarnation, record.chain.index, kind)? {
            return Ok(());
        }
        let Some(appliance) = self.store.appliance(signer.appliance)? else { return Ok(()) };
        let faults = Fault::ALL.iter().filter(|fault| fault.kind() == WatchKind::Baseline);
        for fault in faults {
            let Some(is_there) = fault.holds(&scan.readings) else { continue };
            for watch in &scan.watch {
                let sighting = Sighting {
                    kind: fault.as_str(),
                    watch,
                    is_there,
                    gone: "a signed scan shows that the fault is gone",
                };
                let Some(id) = self.sight(&appliance, &sighting, now)? else { continue };
                let Some(row) = self.store.incident(id)? else { continue };
                if is_there {
                    self.store.add_timeline(id, now, "scan", &named(scan))?;
                }
                let change = IncidentChange { present: Some(is_there), ..IncidentChange::default() };
                self.store.change_incident(&row, &change, now)?;
            }
        }
        Ok(())
    }
}

/// What has drifted, for people.
fn named(scan: &Scan) -> String {
    let drifted: Vec<String> = scan.standing(Standing::Drifted).map(ToString::to_string).collect();
    let mut said = format!("drifted: {}", drifted[..drifted.len().min(NAMED)].join(", "));
    if drifted.len() > NAMED {
        // Writing to a string does not fail.
        let _ = write!(said, " and {} more", drifted.len() - NAMED);
    }
    said
}
