//! Operators' calls about telling people, and about what is on their invoices.

use proto::pb::{
    AcknowledgeIncident, AskUsage, Incident, ListNotifications, Notification, NotificationList,
    RetryNotification, TenantUsage, UsageList, notifications_server, usage_server,
};
use tonic::{Request, Response, Status};

use super::{operators::Operators, views};
use crate::{
    bundle::Month,
    core::{chain, usage::usage},
    store::{NotificationRow, TenantRow},
};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl notifications_server::Notifications for Operators {
    async fn acknowledge(&self, request: Request<AcknowledgeIncident>) -> Answer<Incident> {
        self.act(request, |core, asked, now| {
            core.acknowledge(&asked.id, now)?;
            let (row, timeline) = core.incident(&asked.id)?;
            Ok(views::incident(core.told_of(&row)?, row, timeline))
        })
        .await
    }

    async fn list(&self, request: Request<ListNotifications>) -> Answer<NotificationList> {
        self.act(request, |core, asked, _| {
            let rows = core.notifications(&asked.tenant, &asked.state, asked.limit)?;
            Ok(NotificationList { notifications: rows.into_iter().map(notification).collect() })
        })
        .await
    }

    async fn retry(&self, request: Request<RetryNotification>) -> Answer<Notification> {
        self.act(request, |core, asked, now| core.retry_notification(&asked.key, now).map(notification)).await
    }
}

fn notification(row: NotificationRow) -> Notification {
    Notification {
        key: row.key,
        tenant: row.tenant.to_string(),
        incident: row.incident.to_string(),
        channel: row.channel,
        news: row.news.to_string(),
        state: row.telling.to_string(),
        attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
        last_error: row.last_error,
        created_ms: row.created.0,
        due_ms: row.due.0,
    }
}

#[tonic::async_trait]
impl usage_server::Usage for Operators {
    async fn month(&self, request: Request<AskUsage>) -> Answer<UsageList> {
        let month: Month = request.get_ref().month.parse().map_err(Status::from)?;
        let over = month.end() <= (self.about.clock)();
        // Whose it may see is decided by the core; counting reads much, and is done beside it.
        let asked = self.act(request, |core, asked, _| match asked.tenant.as_str() {
            "" => core.tenants(),
            tenant => Ok(vec![core.tenant(tenant)?]),
        });
        let (tenants, about) = (asked.await?.into_inner(), self.about.clone());
        let counted = tokio::task::spawn_blocking(move || {
            let failed = |error: &(dyn std::error::Error + 'static)| {
                tracing::error!(error = %chain(error), "usage could not be counted");
                Status::internal("usage could not be counted; the server's log says why")
            };
            let store = (about.reader)().map_err(|error| failed(&error))?;
            store.snapshot().map_err(|error| failed(&error))?;
            let one = |row: TenantRow| {
                let used = usage(&store, row.id, month).map_err(|error| failed(&error))?;
                let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
                Ok(TenantUsage {
                    tenant: row.id.to_string(),
                    name: row.name,
                    appliances: count(used.appliances),
                    active: count(used.active),
                    orders: used.orders,
                    repaired: used.repaired,
                    incidents: used.incidents,
                    escalated: used.escalated,
                    evidence: used.evidence,
                    bytes: used.bytes,
                })
            };
            tenants.into_iter().map(one).collect::<Result<_, Status>>()
        });
        let tenants = counted.await.map_err(|_| Status::internal("usage could not be counted"))??;
        Ok(Response::new(UsageList { tenants, over }))
    }
}
