//! Boxes that nothing is heard of. The statements name the incident as the partial index does, or it is of no use to them.

use proto::time::Millis;

use super::{
    Store, StoreError,
    appliances::appliance,
    convert::Col,
    incidents::{IncidentRow, incident},
};
use crate::store::ApplianceRow;

impl Store {
    /// Incidents that say that a box is silent, and that are not over.
    pub fn silent_incidents(&self) -> Result<Vec<IncidentRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM incident WHERE kind = 'appliance.silent' AND state = 'escalated' ORDER BY appliance",
        )?;
        Ok(statement.query_map([], incident)?.collect::<Result<_, _>>()?)
    }

    /// Boxes that may call, have not since `before`, and have no such incident.
    pub fn silent_appliances(&self, before: Millis) -> Result<Vec<ApplianceRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM appliance WHERE state <> 'revoked' AND max(seen_ms, enrolled_ms) <= ?1 AND NOT EXISTS
               (SELECT 1 FROM incident WHERE kind = 'appliance.silent' AND state = 'escalated'
                AND incident.appliance = appliance.id) ORDER BY enrolled_ms, id",
        )?;
        Ok(statement.query_map([Col(before)], appliance)?.collect::<Result<_, _>>()?)
    }
}
