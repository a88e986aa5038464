//! A certificate by ACME (RFC 8555): asked for, proven by TLS-ALPN-01 (RFC 8737) at the people's listener itself, kept, and
//! asked for anew when two thirds of its life are over.
//!
//! The rule: what was got is on the disk before it is shown, and a server that is started again shows it at once. While an
//! authority does not answer, or says no, what there is stays; it is asked again, each time later.

use std::{
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use instant_acme::{
    Account, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, HttpClient, Identifier,
    NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use proto::{digest::Digest, time::Millis};
use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use tokio::time::timeout;

use super::{
    super::{listener::Stop, rounds::Rounds},
    Given, PeopleCertificate,
};
use crate::{
    config::Acme,
    files::{self, Access},
};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// All of one order: the authority looks at us meanwhile.
const ORDER_WITHIN: Duration = Duration::from_secs(180);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const ANSWER_MAX: usize = 1 << 20;
const FILE_MAX: u64 = 1 << 20;
/// How long after a failure it is tried again; four times as long each time. Authorities count failures, by the hour.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_MOST: Duration = Duration::from_secs(6 * 3600);

/// What is kept of one authority, in a folder of its own: another's account and certificate are not taken for it.
struct Kept(PathBuf);

impl Kept {
    fn of(directory: &str, folder: &Path) -> Self {
        Self(folder.join(&Digest::of(directory.as_bytes()).to_string()[..16]))
    }

    fn account(&self) -> PathBuf {
        self.0.join("account.json")
    }

    /// Chain and key in one file: they change together, or not at all.
    fn certificate(&self) -> PathBuf {
        self.0.join("people.pem")
    }

    fn given(&self) -> Result<Given> {
        let both = files::read_secret(&self.certificate(), FILE_MAX)?;
        Ok(Given::read(both.as_bytes(), both.as_bytes())?)
    }
}

/// When the next one is asked for.
fn due(not_before: Millis, not_after: Millis) -> Millis {
    not_before.plus(not_after.since(not_before) * 2 / 3)
}

/// The same of one that was kept; where it lacks a name, which somebody has added since, that is now.
fn due_for(kept: &Given, names: &[String], now: Millis) -> Millis {
    match names.iter().all(|name| kept.is_for(name)) {
        true => due(kept.not_before, kept.not_after),
        false => now,
    }
}

/// How long to wait after so many failures in a row.
fn patience(failures: u32) -> Duration {
    AGAIN.saturating_mul(1 << (2 * failures.saturating_sub(1)).min(20)).min(AGAIN_MOST)
}

/// Keeps a certificate in `folder` and shows it, until `stopped`.
pub async fn keep(
    certificate: Arc<PeopleCertificate>,
    acme: Acme,
    folder: PathBuf,
    clock: fn() -> Millis,
    stopped: Stop,
) {
    let kept = Kept::of(&acme.directory, &folder);
    let mut next = clock();
    if kept.certificate().exists() {
        match kept.given() {
            Ok(given) => {
                next = due_for(&given, &acme.names, next);
                certificate.show(given);
            }
            Err(error) => tracing::error!("the certificate that was kept cannot be shown: {error:#}"),
        }
    }
    let mut failures = 0;
    let mut rounds = Rounds::every(LOOK_EVERY, stopped);
    while rounds.next().await {
        if clock() < next {
            continue;
        }
        let asked = async {
            timeout(ORDER_WITHIN, order(&certificate, &acme, &kept))
                .await
                .unwrap_or_else(|_| bail!("it took longer than {} s", ORDER_WITHIN.as_secs()))
        };
        let Some(got) = rounds.unless_stopped(asked).await else { return };
        certificate.answers().clear();
        match got {
            Ok(given) => {
                failures = 0;
                next = due(given.not_before, given.not_after);
                tracing::info!(until = %given.not_after, "a certificate for {}", acme.names.join(", "));
                certificate.show(given);
            }
            Err(error) => {
                failures += 1;
                next = clock().plus(patience(failures));
                tracing::error!(again = %next, "no certificate by ACME: {error:#}");
            }
        }
    }
}

async fn order(certificate: &PeopleCertificate, acme: &Acme, kept: &Kept) -> Result<Given> {
    let account = account(acme, kept).await?;
    let names: Vec<Identifier> = acme.names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await.context("a new order")?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.context("an authorization")?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
        let mut challenge = challenge.context("the authority does not offer TLS-ALPN-01")?;
        let Identifier::Dns(name) = challenge.identifier().identifier.clone() else {
            bail!("an authorization for something else than a name");
        };
        let digest = challenge.key_authorization().digest().as_ref().to_vec();
        certificate.answers().insert(name.clone(), Arc::new(proof(&name, &digest)?));
        challenge.set_ready().await.context("a challenge")?;
    }
    let patience = RetryPolicy::new().timeout(ORDER_WITHIN);
    let status = order.poll_ready(&patience).await.context("the order")?;
    if status != OrderStatus::Ready {
        let problem = order.state().error.as_ref().map(ToString::to_string).unwrap_or_default();
        bail!("the authority did not find that the names are ours ({status:?}) {problem}");
    }
    let key = order.finalize().await.context("the request for the certificate")?;
    let chain = order.poll_certificate(&patience).await.context("the certificate")?;
    let given = Given::read(chain.as_bytes(), key.as_bytes())?;
    files::create_folder(&kept.0)?;
    files::replace(&kept.certificate(), format!("{chain}\n{key}").as_bytes(), Access::Secret)?;
    Ok(given)
}

/// The account of before, or a new one.
async fn account(acme: &Acme, kept: &Kept) -> Result<Account> {
    let builder = Account::builder_with_http(Box::new(Web::new(acme.authority.as_deref())?));
    let path = kept.account();
    if path.exists() {
        let text = files::read_secret(&path, FILE_MAX)?;
        let credentials = serde_json::from_str(&text).context("the ACME account that was kept")?;
        return builder.from_credentials(credentials).await.context("the ACME account");
    }
    let contact = acme.contact.as_ref().map(|address| format!("mailto:{address}"));
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) =
        builder.create(&new, acme.directory.clone(), None).await.context("a new ACME account")?;
    files::create_folder(&kept.0)?;
    files::replace(&path, serde_json::to_string(&credentials)?.as_bytes(), Access::Secret)?;
    Ok(account)
}

