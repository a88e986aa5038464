//! Stops: a quarantined box is told to hold every order it has, standing ones too; a readmitted one is released.
//!
//! The rule: what its executor goes by is signed, and the newest serial counts. Serials are this server's time, so that
//! one which comes back from a backup does not say less than it said before.

use proto::{stop::Stop, sync::Exchange, time::Millis};

use super::{Core, CoreError};
use crate::store::{ApplianceRow, ApplianceState, StopRow};

/// How much of a reason goes along, in characters.
const REASON_MAX: usize = 150;

impl Core {
    /// The stop, or the release, that this box does not go by yet; empty: it goes by what holds.
    pub(super) fn stop_for(
        &self,
        appliance: &ApplianceRow,
        exchange: &Exchange,
        now: Millis,
    ) -> Result<Vec<u8>, CoreError> {
        let stopped = appliance.state == ApplianceState::Quarantined;
        let row = self.store.stop(appliance.id)?;
        // It knows one that this database does not: that is older than what left it.
        let unknown = exchange.stop_serial > row.as_ref().map_or(0, |row| row.serial);
        let holds = |row: &StopRow| {
            row.stopped == stopped && Stop::open(&row.envelope, &self.charter.document).is_ok() && !unknown
        };
        let row = match row {
            None if !stopped && !unknown => return Ok(Vec::new()),
            Some(row) if holds(&row) => row,
            older => {
                let serial = now.0.cast_unsigned().max(older.map_or(0, |row| row.serial) + 1);
                let reason: String =
                    appliance.state_reason.chars().filter(|c| !c.is_control()).take(REASON_MAX).collect();
                let stop = Stop {
                    organization: self.settings.organization.clone(),
                    tenant: appliance.tenant,
                    appliance: appliance.id,
                    serial,
                    stopped,
                    reason: if reason.is_empty() { "nothing was said".into() } else { reason },
                };
                let row = StopRow { serial, stopped, envelope: stop.seal(&self.keys.order) };
                self.store.put_stop(appliance.id, &row)?;
                row
            }
        };
        Ok(if exchange.stop_serial < row.serial { row.envelope } else { Vec::new() })
    }
}
