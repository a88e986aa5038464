//! Incidents of the baseline: opened and closed by scans that an executor has signed, never by an agent's word.
//!
//! The rule: an agent that was taken over can be silent, and that shows; it must not be able to say that what drifted is
//! fine again, nor that something drifted that did not.

use std::{collections::BTreeSet, fmt::Write as _};

use baseline::{Baseline, ControlId, Repair};
use proto::{
    evidence::{Body, ControlName, Record, Scan, Standing, peek},
    time::Millis,
};
use runbooks::{Fault, WatchKind};

use super::{Core, CoreError, incident::State, incidents::Sighting};
use crate::store::{IncarnationRow, IncidentChange, IncidentRow};

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
        let before = self.store.newest_before(signer.incarnation, record.chain.index, kind)?;
        let before = before.and_then(|envelope| match peek(&envelope).ok()?.body {
            Body::Scan(scan) => Some(scan),
            _ => None,
        });
        let faults = Fault::ALL.iter().filter(|fault| fault.kind() == WatchKind::Baseline);
        for fault in faults {
            let Some(is_there) = fault.holds(&scan.readings) else { continue };
            for watch in &scan.watch {
                let sighting = Sighting {
                    kind: fault.as_str(),
                    watch,
                    is_there,
                    gone: "a signed scan shows that the fault is gone",
                    event: None,
                };
                let known = self.store.newest_incident(appliance.id, fault.as_str(), watch)?;
                let Some(id) = self.sight(&appliance, &sighting, now)? else { continue };
                let Some(row) = self.store.incident(id)? else { continue };
                if is_there {
                    self.store.add_timeline(id, now, "scan", &named(scan))?;
                }
                let change = IncidentChange { present: Some(is_there), ..IncidentChange::default() };
                self.store.change_incident(&row, &change, now)?;
                let was_told = known.is_some_and(|known| known.id == id && known.state == State::Escalated);
                if is_there && was_told && row.present && has_grown(*fault, before.as_ref(), scan) {
                    self.tell_of_more(&row, before.as_ref(), scan, now)?;
                }
            }
        }
        Ok(())
    }

    /// It is a person's already, who was told of less.
    fn tell_of_more(
        &mut self,
        row: &IncidentRow,
        before: Option<&Scan>,
        scan: &Scan,
        now: Millis,
    ) -> Result<(), CoreError> {
        let joined: Vec<&ControlName> = joined(before, scan).collect();
        let what = if joined.is_empty() { named(scan) } else { list("newly drifted", &joined) };
        let reason = format!("more of the baseline does not hold than was told; {what}");
        self.store.add_timeline(row.id, now, "grown", &reason)?;
        let change = IncidentChange { reason: Some(reason.clone()), ..IncidentChange::default() };
        self.store.change_incident(row, &change, now)?;
        self.notify_of_more(row, &reason, now)
    }
}

/// Whether there is more of a fault than the scan before has shown: a higher count, or the same with another control in it
/// that no runbook mends. Less, and what a runbook is for, is nobody's news.
fn has_grown(fault: Fault, before: Option<&Scan>, now: &Scan) -> bool {
    let reading = if fault == Fault::BaselineBroken { "broken" } else { "drifted" };
    let count = |scan: &Scan| scan.readings.get(reading).copied().unwrap_or(0);
    let is_nobodys = |control: &ControlName| {
        let known =
            control.to_string().parse::<ControlId>().ok().and_then(|id| Baseline::hipaa_v1().control(id));
        known.is_none_or(|control| matches!(control.repair, Repair::None { .. }))
    };
    count(now) > before.map_or(0, count)
        || (fault == Fault::BaselineBroken && joined(before, now).any(is_nobodys))
}

/// Controls that had not drifted in the scan before.
fn joined<'s>(before: Option<&'s Scan>, now: &'s Scan) -> impl Iterator<Item = &'s ControlName> {
    let had: BTreeSet<&ControlName> =
        before.into_iter().flat_map(|scan| scan.standing(Standing::Drifted)).collect();
    now.standing(Standing::Drifted).filter(move |control| !had.contains(control))
}

/// What has drifted, for people.
fn named(scan: &Scan) -> String {
    list("drifted", &scan.standing(Standing::Drifted).collect::<Vec<_>>())
}

fn list(what: &str, controls: &[&ControlName]) -> String {
    let first: Vec<String> = controls.iter().take(NAMED).map(ToString::to_string).collect();
    let mut said = format!("{what}: {}", first.join(", "));
    if controls.len() > NAMED {
        // Writing to a string does not fail.
        let _ = write!(said, " and {} more", controls.len() - NAMED);
    }
    said
}
