//! What happens when nothing happens: orders run out, incidents stall, nobody acknowledges, boxes fall silent.

use std::time::Duration;

use proto::time::Millis;

use super::{
    Core, CoreError,
    incident::{Input, State},
};
use crate::store::{IncidentRow, OrderRow};

/// How long after its end an order may still be heard of before it counts as lost.
const LATE: Duration = Duration::from_secs(60);

impl Core {
    /// One round of the watchdog. Idempotent.
    pub fn watch(&mut self, now: Millis) -> Result<(), CoreError> {
        for order in self.store.orders_run_out(now.minus(LATE))? {
            if now >= self.heard_until(&order)? {
                self.order_ran_out(&order, now)?;
            }
        }
        self.end_holds(now)?;
        self.end_questions(now)?;
        self.give_up_on_models(now)?;
        for row in self.store.stalled_incidents(now.minus(self.settings.stall_after))? {
            if self.is_under_way(&row, now)? {
                continue;
            }
            let minutes = self.settings.stall_after.as_secs() / 60;
            let why = if row.reason.is_empty() { "nothing was done" } else { &row.reason };
            self.move_incident(
                &row,
                Input::Stalled,
                &format!("not done within {minutes} minutes: {why}"),
                now,
            )?;
        }
        if self.listening.go_on(now) {
            self.look_for_silence(now)?;
            self.look_for_room(now)?;
            self.prune_letters(now)?;
        }
        self.climb(now)?;
        self.keep_waiting_acts(now)?;
        self.keep_heard()?;
        self.wake.extend(self.store.appliances_to_wake(self.woke_until, now)?);
        self.woke_until = now;
        Ok(())
    }

    /// Stores something, to show that it can.
    pub fn still_writes(&self, now: Millis) -> Result<(), CoreError> {
        Ok(self.store.put_number("wrote_ms", now.0.cast_unsigned())?)
    }

    /// Until when an order may still be heard of. Its lifetime is for its beginning: one that was taken has its
    /// runbook's time as well.
    fn heard_until(&self, order: &OrderRow) -> Result<Millis, CoreError> {
        let taken = self.store.appliance(order.appliance)?.is_some_and(|a| a.taken_high >= order.sequence);
        let entry = self.catalogue.document.runbook(&order.runbook).filter(|_| taken);
        let running = entry.map_or(Duration::ZERO, |entry| entry.runbook.timeout());
        Ok(order.expires.plus(LATE).plus(running))
    }

    fn is_under_way(&self, row: &IncidentRow, now: Millis) -> Result<bool, CoreError> {
        if row.state == State::Planned && self.is_asking(row.id, now)? {
            return Ok(true);
        }
        let Some(order) = self.store.order_out(row.id)? else { return Ok(false) };
        Ok(row.state == State::Ordered && now < self.heard_until(&order)?)
    }
}
