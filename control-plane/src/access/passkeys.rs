//! Passkey ceremonies (W3C WebAuthn Level 3, sections 7.1 and 7.2) that are under way.
//!
//! The rule: a challenge is answered once, within two minutes, from a page of our own origin that no other page frames, by an
//! authenticator that verified its owner and says whose key it is: nobody types a name, so nobody learns which there are. What
//! a ceremony leaves behind lies in memory alone; a server that starts again has forgotten it, and that is fine.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Uri;
use proto::time::Millis;
use serde_json::{Value, json};
use uuid::Uuid;
use webauthn_rs::{
    Webauthn, WebauthnBuilder,
    prelude::{
        DiscoverableAuthentication, DiscoverableKey, Passkey, PasskeyRegistration, PublicKeyCredential,
        RegisterPublicKeyCredential, WebauthnError,
    },
};

use super::begun::Begun;

/// How long a challenge may be answered.
const OPEN_FOR: Duration = Duration::from_secs(120);

/// Why a ceremony came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// This server's address is none that passkeys are for.
    #[error("passkeys need a host name that people know this server by: set people.address")]
    NoHost,
    /// Too many at once from one network.
    #[error("too many were begun from your network; wait two minutes")]
    TooMany,
    /// It was never begun, too long ago, or was answered once.
    #[error("that took too long, or was sent twice; begin again")]
    Gone,
    /// What came is no answer.
    #[error("the browser's answer does not read")]
    Unreadable,
    /// Its counter went back: there may be a copy of it.
    #[error("this passkey was refused; use another one, and tell an owner")]
    Copied,
    /// It does not verify.
    #[error("this passkey was not accepted; try again, or use another one")]
    Unverified,
}

enum Step {
    Making(Uuid, PasskeyRegistration),
    Showing(DiscoverableAuthentication),
}

/// Ceremonies of one server.
pub struct Ceremonies {
    /// `None`: its address has no host name.
    webauthn: Option<Webauthn>,
    origin: String,
    open: Begun<Step>,
}

/// What was verified of a passkey that was shown.
#[derive(Debug, Clone)]
pub struct Shown {
    /// What is to be kept of it now.
    pub credential: String,
}

impl Ceremonies {
    /// For people who reach the server at `origin` (`https://control.msp.example:8444`).
    #[must_use]
    pub fn new(origin: &str, organization: &str, random: fn(&mut [u8])) -> Self {
        let open = Begun::new(OPEN_FOR, random);
        Self { webauthn: webauthn(origin, organization), origin: origin.to_owned(), open }
    }

    /// The only origin that calls by a browser may come from.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether there can be passkeys at all.
    #[must_use]
    pub fn possible(&self) -> bool {
        self.webauthn.is_some()
    }

    /// Begins the making of a passkey; the answer is for `navigator.credentials.create`.
    pub fn begin_making(
        &self,
        (id, name): (Uuid, &str),
        known: impl Iterator<Item = Vec<u8>>,
        network: &str,
        now: Millis,
    ) -> Result<Value, Refused> {
        let webauthn = self.webauthn.as_ref().ok_or(Refused::NoHost)?;
        let known = known.collect();
        let begun = webauthn.start_passkey_registration(id, name, name, Some(known));
        let (options, state) = begun.map_err(|_| Refused::Unverified)?;
        let mut options = serde_json::to_value(options).map_err(|_| Refused::Unverified)?;
        let selection = &mut options["publicKey"]["authenticatorSelection"];
        (selection["residentKey"], selection["requireResidentKey"]) = (json!("required"), json!(true));
        let ceremony = self.open.keep(Step::Making(id, state), network, now).ok_or(Refused::TooMany)?;
        Ok(json!({ "ceremony": ceremony, "options": options }))
    }

