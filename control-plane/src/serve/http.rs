//! What a listener answers: to programs gRPC and nothing else; to people gRPC-web and plain HTTP as well.
//!
//! The rule: plain HTTP here reads nothing of a request but method and path. What it says is for anybody, but for the
//! metrics, for which the door has asked for a token. The exceptions are a packet's page, whose path is a token by itself
//! ([`review`]), and where people sign in ([`people`]).

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::Full;
use proto::time::Millis;
use tokio::sync::Mutex;
use tonic::{body::Body, service::Routes};
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, Service};

use super::{
    mcp::{self, Assistants},
    people::{self, People},
    review::{self, Reviews},
};
use crate::metrics;

/// Where metrics are read.
pub const METRICS: &str = "/metrics";

const PAGE: &str = "Orderly control plane.\n\n\
    This is a service. Its command line is `control-plane`, its health is at /healthz,\n\
    its metrics are at /metrics (with an API token).\n";

/// Whether the server can do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Well,
    /// It cannot, or not for long; in a sentence, without secrets.
    Unwell(String),
}

/// Looked up when somebody asks.
pub type Look<T> = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = T> + Send>> + Send + Sync>;

/// What somebody reads; `None`: it cannot be looked up now.
pub type Page = Look<Option<String>>;

/// Asked at every `/healthz`.
pub type HealthCheck = Look<Health>;

/// A look that may block, on a thread of its own; what it found is told again for a while, so that nobody makes this server
/// look all the time. `broken` is told when it panics.
#[must_use]
pub fn remembered<T: Clone + Send + 'static>(
    look: impl Fn() -> T + Send + Sync + 'static,
    broken: fn() -> T,
    keep: Duration,
    clock: fn() -> Millis,
) -> Look<T> {
    let (look, last) = (Arc::new(look), Arc::new(Mutex::new(None::<(Millis, T)>)));
    Arc::new(move || {
        let (look, last) = (look.clone(), last.clone());
        Box::pin(async move {
            // Held while it is looked up: whoever asks meanwhile gets the same answer.
            let mut last = last.lock().await;
            let now = clock();
            if let Some((at, found)) = &*last
                && *at <= now
                && now.since(*at) < keep
            {
                return found.clone();
            }
            let found = tokio::task::spawn_blocking(move || look()).await.unwrap_or_else(|_| broken());
            *last = Some((now, found.clone()));
            found
        })
    })
}

/// One listener's answers.
#[derive(Clone)]
pub struct Front(Kind);

#[derive(Clone)]
enum Kind {
    Programs(Routes),
    People {
        grpc: GrpcWebService<Routes>,
        health: HealthCheck,
        reviews: Option<Reviews>,
        people: Option<People>,
        metrics: Option<Page>,
        assistants: Option<Box<Assistants>>,
    },
}

impl Front {
    /// For people: gRPC, gRPC-web, the page, the health, packets to acknowledge, and where they sign in.
    #[must_use]
    pub fn people(routes: Routes, health: HealthCheck, reviews: Option<Reviews>) -> Self {
        let grpc = GrpcWebLayer::new().layer(routes.prepare());
        Self(Kind::People { grpc, health, reviews, people: None, assistants: None, metrics: None })
    }

    /// The same, and metrics. The door asks whoever reads them for a token.
    #[must_use]
    pub fn with_metrics(mut self, page: Page) -> Self {
        if let Kind::People { metrics, .. } = &mut self.0 {
            *metrics = Some(page);
        }
        self
    }

    /// The same, and where people sign in.
    #[must_use]
    pub fn with_people(mut self, with: People) -> Self {
        if let Kind::People { people, .. } = &mut self.0 {
            *people = Some(with);
        }
        self
    }

    /// The same, and tools for assistants at [`mcp::PATH`].
    #[must_use]
    pub fn with_assistants(mut self, with: Assistants) -> Self {
        if let Kind::People { assistants, .. } = &mut self.0 {
            *assistants = Some(Box::new(with));
        }
        self
    }

