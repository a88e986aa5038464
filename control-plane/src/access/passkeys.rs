//! Passkey ceremonies (W3C WebAuthn Level 3, sections 7.1 and 7.2) that are under way.
//!
//! The rule: a challenge is answered once, within two minutes, from a page of our own origin that no other page frames, by an
//! authenticator that verified its owner and says whose key it is: nobody types a name, so nobody learns which there are. What
//! a ceremony leaves behind lies in memory alone; a server that starts again has forgotten it, and that is fine.
//!
//! A challenge of ours has 16 random bytes. What approvers sign is the 32 bytes of a digest ([`proto::approval`]), so neither
//! can be taken for the other, whoever asks for it.

use std::{num::NonZeroU32, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proto::{charter::Charter, time::Millis};
use serde_json::{Value, json};
use uuid::Uuid;
use webauthn_rp::{
    AuthenticatedCredential, DiscoverableAuthentication16, DiscoverableAuthenticationServerState,
    DiscoverableCredentialRequestOptions, PublicKeyCredentialCreationOptions, Registration,
    RegistrationServerState,
    request::{
        AsciiDomain, ExtensionInfo, PublicKeyCredentialDescriptor, RpId,
        auth::AuthenticationVerificationOptions,
        register::{
            CoseAlgorithmIdentifier, CoseAlgorithmIdentifiers, CredProtect, RegistrationVerificationOptions,
            UserHandle16,
        },
    },
    response::{
        AuthTransports, AuthenticatorAttachment, CredentialId,
        auth::{DiscoverableAuthenticatorAssertion, error::AuthCeremonyErr},
        register::{AuthenticatorAttestation, ClientExtensionsOutputs},
    },
};

use super::{begun::Begun, kept::Kept};

/// How long a challenge may be answered.
const OPEN_FOR: Duration = Duration::from_secs(120);
/// The same, as browsers are told.
const TIMEOUT: NonZeroU32 = NonZeroU32::new(120_000).expect("it is not zero");

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
    /// What was kept of the passkey does not read.
    #[error(
        "this server cannot read what it kept of this passkey; use another one, or have an owner invite you again"
    )]
    Unkept,
    /// Its counter went back: there may be a copy of it.
    #[error("this passkey was refused; use another one, and tell an owner")]
    Copied,
    /// It does not verify.
    #[error("this passkey was not accepted; try again, or use another one")]
    Unverified,
}

enum Step {
    Making(Uuid, RegistrationServerState<16>),
    Showing(DiscoverableAuthenticationServerState),
}

