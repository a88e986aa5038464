//! Operators' calls on policy, approvals, holds and what would be done.

use proto::{
    digest::Digest,
    pb::{self, *},
    time::Millis,
};
use runbooks::Patch;
use tonic::{Request, Response, Status};

use super::operators::Operators;
use crate::{
    core::{Core, CoreError, foresee::Foreseen, holds::level_of, level::Level, shown::Shown},
    store::{AskedRow, HoldRow, TemplateRow},
};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl policies_server::Policies for Operators {
    async fn show(&self, request: Request<ShowPolicy>) -> Answer<PolicyView> {
        self.act(request, |core, asked, _| {
            let level = core.level(&asked.tenant, &asked.site, "")?;
            policy(core, level)
        })
        .await
    }

    async fn change(&self, request: Request<ChangePolicy>) -> Answer<PolicyView> {
        self.act(request, |core, asked, now| {
            let level = core.level(&asked.tenant, &asked.site, "")?;
            core.patch_policy(level, &Patch::parse(&asked.settings)?, now)?;
            policy(core, level)
        })
        .await
    }

    async fn budgets(&self, request: Request<ShowBudgets>) -> Answer<BudgetList> {
        self.act(request, |core, asked, now| {
            let tenant = core.tenant(&asked.tenant)?.id;
            let (budgets, breakers) = core.limits(tenant, now)?;
            let budget = |one: crate::core::limits::Used| BudgetView {
                of: if one.appliance.is_some() { "appliance" } else { "tenant" }.to_owned(),
                id: one.appliance.map_or_else(|| tenant.to_string(), |id| id.to_string()),
                used: one.used,
                most: one.most,
            };
            let breaker = |one: crate::core::limits::Open| BreakerView {
                appliance: one.appliance.to_string(),
                runbook: one.runbook.to_string(),
                target: one.target,
                failures: one.failures,
                closes_ms: one.until.0,
                why: one.why.to_owned(),
            };
            Ok(BudgetList {
                budgets: budgets.into_iter().map(budget).collect(),
                breakers: breakers.into_iter().map(breaker).collect(),
            })
        })
        .await
    }

    async fn put_template(&self, request: Request<PolicyTemplate>) -> Answer<PolicyTemplate> {
        self.act(request, |core, asked, now| {
            Ok(template(core.put_template(&asked.name, Patch::parse(&asked.settings)?, now)?))
        })
        .await
    }

    async fn list_templates(&self, request: Request<ListPolicyTemplates>) -> Answer<PolicyTemplateList> {
        self.act(request, |core, _, _| templates(core)).await
    }

    async fn remove_template(&self, request: Request<RemovePolicyTemplate>) -> Answer<PolicyTemplateList> {
        self.act(request, |core, asked, _| {
            core.remove_template(&asked.name)?;
            templates(core)
        })
        .await
    }

    async fn apply_template(&self, request: Request<ApplyPolicyTemplate>) -> Answer<PolicyTemplateApplied> {
        self.act(request, |core, asked, now| {
            let tenants = core.tenants_named(&asked.tenants, asked.all)?;
            core.apply_template(&asked.name, &tenants, now)?;
            Ok(PolicyTemplateApplied { tenants: tenants.into_iter().map(|row| row.name).collect() })
        })
        .await
    }
}

fn policy(core: &mut Core, level: Level) -> Result<PolicyView, CoreError> {
    let shown = core.show_policy(level)?;
    let one = |(level, row): &(Level, crate::store::LevelRow)| PolicyLevel {
        level: level.word().to_string(),
        says: Shown::says(*level, &row.policy).to_string(),
        changed_ms: row.changed.0,
    };
    let source = |one: crate::core::shown::Source| PolicySource {
        setting: one.setting,
        value: one.value,
        levels: one.levels.into_iter().map(str::to_owned).collect(),
    };
    Ok(PolicyView {
        tenant: level.tenant().map(|id| id.to_string()).unwrap_or_default(),
        site: level.site().map(|id| id.to_string()).unwrap_or_default(),
        serial: shown.effective.serial,
        effective: shown.whole().to_string(),
        levels: shown.levels.iter().map(one).collect(),
        sources: shown.sources().into_iter().map(source).collect(),
    })
}

fn template(row: TemplateRow) -> PolicyTemplate {
    let settings = serde_json::to_string(&row.settings).unwrap_or_default();
    PolicyTemplate { name: row.name, settings, changed_ms: row.changed.0 }
}

fn templates(core: &Core) -> Result<PolicyTemplateList, CoreError> {
    Ok(PolicyTemplateList { templates: core.templates()?.into_iter().map(template).collect() })
}

#[tonic::async_trait]
impl approvals_server::Approvals for Operators {
    async fn list(&self, request: Request<ListApprovals>) -> Answer<ApprovalList> {
        self.act(request, |core, asked, _| {
            let rows = core.all_asked(&asked.tenant, asked.all, asked.limit)?.into_iter();
            Ok(ApprovalList { approvals: rows.map(|row| approval(core, row)).collect::<Result<_, _>>()? })
        })
        .await
    }

