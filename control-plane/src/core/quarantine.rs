//! Quarantine: a box whose story does not hold gets no more orders, and a person is told. Its evidence keeps coming.

use proto::{ids::ApplianceId, time::Millis};

use super::{Core, CoreError, incident::Input};
use crate::store::{ApplianceState, NewIncident};

/// The incident by which a person hears of it.
const FAULT: &str = "appliance.quarantined";
/// What it is about: the box as a whole.
const WATCH: &str = "appliance";

impl Core {
    /// Withholds an appliance's orders. The first reason is the one that stays: what follows may well follow from it.
    pub(super) fn quarantine(&mut self, id: ApplianceId, why: &str, now: Millis) -> Result<(), CoreError> {
        let Some(appliance) = self.store.appliance(id)?.filter(|row| row.state == ApplianceState::Active)
        else {
            return Ok(());
        };
        self.store.set_appliance_state(id, ApplianceState::Quarantined, why)?;
        tracing::error!(appliance = %id, why, "appliance {id} is quarantined");
        let watch = WATCH.parse()?;
        let incident = proto::ids::IncidentId::new(now, self.random());
        let tenant = appliance.tenant;
        self.store.add_incident(&NewIncident {
            id: incident,
            tenant,
            appliance: id,
            kind: FAULT,
            watch: &watch,
            now,
        })?;
        self.store.add_timeline(incident, now, "seen", why)?;
        match self.store.incident(incident)? {
            Some(row) => self.move_incident(&row, Input::NoRunbook, why, now),
            None => Ok(()),
        }
    }
}
