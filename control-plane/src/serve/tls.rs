//! TLS for both listeners: version 1.3 alone, our own certificate in memory, and who may knock as an appliance.
//!
//! The rule: an appliance's certificate must come from our authority and name exactly one appliance; one that expired
//! within the grace is let in as of its last second, because it may still call Renew. Whether its key is enrolled, and
//! what it may call, is for the admission behind this: no certificate here is a permission.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use proto::{
    identity::{CertificateFacts, Standing, standing},
    time::Millis,
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    time_provider::TimeProvider,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _};

use super::certificate::ACME_ALPN;
use crate::{
    authorities::{Authorities, Named},
    ca::{CaError, SERVER_LIFETIME},
};

/// A clock that listeners share.
pub type Now = Arc<dyn Fn() -> Millis + Send + Sync>;
/// A source of random bytes that listeners share.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// How old the server's certificate gets.
const RENEW_EVERY: Duration = Duration::from_secs(24 * 3600);
/// How soon a renewal that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate for the server.
    #[error("cannot make the server's certificate")]
    Certificate(#[source] CaError),
    /// A certificate authority that is none.
    #[error("certificate authority must be a certificate in PEM")]
    Authority,
    /// A server's certificate that is none.
    #[error("certificate must be one or more certificates in PEM, the server's own first")]
    Given,
    /// A key that is none.
    #[error("key must be a private key in PEM")]
    GivenKey,
    /// The library refused the authorities.
    #[error("cannot verify against the certificate authorities")]
    Verifier(#[source] VerifierBuilderError),
    /// The library refused the settings.
    #[error("cannot set up TLS")]
    Setup(#[source] Error),
}

/// For appliances: gRPC over HTTP/2; a certificate of one of the authorities that count is asked for, not demanded.
pub fn appliances(
    authorities: Arc<Authorities>,
    identity: Arc<ServerIdentity>,
    now: Now,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = versions(provider, now)?
        .with_client_cert_verifier(Arc::new(ApplianceVerifier::new(authorities)?))
        .with_cert_resolver(identity);
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would carry over what was verified days ago.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// For people: HTTP/2 and HTTP/1.1, no client certificates.
pub fn people(identity: Arc<dyn ResolvesServerCert>, now: Now) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = versions(provider, now)?.with_no_client_auth().with_cert_resolver(identity);
    // The last is spoken by ACME servers alone, which are shown a certificate and say nothing.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), ACME_ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// For anybody, under a certificate that somebody else made: the chain and its key, PEM. HTTP/2 and HTTP/1.1.
pub fn given(chain: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .ok()
        .filter(|chain: &Vec<_>| !chain.is_empty())
        .ok_or(TlsError::Given)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::GivenKey)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Setup)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn versions(
    provider: Arc<CryptoProvider>,
    now: Now,
) -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, TlsError> {
    ServerConfig::builder_with_details(provider, Arc::new(Clock(now)))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Setup)
}

struct Clock(Now);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let ms = u64::try_from((self.0)().0).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(ms)))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Verifies an appliance's certificate: chain and use by webpki, age by [`standing`], name by [`CertificateFacts`].
#[derive(Debug)]
struct ApplianceVerifier {
    authorities: Arc<Authorities>,
    /// The verifier of those that counted last.
    last: Mutex<(Arc<Named>, Arc<dyn ClientCertVerifier>)>,
}

impl ApplianceVerifier {
    fn new(authorities: Arc<Authorities>) -> Result<Self, TlsError> {
        let named = authorities.named();
        let chain = chain_of(&named)?;
        Ok(Self { authorities, last: Mutex::new((named, chain)) })
    }

    /// By the authorities that count now.
    fn chain(&self) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        let named = self.authorities.named();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&last.0, &named) {
            let chain = chain_of(&named).map_err(|error| Error::General(error.to_string()))?;
            *last = (named, chain);
        }
        Ok(last.1.clone())
    }
}

