//! What is left of a clinic's budgets, and which breakers are open: what guardrail 9 goes by, for people who wonder why
//! nothing is done.

use std::time::Duration;

use proto::{
    ids::{ApplianceId, RunbookId, TenantId},
    time::Millis,
};
use runbooks::guardrails::NOT_REPEATED_FOR;

use super::{Core, CoreError};
use crate::store::ApplianceState;

/// What budgets are counted over.
const HOUR: Duration = Duration::from_secs(3600);

/// How much of a budget is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Of which box; `None`: the clinic's.
    pub appliance: Option<ApplianceId>,
    /// Executions within the last hour.
    pub used: u32,
    /// The most that are right.
    pub most: u32,
}

/// A breaker that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// On which box.
    pub appliance: ApplianceId,
    /// For which procedure.
    pub runbook: RunbookId,
    /// On what.
    pub target: String,
    /// How often it went wrong in a row.
    pub failures: u32,
    /// Until when.
    pub until: Millis,
    /// Why.
    pub why: &'static str,
}

impl Core {
    /// The budgets of a clinic and its boxes as they stand, and its open breakers.
    pub fn limits(&mut self, tenant: TenantId, now: Millis) -> Result<(Vec<Used>, Vec<Open>), CoreError> {
        let most = self.policy_of(tenant)?.per_tenant_hour;
        let used = self.store.count_orders_since(tenant, now.minus(HOUR))?;
        let (mut budgets, mut breakers) = (vec![Used { appliance: None, used, most }], Vec::new());
        for row in self.store.appliances(Some(tenant))? {
            if row.state == ApplianceState::Revoked {
                continue;
            }
            let policy = self.policy_at(tenant, row.site)?;
            let (used, done) = self.done_on(&row, now)?;
            budgets.push(Used { appliance: Some(row.id), used, most: policy.per_appliance_hour });
            for one in done {
                let (history, reset) = (&one.history, policy.breaker_reset());
                let failed = history
                    .since_last_failure
                    .filter(|since| history.failures_in_a_row >= policy.breaker_after && *since < reset);
                let in_vain = history.since_ineffective.filter(|since| *since < NOT_REPEATED_FOR);
                // Of the two the one that lasts longer.
                let left = [
                    failed.map(|since| (reset - since, "it failed again and again")),
                    in_vain.map(|since| (NOT_REPEATED_FOR - since, "it was done in vain")),
                ];
                let Some((left, why)) = left.into_iter().flatten().max() else { continue };
                breakers.push(Open {
                    appliance: row.id,
                    runbook: one.runbook,
                    target: one.target,
                    failures: history.failures_in_a_row,
                    until: now.plus(left),
                    why,
                });
            }
        }
        Ok((budgets, breakers))
    }
}
