//! One appliance's connection: TLS 1.3 with its own certificate, HTTP/2, the limits and intervals of an agent's link.
//!
//! What an agent reads from its disk for every connection is in memory here: this process has two thousand of them a second.

use std::{io, net::Ipv4Addr, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use hyper_util::rt::TokioIo;
use proto::pb::{self, link_client::LinkClient};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, ServerName, pem::PemObject as _},
    version::TLS13,
};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::Mutex,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::{
    members::Member,
    simulated::{Prepared, Simulated},
};

/// As in `appliance/src/agent/link.rs`.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
const KEEP_ALIVE: Duration = Duration::from_secs(20);

pub(super) type Link = LinkClient<Channel>;

/// One appliance, and how it shows who it is.
pub(super) struct One {
    pub(super) simulated: Mutex<Simulated>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) source: Ipv4Addr,
}

/// How a member shows who it is.
pub(super) fn identity(member: &Member, roots: Arc<RootCertStore>) -> Result<Arc<ClientConfig>> {
    let key = PrivateKeyDer::from_pem_slice(member.key.as_bytes())?;
    let mut tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![hex::decode(&member.certificate)?.into()], key)?;
    tls.alpn_protocols = vec![b"h2".to_vec()];
    tls.resumption = Resumption::disabled();
    Ok(Arc::new(tls))
}

/// A connection that is made with the first call, and again whenever it must be.
pub(super) fn link(one: &One, to: SocketAddr) -> Result<Link> {
    let endpoint = Endpoint::from_shared(format!("https://{to}"))?
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    let (tls, source) = (one.tls.clone(), one.source);
    Ok(LinkClient::new(endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
        let tls = tls.clone();
        async move {
            let stream = timeout(CONNECT_WITHIN, connect(tls, source, to)).await;
            stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map(TokioIo::new)
        }
    }))))
}

async fn connect(tls: Arc<ClientConfig>, from: Ipv4Addr, to: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
    // A server gives one address room for few strangers: clinics do not share one, so neither does this crowd.
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let tcp = socket.connect(to).await?;
    tcp.set_nodelay(true)?;
    TlsConnector::from(tls).connect(ServerName::from(to.ip()), tcp).await
}

/// One exchange.
pub(super) async fn exchange(
    one: &One,
    link: &Link,
    said: &Prepared,
    hold_ms: u32,
) -> Result<pb::SyncResponse> {
    let request = one.simulated.lock().await.request(said, hold_ms);
    let limit = ANSWER_WITHIN + Duration::from_millis(hold_ms.into());
    let mut link = link.clone();
    let answer = timeout(limit, link.sync(request)).await.context("no answer in time")?;
    Ok(answer.context("not answered")?.into_inner())
}

/// Uniform.
pub(super) fn chance() -> u32 {
    let mut bytes = [0; 4];
    control_plane::clock::random(&mut bytes);
    u32::from_be_bytes(bytes)
}

#[expect(clippy::disallowed_methods, reason = "a network shell that backs off, as an agent does")]
pub(super) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
