//! gRPC over TLS, as an appliance speaks it.

use std::{net::SocketAddr, sync::Arc};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// A channel to `address` under these settings.
pub async fn channel(address: SocketAddr, mut config: ClientConfig) -> Channel {
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tls = TlsConnector::from(Arc::new(config));
    let connector = service_fn(move |_: Uri| {
        let tls = tls.clone();
        async move {
            let tcp = TcpStream::connect(address).await?;
            tls.connect(ServerName::try_from("127.0.0.1").unwrap(), tcp).await.map(TokioIo::new)
        }
    });
    let endpoint =
        Endpoint::from_static("http://control-plane").origin(Uri::from_static("https://127.0.0.1"));
    endpoint.connect_with_connector(connector).await.unwrap()
}
