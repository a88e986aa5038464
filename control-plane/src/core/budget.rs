//! What one box may report: so many events and gaps an hour and a day, so that none fills the database that all share.
//!
//! The rule: what is over the budget is not kept, but it is counted, in one gap that says so, and a person is told once
//! a day. Evidence has no budget: it is never thrown away.

use std::time::Duration;

use proto::{
    ids::{ApplianceId, TenantId},
    sync::{Event, Gap},
    time::Millis,
};

use super::{Core, CoreError};
use crate::store::ApplianceRow;

/// How many hours' worth of events a box may report in a day.
const EVENTS_DAY: u64 = 5;
/// The most gaps.
const GAPS_HOUR: u64 = 100;
const GAPS_DAY: u64 = 500;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The incident that says so.
pub(super) const OVER: &str = "appliance.over-budget";

/// The events of one batch.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// How many more may be kept; `None`: not counted yet.
    left: Option<u64>,
    over: u64,
}

impl Core {
    /// Takes an event, if there is budget left; [`Core::close_events`] must follow.
    pub(super) fn take_event_within(
        &mut self,
        events: &mut Events,
        appliance: &ApplianceRow,
        event: &Event,
        now: Millis,
    ) -> Result<(), CoreError> {
        if self.store.has_event(appliance.id, event.id)? {
            return Ok(());
        }
        let left = match events.left {
            Some(left) => left,
            None => {
                let kept = |span| self.store.count_events_since(appliance.id, now.minus(span));
                let most = self.settings.events_hour;
                most.saturating_sub(kept(HOUR)?).min((most * EVENTS_DAY).saturating_sub(kept(DAY)?))
            }
        };
        events.left = Some(left.saturating_sub(1));
        if left == 0 {
            events.over += 1;
            self.counted.events_over += 1;
            return Ok(());
        }
        self.counted.events += 1;
        self.take_event(appliance, event, now)
    }

    /// Says of a batch's events what was over the budget.
    pub(super) fn close_events(
        &mut self,
        events: &Events,
        appliance: &ApplianceRow,
        now: Millis,
    ) -> Result<(), CoreError> {
        if events.over == 0 {
            return Ok(());
        }
        let gap = Gap { cause: "events-over-budget".into(), dropped: events.over, first: now, last: now };
        if self.store.grow_gap(appliance.tenant, appliance.id, &gap, now, now.minus(DAY))? {
            self.note_gap_act(appliance.tenant, appliance.id, &gap, now);
        }
        self.tell_of_budget(appliance.id, "events", now)
    }

    /// Keeps what is missing; over the budget it is only counted.
    pub(super) fn note_gap(
        &mut self,
        tenant: TenantId,
        appliance: ApplianceId,
        gap: &Gap,
        now: Millis,
    ) -> Result<(), CoreError> {
        let kept = |span| self.store.count_gaps_since(appliance, now.minus(span));
        if kept(HOUR)? < GAPS_HOUR && kept(DAY)? < GAPS_DAY {
            self.store.add_gap(tenant, appliance, gap, now)?;
            self.note_gap_act(tenant, appliance, gap, now);
            return Ok(());
        }
        let over = Gap { cause: "gaps-over-budget".into(), dropped: 1, first: gap.first, last: gap.last };
        if self.store.grow_gap(tenant, appliance, &over, now, now.minus(DAY))? {
            self.note_gap_act(tenant, appliance, &over, now);
        }
        self.tell_of_budget(appliance, "gaps", now)
    }

    fn tell_of_budget(&mut self, appliance: ApplianceId, what: &str, now: Millis) -> Result<(), CoreError> {
        let Some(appliance) = self.store.appliance(appliance)? else { return Ok(()) };
        let why = format!(
            "it reports more {what} than a box may in an hour or a day; the rest is counted, not kept"
        );
        self.call_somebody_daily(&appliance, OVER, &why, now)
    }

    /// Whether a box keeps well within its budgets again: at most half of each is used.
    pub(super) fn is_within_budget(&self, appliance: ApplianceId, now: Millis) -> Result<bool, CoreError> {
        let (hour, day) = (now.minus(HOUR), now.minus(DAY));
        let most = self.settings.events_hour;
        Ok(self.store.count_events_since(appliance, hour)? <= most / 2
            && self.store.count_events_since(appliance, day)? <= most * EVENTS_DAY / 2
            && self.store.count_gaps_since(appliance, hour)? <= GAPS_HOUR / 2
            && self.store.count_gaps_since(appliance, day)? <= GAPS_DAY / 2)
    }
}
