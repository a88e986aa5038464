//! One request to somebody outside, and what came of it. What that means, and when to try again, is decided elsewhere.
//!
//! The rule: whoever is told cannot make us wait, read without end, or send us somewhere else: time and answer are
//! bounded, redirects are not followed. A status that has come counts, whatever becomes of the answer behind it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, header, response::Parts};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, crypto::aws_lc_rs};
use tokio::time::timeout;

use crate::{core::chain, telling::plain};

/// The most bytes of an answer that are looked at.
const ANSWER_MAX: usize = 64 * 1024;
/// How much of an answer is kept, for the incident's history.
const ANSWER_KEPT: usize = 200;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// There was an answer.
    Answered(Answer),
    /// None in time. It may have arrived all the same.
    TimedOut,
    /// Nobody there, no TLS, or the connection broke.
    Unreachable {
        /// Why, for a person.
        reason: String,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// For how long it asks us to wait.
    pub retry_after: Option<Duration>,
    /// What it says; `None`: too much, or too slowly.
    pub body: Option<Bytes>,
}

impl Answer {
    /// The beginning of what it says, printable.
    #[must_use]
    pub fn said(&self) -> String {
        self.body.as_ref().map_or_else(String::new, |body| plain(&String::from_utf8_lossy(body), ANSWER_KEPT))
    }
}

/// A client that keeps no connection between calls.
#[derive(Debug, Clone)]
pub struct Outside {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    limit: Duration,
}

impl Outside {
    /// Trusts the public web's certificate authorities (as compiled in) and waits for `limit`, once for the answer's head and
    /// once for the rest of it.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(Arc::new(aws_lc_rs::default_provider()))
            .expect("the provider knows the default TLS versions");
        Self::with_connector(connector.https_or_http().enable_http1().build(), limit)
    }

    /// Trusts what `tls` trusts.
    #[must_use]
    pub fn with_tls(tls: ClientConfig, limit: Duration) -> Self {
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        Self::with_connector(connector, limit)
    }

    fn with_connector(connector: HttpsConnector<HttpConnector>, limit: Duration) -> Self {
        // Calls are rare: a kept connection would mostly be one that the other side has closed.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Self { client, limit }
    }

    /// Sends a request.
    pub async fn call(&self, request: http::request::Builder, body: Vec<u8>) -> Reply {
        let request = request
            .header(header::USER_AGENT, concat!("orderly-control-plane/", env!("CARGO_PKG_VERSION")))
            .body(Full::from(body));
        match request {
            Ok(request) => self.send(request).await,
            Err(error) => Reply::Unreachable { reason: chain(&error) },
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        let response = match timeout(self.limit, self.client.request(request)).await {
            Err(_) => return Reply::TimedOut,
            Ok(Err(error)) => return Reply::Unreachable { reason: chain(&error) },
            Ok(Ok(response)) => response,
        };
        let (head, body) = response.into_parts();
        let body = timeout(self.limit, Limited::new(body, ANSWER_MAX).collect()).await;
        let body = body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes);
        Reply::Answered(Answer { status: head.status.as_u16(), retry_after: retry_after(&head), body })
    }
}

/// RFC 9110 section 10.2.3, in seconds; who gives a date is tried again when it suits us.
fn retry_after(head: &Parts) -> Option<Duration> {
    let text = head.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}
