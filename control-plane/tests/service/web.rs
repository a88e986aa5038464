//! A client of the people's listener: HTTP over TLS.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

pub struct Web {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    people: SocketAddr,
}

impl Web {
    /// One that trusts the authority in `ca` (PEM), and no other.
    pub fn new(people: SocketAddr, ca: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().build();
        Self { client: Client::builder(TokioExecutor::new()).build(connector), people }
    }

    /// Asks for a path, with a token where one is given: the status, the type of the content, and the content.
    pub async fn get(&self, path: &str, token: Option<&str>) -> (StatusCode, String, String) {
        let mut request = Request::get(format!("https://{}{path}", self.people));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = self.client.request(request.body(Full::default()).unwrap()).await.unwrap();
        let kind = answer.headers().get("content-type").map_or("", |kind| kind.to_str().unwrap()).to_owned();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }
}
