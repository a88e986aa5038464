//! The running service: three doors, the writer, the watchdog, the teller; started in order and stopped in the other.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result};
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
use tokio::{net::TcpListener, sync::watch, time};
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

use super::{
    admit::{EXCHANGE_MAX, PAPERS_MAX},
    certificate::{self, PeopleCertificate, files::Files},
    crowd::Crowd,
    deadman, descriptors,
    gate::{Gate, Rule},
    http::Front,
    link::Appliances,
    listener::{self, Limits, Stop},
    mail::{self, LETTER_WITHIN, MAIL_WITHIN, Mailer},
    mcp::Assistants,
    model::{self, Endpoint},
    monitoring,
    monthly::{self, Monthly},
    open::{KEY_FILE_MAX, open_core},
    operators::{About, Operators},
    outside::Outside,
    people::{People, provider::Provider},
    review::Reviews,
    stamp, submit,
    teller::{self, ANSWER_WITHIN, Teller},
    tls,
    traces::{self, Traces},
    writer::Writer,
};
use crate::{
    access::passkeys::Ceremonies,
    ca::CertificateAuthority,
    clock,
    config::{Certificate, Config, ConfigError},
    directory::Directory,
    files,
    metrics::Metrics,
    store::Store,
};

/// How long a box's connection may stay without a request: it asks again as soon as it is answered.
const IDLE: Duration = Duration::from_secs(300);
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Longest packet that is given in one message.
const PACKET_MAX: usize = 16 << 20;

/// The sockets, bound before anything else happens: an address in use is said at once.
pub struct Doors {
    /// For appliances.
    pub appliances: TcpListener,
    /// For people.
    pub people: TcpListener,
}

impl Doors {
    /// Binds what the configuration names.
    pub async fn bind(config: &Config) -> Result<Self> {
        let bind = async |address| {
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
        };
        Ok(Self {
            appliances: bind(config.listen.appliances).await?,
            people: bind(config.listen.people).await?,
        })
    }
}

