//! Operators' calls about who may call.

use std::time::Duration;

use proto::{
    digest::Digest,
    field::fixed,
    pb::{
        AccessReview, AuditList, AuditView, IssueOperatorToken, ListAudit, ListOperatorTokens, OperatorToken,
        OperatorTokenList, OperatorTokenView, ReviewAccess, RevokeOperatorToken, operators_server,
    },
};
use tonic::{Request, Response, Status};

use super::{operators::Operators, views};
use crate::{access::Grant, store::AuditRow};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl operators_server::Operators for Operators {
    async fn issue_token(&self, request: Request<IssueOperatorToken>) -> Answer<OperatorToken> {
        self.act(request, |core, asked, now| {
            let scope = asked.scope.unwrap_or_default();
            let grant =
                Grant { role: asked.role.parse()?, scope: core.scope_called(&scope.tenant, &scope.site)? };
            let valid = Duration::from_secs(u64::from(asked.valid_days) * 24 * 3600);
            let token = core.issue_operator_token(&asked.name, grant, valid, now)?;
            let view = core.operator_tokens()?.into_iter().find(|row| row.name == asked.name);
            Ok(OperatorToken { token: token.secret, view: view.map(views::operator_token) })
        })
        .await
    }

    async fn list_tokens(&self, request: Request<ListOperatorTokens>) -> Answer<OperatorTokenList> {
        self.act(request, |core, _, _| {
            Ok(OperatorTokenList {
                tokens: core.operator_tokens()?.into_iter().map(views::operator_token).collect(),
            })
        })
        .await
    }

    async fn revoke_token(&self, request: Request<RevokeOperatorToken>) -> Answer<OperatorTokenView> {
        self.act(request, |core, asked, now| {
            core.revoke_operator_token(&asked.name, now).map(views::operator_token)
        })
        .await
    }

    async fn review(&self, request: Request<ReviewAccess>) -> Answer<AccessReview> {
        self.act(request, |core, asked, now| {
            let access = core.review_access(&asked, now)?;
            Ok(AccessReview {
                tokens: access.tokens.into_iter().map(views::operator_token).collect(),
                people: access.people.into_iter().map(views::person).collect(),
                reviewed_ms: access.reviewed.map_or(0, |at| at.0),
                due_ms: access.due.map_or(0, |at| at.0),
            })
        })
        .await
    }

    async fn audit(&self, request: Request<ListAudit>) -> Answer<AuditList> {
        self.act(request, |core, asked, _| {
            let rows = {
                let before = match &asked.before[..] {
                    [] => None,
                    digest => Some(Digest(fixed("before", digest)?)),
                };
                core.trail(&asked.tenant, before, asked.limit)?
            };
            Ok(AuditList { records: rows.into_iter().map(view).collect() })
        })
        .await
    }
}

fn view(row: AuditRow) -> AuditView {
    AuditView {
        tenant: row.tenant.map(|id| id.to_string()).unwrap_or_default(),
        at_ms: row.at.0,
        sha256: row.sha256.to_vec(),
        record: row.record,
    }
}
