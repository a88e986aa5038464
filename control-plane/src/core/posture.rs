//! How a clinic's boxes stand against the baseline, by what their executors signed.

use proto::{
    evidence::{Body, Scan, peek},
    time::Millis,
};

use super::{Core, CoreError};
use crate::store::{ApplianceRow, TenantRow};

/// A box, and its newest scan with the time of it.
pub type Stands = (ApplianceRow, Option<(Millis, Scan)>);

impl Core {
    /// Each box of a clinic that is in sight and not revoked.
    pub fn posture(&self, tenant: &str) -> Result<(TenantRow, Vec<Stands>), CoreError> {
        let row = self.tenant(tenant)?;
        let mut all = Vec::new();
        for appliance in self.appliances(&row.id.to_string())? {
            if appliance.state == crate::store::ApplianceState::Revoked {
                continue;
            }
            let newest = self.store.newest_of_kind(appliance.incarnation, "scan")?;
            // Verified before it was kept here.
            let scan = newest.and_then(|envelope| {
                let record = peek(&envelope).ok()?;
                match record.body {
                    Body::Scan(scan) => Some((record.clock.at, scan)),
                    _ => None,
                }
            });
            all.push((appliance, scan));
        }
        Ok((row, all))
    }
}