fn chain_of(named: &Named) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for pem in &named.all {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| TlsError::Authority)?;
        roots.add(der).map_err(|_| TlsError::Authority)?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(TlsError::Verifier)
}

impl ClientCertVerifier for ApplianceVerifier {
    fn client_auth_mandatory(&self) -> bool {
        // Enroll comes without one.
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // A box has one certificate: there is nothing to choose.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let facts = CertificateFacts::read(end_entity)
            .map_err(|bad| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(bad)))))?;
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let judged_at =
            match standing(facts.not_before, facts.not_after, Millis(seconds.saturating_mul(1000))) {
                Standing::Valid => now,
                Standing::RenewOnly => last_second(facts.not_after),
                Standing::Refused if seconds.saturating_mul(1000) < facts.not_before.0 => {
                    return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
                }
                Standing::Refused => return Err(Error::InvalidCertificate(CertificateError::Expired)),
            };
        self.chain()?.verify_client_cert(end_entity, intermediates, judged_at)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain()?.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn last_second(not_after: Millis) -> UnixTime {
    let ms = u64::try_from(not_after.minus(Duration::from_secs(1)).0).unwrap_or(0);
    UnixTime::since_unix_epoch(Duration::from_millis(ms))
}

/// The server's own certificate: made when the server starts, made anew once a day, never on disk.
pub struct ServerIdentity {
    authorities: Arc<Authorities>,
    names: Vec<String>,
    now: Now,
    random: Random,
    current: Mutex<Current>,
}

struct Current {
    key: Arc<CertifiedKey>,
    /// Those that counted when it was made.
    named: Arc<Named>,
    made: Millis,
    renew_at: Millis,
}

impl ServerIdentity {
    /// A certificate for `names` (host names and IP addresses).
    pub fn new(
        authorities: Arc<Authorities>,
        names: Vec<String>,
        now: Now,
        random: Random,
    ) -> Result<Arc<Self>, TlsError> {
        let (made, named) = (now(), authorities.named());
        let key = issue(&named, &names, made, &random)?;
        let current = Mutex::new(Current { key, named, made, renew_at: made.plus(RENEW_EVERY) });
        Ok(Arc::new(Self { authorities, names, now, random, current }))
    }

    /// When the certificate that is shown now ends.
    #[must_use]
    pub fn not_after(&self) -> Millis {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).made.plus(SERVER_LIFETIME)
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let (now, named) = ((self.now)(), self.authorities.named());
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Also when the clock was set back: the certificate would lie in the future.
        let counts = Arc::ptr_eq(&current.named, &named);
        if now >= current.renew_at || now < current.made || !counts {
            match issue(&named, &self.names, now, &self.random) {
                Ok(key) => *current = Current { key, named, made: now, renew_at: now.plus(RENEW_EVERY) },
                Err(error) => {
                    tracing::error!(%error, "cannot renew the server's certificate; the old one is kept");
                    (current.named, current.renew_at) = (named, now.plus(RETRY_AFTER));
                }
            }
        }
        current.key.clone()
    }
}

/// By the oldest authority, which every box knows; by the newest once that one is at its end.
fn issue(
    named: &Named,
    names: &[String],
    now: Millis,
    random: &Random,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let mut serial = [0; 16];
    random(&mut serial);
    let made = match named.vouches.issue_server(names, now, serial) {
        Err(CaError::Ended { .. }) => named.issues.issue_server(names, now, serial),
        made => made,
    };
    let made = made.map_err(TlsError::Certificate)?;
    let key = aws_lc_rs::sign::any_supported_type(&made.key).map_err(TlsError::Setup)?;
    Ok(Arc::new(CertifiedKey::new(vec![made.certificate], key)))
}

impl ResolvesServerCert for ServerIdentity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerIdentity").field("names", &self.names).finish_non_exhaustive()
    }
}
