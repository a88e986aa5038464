//! The five tools: what each takes, which call it makes, how its answer reads.

use std::{collections::BTreeMap, sync::Arc};

use proto::pb::{
    AskPosture, Incident, ListIncidents, ListTenants, ProposeRunbook, ShowCatalogue, ShowIncident,
    catalogue_client::CatalogueClient, compliance_client::ComplianceClient,
    incidents_client::IncidentsClient, tenants_client::TenantsClient,
};
use rmcp::model::{Tool, ToolAnnotations};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tonic::Status;

use super::Door;

/// How many incidents a list gives unless told.
const INCIDENTS: u32 = 25;

/// Why there is no answer.
pub(super) enum No {
    /// There is no such tool.
    Unknown,
    /// The server, or the arguments: in words.
    Said(String),
}

impl From<Status> for No {
    fn from(status: Status) -> Self {
        Self::Said(format!("{}: {}", status.code(), status.message()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListAsked {
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    limit: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetAsked {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NothingAsked {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProposeAsked {
    incident: String,
    runbook: String,
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PostureAsked {
    tenant: String,
}

/// What there is.
pub(super) fn list() -> Vec<Tool> {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let tool = |name: &'static str, about: &'static str, fields: Value, required: &[&str]| {
        let schema = json!({
            "type": "object", "properties": fields, "required": required, "additionalProperties": false,
        });
        let schema: Map<String, Value> = schema.as_object().cloned().unwrap_or_default();
        let changes = name == "propose_runbook";
        let hints = ToolAnnotations::new().read_only(!changes).destructive(false).open_world(false);
        Tool::new(name, about, Arc::new(schema)).with_annotations(hints)
    };
    vec![
        tool(
            "list_incidents",
            "Faults and what became of them, newest first. Each names its clinic.",
            json!({
                "tenant": text("One clinic, by name or ID; without it, all that you may see"),
                "state": {
                    "type": "string", "enum": ["open", "planned", "ordered", "resolved", "escalated", "withdrawn"],
                    "description": "Only those in this state; escalated means that a person is needed",
                },
                "limit": { "type": "integer", "minimum": 1, "maximum": 100, "description": "How many, 25 unless given" },
            }),
            &[],
        ),
        tool(
            "get_incident",
            "One incident with its timeline.",
            json!({ "id": text("Its ID, from list_incidents") }),
            &["id"],
        ),
        tool("list_runbooks", "The repairs there are, with their risk.", json!({}), &[]),
        tool(
            "propose_runbook",
            "Proposes a runbook for an escalated incident. It only names one: guardrails, policy and, where the risk asks for it, \
             a person's approval decide whether it runs.",
            json!({
                "incident": text("The incident's ID"),
                "runbook": text("The runbook's ID, such as RB-DISK-002, out of those that the fault triggers"),
                "why": text("Why, in a sentence, for the record; at most 200 characters"),
            }),
            &["incident", "runbook", "why"],
        ),
        tool(
            "get_compliance_posture",
            "How each box of a clinic stands against the HIPAA baseline, by its newest signed scan.",
            json!({ "tenant": text("The clinic, by name or ID") }),
            &["tenant"],
        ),
    ]
}

/// Calls one.
pub(super) async fn call(door: Door, name: &str, asked: Value) -> Result<Value, No> {
    match name {
        "list_incidents" => incidents(door, read(asked)?).await,
        "get_incident" => incident(door, read(asked)?).await,
        "list_runbooks" => runbooks(door, read(asked)?).await,
        "propose_runbook" => propose(door, read(asked)?).await,
        "get_compliance_posture" => posture(door, read(asked)?).await,
        _ => Err(No::Unknown),
    }
}

fn read<T: for<'de> Deserialize<'de>>(asked: Value) -> Result<T, No> {
    serde_json::from_value(asked).map_err(|wrong| No::Said(format!("the arguments: {wrong}")))
}

async fn names(door: Door) -> Result<BTreeMap<String, String>, No> {
    let tenants = TenantsClient::new(door).list(ListTenants {}).await?.into_inner().tenants;
    Ok(tenants.into_iter().map(|tenant| (tenant.id, tenant.name)).collect())
}

async fn incidents(door: Door, asked: ListAsked) -> Result<Value, No> {
    let names = names(door.clone()).await?;
    let limit = if asked.limit == 0 { INCIDENTS } else { asked.limit.min(100) };
    let request = ListIncidents { tenant: asked.tenant, state: asked.state, limit };
    let all = IncidentsClient::new(door).list(request).await?.into_inner().incidents;
    Ok(json!({ "incidents": all.iter().map(|one| shown(one, &names)).collect::<Vec<_>>() }))
}

async fn incident(door: Door, asked: GetAsked) -> Result<Value, No> {
    let names = names(door.clone()).await?;
    let one = IncidentsClient::new(door).show(ShowIncident { id: asked.id }).await?.into_inner();
    let mut answer = shown(&one, &names);
    let timeline = one.timeline.iter();
    answer["timeline"] = timeline
        .map(|entry| json!({ "at": time(entry.at_ms), "what": entry.what, "detail": entry.detail }))
        .collect();
    Ok(answer)
}

fn shown(one: &Incident, names: &BTreeMap<String, String>) -> Value {
    json!({
        "id": one.id,
        "tenant": { "id": one.tenant, "name": names.get(&one.tenant) },
        "appliance": one.appliance,
        "fault": one.kind,
        "on": one.watch,
        "state": one.state,
        "reason": one.reason,
        "runbook": (!one.runbook.is_empty()).then_some(&one.runbook),
        "opened": time(one.opened_ms),
        "changed": time(one.changed_ms),
        "events": one.events,
    })
}

async fn runbooks(door: Door, NothingAsked {}: NothingAsked) -> Result<Value, No> {
    let shown = CatalogueClient::new(door).show(ShowCatalogue {}).await?.into_inner();
    let all = shown.runbooks.iter();
    let all =
        all.map(|one| json!({ "id": one.id, "title": one.title, "risk": one.risk })).collect::<Vec<_>>();
    Ok(json!({ "tenant": "every clinic: one catalogue", "version": shown.version, "runbooks": all }))
}

async fn propose(door: Door, asked: ProposeAsked) -> Result<Value, No> {
    let request = ProposeRunbook { incident: asked.incident, runbook: asked.runbook, why: asked.why };
    let proposal = ComplianceClient::new(door).propose(request).await?.into_inner();
    Ok(json!({
        "incident": proposal.incident,
        "tenant": { "id": proposal.tenant, "name": proposal.tenant_name },
        "state": proposal.state,
        "reason": proposal.reason,
    }))
}

async fn posture(door: Door, asked: PostureAsked) -> Result<Value, No> {
    let stands = ComplianceClient::new(door).posture(AskPosture { tenant: asked.tenant }).await?.into_inner();
    let boxes = stands.appliances.iter().map(|one| {
        json!({
            "appliance": one.appliance, "site": one.site,
            "scanned": (one.scanned_ms != 0).then(|| time(one.scanned_ms)),
            "controls_that_hold": one.hold, "drifted": one.drifted, "excepted": one.excepted,
            "not_evaluable": one.not_evaluable,
        })
    });
    Ok(json!({
        "tenant": { "id": stands.tenant, "name": stands.tenant_name },
        "appliances": boxes.collect::<Vec<_>>(),
    }))
}

fn time(ms: i64) -> String {
    proto::time::Millis(ms).to_string()
}