/// Ceremonies of one server.
pub struct Ceremonies {
    /// `None`: its address has no host name.
    host: Option<RpId>,
    organization: String,
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
        Self {
            host: host(origin),
            organization: organization.to_owned(),
            origin: origin.to_owned(),
            open: Begun::new(OPEN_FOR, random),
        }
    }

    /// The only origin that calls by a browser may come from.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether there can be passkeys at all.
    #[must_use]
    pub fn possible(&self) -> bool {
        self.host.is_some()
    }

    /// Begins the making of a passkey; the answer is for `navigator.credentials.create`.
    pub fn begin_making(
        &self,
        (id, name): (Uuid, &str),
        known: impl Iterator<Item = Vec<u8>>,
        network: &str,
        now: Millis,
    ) -> Result<Value, Refused> {
        let host = self.host.as_ref().ok_or(Refused::NoHost)?;
        let handle = UserHandle16::from(*id.as_bytes());
        let mut asked = PublicKeyCredentialCreationOptions::first_passkey_with_blank_user_info(host, &handle);
        asked.timeout = TIMEOUT;
        // What we know how to keep.
        asked.pub_key_cred_params = CoseAlgorithmIdentifiers::ALL.remove(CoseAlgorithmIdentifier::Es384);
        // A key that can hides itself from whoever does not know its PIN; one that cannot is good, too.
        asked.extensions.cred_protect =
            CredProtect::UserVerificationRequired(ExtensionInfo::AllowDontEnforceValue);
        asked.exclude_credentials = known
            .filter_map(|id| CredentialId::try_from(id).ok())
            .map(|id| PublicKeyCredentialDescriptor { id, transports: AuthTransports::NONE })
            .collect();
        let (state, asked) = asked.start_ceremony().map_err(|_| Refused::Unverified)?;
        let mut asked = serde_json::to_value(asked).map_err(|_| Refused::Unverified)?;
        // For the eyes of whoever chooses among passkeys, and only for them.
        asked["rp"]["name"] = json!(self.organization);
        (asked["user"]["name"], asked["user"]["displayName"]) = (json!(name), json!(name));
        self.begun(Step::Making(id, state), &asked, network, now)
    }

    /// Ends it: the passkey's ID and what is to be kept of it.
    pub fn end_making(
        &self,
        ceremony: &str,
        of: Uuid,
        answer: &Value,
        now: Millis,
    ) -> Result<(Vec<u8>, String), Refused> {
        let host = self.host.as_ref().ok_or(Refused::NoHost)?;
        let Some(Step::Making(begun_for, state)) = self.open.take(ceremony, now) else {
            return Err(Refused::Gone);
        };
        if begun_for != of {
            return Err(Refused::Gone);
        }
        let [client, attestation] = bytes(answer, ["clientDataJSON", "attestationObject"])?;
        let response = AuthenticatorAttestation::new(client, attestation, AuthTransports::NONE);
        let nothing = ClientExtensionsOutputs { cred_props: None, prf: None };
        let answer = Registration::new(response, AuthenticatorAttachment::None, nothing);
        let wanted = RegistrationVerificationOptions::<&str, &str> {
            allowed_origins: &[&self.origin],
            error_on_unsolicited_extensions: false,
            ..Default::default()
        };
        let made = state.verify(host, &answer, &wanted).map_err(|error| refused(&error))?;
        let kept = Kept::made(made.static_state().credential_public_key, made.dynamic_state());
        let kept = kept.ok_or(Refused::Unverified)?;
        Ok((made.id().into_inner().to_vec(), kept.to_string()))
    }

    /// Begins a sign-in; the answer is for `navigator.credentials.get`.
    pub fn begin_showing(&self, network: &str, now: Millis) -> Result<Value, Refused> {
        let host = self.host.as_ref().ok_or(Refused::NoHost)?;
        let mut asked = DiscoverableCredentialRequestOptions::passkey(host);
        asked.0.timeout = TIMEOUT;
        let (state, asked) = asked.start_ceremony().map_err(|_| Refused::Unverified)?;
        let asked = serde_json::to_value(asked).map_err(|_| Refused::Unverified)?;
        self.begun(Step::Showing(state), &asked, network, now)
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
        answer: &Value,
        now: Millis,
    ) -> Result<Shown, Refused> {
        let host = self.host.as_ref().ok_or(Refused::NoHost)?;
        let Some(Step::Showing(state)) = self.open.take(ceremony, now) else { return Err(Refused::Gone) };
        let id = Self::claimed(answer).and_then(|id| CredentialId::try_from(id).ok());
        let id = id.ok_or(Refused::Unreadable)?;
        let fields = ["clientDataJSON", "authenticatorData", "signature"];
        let [client, data, signature] = bytes(answer, fields)?;
        let (owner, kept) = kept.ok_or(Refused::Unverified)?;
        // Section 7.2, step 6: nobody was named before, so the authenticator says whose it is, and it must be so.
        let [says] = bytes(answer, ["userHandle"]).map_err(|_| Refused::Unverified)?;
        let says: [u8; 16] = says.try_into().map_err(|_| Refused::Unverified)?;
        let response =
            DiscoverableAuthenticatorAssertion::new(client, data, signature, UserHandle16::from(says));
        let answer = DiscoverableAuthentication16::new(id, response, AuthenticatorAttachment::None);
        let mut kept = Kept::read(kept).map_err(|error| {
            tracing::warn!(%error, "what is kept of a passkey does not read: {error}");
            Refused::Unkept
        })?;
        let owner = UserHandle16::from(*owner.as_bytes());
        let (fixed, moving) = kept.states().ok_or(Refused::Unkept)?;
        let passkey = AuthenticatedCredential::new(answer.raw_id(), &owner, fixed, moving);
        let mut passkey = passkey.map_err(|_| Refused::Unkept)?;
        let wanted = AuthenticationVerificationOptions::<&str, &str> {
            allowed_origins: &[&self.origin],
            error_on_unsolicited_extensions: false,
            ..Default::default()
        };
        state.verify(host, &answer, &mut passkey, &wanted).map_err(|error| match error {
            AuthCeremonyErr::SignatureCounter => {
                refused(&error);
                Refused::Copied
            }
            error => refused(&error),
        })?;
        kept.is_now(passkey.dynamic_state());
        Ok(Shown { credential: kept.to_string() })
    }

    fn begun(&self, step: Step, asked: &Value, network: &str, now: Millis) -> Result<Value, Refused> {
        let ceremony = self.open.keep(step, network, now).ok_or(Refused::TooMany)?;
        Ok(json!({ "ceremony": ceremony, "options": { "publicKey": asked } }))
    }
}

/// What browsers bind passkeys to: a host name, and no address.
fn host(origin: &str) -> Option<RpId> {
    match url::Url::parse(origin).ok()?.host()? {
        url::Host::Domain(name) => AsciiDomain::try_from(name.to_owned()).ok().map(RpId::Domain),
        url::Host::Ipv4(_) | url::Host::Ipv6(_) => None,
    }
}

/// Fields of an authenticator's response.
fn bytes<const N: usize>(answer: &Value, fields: [&str; N]) -> Result<[Vec<u8>; N], Refused> {
    let mut all = [const { Vec::new() }; N];
    for (one, field) in all.iter_mut().zip(fields) {
        let text = answer["response"][field].as_str().ok_or(Refused::Unreadable)?;
        *one = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| Refused::Unreadable)?;
    }
    Ok(all)
}

/// A sentence when approvers sign where people sign in: neither answer is good for the other, but whoever owns this server
/// owns that page, and could ask there for an approval when somebody means to sign in.
#[must_use]
pub fn approvers_here(charter: &Charter, origin: &str) -> Option<String> {
    let here = charter.approvers.iter().filter(|one| one.origin.eq_ignore_ascii_case(origin));
    let names: Vec<_> = here.map(|one| one.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{} approve at {origin}, where people sign in: whoever broke into this server could ask them for an approval when \
             they sign in; name another origin and rp_id in the charter, or another people.address in the configuration",
            names.join(" and ")
        )
    })
}

fn refused(error: &dyn std::error::Error) -> Refused {
    tracing::info!(%error, "a passkey was refused: {error}");
    Refused::Unverified
}
