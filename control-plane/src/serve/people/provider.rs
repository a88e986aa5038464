//! The identity provider's word (OpenID Connect Core 1.0, authorization code with PKCE).
//!
//! The rule: a browser that was sent there comes back once, within ten minutes, with the state that it was sent with; the
//! token was made for us, now, for this very visit, and is signed by the provider's key. What the provider answers is bounded
//! in bytes and time, and a redirect of its endpoints is followed nowhere.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AsyncHttpClient, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    IdTokenFields, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope, StandardErrorResponse, StandardTokenResponse, TokenResponse as _, UserInfoClaims,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType, CoreGenderClaim,
        CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata,
        CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use proto::time::Millis;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::{
    access::begun::Begun,
    config::{Hidden, Oidc},
    core::provided::Provided,
};

/// How long somebody may take at the provider.
const AWAY_FOR: Duration = Duration::from_secs(600);
/// How long the provider may take for one answer, and the most bytes of it.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_MAX: usize = 256 * 1024;
/// Who is to sign in anew is asked by the provider, unless it did within this time.
const ANEW: Duration = Duration::from_secs(60);
/// How far its clock may be from ours.
const SKEW: Duration = Duration::from_secs(60);

/// What the provider signs with: keys of its own. Our secret is not the provider's signature.
const SIGNED_BY: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// All that a provider says of somebody beside what the standard names.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct More {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl AdditionalClaims for More {}

type Tokens = StandardTokenResponse<
    IdTokenFields<
        More,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;
type Client = openidconnect::Client<
    More,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Why somebody does not come in this way.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Never sent there, too long ago, or back for the second time.
    #[error("That took too long, or was opened twice. Begin again.")]
    Gone,
    /// Too many at once from one network.
    #[error("Too many sign-ins were begun from your network. Wait ten minutes.")]
    TooMany,
    /// The provider said no.
    #[error("The sign-in was not completed there. Begin again.")]
    No,
    /// The provider does not answer as it should; the log says how.
    #[error(
        "Your organization's sign-in cannot be reached now, or does not answer as it should. Try again in a while."
    )]
    Away,
    /// Its word does not hold; the log says why.
    #[error("What your organization's sign-in said does not hold. Nobody was signed in.")]
    Unbelieved,
    /// It was to ask them anew who they are, and did not, or does not say so.
    #[error(
        "Your organization's sign-in did not ask you anew who you are, or does not say so. Whoever runs it can have it heed \
         max_age and say auth_time."
    )]
    Unasked,
    /// None of their groups may do anything here; `subject`: whose.
    #[error("You are known, but none of your groups may do anything here. An owner can change that.")]
    Nothing {
        /// Who they are to the provider.
        subject: String,
    },
}

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("no answer")]
    Ask(#[source] hyper_util::client::legacy::Error),
    #[error("no answer in time")]
    Late,
    #[error("an answer that is too long, or breaks off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

struct Visit {
    client: Client,
    state: CsrfToken,
    nonce: Nonce,
    verifier: PkceCodeVerifier,
    /// Not before this it must have had them prove who they are.
    since: Option<Millis>,
}

/// Asks the provider, and follows no redirect.
struct Http(HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Broken>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        let answer = async move {
            let request = request.map(|body| Full::from(Bytes::from(body)));
            let answer = self.0.request(request).await.map_err(Broken::Ask)?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(Broken::Body)?;
            Ok(HttpResponse::from_parts(parts, body.to_bytes().to_vec()))
        };
        Box::pin(async move { timeout(ANSWER_WITHIN, answer).await.unwrap_or(Err(Broken::Late)) })
    }
}

/// The provider, as the settings name it.
pub struct Provider {
    settings: Oidc,
    secret: Hidden,
    redirect: RedirectUrl,
    http: Http,
    away: Begun<Visit>,
}

impl Provider {
    /// For people who reach this server at `origin`.
    pub fn new(settings: Oidc, origin: &str, random: fn(&mut [u8])) -> anyhow::Result<Self> {
        let secret = settings.client_secret.read()?;
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?;
        let mut roots = RootCertStore::empty();
        match &settings.authority {
            Some(file) => {
                for certificate in CertificateDer::pem_file_iter(file)? {
                    roots.add(certificate?)?;
                }
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.with_root_certificates(roots).with_no_client_auth());
        // Where it is reached by https, it does not send us, and our secret, elsewhere in the clear.
        let connector = match settings.issuer.starts_with("https:") {
            true => connector.https_only(),
            false => connector.https_or_http(),
        };
        let connector = connector.enable_http1().build();
        let http = Http(HttpClient::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector));
        let redirect = RedirectUrl::new(format!("{origin}/sign-in/callback"))?;
        Ok(Self { settings, secret, redirect, http, away: Begun::new(AWAY_FOR, random) })
    }

