//! TLS as this appliance wants it, and nothing less.

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

use proto::time::Millis;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    time_provider::TimeProvider,
    version::TLS13,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::proxy::ProxyError;
use crate::{
    agent::{
        authorities::Authorities,
        credentials::{self, CredentialError, Folder},
    },
    files,
    world::Clock,
};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Nobody knows the name.
    #[error("cannot find the address of {host}")]
    Lookup {
        /// The name.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The proxy cannot be reached.
    #[error("cannot connect to the proxy {host} port {port} (control_plane.proxy)")]
    ProxyTcp {
        /// Its name.
        host: String,
        /// Its port.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The proxy does not connect us.
    #[error("the proxy {host} port {port} (control_plane.proxy) does not connect us")]
    Proxy {
        /// Its name.
        host: String,
        /// Its port.
        port: u16,
        /// Why.
        #[source]
        source: ProxyError,
    },
    /// The host cannot be reached.
    #[error("cannot connect to {host} port {port}")]
    Tcp {
        /// Its name.
        host: String,
        /// Its port.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing happened for too long.
    #[error("{host} port {port} did not complete a TLS handshake within {seconds} s")]
    Silent {
        /// Its name.
        host: String,
        /// Its port.
        port: u16,
        /// How long we waited.
        seconds: u64,
    },
    /// Not the one we pinned, or it does not want our certificate.
    #[error(
        "no TLS connection to {host}; it must show a certificate for that name by an authority of the newest charter, or of trust.ca while there is none"
    )]
    Handshake {
        /// Its name.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not speak gRPC.
    #[error("{host} does not speak HTTP/2 over TLS; control_plane.address must be the appliances' listener")]
    NoHttp2 {
        /// Its name.
        host: String,
    },
    /// Neither a name nor an address.
    #[error("{host:?} must be a host name or an IP address")]
    Name {
        /// What it is.
        host: String,
    },
    /// The authorities cannot be read.
    #[error("trust.ca = {path}: must be a file of PEM certificates")]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Our own key or certificate cannot be used.
    #[error("cannot show a client certificate")]
    Credentials(#[from] CredentialError),
    /// rustls does not want what we gave it.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

/// Who we are on the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nobody yet: for enrolment.
    None,
    /// By key and certificate of this folder.
    Folder(Folder),
}

/// What every connection is held to.
pub struct Pins {
    /// The only authorities that count.
    pub authorities: Authorities,
    /// Who we are.
    pub identity: Identity,
    /// By which time certificates are judged.
    pub clock: Arc<dyn Clock>,
}

impl Pins {
    /// A TLS connection over `tcp` to `host`.
    pub async fn connect(&self, host: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>, TlsError> {
        let config = self.config()?;
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name { host: host.to_owned() })?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
            .map_err(|source| TlsError::Handshake { host: host.to_owned(), source })?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(TlsError::NoHttp2 { host: host.to_owned() });
        }
        Ok(stream)
    }

    fn config(&self) -> Result<ClientConfig, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.authorities.certificates()? {
            roots.add(certificate).map_err(TlsError::Setup)?;
        }
        let (floor, credentials) = match &self.identity {
            Identity::None => (Millis(0), None),
            Identity::Folder(folder) => {
                let (certificate, facts) = credentials::certificate(folder)?;
                (facts.not_before, Some((certificate, key(folder)?)))
            }
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let time = Arc::new(Time { clock: self.clock.clone(), floor });
        let builder = ClientConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Setup)?
            .with_root_certificates(roots);
        let mut config = match credentials {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                builder.with_client_auth_cert(vec![certificate.into()], key).map_err(TlsError::Setup)?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

fn key(folder: &Folder) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = files::read_secret(&folder.key()).map_err(CredentialError::from)?;
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| TlsError::Setup(rustls::Error::General("tls.key is not PEM".to_owned())))
}

/// The wall clock, but not before our own certificate was made: a box whose clock battery died must still get through,
/// or nobody would ever tell it the time.
struct Time {
    clock: Arc<dyn Clock>,
    floor: Millis,
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wall clock, not before {}", self.floor)
    }
}

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let now = self.clock.wall().max(self.floor);
        u64::try_from(now.0).ok().map(|ms| UnixTime::since_unix_epoch(Duration::from_millis(ms)))
    }
}
