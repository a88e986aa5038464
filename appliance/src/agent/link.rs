//! The link to the control plane: the one place where the agent meets the network. Outbound only.
//!
//! The rule: TLS 1.3, the authorities that count, HTTP/2, our own certificate; anything else is no connection. Key and
//! certificate are read anew for every connection, so that a renewed one is used by the next.

mod proxy;
mod tls;
mod trouble;

use std::{error::Error, fmt, future::Future, io, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use proto::pb::{self, enrollment_client::EnrollmentClient, link_client::LinkClient};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tonic::{
    Code,
    transport::{Channel, Endpoint, Uri},
};
use tower::service_fn;

pub use proxy::{Proxy, ProxyError};
pub use tls::{Identity, Pins, TlsError};

/// How long until a connection stands, name, TCP and TLS together.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// How long an answer may take beyond what we asked to be held for: a large batch over a slow line.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// How often a silent connection is asked whether it is still there, and how long that answer may take.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// The most bytes of an answer.
const ANSWER_MAX: usize = 16 << 20;

/// Why an exchange did not happen.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address makes no sense.
    #[error("control_plane.address = {address:?}: must be https://host:port")]
    Address {
        /// What it is.
        address: String,
    },
    /// No connection, or it broke, or the server said no.
    #[error("the control plane at {address} did not answer {call}")]
    Status {
        /// Whom we asked.
        address: String,
        /// What.
        call: &'static str,
        /// What it said, or why it could not be asked.
        #[source]
        said: Said,
    },
    /// Silence.
    #[error("the control plane at {address} did not answer {call} within {seconds} s")]
    Silent {
        /// Whom we asked.
        address: String,
        /// What.
        call: &'static str,
        /// How long we waited.
        seconds: u64,
    },
}

/// A gRPC status, told as a sentence: its own `Display` is made for programmers, and what our connector said lies
/// three wrappers deep.
#[derive(Debug)]
pub struct Said(Box<tonic::Status>);

impl Said {
    fn by_connector(&self) -> Option<&TlsError> {
        let mut cause = self.0.source();
        while let Some(found) = cause {
            if let Some(error) = found.downcast_ref() {
                return Some(error);
            }
            cause = found.source();
        }
        None
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.by_connector(), self.0.message()) {
            (Some(error), _) => error.fmt(f),
            (None, "") => self.0.code().fmt(f),
            (None, message) => f.write_str(message),
        }
    }
}

impl Error for Said {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.by_connector().map_or_else(|| self.0.source(), Error::source)
    }
}

impl LinkError {
    /// Whether it is an answer of the control plane, which let us in and did not like what we asked.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Status { said, .. } if said.by_connector().is_none() && matches!(said.0.code(), Code::InvalidArgument | Code::FailedPrecondition | Code::ResourceExhausted))
    }

    /// Whether the server does not want us, rather than cannot be reached: an expired or revoked certificate.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Status { said, .. } if matches!(said.0.code(), Code::Unauthenticated | Code::PermissionDenied))
    }
}

/// What the agent's loop needs of a link.
pub trait Link: Send {
    /// One exchange; the server may hold the answer back for as long as the request allows.
    fn sync(
        &mut self,
        request: pb::SyncRequest,
    ) -> impl Future<Output = Result<pb::SyncResponse, LinkError>> + Send;
    /// A new certificate for the same keys.
    fn renew(
        &mut self,
        request: pb::RenewRequest,
    ) -> impl Future<Output = Result<pb::RenewResponse, LinkError>> + Send;
    /// Uses the credentials on disk from the next call on.
    fn reconnect(&mut self);
}

/// The real link, over gRPC.
pub struct GrpcLink {
    address: String,
    pins: Arc<Pins>,
    endpoint: Endpoint,
    host: String,
    port: u16,
    proxy: Option<Proxy>,
    channel: Channel,
}

impl GrpcLink {
    /// A link to `address` (`https://host:port`). Connects with the first call, and again whenever it must.
    pub fn new(address: &str, pins: Pins) -> Result<Self, LinkError> {
        let wrong = || LinkError::Address { address: address.to_owned() };
        let uri: Uri = address.parse().map_err(|_| wrong())?;
        if uri.scheme_str() != Some("https") {
            return Err(wrong());
        }
        let host = uri.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(443);
        let endpoint = Endpoint::from_shared(address.to_owned())
            .map_err(|_| wrong())?
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        let pins = Arc::new(pins);
        let channel = connect(&endpoint, &pins, &host, port, None);
        Ok(Self { address: address.to_owned(), pins, endpoint, host, port, proxy: None, channel })
    }

