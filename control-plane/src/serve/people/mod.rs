//! Where people sign in: pages, and what their script asks.
//!
//! The rule: whatever changes something is a POST of JSON that says it comes from our own origin; no other page can send
//! that. The session's secret is in a cookie that scripts do not see and other sites' pages do not send. What went wrong is
//! told in the same words for a name that exists and one that does not.

pub(super) mod calls;
mod cookie;
mod pages;
pub mod provider;

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Full, Limited};
use proto::time::Millis;
use serde_json::{Value, json};
use tonic::{Code, Status, body::Body};

pub(super) use cookie::session as session_cookie;

use super::{
    known::Known,
    listener::{Address, Peer, network},
    writer::Writer,
};
use crate::{
    access::{
        guesses::Guesses,
        passkeys::{Ceremonies, Refused},
    },
    core::people::{Entered, NewPasskey, Proof},
    store::OperatorRow,
};

/// The most bytes of what is posted here.
pub const BODY_MAX: usize = 32 * 1024;

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// Answers where people sign in.
#[derive(Clone)]
pub struct People {
    /// Knows who there is.
    pub writer: Writer,
    /// Knows whether what a stranger brings is anything.
    pub known: Known,
    /// Passkeys that are being made or shown.
    pub ceremonies: Arc<Ceremonies>,
    /// Who guesses codes.
    pub guesses: Arc<Guesses>,
    /// The clock.
    pub clock: Clock,
    /// Whose word counts beside passkeys.
    pub provider: Option<Arc<provider::Provider>>,
    /// Who the organization is, as people know it.
    pub organization: Arc<str>,
    /// Where people ask for help; empty: nobody said.
    pub contact: Arc<str>,
}

/// Whether a path is one of these.
#[must_use]
pub fn is_ours(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    matches!(first, "sign-in" | "invite" | "account")
}

/// From where a request comes, as sessions and the trail say it.
pub(super) fn from(parts: &Parts) -> (String, String) {
    match parts.extensions.get::<Peer>().map(|peer| peer.address) {
        Some(Address::Network(address)) => {
            let ip: IpAddr = address.ip().to_canonical();
            (ip.to_string(), network(ip).to_string())
        }
        Some(Address::Local { .. }) | None => ("unknown".into(), "unknown".into()),
    }
}

/// Why something was not done, for the script to show.
struct Problem(StatusCode, String);

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = match refused {
            Refused::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Refused::Unreadable => StatusCode::BAD_REQUEST,
            Refused::NoHost | Refused::Unkept => StatusCode::CONFLICT,
            Refused::Gone | Refused::Copied | Refused::Unverified => StatusCode::FORBIDDEN,
        };
        Self(status, refused.to_string())
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        let code = match status.code() {
            Code::InvalidArgument => StatusCode::BAD_REQUEST,
            Code::PermissionDenied | Code::Unauthenticated => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::AlreadyExists | Code::FailedPrecondition => StatusCode::CONFLICT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(code, status.message().to_owned())
    }
}

/// What is answered: JSON, and the cookie that is set with it.
type Told = Result<(Value, Option<HeaderValue>), Problem>;

/// Who posts, and with what.
struct Asked {
    from: String,
    network: String,
    session: Option<String>,
    body: Value,
    now: Millis,
}

impl Asked {
    fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_default().to_owned()
    }

    fn session(&self) -> Result<String, Problem> {
        let over = || Problem(StatusCode::FORBIDDEN, "the session has ended; sign in again".into());
        self.session.clone().ok_or_else(over)
    }
}

