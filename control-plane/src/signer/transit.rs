//! An order key in a transit engine: HashiCorp Vault's HTTP contract (`/v1/<mount>/keys/<name>`, `/v1/<mount>/sign/<name>`).
//!
//! The rule: nobody waits for long. One request is bounded; once the server did not answer, nothing is asked for a while and
//! all fails at once, so that a server that is away delays the writer once, and not every time. What comes back is verified
//! before it is used: the key of another version, or of somebody else, signs nothing here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use proto::{dsse::Unsigned, keys::PublicKey};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use tokio::{runtime::Runtime, time::timeout};

use crate::{
    clock,
    config::{ConfigError, Transit},
    core::{
        chain,
        ports::{Signer, SignerError},
    },
    files::{self, FileError},
};

const ANSWER_MAX: usize = 64 * 1024;
const AUTHORITY_MAX: u64 = 1 << 20;
/// How long nothing is asked after the server did not answer.
const REST: Duration = Duration::from_secs(5);
/// How much of what it says is repeated, in characters.
const SAID_MAX: usize = 200;

/// Why it did not sign.
#[derive(Debug, thiserror::Error)]
pub enum TransitError {
    /// The token.
    #[error("token")]
    Token(#[source] ConfigError),
    /// Certificates that cannot be read.
    #[error("certificate authority")]
    Authority(#[source] FileError),
    /// Certificates that are none.
    #[error("certificate authority must be one or more certificates in PEM")]
    NoAuthority,
    /// The runtime.
    #[error("cannot ask anybody")]
    Runtime(#[source] std::io::Error),
    /// Nobody there, no TLS, or the connection broke.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("did not answer in time")]
    TimedOut,
    /// It did not answer a moment ago.
    #[error("does not answer; it is asked again in a moment")]
    Away,
    /// It said no.
    #[error("refused {what}: {status}: {said}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// HTTP status.
        status: u16,
        /// In its own words.
        said: String,
    },
    /// Not what the contract says.
    #[error("answered {what} with what it must not be: {problem}")]
    Garbled {
        /// What was asked.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// No version of it is what the charter wants.
    #[error("the charter's order_keys name none of its {versions} versions; the newest is {newest}")]
    NotNamed {
        /// How many there are.
        versions: usize,
        /// The newest, for the next charter.
        newest: PublicKey,
    },
}

impl TransitError {
    /// Whether the server is away, or out of order: then it is left alone for a while.
    fn is_away(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut => true,
            Self::Refused { status, .. } => matches!(status, 429 | 500..),
            _ => false,
        }
    }
}

/// One version of a key in a transit engine.
pub struct TransitKey {
    client: Arc<Asking>,
    public: PublicKey,
    version: u64,
    away_since: Mutex<Option<Instant>>,
    /// Taken only when all is over.
    runtime: Option<Runtime>,
    limit: Duration,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct KeyData {
    #[serde(rename = "type")]
    kind: String,
    keys: BTreeMap<String, KeyVersion>,
}

#[derive(Deserialize)]
struct KeyVersion {
    public_key: String,
}

#[derive(Deserialize)]
struct SignData {
    signature: String,
}

#[derive(Deserialize, Default)]
struct Complaint {
    #[serde(default)]
    errors: Vec<String>,
}

impl TransitKey {
    /// The newest version that is one of `named`. Asks the server.
    pub fn open(settings: &Transit, named: &BTreeSet<PublicKey>) -> Result<Self, TransitError> {
        let (client, runtime, versions) = versions_by(settings)?;
        let found = versions.and_then(|versions| pick(versions, named));
        let (version, public) = match found {
            Ok(found) => found,
            Err(error) => {
                // Never waits: this may be where nobody may block.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let away_since = Mutex::default();
        Ok(Self { client, public, version, away_since, runtime: Some(runtime), limit: settings.timeout })
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TransitError> {
        let Some(runtime) = &self.runtime else { return Err(TransitError::Away) };
        let mut away = self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        if away.is_some_and(|since| since.elapsed() < REST) {
            return Err(TransitError::Away);
        }
        drop(away);
        let (client, version) = (self.client.clone(), self.version);
        let message = message.to_vec();
        let signed = wait(runtime, self.limit, async move { client.sign(version, &message).await });
        let is_away = signed.as_ref().is_err_and(TransitError::is_away);
        away = self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        *away = is_away.then(clock::stopwatch);
        signed
    }
}

impl Signer for TransitKey {
    fn public(&self) -> PublicKey {
        self.public.clone()
    }

    fn seal(&self, unsigned: &Unsigned) -> Result<Vec<u8>, SignerError> {
        let signed = self.sign(&unsigned.message()).map_err(|error| SignerError(error.into()))?;
        unsigned.sealed_with(&self.public, &signed).map_err(|error| SignerError(error.into()))
    }
}

impl Drop for TransitKey {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// All versions, by number: for whoever has a charter name the next. Asks the server.
pub fn versions(settings: &Transit) -> Result<BTreeMap<u64, PublicKey>, TransitError> {
    let (_, runtime, versions) = versions_by(settings)?;
    runtime.shutdown_background();
    versions
}

type Versions = Result<BTreeMap<u64, PublicKey>, TransitError>;

fn versions_by(settings: &Transit) -> Result<(Arc<Asking>, Runtime, Versions), TransitError> {
    let client = Arc::new(Asking::new(settings)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("order-key")
        .enable_all()
        .build()
        .map_err(TransitError::Runtime)?;
    let versions = wait(&runtime, settings.timeout, {
        let client = client.clone();
        async move { client.versions().await }
    });
    Ok((client, runtime, versions))
}

/// Waits for an answer from any thread, one that drives a runtime too.
fn wait<T: Send + 'static>(
    runtime: &Runtime,
    limit: Duration,
    work: impl Future<Output = Result<T, TransitError>> + Send + 'static,
) -> Result<T, TransitError> {
    let (answer, answered) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        let outcome = timeout(limit, work).await.unwrap_or(Err(TransitError::TimedOut));
        let _ = answer.send(outcome); // nobody waits any more
    });
    answered.recv().unwrap_or(Err(TransitError::Away))
}

fn pick(
    versions: BTreeMap<u64, PublicKey>,
    named: &BTreeSet<PublicKey>,
) -> Result<(u64, PublicKey), TransitError> {
    if let Some((version, public)) = versions.iter().rfind(|(_, public)| named.contains(public)) {
        return Ok((*version, public.clone()));
    }
    match versions.last_key_value() {
        Some((_, newest)) => Err(TransitError::NotNamed { versions: versions.len(), newest: newest.clone() }),
        None => Err(TransitError::Garbled { what: "the key", problem: "it has no versions".into() }),
    }
}

/// Asks one server about one key.
struct Asking {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    settings: Transit,
}

impl Asking {
    fn new(settings: &Transit) -> Result<Self, TransitError> {
        // What is wrong with it is said at the start, not with the first order.
        settings.token.read().map_err(TransitError::Token)?;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls(settings)?).https_or_http().enable_http1();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).build(connector.wrap_connector(tcp));
        Ok(Self { http, settings: settings.clone() })
    }

    async fn versions(&self) -> Result<BTreeMap<u64, PublicKey>, TransitError> {
        let what = "the key";
        let garbled = |problem: &str| TransitError::Garbled { what, problem: problem.to_owned() };
        let key: KeyData = self.ask(what, Method::GET, "keys", Bytes::new()).await?;
        if key.kind != "ed25519" {
            return Err(garbled("its type must be ed25519"));
        }
        let read = |(number, version): (String, KeyVersion)| {
            let number = number.parse().map_err(|_| garbled("its versions must be numbers"))?;
            let bytes = BASE64_STANDARD.decode(version.public_key).ok().and_then(|key| key.try_into().ok());
            let key = bytes.ok_or_else(|| garbled("a public key must be 32 bytes in base64"))?;
            Ok((number, PublicKey::Ed25519(key)))
        };
        key.keys.into_iter().map(read).collect()
    }

    async fn sign(&self, version: u64, message: &[u8]) -> Result<Vec<u8>, TransitError> {
        let what = "a signature";
        let body = json!({ "input": BASE64_STANDARD.encode(message), "key_version": version });
        let signed: SignData = self.ask(what, Method::POST, "sign", body.to_string().into()).await?;
        let signature = signed.signature.strip_prefix(&format!("vault:v{version}:"));
        signature.and_then(|text| BASE64_STANDARD.decode(text).ok()).ok_or_else(|| TransitError::Garbled {
            what,
            problem: format!("it must be vault:v{version}: and base64"),
        })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        what: &'static str,
        method: Method,
        verb: &str,
        body: Bytes,
    ) -> Result<T, TransitError> {
        let garbled = |problem: String| TransitError::Garbled { what, problem };
        let Transit { address, mount, key, token, namespace, .. } = &self.settings;
        // Reading it may block; within the limit all the same.
        let token = token.clone();
        let token = tokio::task::spawn_blocking(move || token.read()).await;
        let token = token.map_err(|_| TransitError::Away)?.map_err(TransitError::Token)?;
        // Not with what is wrong: a header's value is the token.
        let no_header = || garbled("the token cannot stand in a header".into());
        let mut token = HeaderValue::try_from(token.expose()).map_err(|_| no_header())?;
        token.set_sensitive(true);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{address}/v1/{mount}/{verb}/{key}"))
            .header("x-vault-token", token)
            .header("x-vault-request", "true")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("orderly-control-plane/", env!("CARGO_PKG_VERSION")));
        if let Some(namespace) = namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        let request = request.body(Full::from(body)).map_err(|error| garbled(error.to_string()))?;
        let answer =
            self.http.request(request).await.map_err(|error| TransitError::Unreachable(chain(&error)))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|error| TransitError::Unreachable(error.to_string()))?.to_bytes();
        if !status.is_success() {
            let said: Complaint = serde_json::from_slice(&body).unwrap_or_default();
            let said = said.errors.join("; ");
            let said = said.chars().filter(|c| !c.is_control()).take(SAID_MAX).collect();
            return Err(TransitError::Refused { what, status: status.as_u16(), said });
        }
        let read: Answer<T> = serde_json::from_slice(&body).map_err(|error| garbled(error.to_string()))?;
        Ok(read.data)
    }
}

fn tls(settings: &Transit) -> Result<ClientConfig, TransitError> {
    let mut roots = RootCertStore::empty();
    match &settings.authority {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let pem = files::read(path, AUTHORITY_MAX).map_err(TransitError::Authority)?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|_| TransitError::NoAuthority)?;
                roots.add(certificate).map_err(|_| TransitError::NoAuthority)?;
            }
            if roots.is_empty() {
                return Err(TransitError::NoAuthority);
            }
        }
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows the default TLS versions")
        .with_root_certificates(roots)
        .with_no_client_auth())
}
