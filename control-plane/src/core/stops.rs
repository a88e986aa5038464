//! Stops: a box that is quarantined, or that an operator holds, is told to hold every order it has, standing ones too; one
//! that is readmitted or released is told so.
//!
//! The rule: what its executor goes by is signed, and the newest serial counts. Serials are this server's time, so that
//! one which comes back from a backup does not say less than it said before.

use proto::{
    stop::{HELD, Stop},
    sync::Exchange,
    time::Millis,
};

use super::{Core, CoreError, holds::OF_ALL};
use crate::store::{ApplianceRow, ApplianceState, StopRow};

/// How much of a reason goes along, in bytes: a box takes 200 at most.
const REASON_MAX: usize = 150;

impl Core {
    /// The stop, or the release, that this box does not go by yet; empty: it goes by what holds.
    pub(super) fn stop_for(
        &self,
        appliance: &ApplianceRow,
        exchange: &Exchange,
        now: Millis,
    ) -> Result<Vec<u8>, CoreError> {
        let why = self.why_stopped(appliance, now)?;
        let (stopped, reason) = (why.is_some(), why.unwrap_or_else(|| appliance.state_reason.clone()));
        let row = self.store.stop(appliance.id)?;
        // It knows one that this database does not: that is older than what left it.
        let unknown = exchange.stop_serial > row.as_ref().map_or(0, |row| row.serial);
        let mut reason: String = reason.chars().filter(|c| !c.is_control()).collect();
        reason.truncate(reason.floor_char_boundary(REASON_MAX));
        let reason = if reason.is_empty() { "nothing was said".into() } else { reason };
        let holds = |row: &StopRow| {
            let opened = Stop::open(&row.envelope, &self.charter.document);
            row.stopped == stopped
                && !unknown
                && opened.is_ok_and(|stop| !stopped || stop.value().reason == reason)
        };
        let row = match row {
            None if !stopped && !unknown => return Ok(Vec::new()),
            Some(row) if holds(&row) => row,
            older => {
                let serial = now.0.cast_unsigned().max(older.map_or(0, |row| row.serial) + 1);
                let stop = Stop {
                    organization: self.settings.organization.clone(),
                    tenant: appliance.tenant,
                    appliance: appliance.id,
                    serial,
                    stopped,
                    reason,
                };
                let row = StopRow { serial, stopped, envelope: self.seal(&stop.unsigned())? };
                self.store.put_stop(appliance.id, &row)?;
                row
            }
        };
        Ok(if exchange.stop_serial < row.serial { row.envelope } else { Vec::new() })
    }

    /// Why a box is to carry out nothing; `None`: it may.
    fn why_stopped(&self, appliance: &ApplianceRow, now: Millis) -> Result<Option<String>, CoreError> {
        if appliance.state == ApplianceState::Quarantined {
            return Ok(Some(appliance.state_reason.clone()));
        }
        let hold = self.hold_over(appliance, now)?;
        Ok(hold.map(|hold| {
            let until = if hold.until.0 == 0 { String::new() } else { format!(" until {}", hold.until) };
            // A box stands in a clinic, and its staff can read what it was told.
            let why = if hold.tenant.is_none() { OF_ALL } else { &hold.reason };
            format!("{HELD}{until}: {why}")
        }))
    }
}
