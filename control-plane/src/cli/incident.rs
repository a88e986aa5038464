//! `control-plane incident`: what went wrong, and what became of it.

use clap::Subcommand;
use proto::pb::{
    self, AcknowledgeIncident, ListIncidents, ShowIncident, incidents_client::IncidentsClient,
    notifications_client::NotificationsClient,
};
use serde_json::{Value, json};

use super::{
    Global, Of,
    connection::{answer, connect},
    output::{Answer, facts, optional, table, time, when},
};

#[derive(Debug, Subcommand)]
pub(super) enum Incident {
    /// Show incidents, newest first
    #[command(after_help = "Example:\n  control-plane incident list --state escalated")]
    List {
        #[command(flatten)]
        of: Of,
        /// Only in this state, such as escalated
        #[arg(long, default_value = "", hide_default_value = true)]
        state: String,
    },
    /// Take one on, so that nobody else is called for it
    #[command(
        after_help = "Example:\n  control-plane incident acknowledge 0190a0c0-0000-7000-8000-000000000005"
    )]
    Acknowledge {
        /// Its ID
        id: String,
    },
    /// Show one with its history
    Show {
        /// Its ID
        id: String,
    },
}

const HEADINGS: [&str; 7] = ["ID", "KIND", "WATCH", "STATE", "RUNBOOK", "TOLD", "OPENED"];

impl Incident {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let mut client = IncidentsClient::new(connect(global).await?);
        match self {
            Self::List { of: Of { tenant, limit }, state } => {
                let list = answer(client.list(ListIncidents { tenant, state, limit })).await?.incidents;
                let rows = list.iter().map(|i| {
                    [
                        i.id.clone(),
                        i.kind.clone(),
                        i.watch.clone(),
                        i.state.clone(),
                        i.runbook.clone(),
                        told(i.told.as_ref()).to_owned(),
                        when(i.opened_ms),
                    ]
                });
                let json = json!({ "incidents": list.iter().map(view).collect::<Vec<_>>() });
                Ok(Answer::new(table(HEADINGS, rows), json))
            }
            Self::Acknowledge { id } => {
                let mut client = NotificationsClient::new(connect(global).await?);
                Ok(shown(&answer(client.acknowledge(AcknowledgeIncident { id })).await?))
            }
            Self::Show { id } => Ok(shown(&answer(client.show(ShowIncident { id })).await?)),
        }
    }
}

fn shown(incident: &pb::Incident) -> Answer {
    let head = facts([
        ("incident", incident.id.clone()),
        ("kind", format!("{} on {}", incident.kind, incident.watch)),
        ("appliance", incident.appliance.clone()),
        ("state", incident.state.clone()),
        ("reason", incident.reason.clone()),
        ("runbook", incident.runbook.clone()),
        ("told", telling(incident.told.as_ref())),
        ("acknowledged", acknowledged(incident)),
        ("opened", when(incident.opened_ms)),
        ("changed", when(incident.changed_ms)),
        ("events", incident.events.to_string()),
    ]);
    let rows =
        incident.timeline.iter().map(|entry| [when(entry.at_ms), entry.what.clone(), entry.detail.clone()]);
    let text = format!("{head}\n{}", table(["WHEN", "WHAT", "DETAIL"], rows));
    let mut json = view(incident);
    json["timeline"] = incident
        .timeline
        .iter()
        .map(|entry| json!({ "at": time(entry.at_ms), "what": entry.what, "detail": entry.detail }))
        .collect();
    Answer::new(text, json)
}

/// Who took it on.
fn acknowledged(incident: &pb::Incident) -> String {
    match incident.acknowledged_ms {
        0 => "by nobody".to_owned(),
        at => format!("by {}, {}", incident.acknowledged_by, when(at)),
    }
}

/// Whether anybody was told, in a word.
fn told(told: Option<&pb::Told>) -> &str {
    told.map_or("", |told| if told.state == "dead" { "NOBODY" } else { &told.state })
}

/// The same in a sentence.
fn telling(told: Option<&pb::Told>) -> String {
    let Some(told) = told else { return "nobody was to be told".to_owned() };
    let tries = format!("{} failed tries, the last: {}", told.attempts, told.last_error);
    match (told.state.as_str(), told.attempts) {
        ("dead", _) => format!("NOBODY, and no more is tried, after {tries}"),
        (state, 0) => state.to_owned(),
        (state, _) => format!("{state}, after {tries}"),
    }
}

fn view(incident: &pb::Incident) -> Value {
    json!({
        "id": incident.id,
        "tenant": incident.tenant,
        "appliance": incident.appliance,
        "kind": incident.kind,
        "watch": incident.watch,
        "state": incident.state,
        "reason": optional(&incident.reason),
        "runbook": optional(&incident.runbook),
        "opened": time(incident.opened_ms),
        "changed": time(incident.changed_ms),
        "events": incident.events,
        "acknowledged": time(incident.acknowledged_ms),
        "acknowledged_by": optional(&incident.acknowledged_by),
        "told": incident.told.as_ref().map(|told| json!({
            "state": told.state,
            "attempts": told.attempts,
            "last_error": optional(&told.last_error),
        })),
    })
}
