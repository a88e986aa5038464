//! `control-plane site`: places of a clinic.

use clap::Subcommand;
use proto::pb::{self, CreateSite, ListSites, sites_client::SitesClient};
use serde_json::{Value, json};

use super::{
    Global,
    connection::{answer, connect},
    output::{Answer, facts, table, time, when},
};

#[derive(Debug, Subcommand)]
pub(super) enum Site {
    /// Add a place
    #[command(after_help = "Example:\n  control-plane site create --tenant \"Elm Street Clinic\" Main")]
    Create {
        /// Clinic, by name or ID
        #[arg(long)]
        tenant: String,
        /// What people call the place
        name: String,
    },
    /// Show a clinic's places
    List {
        /// Clinic, by name or ID
        #[arg(long)]
        tenant: String,
    },
}

impl Site {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let mut client = SitesClient::new(connect(global).await?);
        match self {
            Self::Create { tenant, name } => {
                let site = answer(client.create(CreateSite { tenant, name })).await?;
                let text = facts([("site", site.name.clone()), ("id", site.id.clone())]);
                Ok(Answer::new(text, view(&site)))
            }
            Self::List { tenant } => {
                let sites = answer(client.list(ListSites { tenant })).await?.sites;
                let rows = sites.iter().map(|s| [s.id.clone(), s.name.clone(), when(s.created_ms)]);
                let json = json!({ "sites": sites.iter().map(view).collect::<Vec<_>>() });
                Ok(Answer::new(table(["ID", "NAME", "CREATED"], rows), json))
            }
        }
    }
}

fn view(site: &pb::Site) -> Value {
    json!({ "id": site.id, "tenant": site.tenant, "name": site.name, "created": time(site.created_ms) })
}
