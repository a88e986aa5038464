//! Quarantine: a box whose story does not hold gets no more orders, and a person is told. Its evidence keeps coming.

use std::time::Duration;

use proto::{
    act::Deed,
    field::text,
    ids::{ApplianceId, IncidentId},
    time::Millis,
};

use super::{Core, CoreError, incident::Input};
use crate::store::{ApplianceRow, ApplianceState, NewIncident};

/// The incident by which a person hears of it.
pub(super) const FAULT: &str = "appliance.quarantined";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// What it is about: the box as a whole.
pub(super) const WATCH: &str = "appliance";

impl Core {
    /// Withholds an appliance's orders. The first reason is the one that stays: what follows may well follow from it.
    pub(super) fn quarantine(&mut self, id: ApplianceId, why: &str, now: Millis) -> Result<(), CoreError> {
        let Some(appliance) = self.store.appliance(id)?.filter(|row| row.state == ApplianceState::Active)
        else {
            return Ok(());
        };
        self.store.set_appliance_state(id, ApplianceState::Quarantined, why)?;
        tracing::error!(appliance = %id, why, "appliance {id} is quarantined");
        self.note_act(appliance.tenant, Deed::Quarantine { appliance: id, cause: why.to_owned() }, now);
        // A copy of it may hold a call open: it is to hear of the stop at once.
        self.wake.insert(id);
        self.call_somebody(&appliance, FAULT, why, now)
    }

    /// Ends a quarantine: a person has looked into it and says why. That stays with the incident by which it began. Refused
    /// where its evidence has two histories.
    pub fn readmit_appliance(&mut self, id: &str, why: &str, now: Millis) -> Result<ApplianceRow, CoreError> {
        let row = self.appliance("id", id)?;
        let (id, why) = (row.id, text("why", why, 200)?);
        if row.state != ApplianceState::Quarantined {
            let state = row.state.name();
            return Err(CoreError::Precondition(format!("appliance {id} is {state}, not quarantined")));
        }
        // Its keys are in two places, or were: what comes next could be either's, and would be told apart by nobody.
        if self.store.has_forked(row.incarnation)? {
            return Err(CoreError::Precondition(format!(
                "appliance {id} has two histories of its evidence: its disk was copied, or an old state put back, so \
                 nobody can tell which box goes on; revoke it, and enrol the box anew with an empty folder and a new token"
            )));
        }
        self.store.set_appliance_state(id, ApplianceState::Active, &format!("readmitted: {why}"))?;
        if let Some(incident) = self.store.newest_incident(id, FAULT, &WATCH.parse()?)? {
            self.store.add_timeline(incident.id, now, "readmitted", &why)?;
        }
        tracing::warn!(appliance = %id, why, "appliance {id} is readmitted");
        self.note_act(row.tenant, Deed::Readmission { appliance: id }, now);
        self.is_over(id, FAULT, &format!("readmitted: {why}"), now)?;
        self.wake.insert(id);
        let after = self.appliance("id", &id.to_string())?;
        self.state_changed(&row, &after);
        Ok(after)
    }

    /// The same as [`Core::call_somebody`], unless a person was told within the day.
    pub(super) fn call_somebody_daily(
        &mut self,
        appliance: &ApplianceRow,
        kind: &str,
        why: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        let newest = self.store.newest_incident(appliance.id, kind, &WATCH.parse()?)?;
        if newest.is_some_and(|row| now.since(row.opened) < DAY) {
            return Ok(());
        }
        self.call_somebody(appliance, kind, why, now)
    }

    /// Opens an incident about a box as a whole that only a person can end.
    pub(super) fn call_somebody(
        &mut self,
        appliance: &ApplianceRow,
        kind: &str,
        why: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        let id = IncidentId::new(now, self.random());
        self.store.add_incident(&NewIncident {
            id,
            tenant: appliance.tenant,
            appliance: appliance.id,
            kind,
            watch: &WATCH.parse()?,
            now,
        })?;
        self.store.add_timeline(id, now, "seen", why)?;
        match self.store.incident(id)? {
            Some(row) => self.move_incident(&row, Input::NoRunbook, why, now),
            None => Ok(()),
        }
    }
}
