//! The door-keeper in front of every service: decides before a request is read. What it does not know it refuses.

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use ::http::{Request, Response, StatusCode, header, request::Parts};
use http_body_util::Limited;
use proto::{digest::Digest, identity::CertificateFacts, time::Millis};
use tonic::{Code, Status, body::Body};
use tower::Service;

use super::{
    admit::{self, Admitted},
    crowd::{Crowd, Place},
    http,
    known::Known,
    listener::{Address, Peer, network},
    mcp, monitoring,
    operators::Caller,
    people,
    rate::Rates,
    review,
    writer::Writer,
};
use crate::{
    access::{Principal, table},
    clock,
    core::sessions::is_fresh,
    store::Store,
};

/// The most exchanges of one appliance at once: the one that is held open, and those that hang in broken connections.
const CALLS_MAX: usize = 4;
/// The most connections of one appliance at once: after each that broke unseen it makes another.
const CONNECTIONS_MAX: usize = 8;

/// Whose door it is.
#[derive(Clone)]
pub enum Rule {
    /// Appliances: enrolled keys, by the table in `admit`.
    Appliances {
        /// The database, for reading.
        reader: Arc<Mutex<Store>>,
        /// The clock.
        clock: fn() -> Millis,
        /// Exchanges under way, by the key of who called.
        calls: Crowd<Digest>,
        /// Connections, by the same.
        connections: Crowd<Digest>,
    },
    /// People over the network: an API token or a session, but for the page, the health, packets to acknowledge and where
    /// people sign in.
    People {
        /// Checks tokens and sessions.
        writer: Writer,
        /// Knows which there are at all.
        known: Known,
        /// The only origin whose pages may call with a session.
        origin: Arc<str>,
    },
    /// The server's own console: whoever may open its socket may do everything.
    Console,
}

/// A service behind a door.
#[derive(Clone)]
pub struct Gate<S> {
    rule: Rule,
    rates: Rates,
    inner: S,
}

impl<S> Gate<S> {
    /// Puts `inner` behind `rule`.
    pub fn new(rule: Rule, inner: S) -> Self {
        Self { rule, rates: Rates::new(clock::now), inner }
    }

    /// The same, counting by another clock.
    #[must_use]
    pub fn with_rates(self, rates: Rates) -> Self {
        Self { rates, ..self }
    }
}

/// Whoever is let in.
struct Entry {
    admitted: Admitted,
    /// The place that it has while its request is under way.
    place: Option<Place<Digest>>,
    /// In whose name it acts.
    caller: Option<Caller>,
}

impl From<Admitted> for Entry {
    fn from(admitted: Admitted) -> Self {
        Self { admitted, place: None, caller: None }
    }
}

impl Rule {
    async fn decide(&self, rates: &Rates, request: &Parts) -> Result<Entry, Status> {
        match self {
            Self::Appliances { reader, clock, calls, connections } => {
                let peer = request.extensions.get::<Peer>();
                let certificate = peer.and_then(|peer| peer.certificate.as_deref());
                let facts = certificate.map(CertificateFacts::read).transpose();
                let facts = facts.map_err(|bad| Status::unauthenticated(bad.to_string()))?;
                let enrolled = match &facts {
                    Some(facts) => enrolled(reader, facts)?,
                    None => None,
                };
                let admitted = admit::appliance(request.uri.path(), facts.as_ref(), enrolled, clock())?;
                let Some(facts) = facts.filter(|_| admitted.known) else { return Ok(admitted.into()) };
                let enter = || connections.enter(facts.spki, CONNECTIONS_MAX);
                if peer.is_some_and(|peer| !peer.admission.keeps(enter)) {
                    return Err(Status::resource_exhausted("close your other connections first"));
                }
                let place = calls.enter(facts.spki, CALLS_MAX);
                let too_many = || Status::resource_exhausted("wait for the answers to your other calls");
                let place = place.ok_or_else(too_many)?;
                Ok(Entry { place: Some(place), ..admitted.into() })
            }
            Self::People { writer, known, origin } => {
                let admitted = |known| Entry::from(Admitted { known, bytes: usize::MAX });
                let (path, from) = (request.uri.path(), address(request));
                if matches!(path, "/" | "/healthz" | monitoring::CHECK) {
                    rates.open(from)?;
                    return Ok(admitted(false));
                }
                // The path is a token by itself; who looks at it is `review`'s to say.
                if path.starts_with(review::PATH) {
                    rates.open(from)?;
                    return Ok(Admitted { known: false, bytes: review::FORM_MAX }.into());
                }
                // Who looks at these is theirs to say, too.
                if people::is_ours(path) {
                    rates.open(from)?;
                    return Ok(Admitted { known: false, bytes: people::BODY_MAX }.into());
                }
                let by_assistant = path == mcp::PATH;
                if by_assistant && !request.headers.contains_key(header::AUTHORIZATION) {
                    return Err(Status::unauthenticated("this call needs an API token"));
                }
                let principal = caller((writer, known), origin, rates, request).await?;
                if by_assistant {
                    // What it then asks comes through this door again, each call by the table.
                    return Ok(Admitted { known: true, bytes: mcp::ASKED_MAX }.into());
                }
                table::authorize(&principal, path)?;
                Ok(Entry { caller: Some(Caller::new(principal, path)), ..admitted(true) })
            }
            Self::Console => {
                let uid = match request.extensions.get::<Peer>().map(|peer| peer.address) {
                    Some(Address::Local { uid }) => uid,
                    Some(Address::Network(_)) | None => {
                        return Err(Status::permission_denied("this is the server's own socket"));
                    }
                };
                let (principal, path) = (Principal::console(uid), request.uri.path());
                table::authorize(&principal, path)?;
                let admitted = Admitted { known: true, bytes: usize::MAX };
                Ok(Entry { caller: Some(Caller::new(principal, path)), ..Entry::from(admitted) })
            }
        }
    }
}

