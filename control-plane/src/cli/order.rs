//! `control-plane order`: signed permissions to run one runbook once.

use clap::Subcommand;
use proto::pb::{
    self, ForeseeOrder, ListOrders, OrderPlan, orders_client::OrdersClient, plans_client::PlansClient,
};
use serde_json::{Value, json};

use super::{
    Global, Of,
    connection::{answer, connect},
    output::{Answer, facts, optional, table, time, when},
};

#[derive(Debug, Subcommand)]
pub(super) enum Order {
    /// Show orders, newest first
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Show what would be done about a fault, and which guardrails would say no; nothing is changed
    #[command(
        after_help = "Example:\n  control-plane order plan --appliance ID --fault directory.over-limit --on uploads --dry-run"
    )]
    Plan {
        /// The box, by ID
        #[arg(long, value_name = "ID")]
        appliance: String,
        /// The fault, as events and incidents name it
        #[arg(long)]
        fault: String,
        /// The entry of the box's watch list
        #[arg(long, value_name = "WATCH")]
        on: String,
        /// Always so: this command only shows
        #[arg(long)]
        dry_run: bool,
    },
}

impl Order {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let (tenant, limit) = match self {
            Self::List { of: Of { tenant, limit } } => (tenant, limit),
            Self::Plan { appliance, fault, on, dry_run: _ } => {
                let mut client = PlansClient::new(connect(global).await?);
                let plan = answer(client.foresee(ForeseeOrder { appliance, fault, watch: on })).await?;
                return Ok(Answer::new(foreseen(&plan), plan_view(&plan)));
            }
        };
        let mut client = OrdersClient::new(connect(global).await?);
        let orders = answer(client.list(ListOrders { tenant, limit })).await?.orders;
        let rows = orders.iter().map(|o| {
            [
                o.id.clone(),
                o.runbook.clone(),
                o.appliance.clone(),
                o.state.clone(),
                o.outcome.clone(),
                when(o.issued_ms),
            ]
        });
        let json = json!({ "orders": orders.iter().map(view).collect::<Vec<_>>() });
        Ok(Answer::new(table(["ID", "RUNBOOK", "APPLIANCE", "STATE", "OUTCOME", "ISSUED"], rows), json))
    }
}

fn view(order: &pb::OrderSummary) -> Value {
    json!({
        "id": order.id,
        "tenant": order.tenant,
        "appliance": order.appliance,
        "incident": order.incident,
        "runbook": order.runbook,
        "sequence": order.sequence,
        "state": order.state,
        "outcome": optional(&order.outcome),
        "issued": time(order.issued_ms),
        "expires": time(order.expires_ms),
    })
}

/// What would be done, for people.
pub(super) fn foreseen(plan: &OrderPlan) -> String {
    if !plan.escalates.is_empty() {
        return format!("a person would be called: {}", plan.escalates);
    }
    let needs = match (plan.never, plan.approvers) {
        (true, _) => "policy never runs it".to_owned(),
        (false, 0) => "nobody".to_owned(),
        (false, people) => format!("{people} of the charter's approvers"),
    };
    let text = facts([
        ("runbook", format!("{}: {}", plan.runbook, plan.title)),
        ("chosen because", plan.chosen.clone()),
        ("why", plan.why.clone()),
        ("risk", plan.risk.clone()),
        ("disturbs people", if plan.disruptive { "yes" } else { "no" }.to_owned()),
        ("steps", plan.steps.join("; ")),
        ("to undo it", plan.undo.clone()),
        ("must agree", needs),
    ]);
    let rows = plan.guardrails.iter().map(|one| {
        let says = if one.refusal.is_empty() { "yes".to_owned() } else { format!("no: {}", one.refusal) };
        [one.number.to_string(), one.name.clone(), says]
    });
    format!("{text}\n{}", table(["", "GUARDRAIL", "SAYS"], rows))
}

/// The same for programs.
pub(super) fn plan_view(plan: &OrderPlan) -> Value {
    json!({
        "appliance": plan.appliance,
        "fault": plan.fault,
        "watch": plan.watch,
        "escalates": optional(&plan.escalates),
        "runbook": optional(&plan.runbook),
        "title": optional(&plan.title),
        "risk": optional(&plan.risk),
        "disruptive": plan.disruptive,
        "steps": plan.steps,
        "undo": optional(&plan.undo),
        "chosen": optional(&plan.chosen),
        "never": plan.never,
        "approvers": plan.approvers,
        "guardrails": plan.guardrails.iter().map(|one| json!({
            "number": one.number, "name": one.name, "refusal": optional(&one.refusal),
        })).collect::<Vec<_>>(),
    })
}
