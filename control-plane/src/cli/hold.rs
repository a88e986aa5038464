//! `control-plane hold`: an operator's pause of everything, a clinic, one of its places or one box.

use clap::{Args, Subcommand};
use proto::{
    pb::{HoldView, ListHolds, ReleaseHold, SetHold, holds_client::HoldsClient},
    time::Millis,
};
use serde_json::{Value, json};

use super::{
    Global,
    catalogue::date,
    connection::{answer, connect},
    output::{Answer, optional, table, time},
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
A hold reaches each box at its next exchange, and holds its standing orders too. A box that cannot be reached goes on.
  control-plane hold set --tenant \"Elm Street Clinic\" --reason \"they are moving\" --until 2027-01-15
  control-plane hold set --everything --reason \"we are looking into something\"
  control-plane hold release --tenant \"Elm Street Clinic\"")]
pub(super) enum Hold {
    /// Hold all orders; what is held already, is held for this reason and time from now on
    Set {
        #[command(flatten)]
        place: Place,
        /// Why, for people; boxes show it
        #[arg(long)]
        reason: String,
        /// When it ends by itself [default: when it is released]
        #[arg(long, value_name = "DATE", value_parser = date)]
        until: Option<Millis>,
    },
    /// Let orders run again
    Release {
        #[command(flatten)]
        place: Place,
    },
    /// Show all holds
    List {
        /// Only those that concern this clinic, by name or ID
        #[arg(long, default_value = "", hide_default_value = true)]
        tenant: String,
    },
}

/// What is meant.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Clinic, by name or ID
    #[arg(long, required_unless_present_any = ["appliance", "everything"])]
    tenant: Option<String>,
    /// One of its places, by name or ID
    #[arg(long, requires = "tenant")]
    site: Option<String>,
    /// One box, by ID
    #[arg(long, value_name = "ID", conflicts_with_all = ["tenant", "site"])]
    appliance: Option<String>,
    /// All clinics
    #[arg(long, conflicts_with_all = ["tenant", "site", "appliance"])]
    everything: bool,
}

impl Place {
    fn names(self) -> [String; 3] {
        [self.tenant, self.site, self.appliance].map(Option::unwrap_or_default)
    }
}

impl Hold {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let mut client = HoldsClient::new(connect(global).await?);
        match self {
            Self::Set { place, reason, until } => {
                let [tenant, site, appliance] = place.names();
                let until_ms = until.map_or(0, |until| until.0);
                let asked = SetHold { tenant, site, appliance, reason, until_ms };
                let hold = answer(client.set(asked)).await?;
                let told = format!("held: {} appliances, from their next exchange on", hold.appliances);
                Ok(Answer::new(told, view(&hold)))
            }
            Self::Release { place } => {
                let [tenant, site, appliance] = place.names();
                let hold = answer(client.release(ReleaseHold { tenant, site, appliance })).await?;
                let told = format!("released: {} appliances, from their next exchange on", hold.appliances);
                Ok(Answer::new(told, view(&hold)))
            }
            Self::List { tenant } => {
                let holds = answer(client.list(ListHolds { tenant })).await?.holds;
                let rows = holds.iter().map(|hold| {
                    [
                        hold.level.clone(),
                        place(hold).to_owned(),
                        hold.appliances.to_string(),
                        until(hold.until_ms),
                        hold.by.clone(),
                        hold.reason.clone(),
                    ]
                });
                let json = json!({ "holds": holds.iter().map(view).collect::<Vec<_>>() });
                let headings = ["LEVEL", "OF", "APPLIANCES", "UNTIL", "BY", "REASON"];
                Ok(Answer::new(table(headings, rows), json))
            }
        }
    }
}

fn place(hold: &HoldView) -> &str {
    match hold.level.as_str() {
        "organization" => "everything",
        "tenant" => &hold.tenant,
        "site" => &hold.site,
        _ => &hold.appliance,
    }
}

fn until(ms: i64) -> String {
    if ms == 0 { "it is released".to_owned() } else { Millis(ms).to_string() }
}

fn view(hold: &HoldView) -> Value {
    json!({
        "level": hold.level,
        "tenant": optional(&hold.tenant),
        "site": optional(&hold.site),
        "appliance": optional(&hold.appliance),
        "appliances": hold.appliances,
        "reason": hold.reason,
        "by": hold.by,
        "since": time(hold.since_ms),
        "until": time(hold.until_ms),
    })
}
