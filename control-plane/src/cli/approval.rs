//! `control-plane approval`: orders that an approver of the charter must agree to.
//!
//! The rule: what an approver is shown is read from the very bytes that they sign, not from what the server says of them.

use std::path::PathBuf;

use clap::Subcommand;
use proto::{
    digest::Digest,
    field::BadField,
    order::Core,
    pb::{
        ApprovalView, ApproveOrder, ListApprovals, RejectOrder, ShowApproval,
        approvals_client::ApprovalsClient,
    },
};
use serde_json::{Value, json};

use super::{
    Global, Of,
    connection::{answer, connect},
    draft,
    order::{foreseen, plan_view},
    output::{Answer, facts, optional, table, time, when},
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Some orders need an approver of the charter, and destructive ones two different people. This server cannot give one: an
approver signs the challenge with a passkey (a WebAuthn assertion), and the box checks that by itself.
  control-plane approval list
  control-plane approval show ORDER --out order.json
  control-plane approval approve ORDER --approval approval.json
  control-plane approval reject ORDER --reason \"it is being replaced\"")]
pub(super) enum Approval {
    /// Show what waits, newest first
    List {
        #[command(flatten)]
        of: Of,
        /// Those that are over, too
        #[arg(long)]
        all: bool,
    },
    /// Show what would be done, what guardrails say, and the challenge to sign
    Show {
        /// The order, by ID
        order: String,
        /// Write what is to be signed to a new file, for an approver
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Hand in an approver's assertion
    Approve {
        /// The order, by ID
        order: String,
        /// Assertion of an approver's passkey over the challenge
        #[arg(long, value_name = "FILE")]
        approval: PathBuf,
    },
    /// Say no: the incident is a person's then
    Reject {
        /// The order, by ID
        order: String,
        /// Why; it stands in the incident's history
        #[arg(long)]
        reason: String,
    },
}

impl Approval {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let mut client = ApprovalsClient::new(connect(global).await?);
        match self {
            Self::List { of: Of { tenant, limit }, all } => {
                let list = answer(client.list(ListApprovals { tenant, all, limit })).await?.approvals;
                let rows = list.iter().map(|one| {
                    [
                        one.order.clone(),
                        one.runbook.clone(),
                        one.appliance.clone(),
                        one.state.clone(),
                        format!("{} of {}", one.approvers.len(), one.needed),
                        when(one.until_ms),
                    ]
                });
                let headings = ["ORDER", "RUNBOOK", "APPLIANCE", "STATE", "AGREED", "UNTIL"];
                let views = list.iter().map(view).collect::<Result<Vec<_>, BadField>>()?;
                Ok(Answer::new(table(headings, rows), json!({ "approvals": views })))
            }
            Self::Show { order, out } => {
                let shown = answer(client.show(ShowApproval { order })).await?;
                let mut text = said(&shown)?;
                if let Some(plan) = &shown.plan {
                    text = format!("{text}\n{}", foreseen(plan));
                }
                if let Some(out) = out {
                    draft::write(&shown.core, &out)?;
                    text = format!("{text}\nwhat is to be signed is in {}", out.display());
                }
                Ok(Answer::new(text, view(&shown)?))
            }
            Self::Approve { order, approval } => {
                let approval = Some(draft::approval(&approval)?);
                told(&answer(client.approve(ApproveOrder { order, approval })).await?)
            }
            Self::Reject { order, reason } => {
                told(&answer(client.reject(RejectOrder { order, reason })).await?)
            }
        }
    }
}

fn told(one: &ApprovalView) -> anyhow::Result<Answer> {
    Ok(Answer::new(said(one)?, view(one)?))
}

/// For people: what is signed is what the bytes say.
fn said(one: &ApprovalView) -> Result<String, BadField> {
    let core = Core::decode(&one.core)?;
    let on: Vec<String> = core.parameters.iter().map(|(name, watch)| format!("{name} {watch}")).collect();
    Ok(facts([
        ("order", core.id.to_string()),
        ("runbook", core.runbook.to_string()),
        ("as of SHA-256", core.runbook_digest.to_string()),
        ("on", on.join(", ")),
        ("of appliance", core.appliance.to_string()),
        ("for incident", core.incident.to_string()),
        ("state", one.state.clone()),
        ("", one.reason.clone()),
        ("agreed", format!("{} of {}: {}", one.approvers.len(), one.needed, one.approvers.join(", "))),
        ("until", core.approve_until.map_or_else(|| "never".to_owned(), |until| until.to_string())),
        ("challenge", draft::challenge(&one.core)),
    ]))
}

fn view(one: &ApprovalView) -> Result<Value, BadField> {
    let core = Core::decode(&one.core)?;
    Ok(json!({
        "order": core.id,
        "tenant": core.tenant,
        "appliance": core.appliance,
        "incident": core.incident,
        "runbook": core.runbook,
        "runbook_sha256": core.runbook_digest,
        "parameters": core.parameters,
        "state": one.state,
        "reason": optional(&one.reason),
        "needed": one.needed,
        "approvers": one.approvers,
        "asked": time(one.asked_ms),
        "until": core.approve_until,
        "core_sha256": Digest::of(&one.core),
        "challenge": draft::challenge(&one.core),
        "plan": one.plan.as_ref().map(plan_view),
    }))
}
