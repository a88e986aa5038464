//! A listener on a free loopback port, and clients that knock at it.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use control_plane::{
    authorities::Authorities,
    ca::CertificateAuthority,
    serve::{
        listener::{Limits, Peer, serve_tls},
        tls,
    },
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proto::identity::CertificateFacts;
use rustls::{ClientConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::body::Body;
use tower::service_fn;

use crate::keyring::{Clock, identity, trusting};

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

pub async fn appliances(authority: &Arc<CertificateAuthority>, clock: &Clock, limits: Limits) -> Loopback {
    under(&Authorities::one(authority.clone()), clock, limits).await
}

/// The same, under authorities that may be exchanged.
pub async fn under(authorities: &Arc<Authorities>, clock: &Clock, limits: Limits) -> Loopback {
    let own = identity(authorities, clock);
    let config = tls::appliances(authorities.clone(), own, clock.shared()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let service =
        service_fn(|request: Request<Body>| async { Ok::<_, Infallible>(who_asked(request).await) });
    let served = tokio::spawn(serve_tls(listener, config, service, limits, stopped));
    Loopback { address, stop, served }
}

/// "none", or the appliance that the certificate names; then the size of the body.
async fn who_asked(request: Request<Body>) -> Response<Body> {
    let peer = request.extensions().get::<Peer>().cloned().unwrap();
    let name = peer
        .certificate
        .map_or("none".to_owned(), |der| CertificateFacts::read(&der).unwrap().spiffe.to_string());
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
    pub fn new(
        loopback: &Loopback,
        authority: &CertificateAuthority,
        clock: &Clock,
        shown: Option<Shown>,
    ) -> Self {
        Self::speaking(&[&rustls::version::TLS13], loopback, authority, clock, shown)
    }

    pub fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        loopback: &Loopback,
        authority: &CertificateAuthority,
        clock: &Clock,
        shown: Option<Shown>,
    ) -> Self {
        let builder = trusting(versions, authority, clock);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from(certificate)],
                    PrivateKeyDer::try_from(key).unwrap(),
                )
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
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