    /// The same link through a proxy, if there is one.
    #[must_use]
    pub fn through(mut self, proxy: Option<Proxy>) -> Self {
        self.proxy = proxy;
        self.reconnect();
        self
    }

    /// Exchanges a one-time token for a certificate.
    pub async fn enroll(&mut self, request: pb::EnrollRequest) -> Result<pb::EnrollResponse, LinkError> {
        let mut client = EnrollmentClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_MAX);
        self.within("Enroll", ANSWER_WITHIN, async move { client.enroll(request).await }).await
    }

    async fn within<T>(
        &self,
        call: &'static str,
        limit: Duration,
        answer: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, LinkError> {
        let address = self.address.clone();
        match timeout(limit, answer).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(LinkError::Status { address, call, said: Said(Box::new(status)) }),
            Err(_) => Err(LinkError::Silent { address, call, seconds: limit.as_secs() }),
        }
    }

    fn client(&self) -> LinkClient<Channel> {
        LinkClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_MAX)
    }
}

impl Link for GrpcLink {
    async fn sync(&mut self, request: pb::SyncRequest) -> Result<pb::SyncResponse, LinkError> {
        let limit = Duration::from_millis(request.hold_ms.into()) + ANSWER_WITHIN;
        let mut client = self.client();
        self.within("Sync", limit, async move { client.sync(request).await }).await
    }

    async fn renew(&mut self, request: pb::RenewRequest) -> Result<pb::RenewResponse, LinkError> {
        let mut client = self.client();
        self.within("Renew", ANSWER_WITHIN, async move { client.renew(request).await }).await
    }

    fn reconnect(&mut self) {
        self.channel = connect(&self.endpoint, &self.pins, &self.host, self.port, self.proxy.as_ref());
    }
}

fn connect(endpoint: &Endpoint, pins: &Arc<Pins>, host: &str, port: u16, proxy: Option<&Proxy>) -> Channel {
    let (pins, host, proxy) = (pins.clone(), host.to_owned(), proxy.cloned());
    endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
        let (pins, host, proxy) = (pins.clone(), host.clone(), proxy.clone());
        async move {
            let stream = async {
                let tcp = match &proxy {
                    None => {
                        dial(&host, port, |host, port, source| TlsError::Tcp { host, port, source }).await?
                    }
                    Some(proxy) => tunnel(proxy, &host, port).await?,
                };
                pins.connect(&host, tcp).await
            };
            let seconds = CONNECT_WITHIN.as_secs();
            let late = |_| TlsError::Silent { host: host.clone(), port, seconds };
            timeout(CONNECT_WITHIN, stream).await.map_err(late)?.map(TokioIo::new)
        }
    }))
}

async fn tunnel(proxy: &Proxy, host: &str, port: u16) -> Result<TcpStream, TlsError> {
    let failed = |host, port, source| TlsError::ProxyTcp { host, port, source };
    let mut tcp = dial(&proxy.host, proxy.port, failed).await?;
    // An IPv6 address stands in brackets again.
    let to = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let refused = |source| TlsError::Proxy { host: proxy.host.clone(), port: proxy.port, source };
    proxy.tunnel(&mut tcp, &to).await.map_err(refused)?;
    Ok(tcp)
}

/// Name and connection apart: which of both failed is what a technician must know.
async fn dial(
    host: &str,
    port: u16,
    failed: impl Fn(String, u16, io::Error) -> TlsError,
) -> Result<TcpStream, TlsError> {
    let unknown = |source| TlsError::Lookup { host: host.to_owned(), source };
    let addresses: Vec<_> = lookup_host((host, port)).await.map_err(unknown)?.collect();
    let failed = |source| failed(host.to_owned(), port, source);
    let tcp = TcpStream::connect(addresses.as_slice()).await.map_err(failed)?;
    // A small request must not wait for the one before to be confirmed.
    tcp.set_nodelay(true).map_err(failed)?;
    Ok(tcp)
}
