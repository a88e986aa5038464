//! What is behind each door: the services, and who may call them there.

use std::sync::Arc;

use anyhow::Result;
use proto::pb::{
    appliances_server::AppliancesServer, approvals_server::ApprovalsServer,
    catalogue_server::CatalogueServer, charter_server::CharterServer, compliance_server::ComplianceServer,
    documents_server::DocumentsServer, enrollment_server::EnrollmentServer, evidence_server::EvidenceServer,
    holds_server::HoldsServer, incidents_server::IncidentsServer, link_server::LinkServer,
    notifications_server::NotificationsServer, operators_server::OperatorsServer,
    orders_server::OrdersServer, packets_server::PacketsServer, people_server::PeopleServer,
    planner_server::PlannerServer, plans_server::PlansServer, policies_server::PoliciesServer,
    sites_server::SitesServer, tenants_server::TenantsServer, usage_server::UsageServer,
};
use tonic::service::Routes;

use super::{
    admit::{EXCHANGE_MAX, PAPERS_MAX},
    crowd::Crowd,
    doors::Certificates,
    gate::{Gate, Rule},
    http::Front,
    known::Known,
    link::Appliances,
    mcp::Assistants,
    monitoring,
    operators::Operators,
    people::{People, provider::Provider},
    review::Reviews,
    shared::Shared,
};
use crate::{access::passkeys::Ceremonies, clock};

/// Longest packet that is given in one message.
const PACKET_MAX: usize = 16 << 20;

/// By door.
pub(super) struct Services {
    pub(super) appliances: Gate<Front>,
    pub(super) people: Gate<Front>,
    pub(super) console: Gate<Front>,
}

impl Services {
    pub(super) fn of(shared: &Shared, certificates: &Certificates) -> Result<Self> {
        let operators = operator_routes(shared.operators());
        let operators = monitoring::add_to(operators, shared.reporter.clone())?;
        let rule = Rule::Appliances {
            reader: shared.reader()?,
            clock: clock::now,
            calls: Crowd::default(),
            connections: Crowd::default(),
        };
        Ok(Self {
            appliances: Gate::new(rule, Front::programs(appliance_routes(shared)?)),
            people: people(shared, certificates.clone(), operators.clone())?,
            console: Gate::new(Rule::Console, Front::programs(operators)),
        })
    }
}

fn people(shared: &Shared, certificates: Certificates, operators: Routes) -> Result<Gate<Front>> {
    let Shared { config, writer, about, health, .. } = shared;
    let known = Known::new(shared.reader()?);
    let rule =
        Rule::People { writer: writer.clone(), known: known.clone(), origin: about.people.as_str().into() };
    let reviews = Reviews { writer: writer.clone(), reader: shared.reader()?, clock: clock::now };
    let provider = config.oidc.clone().map(|oidc| Provider::new(oidc, &about.people, clock::random));
    let known_as = config.running.brand.name_of(&config.organization);
    let sign_in = People {
        writer: writer.clone(),
        known,
        ceremonies: Arc::new(Ceremonies::new(&about.people, known_as, clock::random)),
        guesses: Arc::default(),
        clock: Arc::new(clock::now),
        provider: provider.transpose()?.map(Arc::new),
        organization: known_as.into(),
        contact: config.running.brand.contact.as_str().into(),
    };
    let assistants = Assistants::new(rule.clone(), Front::programs(operators.clone()), config.server_names());
    let metrics = monitoring::page(writer.metrics.clone(), about.clone(), move || certificates.ends());
    let front = Front::people(operators, health.clone(), Some(reviews))
        .with_people(sign_in)
        .with_assistants(assistants)
        .with_metrics(metrics);
    Ok(Gate::new(rule, front))
}

fn appliance_routes(shared: &Shared) -> Result<Routes> {
    let reader = (shared.about.reader)()?;
    let service = Appliances::new(shared.writer.clone(), reader, shared.stopped.clone());
    let link = LinkServer::new(service.clone()).max_decoding_message_size(EXCHANGE_MAX);
    let enrollment = EnrollmentServer::new(service).max_decoding_message_size(PAPERS_MAX);
    Ok(Routes::new(link).add_service(enrollment))
}

/// Every service that operators call.
pub fn operator_routes(service: Operators) -> Routes {
    Routes::new(TenantsServer::new(service.clone()))
        .add_service(SitesServer::new(service.clone()))
        .add_service(AppliancesServer::new(service.clone()))
        .add_service(DocumentsServer::new(service.clone()))
        .add_service(IncidentsServer::new(service.clone()))
        .add_service(OrdersServer::new(service.clone()))
        .add_service(PeopleServer::new(service.clone()))
        .add_service(PoliciesServer::new(service.clone()))
        .add_service(ApprovalsServer::new(service.clone()))
        .add_service(HoldsServer::new(service.clone()))
        .add_service(PlansServer::new(service.clone()))
        .add_service(EvidenceServer::new(service.clone()))
        .add_service(PacketsServer::new(service.clone()).max_encoding_message_size(PACKET_MAX))
        .add_service(PlannerServer::new(service.clone()))
        .add_service(CatalogueServer::new(service.clone()))
        .add_service(CharterServer::new(service.clone()))
        .add_service(ComplianceServer::new(service.clone()))
        .add_service(NotificationsServer::new(service.clone()))
        .add_service(UsageServer::new(service.clone()))
        .add_service(OperatorsServer::new(service))
}
