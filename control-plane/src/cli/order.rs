//! `control-plane order`: signed permissions to run one runbook once.

use clap::Subcommand;
use proto::pb::{self, ListOrders, orders_client::OrdersClient};
use serde_json::{Value, json};

use super::{
    Global,
    connection::{answer, connect},
    output::{Answer, optional, table, time, when},
};

#[derive(Debug, Subcommand)]
pub(super) enum Order {
    /// Show orders, newest first
    List {
        /// Only of this clinic, by name or ID
        #[arg(long, default_value = "", hide_default_value = true)]
        tenant: String,
        /// At most this many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
}

impl Order {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let Self::List { tenant, limit } = self;
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