impl People {
    /// Answers a request at one of these paths.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        match parts.method {
            Method::GET | Method::HEAD => self.page(&parts).await,
            Method::POST => {
                let told = match self.asked(&parts, body).await {
                    Ok(asked) => self.told(parts.uri.path(), asked).await,
                    Err(problem) => Err(problem),
                };
                reply(told)
            }
            method => {
                let mut refused =
                    super::page::page(StatusCode::METHOD_NOT_ALLOWED, &method, "Not this way", "");
                refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
                refused
            }
        }
    }

    /// What is posted, once it is from our own origin and JSON: neither is in the power of another site's page.
    async fn asked(&self, parts: &Parts, body: Body) -> Result<Asked, Problem> {
        if !comes_from(&parts.headers, self.ceremonies.origin()) {
            let why = format!("this is only for pages of {}", self.ceremonies.origin());
            return Err(Problem(StatusCode::FORBIDDEN, why));
        }
        let kind = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        if kind != Some(b"application/json") {
            return Err(Problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json".into()));
        }
        let body = Limited::new(body, BODY_MAX).collect().await;
        let body = body.map_err(|_| Problem(StatusCode::PAYLOAD_TOO_LARGE, "that is too long".into()))?;
        let body: Value = serde_json::from_slice(&body.to_bytes())
            .map_err(|_| Problem(StatusCode::BAD_REQUEST, "that is not JSON".into()))?;
        let (from, network) = from(parts);
        Ok(Asked { from, network, session: cookie::session(&parts.headers), body, now: (self.clock)() })
    }

    async fn told(&self, path: &str, asked: Asked) -> Told {
        match path {
            "/sign-in/begin" => Ok((self.ceremonies.begin_showing(&asked.network, asked.now)?, None)),
            "/sign-in/finish" => self.end_showing(asked).await,
            "/sign-in/recover" => self.recover(asked).await,
            "/invite/begin" => self.begin_making(Proof::Invitation(asked.text("link")), asked).await,
            "/invite/finish" => self.end_making(Proof::Invitation(asked.text("link")), asked).await,
            "/account/begin" => self.begin_making(Proof::Session(asked.session()?), asked).await,
            "/account/finish" => self.end_making(Proof::Session(asked.session()?), asked).await,
            "/account/remove" | "/account/end" | "/account/codes" | "/account/leave" => {
                self.change(path, asked).await
            }
            _ => Err(Problem(StatusCode::NOT_FOUND, "there is nothing here".into())),
        }
    }

    async fn end_showing(&self, asked: Asked) -> Told {
        let (ceremony, answer) = (asked.text("ceremony"), asked.body["answer"].clone());
        let id = Ceremonies::claimed(&answer).ok_or(Refused::Unreadable)?;
        let known = match self.known.has_passkey(&id) {
            true => {
                let id = id.clone();
                self.writer.run(move |core, _| core.passkey(&id)).await?
            }
            false => None,
        };
        let kept = known.as_ref().map(|(row, person)| (person.id, row.credential.as_str()));
        match self.ceremonies.end_showing(&ceremony, kept, &answer, asked.now) {
            Ok(shown) => {
                let before = known.map(|(row, _)| row.credential).unwrap_or_default();
                let (from, old) = (asked.from, asked.session);
                let run = self.writer.run(move |core, now| {
                    let (session, _) = core.passkey_shown(&id, (&before, &shown.credential), &from, now)?;
                    // Whoever sat here before has left.
                    old.map_or(Ok(()), |old| core.sign_out(&old, &from, now))?;
                    Ok(session)
                });
                Ok((json!({}), Some(cookie::set(&run.await?))))
            }
            Err(Refused::Copied) => {
                let from = asked.from;
                self.writer.run(move |core, now| core.passkey_copied(&id, &from, now)).await?;
                Err(Refused::Copied.into())
            }
            Err(refused) => Err(refused.into()),
        }
    }

    async fn recover(&self, asked: Asked) -> Told {
        let (name, code) = (asked.text("name").trim().to_owned(), asked.text("code"));
        // By name, too, would let anybody shut anybody out; a code is of 80 random bits.
        if !self.guesses.count(&asked.network, asked.now) {
            let why = "too many codes were tried; wait a quarter of an hour";
            return Err(Problem(StatusCode::TOO_MANY_REQUESTS, why.into()));
        }
        let (from, old) = (asked.from.clone(), asked.session);
        let session = match self.known.has_recovery_code(&code) {
            false => None,
            true => {
                let run = self.writer.run(move |core, now| {
                    let session = core.recover(&name, &code, &from, now)?;
                    if let (Some(_), Some(old)) = (&session, old) {
                        core.sign_out(&old, &from, now)?;
                    }
                    Ok(session)
                });
                run.await?
            }
        };
        let Some(session) = session else {
            // Not by what name: people type into that field what is none.
            tracing::warn!(from = asked.from, "a recovery code was refused");
            let wrong = "name or code is wrong, or the code was used";
            return Err(Problem(StatusCode::FORBIDDEN, wrong.into()));
        };
        Ok((json!({}), Some(cookie::set(&session))))
    }

    async fn begin_making(&self, proof: Proof, asked: Asked) -> Told {
        let (person, known) = self.maker(proof, asked.now).await?;
        let known = known.into_iter();
        let begun =
            self.ceremonies.begin_making((person.id, &person.name), known, &asked.network, asked.now)?;
        Ok((begun, None))
    }

    /// Who may make a passkey with this proof.
    async fn maker(&self, proof: Proof, now: Millis) -> Result<(OperatorRow, Vec<Vec<u8>>), Status> {
        match &proof {
            Proof::Invitation(secret) => self.known.invitation(secret, now)?,
            Proof::Session(secret) => self.known.session(secret)?,
        }
        self.writer.run(move |core, now| core.maker(&proof, now)).await
    }

    async fn end_making(&self, proof: Proof, asked: Asked) -> Told {
        let of = self.maker(proof.clone(), asked.now).await?.0.id;
        let (ceremony, answer) = (asked.text("ceremony"), asked.body["answer"].clone());
        let (id, credential) = self.ceremonies.end_making(&ceremony, of, &answer, asked.now)?;
        let new = NewPasskey { id, label: asked.text("label"), credential };
        let (from, old) = (asked.from, asked.session);
        let run = self.writer.run(move |core, now| {
            let entered = core.add_passkey(&proof, new, &from, now)?;
            old.map_or(Ok(()), |old| core.sign_out(&old, &from, now))?;
            Ok(entered)
        });
        let Entered { session, codes, .. } = run.await?;
        Ok((json!({ "codes": codes }), Some(cookie::set(&session))))
    }

    /// What somebody who is signed in does to their own account.
    async fn change(&self, path: &str, asked: Asked) -> Told {
        let (path, session, id, from) = (path.to_owned(), asked.session()?, asked.text("id"), asked.from);
        if let Err(over) = self.known.session(&session) {
            // Whoever leaves what is over has left.
            return if path == "/account/leave" {
                Ok((json!({}), Some(cookie::clear())))
            } else {
                Err(over.into())
            };
        }
        let run = self.writer.run(move |core, now| match path.as_str() {
            "/account/remove" => {
                let id = hex::decode(&id).unwrap_or_default();
                core.remove_passkey(&session, &id, &from, now)?;
                Ok((json!({}), None))
            }
            "/account/end" => {
                core.end_own_sessions(&session, &id, &from, now)?;
                Ok((json!({}), None))
            }
            "/account/codes" => Ok((json!({ "codes": core.renew_codes(&session, &from, now)? }), None)),
            _ => {
                core.sign_out(&session, &from, now)?;
                Ok((json!({}), Some(cookie::clear())))
            }
        });
        Ok(run.await?)
    }
}

/// Whether a request says that it comes from a page of `origin`. Every browser says so of a POST.
pub(super) fn comes_from(headers: &HeaderMap, origin: &str) -> bool {
    headers.get(header::ORIGIN).is_some_and(|said| said.as_bytes() == origin.as_bytes())
}

/// As a sentence that stands alone.
fn sentence(why: &str) -> String {
    let mut letters = why.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

fn reply(told: Told) -> Response<Body> {
    let (status, text, cookie) = match told {
        Ok((value, cookie)) => (StatusCode::OK, value.to_string(), cookie),
        Err(Problem(status, why)) => (status, json!({ "problem": sentence(&why) }).to_string(), None),
    };
    let mut response = Response::new(Body::new(Full::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(cookie) = cookie {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}
