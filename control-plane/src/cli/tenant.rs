//! `control-plane tenant`: clinics.

use clap::Subcommand;
use proto::pb::{self, CreateTenant, ListTenants, tenants_client::TenantsClient};
use serde_json::{Value, json};

use super::{
    Global,
    connection::{answer, connect},
    output::{Answer, facts, optional, table, time, when},
};

#[derive(Debug, Subcommand)]
pub(super) enum Tenant {
    /// Add a clinic
    #[command(after_help = "Example:\n  control-plane tenant create \"Elm Street Clinic\"")]
    Create {
        /// What people call it
        name: String,
    },
    /// Show all clinics
    List,
}

impl Tenant {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let mut client = TenantsClient::new(connect(global).await?);
        match self {
            Self::Create { name } => {
                let tenant = answer(client.create(CreateTenant { name })).await?;
                let text = facts([
                    ("tenant", tenant.name.clone()),
                    ("id", tenant.id.clone()),
                    ("log", tenant.log_origin.clone()),
                ]);
                Ok(Answer::new(text, view(&tenant)))
            }
            Self::List => {
                let tenants = answer(client.list(ListTenants {})).await?.tenants;
                let rows = tenants.iter().map(|t| {
                    let log = if t.log_halted.is_empty() { "open" } else { "HALTED" }.to_owned();
                    [t.id.clone(), t.name.clone(), t.log_size.to_string(), log, when(t.created_ms)]
                });
                let json = json!({ "tenants": tenants.iter().map(view).collect::<Vec<_>>() });
                Ok(Answer::new(table(["ID", "NAME", "EVIDENCE", "LOG", "CREATED"], rows), json))
            }
        }
    }
}

fn view(tenant: &pb::Tenant) -> Value {
    json!({
        "id": tenant.id,
        "name": tenant.name,
        "created": time(tenant.created_ms),
        "log_origin": tenant.log_origin,
        "log_size": tenant.log_size,
        "log_halted": optional(&tenant.log_halted),
    })
}
