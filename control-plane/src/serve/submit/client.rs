//! What is asked of a witness over HTTP, and how its answers read (C2SP tlog-witness v1.0.0).
//!
//! The rule: a witness cannot make us wait, read without end, or send us somewhere else. Nothing it says is a secret and
//! nothing counts by where it came from, so plain HTTP does where nobody has a certificate.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::crypto::aws_lc_rs;
use tokio::time::timeout;

use crate::core::chain;

/// The most bytes of an answer: a checkpoint that many cosigned.
const ANSWER_MAX: usize = 128 * 1024;
/// How much of a refusal is repeated, in characters.
const SAID_MAX: usize = 200;

/// What a witness answers.
#[derive(Debug)]
pub(super) enum Reply {
    /// Signature lines.
    Cosigned(String),
    /// The newest size that it has cosigned is another.
    Conflict(u64),
    /// It says no.
    Refused(StatusCode, String),
    /// It is not there, or not well.
    Later(String),
}

/// Requests over HTTP; connections are kept.
pub(in crate::serve) type Http = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Over https, by the public web's certificate authorities (as compiled in).
pub(in crate::serve) fn http() -> Http {
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(Arc::new(aws_lc_rs::default_provider()))
        .expect("the provider knows the default TLS versions")
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .build();
    legacy::Client::builder(TokioExecutor::new()).build(connector)
}

/// A client of one witness.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: Http,
    prefix: String,
    limit: Duration,
}

impl Client {
    /// Of the witness below `prefix`.
    pub(super) fn new(prefix: &Uri, limit: Duration) -> Self {
        Self { http: http(), prefix: prefix.to_string().trim_end_matches('/').to_owned(), limit }
    }

    /// `add-checkpoint`.
    pub(super) async fn add(&self, body: String) -> Reply {
        let (status, body) = match self.send(Method::POST, "add-checkpoint", body).await {
            Ok(answer) => answer,
            Err(why) => return Reply::Later(why),
        };
        match status {
            StatusCode::OK => Reply::Cosigned(body),
            StatusCode::CONFLICT => match body.strip_suffix('\n').unwrap_or(&body).parse() {
                Ok(size) => Reply::Conflict(size),
                Err(_) => Reply::Later("it answered 409 without a size".to_owned()),
            },
            status if status.is_redirection() => {
                Reply::Later("redirects are not followed; configure the final URL".to_owned())
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Reply::Later(said(status, &body)),
            status if status.is_client_error() => Reply::Refused(status, printable(&body)),
            status => Reply::Later(said(status, &body)),
        }
    }

    /// The newest checkpoint that it cosigned of the log with this hash; `None`: it shows none. An error: it is not there.
    pub(super) async fn newest(&self, origin_hash: &str) -> Result<Option<Vec<u8>>, String> {
        let (status, note) =
            self.send(Method::GET, &format!("{origin_hash}/checkpoint"), String::new()).await?;
        match status {
            StatusCode::OK => Ok(Some(note.into_bytes())),
            status if status.is_server_error() => Err(said(status, &note)),
            _ => Ok(None),
        }
    }

    async fn send(&self, method: Method, path: &str, body: String) -> Result<(StatusCode, String), String> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.prefix))
            .header(header::USER_AGENT, concat!("orderly-control-plane/", env!("CARGO_PKG_VERSION")))
            .body(Full::from(body))
            .map_err(|e| e.to_string())?;
        let answer = async {
            let response = self.http.request(request).await.map_err(|e| chain(&e))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
            let body = body.map_err(|e| chain(e.as_ref()))?.to_bytes();
            let text = String::from_utf8(body.to_vec()).map_err(|_| "its answer is not text".to_owned())?;
            Ok((status, text))
        };
        timeout(self.limit, answer).await.unwrap_or_else(|_| Err("it did not answer in time".to_owned()))
    }
}

fn said(status: StatusCode, body: &str) -> String {
    format!("it answered {}: {}", status.as_u16(), printable(body))
}

/// What a stranger said, fit for a page and a terminal.
fn printable(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(plain).take(SAID_MAX).collect()
}
