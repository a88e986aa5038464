//! Asks the model: takes what the core wants asked, posts it, and hands back what came, beside the writer.
//!
//! The rule: an endpoint cannot make us wait, read without end, or send us somewhere else. Nothing is judged here: the core
//! reads the answer, and decides by rules when there is none.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use proto::time::Millis;
use rustls::{ClientConfig, crypto::aws_lc_rs};
use tokio::{
    task::JoinSet,
    time::{self, timeout},
};

use super::{
    listener::{self, Stop},
    writer::Writer,
};
use crate::{
    config::{ConfigError, Planner},
    core::{chain, planner::ANSWER_WITHIN},
    planner::{Misbehaviour, answer::ANSWER_MAX},
    store::{ModelCallRow, Store},
};

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How much of what went wrong with a connection is kept, in characters.
const ERROR_KEPT: usize = 200;

/// A model's endpoint.
#[derive(Clone)]
pub struct Endpoint {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    bearer: Option<HeaderValue>,
}

impl Endpoint {
    /// As the settings say.
    pub fn new(planner: &Planner) -> Result<Self, ConfigError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = HttpsConnectorBuilder::new();
        let builder = match planner.roots()? {
            None => builder
                .with_provider_and_webpki_roots(provider)
                .expect("the provider knows the default TLS versions"),
            Some(roots) => {
                let tls = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .expect("the provider knows the default TLS versions");
                builder.with_tls_config(tls.with_root_certificates(roots).with_no_client_auth())
            }
        };
        let connector = builder.https_or_http().enable_http1().build();
        // Calls are rare: a kept connection would mostly be one that the other side has closed.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { client, url: planner.url.clone(), bearer: planner.bearer()? })
    }

    /// Posts a prompt; gives the answer's body, which is all that counts, or how it misbehaved.
    pub async fn ask(&self, prompt: String, within: Duration) -> Result<Vec<u8>, Misbehaviour> {
        timeout(within, self.send(prompt)).await.unwrap_or(Err(Misbehaviour::TimedOut))
    }

    async fn send(&self, prompt: String) -> Result<Vec<u8>, Misbehaviour> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("orderly-control-plane/", env!("CARGO_PKG_VERSION")))
            .body(Full::from(Bytes::from(prompt)))
            .map_err(|error| unreachable(&error))?;
        if let Some(bearer) = &self.bearer {
            request.headers_mut().insert(header::AUTHORIZATION, bearer.clone());
        }
        let response = self.client.request(request).await.map_err(|error| unreachable(&error))?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => return Err(Misbehaviour::Redirect(status.as_u16())),
            status => return Err(Misbehaviour::Status(status.as_u16())),
        }
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
            return Err(Misbehaviour::ContentType);
        }
        match Limited::new(response.into_body(), ANSWER_MAX).collect().await {
            Ok(body) => Ok(body.to_bytes().to_vec()),
            Err(error) if error.is::<LengthLimitError>() => Err(Misbehaviour::TooLong),
            Err(error) => Err(unreachable(error.as_ref())),
        }
    }
}

fn unreachable(error: &(dyn std::error::Error + 'static)) -> Misbehaviour {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    Misbehaviour::Unreachable(chain(error).chars().map(plain).take(ERROR_KEPT).collect())
}

/// Looks into the database as others see it.
#[derive(Clone)]
pub struct Looking {
    /// The database.
    pub reader: Arc<Mutex<Store>>,
    /// The wall clock.
    pub clock: fn() -> Millis,
}

/// Asks whatever is to be asked, until `stopped`.
pub async fn ask(writer: Writer, looking: Looking, endpoint: Endpoint, mut stopped: Stop) {
    let mut tick = time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let mut calls: JoinSet<(i64, Result<Vec<u8>, Misbehaviour>)> = JoinSet::new();
    let mut under_way: HashSet<i64> = HashSet::new();
    loop {
        tokio::select! {
            // What is under way is asked again after the next start, if its time is not over by then.
            () = listener::stopped(&mut stopped) => return,
            Some(ended) = calls.join_next() => {
                let Ok((call, came)) = ended else { continue };
                // If this is not stored it is asked again.
                let _ = writer.run(move |core, now| core.model_answered(call, came, now)).await;
                under_way.remove(&call);
            }
            _ = tick.tick() => {
                for call in looking.waiting().await {
                    if under_way.insert(call.id) {
                        let endpoint = endpoint.clone();
                        let within = call.until.since((looking.clock)()).min(ANSWER_WITHIN);
                        calls.spawn(async move { (call.id, endpoint.ask(call.prompt, within).await) });
                    }
                }
            }
        }
    }
}

impl Looking {
    async fn waiting(&self) -> Vec<ModelCallRow> {
        let Self { reader, clock } = self.clone();
        let read =
            move || reader.lock().unwrap_or_else(PoisonError::into_inner).model_calls_under_way(clock());
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(calls)) => calls,
            Ok(Err(error)) => {
                tracing::error!(error = chain(&error), "cannot look up what a model is to be asked");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }
}