    /// What the button says.
    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Where to send a browser, and what it is to bring back in a cookie. `anew`: whoever sits there is to prove who they are,
    /// although the provider knows them (OpenID Connect Core 1.0, section 3.1.2.1, `max_age`).
    pub(super) async fn send_there(
        &self,
        anew: bool,
        network: &str,
        now: Millis,
    ) -> Result<(String, String), Refused> {
        let away = |error: &dyn std::error::Error| {
            tracing::warn!(error = %chain(error), "the identity provider cannot be asked who it is");
            Refused::Away
        };
        if self.away.is_full(network, now) {
            return Err(Refused::TooMany);
        }
        let issuer = IssuerUrl::new(self.settings.issuer.clone()).map_err(|error| away(&error))?;
        let found =
            CoreProviderMetadata::discover_async(issuer, &self.http).await.map_err(|error| away(&error))?;
        let (id, secret) = (
            ClientId::new(self.settings.client_id.clone()),
            ClientSecret::new(self.secret.expose().to_owned()),
        );
        let client =
            Client::from_provider_metadata(found, id, Some(secret)).set_redirect_uri(self.redirect.clone());
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let asked = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scope(Scope::new("profile".into()))
            .add_scope(Scope::new("email".into()))
            .set_pkce_challenge(challenge);
        let (url, state, nonce) = if anew { asked.set_max_age(ANEW) } else { asked }.url();
        let since = anew.then(|| now.minus(ANEW + SKEW));
        let visit = Visit { client, state, nonce, verifier, since };
        let name = self.away.keep(visit, network, now).ok_or(Refused::TooMany)?;
        Ok((url.into(), name))
    }

    /// Who came back, and what they may do. `name`: what the cookie brought.
    pub(super) async fn come_back(
        &self,
        name: &str,
        code: Option<&str>,
        state: &str,
        now: Millis,
    ) -> Result<Provided, Refused> {
        let visit = self.away.take(name, now).ok_or(Refused::Gone)?;
        if !same(visit.state.secret(), state) {
            return Err(Refused::Gone);
        }
        let code = code.ok_or(Refused::No)?.to_owned();
        let away = |error: &dyn std::error::Error| {
            tracing::warn!(error = %chain(error), "the identity provider gives no token");
            Refused::Away
        };
        let asked = visit.client.exchange_code(AuthorizationCode::new(code)).map_err(|error| away(&error))?;
        let asked = asked.set_pkce_verifier(visit.verifier);
        let tokens = asked.request_async(&self.http).await.map_err(|error| away(&error))?;
        let unbelieved = |why: &str| {
            tracing::warn!(why, "the identity provider's token does not hold");
            Refused::Unbelieved
        };
        let token = tokens.id_token().ok_or_else(|| unbelieved("there is none"))?;
        let verifier = visit.client.id_token_verifier().set_allowed_algs(SIGNED_BY);
        let claims = token.claims(&verifier, &visit.nonce).map_err(|error| unbelieved(&chain(&error)))?;
        if let Some(expected) = claims.access_token_hash() {
            let hash = token
                .signing_alg()
                .ok()
                .zip(token.signing_key(&verifier).ok())
                .and_then(|(alg, key)| AccessTokenHash::from_token(tokens.access_token(), alg, key).ok());
            if hash.as_ref() != Some(expected) {
                return Err(unbelieved("it was made for another access token"));
            }
        }
        // What was said by whoever asked in the browser does not bind the provider; what it signed does.
        let proven = Millis(claims.auth_time().map_or(0, |at| at.timestamp_millis()));
        if visit.since.is_some_and(|since| proven < since) {
            tracing::warn!(
                "the identity provider was asked to have somebody prove anew who they are, and did not"
            );
            return Err(Refused::Unasked);
        }
        let subject = claims.subject().clone();
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let mut name = text(claims.preferred_username().map(|name| name.as_str()));
        let mut email = text(claims.email().map(|email| email.as_str()));
        let mut groups = claims.additional_claims().all.get(&self.settings.claim).map(listed);
        if groups.is_none() || name.is_empty() && email.is_empty() {
            // Many say no more in the token than who it is, and the rest to whoever asks with it.
            if let Ok(asked) = visit.client.user_info(tokens.access_token().clone(), Some(subject.clone())) {
                let said: UserInfoClaims<More, CoreGenderClaim> =
                    asked.request_async(&self.http).await.map_err(|error| away(&error))?;
                groups =
                    groups.or_else(|| said.additional_claims().all.get(&self.settings.claim).map(listed));
                if name.is_empty() {
                    name = text(said.preferred_username().map(|name| name.as_str()));
                }
                if email.is_empty() {
                    email = text(said.email().map(|email| email.as_str()));
                }
            }
        }
        let name = [name, email.clone(), subject.to_string()].into_iter().find(|name| !name.is_empty());
        let subject = format!("{} {}", self.settings.issuer, subject.as_str());
        match self.settings.grant_of(&groups.unwrap_or_default()) {
            None => Err(Refused::Nothing { subject }),
            Some(group) => Ok(Provided {
                subject,
                name: name.unwrap_or_default(),
                email,
                role: group.role,
                tenant: group.tenant.clone(),
                site: group.site.clone(),
                proven,
            }),
        }
    }
}

/// Groups as providers say them: a list, or one alone.
fn listed(claim: &Value) -> Vec<String> {
    match claim {
        Value::String(one) => vec![one.clone()],
        Value::Array(all) => all.iter().filter_map(|one| one.as_str().map(ToOwned::to_owned)).collect(),
        _ => Vec::new(),
    }
}

/// Without telling by its time where they differ.
fn same(a: &str, b: &str) -> bool {
    ::aws_lc_rs::constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