/// Serves until `stop` completes; then answers what is under way, stores what is queued, and returns.
pub async fn run(
    directory: &Directory,
    config: Config,
    doors: Doors,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let authority = Arc::new(CertificateAuthority::load(
        &files::read_text(&directory.ca_certificate(), KEY_FILE_MAX)?,
        &files::read_secret(&directory.ca_key(), KEY_FILE_MAX)?,
    )?);
    let stamping = config.timestamps.as_ref();
    let stamping =
        stamping.map(|one| Ok::<_, ConfigError>((one.url.clone(), one.certificates()?))).transpose()?;
    let metrics = Metrics::default();
    let (core, trust) = open_core(directory, &config, authority.clone(), &metrics)?;
    let authorities = core.charter().certificate_authorities.clone();
    if let Some(warning) = core.charter().warning(clock::now()) {
        tracing::warn!("{warning}");
    }
    let (writer, thread) = Writer::spawn_counted(core, clock::now, metrics.clone())?;
    let (stopping, stopped) = watch::channel(false);
    let (at_appliances, at_people) = (doors.appliances.local_addr()?, doors.people.local_addr()?);
    let database = directory.database();
    let about = Arc::new(About {
        address: config.listen.address.clone(),
        people: config.people_address(at_people.port()),
        ca_pem: authority.certificate_pem().to_owned(),
        trust,
        witnesses: config.witnesses.clone(),
        timestamps: config.timestamps.as_ref().map_or_else(String::new, |one| one.url.to_string()),
        reader: Box::new({
            let database = database.clone();
            move || Store::open_reader(&database)
        }),
        clock: clock::now,
    });
    let now: tls::Now = Arc::new(clock::now);
    let random: tls::Random = Arc::new(clock::random);
    let authority_ends = authority.not_after();
    let identity = tls::ServerIdentity::new(authority, config.server_names(), now.clone(), random)?;
    let appliances_tls = tls::appliances(&authorities, identity.clone(), now.clone())?;
    let shown = PeopleCertificate::new(identity.clone());
    if let Certificate::Files { chain, key } = &config.certificate {
        shown.show(Files { chain: chain.clone(), key: key.clone() }.load()?);
    }
    let people_tls = tls::people(shown.clone(), now)?;

    let service = Operators::new(writer.clone(), about.clone());
    let monthly = Monthly::new(service.clone());
    let reporter = HealthReporter::new();
    let operators = monitoring::add_to(operator_routes(service), reporter.clone())?;
    let health = monitoring::healthy(about.clone());
    let people_certificate = shown.clone();
    let ends = move || {
        let mut ends =
            vec![("certificate_authority", authority_ends), ("server_certificate", identity.not_after())];
        ends.extend(people_certificate.not_after().map(|at| ("people_certificate", at)));
        ends
    };
    let mailer = config.mail.as_ref().map(|mail| Mailer::new(mail, &config.organization, MAIL_WITHIN));
    let mailer = mailer.transpose()?;
    let outside = Outside::new(ANSWER_WITHIN);
    let tellers = tellers(&config, &outside)?;
    let endpoint = config.planner.as_ref().map(Endpoint::new).transpose()?;
    let reviews = Reviews {
        writer: writer.clone(),
        reader: Arc::new(Mutex::new(Store::open_reader(&database)?)),
        clock: clock::now,
    };
    let provider = config.oidc.clone().map(|oidc| Provider::new(oidc, &about.people, clock::random));
    let sign_in = People {
        writer: writer.clone(),
        ceremonies: Arc::new(Ceremonies::new(&about.people, &config.organization, clock::random)),
        guesses: Arc::default(),
        clock: Arc::new(clock::now),
        provider: provider.transpose()?.map(Arc::new),
        organization: config.organization.as_str().into(),
    };
    let admin = listener::bind_admin(&directory.admin_socket())?;
    let rule = Rule::Appliances {
        reader: Arc::new(Mutex::new(Store::open_reader(&database)?)),
        clock: clock::now,
        calls: Crowd::default(),
        connections: Crowd::default(),
    };
    let appliances = Gate::new(rule, Front::programs(appliance_routes(&writer, &stopped)));
    let of_people = Rule::People { writer: writer.clone(), origin: about.people.as_str().into() };
    let assistants =
        Assistants::new(of_people.clone(), Front::programs(operators.clone()), config.server_names());
    let front = Front::people(operators.clone(), health.clone(), Some(reviews))
        .with_people(sign_in)
        .with_assistants(assistants)
        .with_metrics(monitoring::page(metrics.clone(), about.clone(), ends));
    let people = Gate::new(of_people, front);
    // A box has one call held open, and another when that one hangs in a broken connection.
    let connections = descriptors::for_appliances(descriptors::raise());
    let of_appliances =
        Limits { connections, streams: 8, body_bytes: EXCHANGE_MAX, idle: Some(IDLE), ..Limits::default() };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(listener::serve_tls(
        doors.appliances,
        appliances_tls,
        appliances,
        of_appliances,
        stopped.clone(),
    ));
    tasks.spawn(listener::serve_tls(doors.people, people_tls, people, Limits::default(), stopped.clone()));
    let local = Gate::new(Rule::Console, Front::programs(operators));
    let admin_stop = stopped.clone();
    tasks.spawn(async move {
        if let Err(error) = listener::serve_admin(admin, local, Limits::default(), admin_stop).await {
            tracing::warn!(%error, "the admin socket: {error}");
        }
    });
    match config.certificate.clone() {
        Certificate::Own => {}
        Certificate::Files { chain, key } => {
            tasks.spawn(certificate::files::watch(shown, Files { chain, key }, stopped.clone()));
        }
        Certificate::Acme(acme) => {
            let folder = directory.acme();
            tasks.spawn(certificate::acme::keep(shown, acme, folder, clock::now, stopped.clone()));
        }
    }
    if let Some(traces) = &config.traces {
        let (to, from) = Traces::new();
        metrics.trace(to);
        tasks.spawn(traces::export(traces.endpoint()?, from, stopped.clone()));
    }
    tasks.spawn(monitoring::report(reporter, health.clone(), stopped.clone()));
    tasks.spawn(watchdog(writer.clone(), stopped.clone()));
    tasks.spawn(monthly::make(monthly, stopped.clone()));
    if let Some(mailer) = mailer {
        tasks.spawn(mail::send(writer.clone(), mailer, clock::now, stopped.clone()));
    }
    for witness in config.witnesses.clone() {
        tasks.spawn(submit::submit(writer.clone(), about.clone(), witness, stopped.clone()));
    }
    if let Some((url, authority)) = stamping {
        tasks.spawn(stamp::stamp(writer.clone(), about.clone(), url, authority, stopped.clone()));
    }
    if let Some(endpoint) = endpoint {
        let reader = Arc::new(Mutex::new(Store::open_reader(&database)?));
        let looking = model::Looking { reader, clock: clock::now };
        tasks.spawn(model::ask(writer.clone(), looking, endpoint, stopped.clone()));
    }
    for teller in tellers {
        tasks.spawn(teller::tell(writer.clone(), teller, stopped.clone()));
    }
    if let Some(deadman) = config.escalation.deadman.clone() {
        tasks.spawn(deadman::feed(writer.clone(), health.clone(), deadman, outside, stopped.clone()));
    }
    tracing::info!(appliances = %at_appliances, people = %at_people, connections, "serving");
    ready(directory.root());

    let mut writing = tokio::task::spawn_blocking(move || thread.join());
    let broke = tokio::select! {
        () = stop => None,
        ended = &mut writing => Some(ended),
    };
    tracing::info!("stopping: answering what is under way");
    let _ = stopping.send(true);
    while tasks.join_next().await.is_some() {}
    drop(writer);
    let ended = match broke {
        // Nothing could be stored any more: whoever started this program must start it anew.
        Some(ended) => ended,
        None => writing.await,
    };
    ended?.map_err(|_| anyhow::anyhow!("the writer broke; the log says at what"))
}

/// Ways to all channels of the settings.
fn tellers(config: &Config, outside: &Outside) -> Result<Vec<Teller>, ConfigError> {
    let host = &config.organization;
    let mailer =
        config.mail.as_ref().map(|mail| Mailer::new(mail, host, LETTER_WITHIN)).transpose()?.map(Arc::new);
    let teller = |channel| Teller::new(channel, mailer.as_ref(), host, outside.clone(), clock::now);
    config.escalation.channels.iter().map(teller).collect()
}

fn ready(root: &Path) {
    // Without systemd there is nobody to notify; that is fine.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tracing::debug!(directory = %root.display(), "ready");
}

fn appliance_routes(writer: &Writer, stopped: &Stop) -> Routes {
    let service = Appliances::new(writer.clone(), stopped.clone());
    let link = LinkServer::new(service.clone()).max_decoding_message_size(EXCHANGE_MAX);
    let enrollment = EnrollmentServer::new(service).max_decoding_message_size(PAPERS_MAX);
    Routes::new(link).add_service(enrollment)
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

async fn watchdog(writer: Writer, mut stopped: Stop) {
    let mut tick = time::interval(WATCH_EVERY);
    tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = listener::stopped(&mut stopped) => return,
            _ = tick.tick() => {}
        }
        if let Err(status) = writer.run(|core, now| core.watch(now)).await {
            tracing::error!(%status, "the watchdog's round failed: {}", status.message());
        }
    }
}
