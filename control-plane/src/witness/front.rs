//! A witness's two pages over HTTP, and what they cost at most.
//!
//! Plain HTTP carries no secret here and nothing that is not signed; whoever wants TLS puts a proxy before it or gives it a
//! certificate. A connection may stay once a checkpoint that came over it was cosigned.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use proto::{
    log::{ADD_CHECKPOINT_MAX, AddCheckpoint, Refusal},
    time::Millis,
};
use rustls::ServerConfig;
use tokio::{net::TcpListener, sync::watch, task, time::timeout};
use tonic::body::Body;
use tower::service_fn;

use super::{Answer, Witness, WitnessError};
use crate::{
    core::chain,
    serve::listener::{self, Limits, Peer},
};

/// How long a request's body may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// How long a log's connection may stay without a request.
const IDLE: Duration = Duration::from_secs(600);
/// What is said of sizes (C2SP tlog-witness).
const SIZE: &str = "text/x.tlog.size";
const TEXT: &str = "text/plain; charset=utf-8";
const UNKEPT: &str = "The witness could not keep this now; send it again.\n";

/// Serves until `stop` completes; then answers what is under way and returns.
pub async fn serve(
    witness: Witness,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    clock: fn() -> Millis,
    stop: impl Future<Output = ()>,
) {
    let witness = Arc::new(witness);
    let (stopping, stopped) = watch::channel(false);
    let service = service_fn(move |request: Request<Body>| {
        let witness = witness.clone();
        async move { Ok::<_, Infallible>(answer(witness, request, clock).await) }
    });
    let limits =
        Limits { body_bytes: ADD_CHECKPOINT_MAX, streams: 16, idle: Some(IDLE), ..Limits::default() };
    let serving = async {
        match tls {
            Some(tls) => listener::serve_tls(listener, tls, service, limits, stopped).await,
            None => listener::serve_plain(listener, service, limits, stopped).await,
        }
    };
    let stop = async {
        stop.await;
        let _ = stopping.send(true);
    };
    tokio::join!(serving, stop);
}

async fn answer(witness: Arc<Witness>, request: Request<Body>, clock: fn() -> Millis) -> Response<Body> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let reads = matches!(method, Method::GET | Method::HEAD);
    match path.as_str() {
        "/add-checkpoint" if method == Method::POST => add(witness, request, clock).await,
        "/add-checkpoint" => not_allowed("POST"),
        "/" if reads => text(StatusCode::OK, TEXT, page(&witness)),
        path => match path.strip_prefix('/').and_then(|path| path.strip_suffix("/checkpoint")) {
            Some(hash) if reads => match witness.newest(hash) {
                Some(note) => text(StatusCode::OK, TEXT, note),
                None => {
                    text(StatusCode::NOT_FOUND, TEXT, "Nothing was cosigned here of such a log.\n".into())
                }
            },
            Some(_) => not_allowed("GET, HEAD"),
            None => text(StatusCode::NOT_FOUND, TEXT, "There is nothing here.\n".into()),
        },
    }
}

fn page(witness: &Witness) -> String {
    let logs = witness.logs().count();
    format!("Witness (C2SP tlog-witness) of {logs} logs:\n\n{}\n", witness.key())
}

async fn add(witness: Arc<Witness>, request: Request<Body>, clock: fn() -> Millis) -> Response<Body> {
    let peer = request.extensions().get::<Peer>().cloned();
    let body: Bytes = match timeout(BODY_WITHIN, request.into_body().collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            let problem = format!("The request must be at most {ADD_CHECKPOINT_MAX} bytes.\n");
            return text(StatusCode::PAYLOAD_TOO_LARGE, TEXT, problem);
        }
        Err(_) => {
            return text(StatusCode::REQUEST_TIMEOUT, TEXT, "The request did not come in time.\n".into());
        }
    };
    let request = match AddCheckpoint::parse(&body) {
        Ok(request) => request,
        Err(bad) => return text(StatusCode::BAD_REQUEST, TEXT, format!("{bad}\n")),
    };
    let judged = task::spawn_blocking(move || witness.add(&request, clock())).await;
    match judged {
        Ok(Ok(Answer::Cosigned(lines))) => {
            if let Some(peer) = peer {
                peer.admission.give();
            }
            text(StatusCode::OK, TEXT, lines)
        }
        Ok(Ok(Answer::Refused(refusal))) => refused(&refusal),
        Ok(Err(error)) => {
            tracing::error!(error = chain(&error), "a checkpoint could not be cosigned");
            broken(match error {
                WitnessError::Clock(_) => {
                    "The clock of this witness is wrong; its owner must put it right.\n"
                }
                _ => UNKEPT,
            })
        }
        Err(_) => broken(UNKEPT),
    }
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    match refusal {
        Refusal::Conflict { size } => text(status, SIZE, format!("{size}\n")),
        other => text(status, TEXT, format!("{other}\n")),
    }
}

fn broken(why: &str) -> Response<Body> {
    text(StatusCode::INTERNAL_SERVER_ERROR, TEXT, why.to_owned())
}

fn not_allowed(allowed: &'static str) -> Response<Body> {
    let mut refused =
        text(StatusCode::METHOD_NOT_ALLOWED, TEXT, format!("Only {allowed} is allowed here.\n"));
    refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    refused
}

fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
