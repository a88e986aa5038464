//! The three doors: appliances', people's and the console's. Their sockets, and the TLS on them.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use proto::time::Millis;
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    admit::EXCHANGE_MAX,
    certificate::{self, PeopleCertificate, files::Files},
    descriptors,
    listener::{self, Limits},
    services::Services,
    shared::Shared,
    tls::{self, ServerIdentity},
};
use crate::{
    authorities::Authorities,
    clock,
    config::{Certificate, Config},
};

/// How long a box's connection may stay without a request: it asks again as soon as it is answered.
const IDLE: Duration = Duration::from_secs(300);

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

/// What the doors show of this server.
#[derive(Clone)]
pub(super) struct Certificates {
    own: Arc<ServerIdentity>,
    people: Arc<PeopleCertificate>,
    authorities: Arc<Authorities>,
}

impl Certificates {
    pub(super) fn of(shared: &Shared) -> Result<Self> {
        let (config, authorities) = (&shared.config, shared.authorities.clone());
        let (now, random) = (Arc::new(clock::now), Arc::new(clock::random));
        let own = ServerIdentity::new(authorities.clone(), config.server_names(), now, random)?;
        let people = PeopleCertificate::new(own.clone());
        if let Certificate::Files { chain, key } = &config.certificate {
            people.show(Files { chain: chain.clone(), key: key.clone() }.load()?);
        }
        Ok(Self { own, people, authorities })
    }

    /// What of it ends, and when.
    pub(super) fn ends(&self) -> Vec<(&'static str, Millis)> {
        let authority = self.authorities.named().not_after();
        let mut ends =
            vec![("certificate_authority", authority), ("server_certificate", self.own.not_after())];
        ends.extend(self.people.not_after().map(|at| ("people_certificate", at)));
        ends
    }

    /// Exchanges the people's in time, however they come.
    pub(super) fn keep(&self, shared: &Shared, tasks: &mut JoinSet<()>) {
        let (shown, stopped) = (self.people.clone(), shared.stopped.clone());
        match shared.config.certificate.clone() {
            Certificate::Own => {}
            Certificate::Files { chain, key } => {
                tasks.spawn(certificate::files::watch(shown, Files { chain, key }, stopped));
            }
            Certificate::Acme(acme) => {
                tasks.spawn(certificate::acme::keep(
                    shown,
                    acme,
                    shared.directory.acme(),
                    clock::now,
                    stopped,
                ));
            }
        }
    }
}

/// Lets callers in until the server stops. Gives how many connections of appliances there may be.
pub(super) fn open(
    doors: Doors,
    shared: &Shared,
    certificates: &Certificates,
    services: Services,
    tasks: &mut JoinSet<()>,
) -> Result<usize> {
    let (now, stopped) = (Arc::new(clock::now), &shared.stopped);
    let of_appliances = tls::appliances(shared.authorities.clone(), certificates.own.clone(), now.clone())?;
    let of_people = tls::people(certificates.people.clone(), now)?;
    let admin = listener::bind_admin(&shared.directory.admin_socket())?;
    // A box has one call held open, and another when that one hangs in a broken connection.
    let connections = descriptors::for_appliances(descriptors::raise());
    let limits =
        Limits { connections, streams: 8, body_bytes: EXCHANGE_MAX, idle: Some(IDLE), ..Limits::default() };
    let Services { appliances, people, console } = services;
    tasks.spawn(listener::serve_tls(doors.appliances, of_appliances, appliances, limits, stopped.clone()));
    tasks.spawn(listener::serve_tls(doors.people, of_people, people, Limits::default(), stopped.clone()));
    let stopped = stopped.clone();
    tasks.spawn(async move {
        if let Err(error) = listener::serve_admin(admin, console, Limits::default(), stopped).await {
            tracing::warn!(%error, "the admin socket: {error}");
        }
    });
    Ok(connections)
}
