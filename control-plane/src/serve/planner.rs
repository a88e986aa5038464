//! Operators' calls about the planner: convert, ask the core, show the rows.

use proto::pb::{ListModelCalls, ModelCall, ModelCallList, planner_server::Planner};
use tonic::{Request, Response, Status};

use super::operators::Operators;
use crate::store::ModelCallRow;

#[tonic::async_trait]
impl Planner for Operators {
    async fn calls(&self, request: Request<ListModelCalls>) -> Result<Response<ModelCallList>, Status> {
        self.act(request, |core, asked, now| {
            let calls = core.model_calls(&asked.tenant, &asked.incident, asked.limit)?;
            let (model, until) = core.model_state(now)?;
            let with_prompt = !asked.incident.is_empty();
            Ok(ModelCallList {
                calls: calls.into_iter().map(|row| call(row, with_prompt)).collect(),
                model: model.map(|model| model.name.clone()).unwrap_or_default(),
                calls_per_day: model.map_or(0, |model| model.calls_per_day),
                held_until_ms: until.map_or(0, |until| until.0),
            })
        })
        .await
    }
}

fn call(row: ModelCallRow, with_prompt: bool) -> ModelCall {
    ModelCall {
        incident: row.incident.to_string(),
        tenant: row.tenant.to_string(),
        model: row.model,
        asked_ms: row.asked.0,
        ended_ms: row.ended.map_or(0, |at| at.0),
        failed: row.failed,
        outcome: row.outcome,
        prompt_sha256: row.digest.to_string(),
        prompt: if with_prompt { row.prompt } else { String::new() },
    }
}
