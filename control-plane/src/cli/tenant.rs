//! `control-plane tenant`: clinics.

use clap::Subcommand;
use proto::{
    pb::{self, CreateTenant, ListTenants, ShadowTenant, tenants_client::TenantsClient},
    time::Millis,
};
use serde_json::{Value, json};

use super::{
    Global,
    catalogue::date,
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
    /// Plan and report, but run nothing, until a day: for a new clinic's first weeks
    #[command(
        after_help = "Example:\n  control-plane tenant shadow \"Elm Street Clinic\" --until 2027-01-15"
    )]
    Shadow {
        /// Clinic, by name or ID
        tenant: String,
        /// Until when
        #[arg(long, value_name = "DATE", value_parser = date, required_unless_present = "off")]
        until: Option<Millis>,
        /// End it now
        #[arg(long, conflicts_with = "until")]
        off: bool,
    },
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
                    let shadow = if t.shadow_until_ms == 0 { "-".into() } else { when(t.shadow_until_ms) };
                    let log = if t.log_halted.is_empty() { "open" } else { "HALTED" }.to_owned();
                    [t.id.clone(), t.name.clone(), t.log_size.to_string(), log, shadow, when(t.created_ms)]
                });
                let json = json!({ "tenants": tenants.iter().map(view).collect::<Vec<_>>() });
                Ok(Answer::new(
                    table(["ID", "NAME", "EVIDENCE", "LOG", "SHADOW UNTIL", "CREATED"], rows),
                    json,
                ))
            }
            Self::Shadow { tenant, until, .. } => {
                let request = ShadowTenant { tenant, until_ms: until.map_or(0, |until| until.0) };
                let tenant = answer(client.shadow(request)).await?;
                let shadow = match tenant.shadow_until_ms {
                    0 => "off: what policy allows runs".to_owned(),
                    until => format!("until {}: reported, not run", when(until)),
                };
                let text = facts([("tenant", tenant.name.clone()), ("shadow mode", shadow)]);
                Ok(Answer::new(text, view(&tenant)))
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
        "shadow_until": (tenant.shadow_until_ms != 0).then(|| time(tenant.shadow_until_ms)),
    })
}
