//! The door-keeper in front of every service: decides before a request is read. What it does not know it refuses.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use http::{Request, Response, header, request::Parts};
use proto::{identity::CertificateFacts, time::Millis};
use tonic::{Status, body::Body};
use tower::Service;

use super::{admit, listener::Peer, writer::Writer};
use crate::store::Store;

/// Whose door it is.
#[derive(Clone)]
pub enum Rule {
    /// Appliances: enrolled keys, by the table in [`admit`].
    Appliances {
        /// The database, for reading.
        reader: Arc<Mutex<Store>>,
        /// The clock.
        clock: fn() -> Millis,
    },
    /// People over the network: an API token, but for the page and the health.
    People {
        /// Checks tokens.
        writer: Writer,
    },
}

/// A service behind a door.
#[derive(Clone)]
pub struct Gate<S> {
    rule: Rule,
    inner: S,
}

impl<S> Gate<S> {
    /// Puts `inner` behind `rule`.
    pub fn new(rule: Rule, inner: S) -> Self {
        Self { rule, inner }
    }
}

impl Rule {
    async fn decide(&self, request: &Parts) -> Result<(), Status> {
        match self {
            Self::Appliances { reader, clock } => {
                let certificate =
                    request.extensions.get::<Peer>().and_then(|peer| peer.certificate.as_deref());
                let facts = certificate.map(CertificateFacts::read).transpose();
                let facts = facts.map_err(|bad| Status::unauthenticated(bad.to_string()))?;
                let enrolled = match &facts {
                    Some(facts) => enrolled(reader, facts)?,
                    None => None,
                };
                admit::appliance(request.uri.path(), facts.as_ref(), enrolled, clock())
            }
            Self::People { writer } => {
                if matches!(request.uri.path(), "/" | "/healthz") {
                    return Ok(());
                }
                let token = request.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                let token = token.and_then(|value| value.strip_prefix("Bearer ")).map(ToOwned::to_owned);
                let token = token.ok_or_else(|| Status::unauthenticated("this call needs an API token"))?;
                writer.run(move |core, now| core.operator(&token, now)).await.map(drop)
            }
        }
    }
}

fn enrolled(
    reader: &Mutex<Store>,
    facts: &CertificateFacts,
) -> Result<Option<crate::store::ApplianceState>, Status> {
    let store = reader.lock().unwrap_or_else(PoisonError::into_inner);
    let row = store.appliance_by_key(facts.spki).map_err(|error| {
        tracing::error!(%error, "cannot look up an appliance");
        Status::unavailable("the server cannot look up this key now; call again")
    })?;
    Ok(row.map(|row| row.state))
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let rule = self.rule.clone();
        let waiting = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, waiting);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            match rule.decide(&parts).await {
                Ok(()) => ready.call(Request::from_parts(parts, body)).await,
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}
