//! Operators' calls: convert, ask the core, show the rows. Who may call is decided before ([`super::gate`]).

use std::{sync::Arc, time::Duration};

use proto::{
    charter::OrganizationKeys,
    log::{Hash, Head},
    pb::{self, *},
    succession::Cause,
    time::Millis,
};
use tonic::{Request, Response, Status};

use super::{views, writer::Writer};
use crate::{
    access::{Principal, passkeys::approvers_here, table},
    core::{Core, CoreError},
    store::{ApplianceRow, TenantRow},
};

/// What every operator service needs.
#[derive(Clone)]
pub struct Operators {
    pub(super) writer: Writer,
    pub(super) about: Arc<About>,
}

/// What does not change while the server runs.
pub struct About {
    /// What appliances are told to call.
    pub address: String,
    /// What people type into their browsers.
    pub people: String,
    /// The organization's public keys: what appliances pin.
    pub trust: OrganizationKeys,
    /// Whom it asks to cosign the logs.
    pub witnesses: Vec<crate::config::Witness>,
    /// Where timestamps are asked for; empty: nowhere.
    pub timestamps: String,
    /// Opens the database for reading only.
    pub reader: Box<dyn Fn() -> Result<crate::store::Store, crate::store::StoreError> + Send + Sync>,
    /// The clock.
    pub clock: fn() -> Millis,
}

type Answer<T> = Result<Response<T>, Status>;

/// Who calls, and what; put into every request by the door.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) principal: Principal,
    pub(super) call: String,
}

impl Caller {
    pub(super) fn new(principal: Principal, path: &str) -> Self {
        Self { principal, call: table::call_of(path).unwrap_or(path).to_owned() }
    }
}

impl Operators {
    /// Answers with what `writer` does.
    #[must_use]
    pub fn new(writer: Writer, about: Arc<About>) -> Self {
        Self { writer, about }
    }

    /// Has the core look something up or do something, in the caller's name and within the caller's sight.
    pub(super) async fn act<R, T>(
        &self,
        request: Request<R>,
        command: impl FnOnce(&mut Core, R, Millis) -> Result<T, CoreError> + Send + 'static,
    ) -> Answer<T>
    where
        R: Send + 'static,
        T: Send + 'static,
    {
        let (caller, asked) = called(request)?;
        self.act_for(caller, move |core, now| command(core, asked, now)).await.map(Response::new)
    }

    /// The same, of a call that asks more than once.
    pub(super) async fn act_for<T: Send + 'static>(
        &self,
        caller: Caller,
        command: impl FnOnce(&mut Core, Millis) -> Result<T, CoreError> + Send + 'static,
    ) -> Result<T, Status> {
        let Caller { principal, call } = caller;
        self.writer
            .run(move |core, now| core.acting_as(principal, &call, now, |core| command(core, now)))
            .await
    }
}

/// Who calls, and what is asked.
pub(super) fn called<R>(request: Request<R>) -> Result<(Caller, R), Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    // No door lets anybody in without.
    let caller = caller.ok_or_else(|| Status::internal("nobody has said who calls"))?;
    Ok((caller, request.into_inner()))
}

#[tonic::async_trait]
impl tenants_server::Tenants for Operators {
    async fn create(&self, request: Request<CreateTenant>) -> Answer<Tenant> {
        self.act(request, |core, asked, now| {
            let row = core.create_tenant(&asked.name, now)?;
            shown(core, row, now)
        })
        .await
    }

    async fn list(&self, request: Request<ListTenants>) -> Answer<TenantList> {
        self.act(request, |core, _, now| {
            let rows = core.tenants()?.into_iter();
            Ok(TenantList { tenants: rows.map(|row| shown(core, row, now)).collect::<Result<_, _>>()? })
        })
        .await
    }

    async fn shadow(&self, request: Request<ShadowTenant>) -> Answer<Tenant> {
        self.act(request, |core, asked, now| {
            let until = (asked.until_ms != 0).then_some(Millis(asked.until_ms));
            let row = core.shadow_tenant(&asked.tenant, until, now)?;
            shown(core, row, now)
        })
        .await
    }

    async fn hours(&self, request: Request<TenantTimes>) -> Answer<Tenant> {
        self.times(request, Core::set_clinic_hours).await
    }

    async fn windows(&self, request: Request<TenantTimes>) -> Answer<Tenant> {
        self.times(request, Core::set_windows).await
    }

    async fn agreement(&self, request: Request<RecordAgreement>) -> Answer<Tenant> {
        self.act(request, |core, asked, now| {
            let row = core.record_agreement(&asked, now)?;
            let mut view = shown(core, row, now)?;
            if asked.change {
                // It is in the log when the command has ended; the answer speaks of it now.
                let RecordAgreement { signed_ms, until_ms, document, .. } = asked;
                view.agreement = Some(AgreementView { signed_ms, until_ms, document, recorded_ms: now.0 });
            }
            Ok(view)
        })
        .await
    }

