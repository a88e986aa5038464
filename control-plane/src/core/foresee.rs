//! What would be done about a fault on a box, and which guardrails would say no: all of them, not only the first.
//!
//! The rule: nothing is changed, no model is asked and nobody called. It is what the rules choose for that fault alone, under
//! the policy and the budgets of now. So an incident may go another way: where a model is asked, where the same was done
//! about it within the hour, or where its box reports too much already.

use proto::{
    ids::{IncidentId, OrderId, WatchId},
    order::{Core as OrderCore, Order, Plan},
    time::Millis,
};
use runbooks::{
    Fault, Guardrail, Presence, Runbook,
    guardrails::{Verdict, charter_in_force},
};

use super::{Core, CoreError, orders::watch_list};
use crate::{
    planner::{Allowed, Case, rules},
    store::{ApplianceRow, AskedRow},
};

/// What would be done.
#[derive(Debug)]
pub struct Foreseen {
    /// On which box.
    pub appliance: ApplianceRow,
    /// The fault.
    pub fault: String,
    /// On what.
    pub watch: WatchId,
    /// By which procedure; or why a person would be called instead.
    pub chosen: Result<Chosen, String>,
}

/// A procedure, and what stands in its way.
#[derive(Debug)]
pub struct Chosen {
    /// The procedure.
    pub runbook: Runbook,
    /// Who chose it, and why.
    pub plan: Plan,
    /// How many must agree; `None`: policy never runs it.
    pub approvers: Option<usize>,
    /// What each guardrail says.
    pub verdicts: Vec<Verdict>,
}

impl Core {
    /// What the rules would have done if that fault were there now.
    pub fn foresee(
        &mut self,
        appliance: &str,
        fault: &str,
        watch: &str,
        now: Millis,
    ) -> Result<Foreseen, CoreError> {
        let appliance = self.appliance("appliance", appliance)?;
        let watch: WatchId = watch.parse()?;
        let kind = fault.parse::<Fault>()?;
        let policy = self.policy_at(appliance.tenant, appliance.site)?;
        let allowed = Allowed::of(fault, appliance.site, &self.catalogue.document, &policy);
        let allowed = allowed.map_err(|nothing| nothing.to_string());
        let chosen = match allowed.and_then(|allowed| rules::choose(&allowed, &Case::of(fault, &watch))) {
            Err(why) => Err(why),
            Ok((pick, plan)) => {
                let id = pick.into_runbook();
                let entry = self.catalogue.document.runbook(&id);
                match entry.and_then(|entry| Some((entry, entry.runbook.parameters_for(kind, &watch)?))) {
                    None => Err(format!("{fault} on {watch} does not say all that runbook {id} needs")),
                    Some((entry, parameters)) => {
                        let core = OrderCore {
                            id: OrderId::new(now, [0; 10]),
                            organization: self.settings.organization.clone(),
                            tenant: appliance.tenant,
                            site: appliance.site,
                            appliance: appliance.id,
                            incarnation: appliance.incarnation,
                            incident: IncidentId::new(now, [0; 10]),
                            runbook_digest: entry.digest,
                            runbook: id,
                            parameters,
                            approve_until: None,
                        };
                        Ok(self.weigh_guardrails(&appliance, core, plan, now)?)
                    }
                }
            }
        };
        Ok(Foreseen { appliance, fault: fault.to_owned(), watch, chosen })
    }

    /// The same for an order that people are asked about.
    pub fn foresee_asked(&mut self, asked: &AskedRow, now: Millis) -> Result<Option<Foreseen>, CoreError> {
        let (row, box_) = (self.store.incident(asked.incident)?, self.store.appliance(asked.appliance)?);
        let (Some(row), Some(appliance)) = (row, box_) else { return Ok(None) };
        let Some(plan) = row.plan.filter(|_| !asked.state.is_over()) else { return Ok(None) };
        let core = OrderCore::decode(&asked.core)?;
        if self.catalogue.document.runbook(&core.runbook).is_none() {
            return Ok(None);
        }
        let chosen = self.weigh_guardrails(&appliance, core, plan, now)?;
        Ok(Some(Foreseen { appliance, fault: row.kind, watch: row.watch, chosen: Ok(chosen) }))
    }

    fn weigh_guardrails(
        &mut self,
        appliance: &ApplianceRow,
        core: OrderCore,
        plan: Plan,
        now: Millis,
    ) -> Result<Chosen, CoreError> {
        let missing = || CoreError::NotFound(format!("runbook {} left the catalogue", core.runbook));
        let runbook = self.catalogue.document.runbook(&core.runbook).ok_or_else(missing)?.runbook.clone();
        let policy = self.policy_at(appliance.tenant, appliance.site)?;
        let beat = appliance.heartbeat.as_ref();
        let watch = beat.map(|beat| watch_list(&beat.watch)).unwrap_or_default();
        let next = beat.map_or(0, |beat| beat.order_high).max(appliance.issued_high).saturating_add(1);
        let issuance = self.issuance(appliance.tenant, next, now)?;
        let order = Order::issue(core, &issuance, plan.clone(), Vec::new());
        let signature = (Guardrail::Signature, charter_in_force(&self.charter.document, Some(now)));
        let mut verdicts = vec![signature];
        verdicts.extend(self.explain_order(&order, appliance, &watch, Presence::Present, now)?);
        Ok(Chosen { approvers: policy.approvers_for(&runbook), runbook, plan, verdicts })
    }
}
