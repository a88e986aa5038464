//! Operators' calls about how clinics stand, and what is to be done.

use proto::{
    evidence::Standing,
    pb::{AskPosture, BoxPosture, PostureView, Proposal, ProposeRunbook, compliance_server},
};
use tonic::{Request, Response, Status};

use super::operators::Operators;
use crate::core::posture::Stands;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl compliance_server::Compliance for Operators {
    async fn posture(&self, request: Request<AskPosture>) -> Answer<PostureView> {
        self.act(request, |core, asked, _| {
            let (tenant, boxes) = core.posture(&asked.tenant)?;
            Ok(PostureView {
                tenant: tenant.id.to_string(),
                tenant_name: tenant.name,
                appliances: boxes.into_iter().map(view).collect(),
            })
        })
        .await
    }

    async fn propose(&self, request: Request<ProposeRunbook>) -> Answer<Proposal> {
        self.act(request, |core, asked, now| {
            let row = core.propose_runbook(&asked.incident, &asked.runbook, &asked.why, now)?;
            Ok(Proposal {
                incident: row.id.to_string(),
                tenant: row.tenant.to_string(),
                tenant_name: core.tenant(&row.tenant.to_string())?.name,
                state: row.state.name().to_owned(),
                reason: row.reason,
            })
        })
        .await
    }
}

fn view((appliance, scan): Stands) -> BoxPosture {
    let (at, scan) = scan.unzip();
    let standing = |standing| -> Vec<String> {
        scan.iter().flat_map(|scan| scan.standing(standing)).map(ToString::to_string).collect()
    };
    BoxPosture {
        appliance: appliance.id.to_string(),
        site: appliance.site.to_string(),
        scanned_ms: at.map_or(0, |at| at.0),
        hold: u32::try_from(standing(Standing::Compliant).len()).unwrap_or(u32::MAX),
        drifted: standing(Standing::Drifted),
        excepted: standing(Standing::Excepted),
        not_evaluable: standing(Standing::NotEvaluable),
    }
}
