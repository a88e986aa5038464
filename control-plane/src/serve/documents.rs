//! Operators' calls on documents that people approve.

use proto::{
    digest::Digest,
    document::Document,
    pb::{self, *},
};
use tonic::{Request, Response, Status};

use super::operators::Operators;
use crate::core::approved::{Called, Standing};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl documents_server::Documents for Operators {
    async fn draft(&self, request: Request<DraftDocument>) -> Answer<DocumentDraft> {
        self.act(request, |core, asked, now| {
            let DraftDocument { tenant, appliance, kind, name, content } = asked;
            let called = Called { tenant: &tenant, appliance: &appliance, kind: &kind, name: &name };
            let core = core.draft_document(called, content, now)?;
            Ok(DocumentDraft { challenge: Digest::of(&core).to_vec(), core })
        })
        .await
    }

    async fn publish(&self, request: Request<PublishDocument>) -> Answer<DocumentView> {
        self.act(request, |core, asked, now| {
            let approvals = asked.approvals.into_iter().map(Into::into).collect();
            let document = core.publish_document(&asked.core, approvals, now)?;
            Ok(view(&document, core.document_stands(&document, now)))
        })
        .await
    }

    async fn list(&self, request: Request<ListDocuments>) -> Answer<DocumentList> {
        self.act(request, |core, asked, now| {
            let all = core.documents(&asked.tenant, &asked.kind, now)?;
            Ok(DocumentList { documents: all.iter().map(|(one, stands)| view(one, *stands)).collect() })
        })
        .await
    }

    async fn sealing_key(&self, request: Request<AskSealingKey>) -> Answer<SealingKeyProof> {
        self.act(request, |core, asked, _| {
            let (tenant, heartbeat, evidence_key) = core.sealing_key(&asked.appliance)?;
            let (tenant, evidence_key) = (tenant.to_string(), evidence_key.to_string());
            Ok(SealingKeyProof { tenant, heartbeat, evidence_key })
        })
        .await
    }

    async fn withdraw(&self, request: Request<WithdrawDocument>) -> Answer<DocumentView> {
        self.act(request, |core, asked, now| {
            let WithdrawDocument { tenant, appliance, kind, name } = asked;
            let called = Called { tenant: &tenant, appliance: &appliance, kind: &kind, name: &name };
            let document = core.withdraw_document(called, now)?;
            Ok(view(&document, core.document_stands(&document, now)))
        })
        .await
    }
}

fn view(document: &Document, stands: Standing) -> pb::DocumentView {
    let core = &document.core;
    pb::DocumentView {
        tenant: core.tenant.to_string(),
        appliance: core.appliance.map(|id| id.to_string()).unwrap_or_default(),
        kind: core.kind.to_string(),
        name: core.name.clone(),
        serial: core.serial,
        issued_ms: core.issued.0,
        sha256: Digest::of(&core.content).to_vec(),
        content: core.content.clone(),
        approvers: document.approvals.iter().map(|approval| approval.approver.clone()).collect(),
        state: stands.word().to_owned(),
    }
}
