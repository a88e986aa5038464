//! Tokens that do not last: asked for with our secret (RFC 6749 section 4.4), kept while they hold, and forgotten when they are
//! refused.
//!
//! The rule: the secret goes to who gives tokens and to nobody else; a token goes along as `Authorization: Bearer` and stands
//! in no log.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderValue, Method, Request, header};
use proto::time::Millis;
use serde::Deserialize;

use super::{
    outside::Outside,
    teller::{answered, value},
};
use crate::{
    config::{ConfigError, TokenSource},
    telling::Outcome,
};

/// How long one holds that does not say so.
const UNSAID: Duration = Duration::from_secs(300);
/// So long before its end another is asked for.
const EARLY: Duration = Duration::from_secs(60);

/// The tokens of one channel.
pub(super) struct Tokens {
    source: TokenSource,
    form: Vec<u8>,
    clock: fn() -> Millis,
    kept: Mutex<Option<(HeaderValue, Millis)>>,
}

#[derive(Deserialize)]
struct Given {
    access_token: String,
    expires_in: Option<u64>,
}

impl Tokens {
    /// From `source`, with the secret that its file has.
    pub(super) fn new(source: TokenSource, clock: fn() -> Millis) -> Result<Self, ConfigError> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        form.append_pair("client_id", &source.client_id);
        form.append_pair("client_secret", source.client_secret.read()?.expose());
        if !source.scope.is_empty() {
            form.append_pair("scope", &source.scope);
        }
        let form = form.finish().into_bytes();
        Ok(Self { source, form, clock, kept: Mutex::new(None) })
    }

    /// One that holds.
    pub(super) async fn take(&self, outside: &Outside) -> Result<HeaderValue, Outcome> {
        let now = (self.clock)();
        if let Some((token, _)) = self.lock().as_ref().filter(|(_, until)| now < *until) {
            return Ok(token.clone());
        }
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.source.url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        // Whatever they say, an operator or time can help: no letter dies of it.
        let later = |why: &str| Outcome::Later(format!("no token was given: {why}"), None);
        let answer = match answered(outside.call(request, self.form.clone()).await) {
            Ok(answer) => answer,
            Err((_, Outcome::Later(why, asked))) => {
                return Err(Outcome::Later(format!("no token was given: {why}"), asked));
            }
            Err((status, _)) => return Err(later(&format!("answer {}", status.unwrap_or_default()))),
        };
        let given = value(&answer).and_then(|given| serde_json::from_value::<Given>(given).ok());
        let given = given.ok_or_else(|| later("the answer has no access_token"))?;
        let token = HeaderValue::try_from(format!("Bearer {}", given.access_token));
        let mut token = token.map_err(|_| later("it is no header"))?;
        token.set_sensitive(true);
        let holds = given.expires_in.map_or(UNSAID, Duration::from_secs).saturating_sub(EARLY);
        *self.lock() = Some((token.clone(), now.plus(holds)));
        Ok(token)
    }

    /// It was refused: another is asked for next time.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(HeaderValue, Millis)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
