//! Another server that writes to the same vault while this one runs.
//!
//! The rule: one history comes of it, whoever writes; the vault sees to that. But two servers that both issue orders give a
//! box two of one number, and neither knows what the other has done. A person must switch one off: that is said, and until
//! nothing new has come from the other for as long as an order lives, this one issues none. Its generation rises once, not
//! with each of the other's turns.

use proto::{ids::TenantId, order::ORDER_LIFETIME_MAX, time::Millis};

use super::{Core, CoreError};

/// The incident that says so.
pub(super) const LOG_BESIDE: &str = "log.other-writer";

/// What is known of the other server.
#[derive(Default)]
pub(crate) struct Beside {
    /// Whether this server has come up: what it finds published before that is from before.
    pub(crate) is_up: bool,
    /// When something new came from the other.
    seen: Option<Millis>,
    /// Clinics of which that is still to be told.
    untold: Vec<TenantId>,
}

impl Core {
    /// The vault has a published checkpoint that this database has not: a backup was restored, or another server writes.
    pub(super) fn found_published(&mut self, tenant: TenantId, now: Millis) {
        if !self.beside.is_up {
            return self.raise_generation(tenant, now);
        }
        if self.beside.seen.is_none() {
            self.raise_generation(tenant, now);
        }
        if !self.issues_beside(now) {
            tracing::error!(%tenant, "another server writes to this vault: switch one of them off; no order is issued meanwhile");
        }
        self.beside.seen = Some(now);
        self.beside.untold.push(tenant);
    }

    /// Whether another server has written lately: then no order is issued.
    pub(super) fn issues_beside(&self, now: Millis) -> bool {
        self.beside.seen.is_some_and(|seen| now.since(seen) < ORDER_LIFETIME_MAX)
    }

    /// Tells people, once a day, whatever became of the command that found it.
    pub(super) fn tell_of_beside(&mut self, now: Millis) -> Result<(), CoreError> {
        for tenant in std::mem::take(&mut self.beside.untold) {
            // Where it lives does not matter; that somebody is told does.
            if let Some(appliance) = self.store.appliances(Some(tenant))?.first() {
                let why = "another server writes to this vault; switch one of them off";
                self.call_somebody_daily(appliance, LOG_BESIDE, why, now)?;
            }
        }
        Ok(())
    }
}
