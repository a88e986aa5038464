//! A listener on a free loopback port, and clients that knock at it.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use control_plane::{
    ca::CertificateAuthority,
    serve::{
        listener::{Limits, Peer, serve_tls},
        tls::{self, ServerIdentity},
    },
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proto::{identity::CertificateFacts, time::Millis};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::aws_lc_rs, time_provider::TimeProvider};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::body::Body;
use tower::service_fn;

/// A clock that a test turns.
#[derive(Debug, Clone)]
pub struct Clock(Arc<AtomicI64>);

impl Clock {
    pub fn at(now: Millis) -> Self {
        Self(Arc::new(AtomicI64::new(now.0)))
    }

    pub fn set(&self, now: Millis) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    pub fn shared(&self) -> tls::Now {
        let clock = self.clone();
        Arc::new(move || Millis(clock.0.load(Ordering::SeqCst)))
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.load(Ordering::SeqCst) as u64)))
    }
}

/// A listener that answers every request with who asked.
pub struct Loopback {
    pub address: SocketAddr,
    pub stop: watch::Sender<bool>,
    pub served: JoinHandle<()>,
}

impl Loopback {
    /// Tells it to stop and waits until it has.
    pub async fn end(self) {
        self.stop.send(true).unwrap();
        self.served.await.unwrap();
    }
}

pub fn identity(authority: &Arc<CertificateAuthority>, clock: &Clock) -> Arc<ServerIdentity> {
    let random: tls::Random = Arc::new(control_plane::clock::random);
    ServerIdentity::new(authority.clone(), vec!["127.0.0.1".to_owned()], clock.shared(), random).unwrap()
}

pub async fn appliances(authority: &Arc<CertificateAuthority>, clock: &Clock, limits: Limits) -> Loopback {
    let trusted = [authority.certificate_pem().to_owned()];
    let config = tls::appliances(&trusted, identity(authority, clock), clock.shared()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let service = service_fn(|request: Request<Body>| async { Ok::<_, Infallible>(who_asked(request).await) });
    let served = tokio::spawn(serve_tls(listener, config, service, limits, stopped));
    Loopback { address, stop, served }
}

/// "none", or the appliance that the certificate names; then the size of the body.
async fn who_asked(request: Request<Body>) -> Response<Body> {
    let peer = request.extensions().get::<Peer>().cloned().unwrap();
    let name = peer.certificate.map_or("none".to_owned(), |der| CertificateFacts::read(&der).unwrap().spiffe.to_string());
    let text = match request.into_body().collect().await {
        Ok(body) => format!("{name} {}", body.to_bytes().len()),
        Err(_) => "too much".to_owned(),
    };
    Response::new(Body::new(Full::from(text)))
}

/// A certificate chain and its key, as a client shows it.
pub type Shown = (Vec<u8>, Vec<u8>);

/// How a client knocks.
pub struct Client {
    pub config: ClientConfig,
    pub address: SocketAddr,
}

impl Client {
    pub fn new(loopback: &Loopback, authority: &CertificateAuthority, clock: &Clock, shown: Option<Shown>) -> Self {
        Self::speaking(&[&rustls::version::TLS13], loopback, authority, clock, shown)
    }

    pub fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        loopback: &Loopback,
        authority: &CertificateAuthority,
        clock: &Clock,
        shown: Option<Shown>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_details(provider, Arc::new(clock.clone()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(vec![CertificateDer::from(certificate)], PrivateKeyDer::try_from(key).unwrap())
                .unwrap(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self { config, address: loopback.address }
    }

    pub async fn handshake(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(self.config.clone())).connect(name, tcp).await
    }

    /// Sends one request and gives the answer's text. In TLS 1.3 a client learns of its refusal only here.
    pub async fn ask(&self) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        self.ask_with(Request::builder().uri("https://127.0.0.1/").body(Full::default())?).await
    }

    pub async fn ask_with(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let stream = self.handshake().await?;
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let answer = match sender.send_request(request).await {
            Ok(response) => Ok((response.status(), response.into_body().collect().await?.to_bytes())),
            // What broke the connection says more than that it is broken.
            Err(error) => Err(match connection.await? {
                Err(cause) => cause.into(),
                Ok(()) => error.into(),
            }),
        };
        answer.map(|(status, body)| format!("{} {}", status.as_u16(), String::from_utf8_lossy(&body)))
    }
}

/// The whole chain of causes in one line.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
