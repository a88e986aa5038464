//! Tells somebody: one POST of JSON, and what came of it. When to try again is decided elsewhere.
//!
//! The rule: whoever is told cannot make us wait, read without end, or send us somewhere else: time and answer are
//! bounded, redirects are not followed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, crypto::aws_lc_rs};
use tokio::time::timeout;

/// The most bytes of an answer that are looked at.
const ANSWER_MAX: usize = 4096;
/// How much of an answer is kept, for the incident's history.
const ANSWER_KEPT: usize = 200;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Answered with 2xx.
    Delivered {
        /// The status.
        status: u16,
    },
    /// Answered with something else; redirects are among them.
    Refused {
        /// The status.
        status: u16,
        /// The beginning of the answer, printable.
        answer: String,
    },
    /// No answer in time. It may have arrived all the same.
    TimedOut,
    /// Nobody there, no TLS, or the connection broke.
    Unreachable {
        /// Why, for a person.
        reason: String,
    },
}

/// A client that keeps no connection between calls.
#[derive(Debug, Clone)]
pub struct Webhook {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    limit: Duration,
}

impl Webhook {
    /// Trusts the public web's certificate authorities (as compiled in) and waits for `limit` in all.
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

    /// Sends `json` to `url`. `key` is the same whenever the same notification is sent, so that it can be told apart.
    pub async fn post(&self, url: &Uri, key: &str, json: Vec<u8>) -> Outcome {
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("orderly-control-plane/", env!("CARGO_PKG_VERSION")))
            .header("idempotency-key", key)
            .body(Full::from(json));
        match request {
            Ok(request) => timeout(self.limit, self.send(request)).await.unwrap_or(Outcome::TimedOut),
            Err(error) => Outcome::Unreachable { reason: chain(&error) },
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Outcome {
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return Outcome::Unreachable { reason: chain(&error) },
        };
        let status = response.status();
        if status.is_success() {
            return Outcome::Delivered { status: status.as_u16() };
        }
        let answer = match Limited::new(response.into_body(), ANSWER_MAX).collect().await {
            Ok(body) => printable(&body.to_bytes()),
            // The status has said what counts.
            Err(_) => String::new(),
        };
        Outcome::Refused { status: status.as_u16(), answer: explain(status, answer) }
    }
}

fn explain(status: StatusCode, answer: String) -> String {
    if status.is_redirection() {
        "redirects are not followed; configure the final URL".to_owned()
    } else {
        answer
    }
}

fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(ANSWER_KEPT)
        .collect::<String>()
        .trim()
        .to_owned()
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