    /// Ends it: the passkey's ID and what is to be kept of it.
    pub fn end_making(
        &self,
        ceremony: &str,
        of: Uuid,
        answer: Value,
        now: Millis,
    ) -> Result<(Vec<u8>, String), Refused> {
        let webauthn = self.webauthn.as_ref().ok_or(Refused::NoHost)?;
        let Some(Step::Making(begun_for, state)) = self.open.take(ceremony, now) else {
            return Err(Refused::Gone);
        };
        if begun_for != of {
            return Err(Refused::Gone);
        }
        let answer: RegisterPublicKeyCredential =
            serde_json::from_value(answer).map_err(|_| Refused::Unreadable)?;
        let passkey = webauthn.finish_passkey_registration(&answer, &state).map_err(refused)?;
        let kept = serde_json::to_string(&passkey).map_err(|_| Refused::Unreadable)?;
        Ok((passkey.cred_id().as_slice().to_vec(), kept))
    }

    /// Begins a sign-in; the answer is for `navigator.credentials.get`.
    pub fn begin_showing(&self, network: &str, now: Millis) -> Result<Value, Refused> {
        let webauthn = self.webauthn.as_ref().ok_or(Refused::NoHost)?;
        let (options, state) =
            webauthn.start_discoverable_authentication().map_err(|_| Refused::Unverified)?;
        let mut options = serde_json::to_value(options).map_err(|_| Refused::Unverified)?;
        if let Some(all) = options.as_object_mut() {
            all.remove("mediation");
        }
        let ceremony = self.open.keep(Step::Showing(state), network, now).ok_or(Refused::TooMany)?;
        Ok(json!({ "ceremony": ceremony, "options": options }))
    }

    /// Which passkey an answer is of, before anything of it is believed.
    #[must_use]
    pub fn claimed(answer: &Value) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(answer["rawId"].as_str()?.trim_end_matches('=')).ok()
    }

    /// Ends a sign-in with a passkey that is kept here, of `owner`; `None`: there is none of that ID.
    pub fn end_showing(
        &self,
        ceremony: &str,
        kept: Option<(Uuid, &str)>,
        answer: Value,
        now: Millis,
    ) -> Result<Shown, Refused> {
        let webauthn = self.webauthn.as_ref().ok_or(Refused::NoHost)?;
        let Some(Step::Showing(state)) = self.open.take(ceremony, now) else { return Err(Refused::Gone) };
        let answer: PublicKeyCredential = serde_json::from_value(answer).map_err(|_| Refused::Unreadable)?;
        let (owner, kept) = kept.ok_or(Refused::Unverified)?;
        // Step 6: nobody was named before, so the authenticator says whose it is, and it must be so.
        if answer.get_user_unique_id() != Some(owner.as_bytes().as_slice()) || is_framed(&answer) {
            return Err(Refused::Unverified);
        }
        let mut passkey: Passkey = serde_json::from_str(kept).map_err(|_| Refused::Unverified)?;
        let key = DiscoverableKey::from(&passkey);
        let result = webauthn.finish_discoverable_authentication_v2(&answer, state, &key).map_err(refused)?;
        if !result.user_verified() {
            return Err(Refused::Unverified);
        }
        passkey.update_credential(&result);
        let credential = serde_json::to_string(&passkey).map_err(|_| Refused::Unreadable)?;
        Ok(Shown { credential })
    }
}

/// Whether the page stood in another site's: the crate looks at that where a passkey is made, and not where it is shown.
fn is_framed(answer: &PublicKeyCredential) -> bool {
    let client: Result<Value, _> = serde_json::from_slice(&answer.response.client_data_json);
    client.map_or(true, |client| client["crossOrigin"] == json!(true) || client.get("topOrigin").is_some())
}

fn webauthn(origin: &str, organization: &str) -> Option<Webauthn> {
    let url = url::Url::parse(origin).ok()?;
    let host = origin.parse::<Uri>().ok()?.host()?.to_owned();
    WebauthnBuilder::new(&host, &url).ok()?.rp_name(organization).timeout(OPEN_FOR).build().ok()
}

fn refused(error: WebauthnError) -> Refused {
    tracing::info!(%error, "a passkey was refused: {error}");
    match error {
        WebauthnError::CredentialPossibleCompromise => Refused::Copied,
        _ => Refused::Unverified,
    }
}
