//! The outbox kept in order: what nobody is there for, what is too much, and what is old.
//!
//! The rule: nothing waits without end. A letter that cannot go out any more ends as a dead letter, which an operator sees;
//! what is settled is kept for a while, and as long as its fault is there: by it those are known who must hear of the end.

use std::time::Duration;

use proto::{ids::TenantId, time::Millis};

use super::{Core, CoreError};

/// The most letters about one clinic that wait for one channel: whoever is back after so many reads no more of them.
const WAITING_MOST: u32 = 200;
/// How long settled letters are kept: a year, and a month to look back over it. Acts and incidents stay.
const KEPT_FOR: Duration = Duration::from_secs(400 * 24 * 3600);
const PRUNE_EVERY: Duration = Duration::from_secs(24 * 3600);
/// The most that are removed in one round: the next goes on.
const PRUNE_MOST: u32 = 5_000;
/// When that was done last.
const PRUNED: &str = "letters_pruned_ms";

impl Core {
    /// After a start, when settings may be others: letters that nobody is there for any more are dead, tickets are where
    /// their channel says, and channels for clinics that there are not are named.
    pub(super) fn sort_outbox(&self) -> Result<(), CoreError> {
        for (channel, name) in self.unknown_tenants()? {
            tracing::error!(
                channel,
                tenant = name,
                "channel {channel} is to hear of {name:?}, and there is no such clinic: nobody is told there of any fault \
                 of it; `control-plane tenant list` shows how clinics are called"
            );
        }
        let rules = &self.settings.telling;
        for (channel, desk) in &rules.desks {
            self.store.move_tickets(channel, desk)?;
        }
        for (channel, tenant) in self.store.waited_for()? {
            if !rules.channels.contains_key(&channel) {
                let why = "the settings do not name this channel any more";
                self.store.bury_notifications(&channel, tenant, why)?;
            } else if !rules.hears(&channel, &self.tenant_named(tenant)?) {
                let why = "this channel does not hear of this clinic any more";
                self.store.bury_notifications(&channel, tenant, why)?;
            }
        }
        Ok(())
    }

    /// Channels, and the names by which they are to hear of clinics that there are not. One that is to come may be named
    /// before it is there, so that is no reason not to start.
    fn unknown_tenants(&self) -> Result<Vec<(String, String)>, CoreError> {
        let tenants = self.store.tenants()?;
        let names = tenants.into_iter().flat_map(|row| [row.id.to_string(), row.name]).collect();
        Ok(self.settings.telling.strangers(&names))
    }

    /// Bounds what waits for a channel that hangs: the oldest of a clinic are given up.
    pub(super) fn bound_waiting(&self, channel: &str, tenant: TenantId) -> Result<(), CoreError> {
        let why = format!("more than {WAITING_MOST} letters about this clinic waited for this channel");
        if self.store.bury_oldest(channel, tenant, WAITING_MOST, &why)? > 0 {
            tracing::error!(channel, %tenant, "channel {channel}: {why}; the oldest is a dead letter");
        }
        Ok(())
    }

    /// Removes settled letters that are old, once a day.
    pub(super) fn prune_letters(&self, now: Millis) -> Result<(), CoreError> {
        let before = Millis(self.store.number(PRUNED)?.cast_signed());
        if now.since(before) < PRUNE_EVERY {
            return Ok(());
        }
        if self.store.prune_notifications(now.minus(KEPT_FOR), PRUNE_MOST)? < PRUNE_MOST {
            self.store.put_number(PRUNED, now.0.cast_unsigned())?;
        }
        Ok(())
    }
}
