//! How the command line reaches the server: the admin socket, or TLS with a pinned authority and a token.
//!
//! The rule: a token is sent only inside TLS, to a server that the given certificate authority vouches for.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use tower::service_fn;

use super::{Global, misuse};
use crate::files;

/// The most bytes of one answer: a catalogue or a packet.
pub(super) const ANSWER_MAX: usize = 64 << 20;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const TOKEN_MAX: u64 = 4096;
const CA_MAX: u64 = 64 * 1024;

/// A channel that knows its token.
pub(super) type Wire = InterceptedService<Channel, Bearer>;

/// No server answers.
#[derive(Debug, thiserror::Error)]
#[error(
    "no control plane answers on {at}; start it with `control-plane serve`, or name another with --dir or --address"
)]
pub(super) struct NoServer {
    at: String,
    #[source]
    source: tonic::transport::Error,
}

/// Connects as the global options say.
pub(super) async fn connect(global: &Global) -> anyhow::Result<Wire> {
    match (&global.address, &global.token_file) {
        (None, None) => local(&global.directory().admin_socket()).await,
        (None, Some(_)) => Err(misuse("--token-file is for --address; the admin socket needs no token")),
        (Some(_), None) => {
            Err(misuse("--address needs --token-file; make one with `control-plane operator token`"))
        }
        (Some(address), Some(token)) => {
            let ca = global.ca.clone().unwrap_or_else(|| global.directory().ca_certificate());
            remote(address, token, &ca).await
        }
    }
}

async fn local(socket: &Path) -> anyhow::Result<Wire> {
    let path = socket.to_owned();
    let connector = service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    // The address is for the header alone; the connector knows the way.
    let channel = Endpoint::from_static("http://admin.sock")
        .connect_with_connector(connector)
        .await
        .map_err(|source| NoServer { at: socket.display().to_string(), source })?;
    Ok(InterceptedService::new(channel, Bearer(None)))
}

async fn remote(address: &str, token_file: &Path, ca: &Path) -> anyhow::Result<Wire> {
    let wrong = || misuse(format!("--address is {address:?}, must be https://HOST:PORT"));
    let uri: Uri = address.parse().map_err(|_| wrong())?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(443);
    let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
    let token = bearer(token_file)?;
    let tls = TlsConnector::from(Arc::new(pinned(ca)?));
    let connector = service_fn(move |_: Uri| {
        let (tls, name, host) = (tls.clone(), name.clone(), host.clone());
        async move {
            let connecting = async {
                let tcp = TcpStream::connect((host.as_str(), port)).await?;
                tls.connect(name, tcp).await
            };
            timeout(CONNECT_LIMIT, connecting).await?.map(TokioIo::new)
        }
    });
    // TLS is the connector's, so tonic must not look for its own: plain address, true origin.
    let channel = Endpoint::from_static("http://control-plane")
        .origin(uri)
        .connect_with_connector(connector)
        .await
        .map_err(|source| NoServer { at: address.to_owned(), source })?;
    Ok(InterceptedService::new(channel, Bearer(Some(token))))
}

fn pinned(ca: &Path) -> anyhow::Result<ClientConfig> {
    let context =
        || format!("cannot use the certificate authority {}; give the server's with --ca", ca.display());
    let pem = files::read(ca, CA_MAX).with_context(context)?;
    let mut roots = RootCertStore::empty();
    // Two of them while one follows the other.
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.with_context(context)?).with_context(context)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn bearer(file: &Path) -> anyhow::Result<MetadataValue<Ascii>> {
    let token = files::read_secret(file, TOKEN_MAX)?;
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.trim())
        .parse()
        .map_err(|_| misuse(format!("{} must hold a token and nothing else", file.display())))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Puts the token into every request.
#[derive(Clone)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// What the server said no to, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("{}", words(.0))]
pub(super) struct Refused(pub(super) Status);

impl Refused {
    /// Whether the fault is in what was typed, as the server sees it.
    pub(super) fn is_misuse(&self) -> bool {
        self.0.code() == tonic::Code::InvalidArgument
    }
}

fn words(status: &Status) -> String {
    let text = super::output::printable(status.message());
    if text.is_empty() { status.code().description().to_owned() } else { text }
}

/// Waits for the answer to a call.
pub(super) async fn answer<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Refused> {
    call.await.map(tonic::Response::into_inner).map_err(Refused)
}