    async fn draft_succession(&self, request: Request<DraftSuccession>) -> Answer<SuccessionDraft> {
        self.act(request, move |core, asked, now| {
            let DraftSuccession { tenant, cause, size, root } = asked;
            let cause: Cause = cause.parse()?;
            let known = match &root[..] {
                [] => None,
                root => Some(Head { size, root: Hash::from_field("root", root)? }),
            };
            let (succession, halted) = core.draft_succession(&tenant, cause, known, now)?;
            Ok(SuccessionDraft { payload: succession.encode(), halted })
        })
        .await
    }

    async fn recipients(&self, request: Request<TenantRecipients>) -> Answer<Tenant> {
        self.act(request, |core, asked, now| {
            let row = core.change_recipients(&asked.tenant, &asked.add, &asked.remove, now)?;
            shown(core, row, now)
        })
        .await
    }

    async fn offboard(&self, request: Request<OffboardTenant>) -> Answer<Tenant> {
        self.act(request, |core, asked, now| {
            let row = core.offboard_tenant(&asked.tenant, &asked.name, &asked.why, now)?;
            shown(core, row, now)
        })
        .await
    }

    async fn succeed(&self, request: Request<Succeed>) -> Answer<Tenant> {
        self.act(request, |core, asked, now| {
            let row = core.succeed(&asked.envelope, now)?;
            shown(core, row, now)
        })
        .await
    }
}

impl Operators {
    async fn times(
        &self,
        request: Request<TenantTimes>,
        set: fn(&mut Core, &str, &[String], Millis) -> Result<TenantRow, CoreError>,
    ) -> Answer<Tenant> {
        self.act(request, move |core, asked, now| {
            let row = match asked.change {
                true => set(core, &asked.tenant, &asked.times, now)?,
                false => core.tenant(&asked.tenant)?,
            };
            shown(core, row, now)
        })
        .await
    }
}

fn shown(core: &mut Core, row: TenantRow, now: Millis) -> Result<Tenant, CoreError> {
    let policy = core.policy_of(row.id)?;
    let (agreement, recipients) = match core.sees_whole_clinics() {
        true => (core.agreement(row.id)?, core.recipients(row.id)?),
        false => (None, Vec::new()),
    };
    Ok(views::tenant(row, &policy, agreement, recipients, now))
}

#[tonic::async_trait]
impl sites_server::Sites for Operators {
    async fn create(&self, request: Request<CreateSite>) -> Answer<Site> {
        self.act(request, |core, asked, now| {
            core.create_site(&asked.tenant, &asked.name, now).map(views::site)
        })
        .await
    }

    async fn list(&self, request: Request<ListSites>) -> Answer<SiteList> {
        self.act(request, |core, asked, _| {
            Ok(SiteList { sites: core.sites(&asked.tenant)?.into_iter().map(views::site).collect() })
        })
        .await
    }
}

#[tonic::async_trait]
impl appliances_server::Appliances for Operators {
    async fn issue_token(&self, request: Request<IssueTokenRequest>) -> Answer<EnrolmentTicket> {
        let about = self.about.clone();
        self.act(request, move |core, asked, now| {
            let valid = Duration::from_secs(u64::from(asked.valid_minutes) * 60);
            let token = core.issue_enrolment_token(&asked.tenant, &asked.site, valid, now)?;
            Ok(EnrolmentTicket {
                token: token.secret,
                expires_ms: token.expires.0,
                address: about.address.clone(),
                ca_pem: core
                    .charter()
                    .certificate_authorities
                    .iter()
                    .map(|pem| format!("{}\n", pem.trim_end()))
                    .collect(),
                organization: about.trust.organization.clone(),
                organization_keys: about.trust.keys.iter().map(ToString::to_string).collect(),
                organization_threshold: u32::try_from(about.trust.threshold).unwrap_or(u32::MAX),
            })
        })
        .await
    }

    async fn list_tickets(&self, request: Request<ListTickets>) -> Answer<TicketList> {
        self.act(request, |core, asked, now| {
            let rows = core.tickets(&asked.tenant, now)?.into_iter();
            Ok(TicketList { tickets: rows.map(|(row, why)| views::ticket(row, why)).collect() })
        })
        .await
    }

    async fn revoke_ticket(&self, request: Request<RevokeTicket>) -> Answer<Ticket> {
        self.act(request, |core, asked, now| {
            core.revoke_ticket(&asked.id, now).map(|row| views::ticket(row, Some("it was taken back")))
        })
        .await
    }