    /// For programs (appliances, the command line): gRPC and nothing else.
    #[must_use]
    pub fn programs(routes: Routes) -> Self {
        Self(Kind::Programs(routes.prepare()))
    }
}

impl Service<Request<Body>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The routes are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match &mut self.0 {
            Kind::Programs(routes) if is_plain_grpc(&request) => Box::pin(routes.call(request)),
            Kind::Programs(_) => {
                let method = request.method().clone();
                Box::pin(async move { Ok(nothing(&method)) })
            }
            Kind::People { grpc, .. } if content(&request).starts_with("application/grpc") => {
                Box::pin(grpc.call(request))
            }
            Kind::People { reviews: Some(reviews), .. } if request.uri().path().starts_with(review::PATH) => {
                let reviews = reviews.clone();
                Box::pin(async move { Ok(reviews.answer(request).await) })
            }
            Kind::People { people: Some(people), .. } if people::is_ours(request.uri().path()) => {
                let people = people.clone();
                Box::pin(async move { Ok(people.answer(request).await) })
            }
            Kind::People { assistants: Some(assistants), .. } if request.uri().path() == mcp::PATH => {
                let assistants = assistants.clone();
                Box::pin(async move { Ok(assistants.answer(request).await) })
            }
            Kind::People { health, metrics, .. } => {
                let (health, metrics) = (health.clone(), metrics.clone());
                Box::pin(async move {
                    let (method, path) = (request.method(), request.uri().path());
                    Ok(match metrics.filter(|_| path == METRICS) {
                        Some(page) => measured(page, method).await,
                        None => plain(health, method, path).await,
                    })
                })
            }
        }
    }
}

fn content(request: &Request<Body>) -> &str {
    request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// gRPC is HTTP/2 and ends in trailers; what is called gRPC-web, or comes over HTTP/1.1, is for browsers.
fn is_plain_grpc(request: &Request<Body>) -> bool {
    let rest = content(request).strip_prefix("application/grpc");
    request.version() == Version::HTTP_2 && rest.is_some_and(|rest| !rest.starts_with("-web"))
}

fn nothing(method: &Method) -> Response<Body> {
    text(StatusCode::NOT_FOUND, "There is nothing here.\n", method)
}

/// Answers what is not gRPC.
async fn plain(health: HealthCheck, method: &Method, path: &str) -> Response<Body> {
    if !matches!(path, "/" | "/healthz") {
        return nothing(method);
    }
    if let Some(refused) = unless_read(method) {
        return refused;
    }
    if path == "/" {
        return text(StatusCode::OK, PAGE, method);
    }
    match health().await {
        Health::Well => text(StatusCode::OK, "ok\n", method),
        Health::Unwell(why) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}\n"), method),
    }
}

/// Answers who asks for metrics.
async fn measured(page: Page, method: &Method) -> Response<Body> {
    if let Some(refused) = unless_read(method) {
        return refused;
    }
    let Some(page) = page().await else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "The database cannot be read now.\n", method);
    };
    let mut response = text(StatusCode::OK, &page, method);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
    response
}

/// What is here is only to be read.
fn unless_read(method: &Method) -> Option<Response<Body>> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are allowed here.\n", method);
    refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    Some(refused)
}

/// What a program that speaks HTTP gets when its token is not good.
pub(super) fn unauthorized(why: &str) -> Response<Body> {
    let mut refused = text(StatusCode::UNAUTHORIZED, &format!("{why}\n"), &Method::POST);
    refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refused
}

fn text(status: StatusCode, text: &str, method: &Method) -> Response<Body> {
    let length = HeaderValue::from(text.len());
    let body = match *method {
        Method::HEAD => Body::empty(),
        _ => Body::new(Full::from(text.to_owned())),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_LENGTH, length);
    response
}
