//! What cooldown and budget need to know of earlier executions: orders that this database signed, and what boxes did by
//! standing orders, as their evidence says it.

use std::{cmp::Reverse, collections::BTreeSet, time::Duration};

use proto::{
    evidence::{self, Body, Verdict},
    ids::{ApplianceId, Incarnation, RunbookId},
    order::Order,
    time::Millis,
};
use runbooks::{History, guardrails::history_target, history_key};

use super::{
    Core, CoreError,
    orders::{is_good_word, verdict_word},
};
use crate::store::{ApplianceRow, OrderRow, OrderState};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How far back in a box's chain executions are looked for: more than a day at the highest rate.
const RECORDS: u32 = 600;

/// One execution, or an order that may have become one.
struct Ran {
    runbook: RunbookId,
    target: String,
    began: Millis,
    /// When and how it ended; `None`: nobody has told yet.
    ended: Option<(Millis, String)>,
}

impl From<OrderRow> for Ran {
    fn from(row: OrderRow) -> Self {
        let is_over = row.state == OrderState::Executed;
        let ended = row.ended.filter(|_| is_over).map(|ended| (ended, row.outcome));
        Self { runbook: row.runbook, target: row.target, began: row.issued, ended }
    }
}

/// What was done by one runbook on one target of a box.
pub(super) struct Done {
    pub(super) runbook: RunbookId,
    pub(super) target: String,
    pub(super) history: History,
}

impl Core {
    /// What this database knows of earlier executions.
    pub(super) fn history(&self, order: &Order, now: Millis) -> Result<History, CoreError> {
        let (runbook, target) = history_key(&order.core);
        let by_standing = self.by_standing(order.core.incarnation, now)?;
        let lately = |ran: &&Ran| now.since(ran.began) < HOUR;
        // Of the tenant's other boxes only what was ordered is counted: reading all their chains would cost too much.
        let tenant_hour = self
            .store
            .count_orders_since(order.core.tenant, now.minus(HOUR))?
            .saturating_add(count(by_standing.iter().filter(lately).count()));
        let all = self.all_ran(order.core.appliance, by_standing, now)?;
        Ok(History { tenant_hour, ..of(&all, &runbook, &target, now) })
    }

    /// What was done on a box within the last day, by runbook and target; and how much of it in the last hour.
    pub(super) fn done_on(&self, box_: &ApplianceRow, now: Millis) -> Result<(u32, Vec<Done>), CoreError> {
        let all = self.all_ran(box_.id, self.by_standing(box_.incarnation, now)?, now)?;
        let keys: BTreeSet<_> = all.iter().map(|ran| (ran.runbook.clone(), ran.target.clone())).collect();
        let done = |(runbook, target): (RunbookId, String)| {
            let history = of(&all, &runbook, &target, now);
            Done { runbook, target, history }
        };
        let hour = count(all.iter().filter(|ran| now.since(ran.began) < HOUR).count());
        Ok((hour, keys.into_iter().map(done).collect()))
    }

    fn all_ran(
        &self,
        appliance: ApplianceId,
        by_standing: Vec<Ran>,
        now: Millis,
    ) -> Result<Vec<Ran>, CoreError> {
        let may_have_run = |row: &OrderRow| matches!(row.state, OrderState::Issued | OrderState::Executed);
        let ordered = self.store.orders_since(appliance, now.minus(DAY))?;
        let mut all: Vec<Ran> = ordered.into_iter().filter(may_have_run).map(Ran::from).collect();
        all.extend(by_standing);
        all.sort_by_key(|ran| Reverse(ran.began));
        Ok(all)
    }

    /// What a box did by standing orders, newest first, by its own clock; nothing lies ahead of ours.
    fn by_standing(&self, incarnation: Incarnation, now: Millis) -> Result<Vec<Ran>, CoreError> {
        let mut found = Vec::new();
        for envelope in self.store.newest_executions(incarnation, RECORDS)? {
            // It was read when it came; what cannot be read now is no execution.
            let Ok(record) = evidence::peek(&envelope) else { continue };
            let Body::Execution(execution) = record.body else { continue };
            if execution.order.standing.is_none() {
                continue;
            }
            let ended = record.clock.at.min(now);
            found.push(Ran {
                runbook: execution.order.runbook,
                target: history_target(&execution.order.parameters),
                began: ended.minus(Duration::from_millis(execution.took_ms)),
                ended: Some((ended, verdict_word(execution.verdict).to_owned())),
            });
        }
        Ok(found)
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The history of a runbook on a target, of all that ran on a box; without what the tenant's others did.
fn of(all: &[Ran], runbook: &RunbookId, target: &str, now: Millis) -> History {
    let lately = |ran: &&Ran| now.since(ran.began) < HOUR;
    let same: Vec<&Ran> = all.iter().filter(|ran| ran.runbook == *runbook && ran.target == target).collect();
    let ended = || same.iter().filter_map(|ran| ran.ended.as_ref());
    let bad: Vec<&(Millis, String)> = ended().take_while(|(_, outcome)| !is_good_word(outcome)).collect();
    let in_vain = verdict_word(Verdict::Ineffective);
    History {
        since_last: same.first().map(|ran| now.since(ran.began)),
        runbook_hour: count(all.iter().filter(lately).filter(|ran| ran.runbook == *runbook).count()),
        appliance_hour: count(all.iter().filter(lately).count()),
        tenant_hour: 0,
        failures_in_a_row: count(bad.len()),
        since_last_failure: bad.first().map(|(ended, _)| now.since(*ended)),
        since_ineffective: bad
            .first()
            .filter(|(_, outcome)| outcome == in_vain)
            .map(|(ended, _)| now.since(*ended)),
    }
}