    async fn list(&self, request: Request<ListAppliances>) -> Answer<ApplianceList> {
        self.act(request, |core, asked, _| {
            let rows = core.appliances(&asked.tenant)?.into_iter();
            Ok(ApplianceList { appliances: rows.map(|row| view(core, row)).collect::<Result<_, _>>()? })
        })
        .await
    }

    async fn lines(&self, request: Request<ListLines>) -> Answer<LineList> {
        self.act(request, |core, asked, _| {
            let (rows, taken) = core.lines(&asked.appliance, &asked.watch, asked.limit)?;
            Ok(LineList { chunks: rows.into_iter().map(views::lines).collect(), taken })
        })
        .await
    }

    async fn revoke(&self, request: Request<RevokeAppliance>) -> Answer<pb::Appliance> {
        self.act(request, |core, asked, now| {
            let row = core.revoke_appliance(&asked.id, &asked.reason, now)?;
            view(core, row)
        })
        .await
    }

    async fn readmit(&self, request: Request<ReadmitAppliance>) -> Answer<pb::Appliance> {
        self.act(request, |core, asked, now| {
            let row = core.readmit_appliance(&asked.id, &asked.why, now)?;
            view(core, row)
        })
        .await
    }
}

fn view(core: &Core, row: ApplianceRow) -> Result<pb::Appliance, CoreError> {
    let (chain, gaps) = (core.chain_next(&row)?, core.gaps(&row)?);
    let standing = core.standing(&row)?;
    Ok(views::appliance(row, chain, gaps, standing))
}

#[tonic::async_trait]
impl incidents_server::Incidents for Operators {
    async fn list(&self, request: Request<ListIncidents>) -> Answer<IncidentList> {
        self.act(request, |core, asked, _| {
            let rows = core.incidents(&asked.tenant, &asked.state, asked.limit)?;
            let told = |row| Ok(views::incident(core.told_of(&row)?, row, Vec::new()));
            Ok(IncidentList { incidents: rows.into_iter().map(told).collect::<Result<_, CoreError>>()? })
        })
        .await
    }

    async fn show(&self, request: Request<ShowIncident>) -> Answer<pb::Incident> {
        self.act(request, |core, asked, _| {
            let (row, timeline) = core.incident(&asked.id)?;
            Ok(views::incident(core.told_of(&row)?, row, timeline))
        })
        .await
    }
}

#[tonic::async_trait]
impl orders_server::Orders for Operators {
    async fn list(&self, request: Request<ListOrders>) -> Answer<OrderList> {
        self.act(request, |core, asked, _| {
            let rows = core.orders(&asked.tenant, asked.limit)?;
            Ok(OrderList { orders: rows.into_iter().map(views::order).collect() })
        })
        .await
    }
}

#[tonic::async_trait]
impl catalogue_server::Catalogue for Operators {
    async fn show(&self, request: Request<ShowCatalogue>) -> Answer<CatalogueView> {
        self.act(request, |core, _, _| {
            let (catalogue, envelope) = core.catalogue();
            Ok(views::catalogue(catalogue, envelope))
        })
        .await
    }

    async fn publish(&self, request: Request<PublishCatalogue>) -> Answer<CatalogueView> {
        self.act(request, |core, asked, now| {
            core.publish_catalogue(&asked.envelope, now)?;
            let (catalogue, envelope) = core.catalogue();
            Ok(views::catalogue(catalogue, envelope))
        })
        .await
    }
}

#[tonic::async_trait]
impl charter_server::Charter for Operators {
    async fn show(&self, request: Request<ShowCharter>) -> Answer<CharterView> {
        let about = self.about.clone();
        self.act(request, move |core, _, now| Ok(charter(core, &about.people, now))).await
    }

    async fn publish(&self, request: Request<PublishCharter>) -> Answer<CharterView> {
        let about = self.about.clone();
        self.act(request, move |core, asked, now| {
            let before = core.charter().certificate_authorities.clone();
            core.publish_charter(&asked.envelope, now)?;
            let mut view = charter(core, &about.people, now);
            let is_one_left_out = before.iter().any(|one| !core.charter().certificate_authorities.contains(one));
            let boxes = if is_one_left_out { core.left_out()? } else { 0 };
            if boxes > 0 {
                view.warning = format!(
                    "{boxes} boxes have a certificate of an authority that is left out: they must be enrolled anew"
                );
            }
            Ok(view)
        })
        .await
    }
}

fn charter(core: &Core, people: &str, now: Millis) -> CharterView {
    let charter = core.charter();
    let warnings = [charter.warning(now), approvers_here(charter, people)];
    CharterView {
        serial: charter.serial,
        not_after_ms: charter.not_after.0,
        organization: charter.organization.clone(),
        envelope: core.charter_envelope().to_vec(),
        warning: warnings.into_iter().flatten().collect::<Vec<_>>().join("; "),
    }
}