/// From where it comes, as far as one customer of a network goes; `None`: not over one.
fn address(request: &Parts) -> Option<IpAddr> {
    match request.extensions.get::<Peer>()?.address {
        Address::Network(from) => Some(network(from.ip())),
        Address::Local { .. } => None,
    }
}

/// Whoever calls over the network: the holder of an API token, or, from a page of our own, somebody who signed in.
async fn caller(
    (writer, known): (&Writer, &Known),
    origin: &str,
    rates: &Rates,
    request: &Parts,
) -> Result<Principal, Status> {
    let (from, _) = people::from(request);
    if let Some(value) = request.headers.get(header::AUTHORIZATION) {
        let token =
            value.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")).map(ToOwned::to_owned);
        let token = token.ok_or_else(|| Status::unauthenticated("this call needs an API token"))?;
        let secret = token.clone();
        let look = async {
            known.token(&token)?;
            writer.run(move |core, now| core.operator(&token, now)).await
        };
        let (name, grant) = counted(rates, &secret, request, look).await?;
        return Ok(Principal::token(name, from, grant));
    }
    let session = people::session_cookie(&request.headers);
    let session =
        session.ok_or_else(|| Status::unauthenticated("this call needs an API token, or a session"))?;
    // A cookie comes along with whatever a browser is led to send; only our own pages mean it.
    if !people::comes_from(&request.headers, origin) {
        return Err(Status::permission_denied(format!("with a session only pages of {origin} may call")));
    }
    let secret = session.clone();
    let look = async {
        known.session(&session)?;
        writer.run(move |core, now| core.full_session(&session, now).map(|found| (found, now))).await
    };
    let ((session, person), now) = counted(rates, &secret, request, look).await?;
    let is_fresh = is_fresh(&session, now);
    Ok(Principal::person(person.name, from, person.grant, is_fresh))
}

/// Looks up whose a secret is, as often as its holder may ask, and as often as somebody there may be wrong.
async fn counted<T>(
    rates: &Rates,
    secret: &str,
    request: &Parts,
    look: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let (digest, from) = (Digest::of(secret.as_bytes()), address(request));
    rates.may_try(&digest, from)?;
    let found = look.await.inspect_err(|status| {
        if matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated) {
            rates.was_wrong(from);
        }
    })?;
    rates.token(digest)?;
    Ok(found)
}

/// In the caller's own dialect: a browser's client looks at no answer of another type, and plain HTTP at the status alone.
fn refusal(status: Status, request: &Parts) -> Response<Body> {
    let code = status.code();
    let is_denied = matches!(code, Code::Unauthenticated | Code::PermissionDenied);
    if is_denied && request.uri.path() == mcp::PATH {
        return http::unauthorized(status.message());
    }
    let mut response = status.into_http();
    let asked = request.headers.get(header::CONTENT_TYPE);
    if !asked.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        *response.status_mut() = match code {
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
    }
    if let Some(kind) = asked.filter(|kind| kind.as_bytes().starts_with(b"application/grpc-web")) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    response
}

fn enrolled(
    reader: &Mutex<Store>,
    facts: &CertificateFacts,
) -> Result<Option<crate::store::ApplianceState>, Status> {
    let store = reader.lock().unwrap_or_else(PoisonError::into_inner);
    store.state_by_key(facts.spki).map_err(|error| {
        tracing::error!(%error, "cannot look up an appliance");
        Status::unavailable("the server cannot look up this key now; call again")
    })
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
        let (rule, rates) = (self.rule.clone(), self.rates.clone());
        let waiting = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, waiting);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match rule.decide(&rates, &parts).await {
                Ok(Entry { admitted, place: _place, caller }) => {
                    if let Some(caller) = caller {
                        parts.extensions.insert(caller);
                    }
                    if let (true, Some(peer)) = (admitted.known, parts.extensions.get::<Peer>()) {
                        peer.admission.give();
                    }
                    let body = Body::new(Limited::new(body, admitted.bytes));
                    ready.call(Request::from_parts(parts, body)).await
                }
                Err(status) => Ok(refusal(status, &parts)),
            }
        })
    }
}