    async fn show(&self, request: Request<ShowApproval>) -> Answer<ApprovalView> {
        self.act(request, |core, asked, now| {
            let row = core.asked(&asked.order)?;
            let plan = core.foresee_asked(&row, now)?.map(plan);
            Ok(ApprovalView { plan, ..approval(core, row)? })
        })
        .await
    }

    async fn approve(&self, request: Request<ApproveOrder>) -> Answer<ApprovalView> {
        self.act(request, |core, asked, now| {
            let given = asked.approval.ok_or_else(|| {
                proto::field::BadField::new("approval", "must be an assertion of an approver's passkey")
            })?;
            let row = core.approve(&asked.order, given.into(), now)?;
            approval(core, row)
        })
        .await
    }

    async fn reject(&self, request: Request<RejectOrder>) -> Answer<ApprovalView> {
        self.act(request, |core, asked, now| {
            let row = core.reject(&asked.order, &asked.reason, now)?;
            approval(core, row)
        })
        .await
    }
}

fn approval(core: &Core, row: AskedRow) -> Result<ApprovalView, CoreError> {
    let approvers = core.agreed(&row)?;
    Ok(ApprovalView {
        order: row.order.to_string(),
        tenant: row.tenant.to_string(),
        appliance: row.appliance.to_string(),
        incident: row.incident.to_string(),
        runbook: row.runbook.to_string(),
        state: row.state.name().to_owned(),
        reason: row.reason,
        needed: u32::try_from(row.needed).unwrap_or(u32::MAX),
        approvers,
        asked_ms: row.asked.0,
        until_ms: row.until.0,
        challenge: Digest::of(&row.core).to_vec(),
        core: row.core,
        plan: None,
    })
}

#[tonic::async_trait]
impl holds_server::Holds for Operators {
    async fn set(&self, request: Request<SetHold>) -> Answer<HoldView> {
        self.act(request, |core, asked, now| {
            let level = core.level(&asked.tenant, &asked.site, &asked.appliance)?;
            let until = (asked.until_ms != 0).then_some(Millis(asked.until_ms));
            let row = core.hold(level, &asked.reason, until, now)?;
            hold(core, row)
        })
        .await
    }

    async fn release(&self, request: Request<ReleaseHold>) -> Answer<HoldView> {
        self.act(request, |core, asked, now| {
            let level = core.level(&asked.tenant, &asked.site, &asked.appliance)?;
            let row = core.release(level, now)?;
            hold(core, row)
        })
        .await
    }

    async fn list(&self, request: Request<ListHolds>) -> Answer<HoldList> {
        self.act(request, |core, asked, _| {
            let rows = core.holds(&asked.tenant)?.into_iter();
            Ok(HoldList { holds: rows.map(|row| hold(core, row)).collect::<Result<_, _>>()? })
        })
        .await
    }
}

fn hold(core: &Core, row: HoldRow) -> Result<HoldView, CoreError> {
    let id = |id: Option<String>| id.unwrap_or_default();
    Ok(HoldView {
        level: level_of(&row).word().to_string(),
        appliances: u32::try_from(core.held_by(&row)?).unwrap_or(u32::MAX),
        tenant: id(row.tenant.map(|id| id.to_string())),
        site: id(row.site.map(|id| id.to_string())),
        appliance: id(row.appliance.map(|id| id.to_string())),
        reason: row.reason,
        by: row.by,
        since_ms: row.since.0,
        until_ms: row.until.0,
    })
}

#[tonic::async_trait]
impl plans_server::Plans for Operators {
    async fn foresee(&self, request: Request<ForeseeOrder>) -> Answer<OrderPlan> {
        self.act(request, |core, asked, now| {
            Ok(plan(core.foresee(&asked.appliance, &asked.fault, &asked.watch, now)?))
        })
        .await
    }
}

fn plan(foreseen: Foreseen) -> OrderPlan {
    let mut view = OrderPlan {
        appliance: foreseen.appliance.id.to_string(),
        fault: foreseen.fault,
        watch: foreseen.watch.to_string(),
        ..OrderPlan::default()
    };
    let chosen = match foreseen.chosen {
        Ok(chosen) => chosen,
        Err(why) => return OrderPlan { escalates: why, ..view },
    };
    let runbook = chosen.runbook;
    view.disruptive = runbook.disturbs();
    view.steps = runbook
        .steps
        .iter()
        .filter_map(|step| serde_json::to_value(step).ok())
        .map(|step| {
            let word = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
            format!("{} on {}", word("do"), word("target"))
        })
        .collect();
    view.runbook = runbook.id.to_string();
    (view.title, view.why, view.undo) = (runbook.title, runbook.why, runbook.undo);
    view.risk = runbook.risk.to_string();
    view.chosen = chosen.plan.reason;
    view.never = chosen.approvers.is_none();
    view.approvers = chosen.approvers.map_or(0, |needed| u32::try_from(needed).unwrap_or(u32::MAX));
    view.guardrails = chosen
        .verdicts
        .into_iter()
        .map(|(guardrail, verdict)| pb::GuardrailVerdict {
            number: u32::from(guardrail.number()),
            name: guardrail.name().to_owned(),
            refusal: verdict.err().map(|refusal| refusal.reason).unwrap_or_default(),
        })
        .collect();
    view
}