/// What the authority is shown when it asks for a name (RFC 8737 section 3).
fn proof(name: &str, digest: &[u8]) -> Result<CertifiedKey> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let secret = aws_lc_rs::sign::any_supported_type(&secret)?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], secret))
}

/// HTTPS as everything else here speaks it: bounded in time and size.
struct Web(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl Web {
    fn new(authority: Option<&Path>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        match authority {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                for one in CertificateDer::pem_slice_iter(&files::read(path, FILE_MAX)?) {
                    roots.add(one.context("certificate.authority must be certificates in PEM")?)?;
                }
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector.build())))
    }
}

impl HttpClient for Web {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let answer = self.0.request(request);
        Box::pin(async move {
            let other = |error: Box<dyn std::error::Error + Send + Sync>| instant_acme::Error::Other(error);
            let read = async {
                let (parts, body) = answer.await.map_err(|error| other(error.into()))?.into_parts();
                let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(other)?.to_bytes();
                Ok(BytesResponse { parts, body: Box::new(body) })
            };
            timeout(ANSWER_WITHIN, read).await.unwrap_or_else(|late| Err(other(late.into())))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_while_a_third_of_its_life_is_left() {
        let day = Duration::from_secs(24 * 3600);
        let made = Millis(1_795_000_000_000);
        assert_eq!(due(made, made.plus(90 * day)), made.plus(60 * day));
        // One whose dates lie is asked for anew at once, not never.
        assert_eq!(due(made, made.minus(day)), made);
    }

    #[test]
    fn a_name_that_was_added_is_asked_for_at_once() {
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        let kept = Given::read(made.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let (now, due) = (Millis(1_795_000_000_000), due(kept.not_before, kept.not_after));
        let names = ["a.example", "b.example"].map(str::to_owned);
        assert_eq!((due_for(&kept, &names[..1], now), due_for(&kept, &names, now)), (due, now));
    }

    #[test]
    fn an_authority_is_asked_ever_more_seldom_and_never_given_up() {
        let waits: Vec<Duration> = (1..=30).map(patience).collect();
        assert!(waits.is_sorted() && waits[0] == AGAIN && waits[29] == AGAIN_MOST);
    }
}
