//! What the people's listener shows: a certificate that browsers believe to whoever calls it by a name that is in it, and
//! one of our own authority to everybody else, the command line among them.
//!
//! The rule: a certificate that does not read, or whose key does not fit, is never shown: the one before stays.

pub mod acme;
pub mod files;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use proto::time::Millis;
use rustls::{
    client::verify_server_name,
    crypto::aws_lc_rs,
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::tls::{ServerIdentity, TlsError};

/// The protocol by which an ACME server asks whether a name is ours (RFC 8737).
pub(super) const ACME_ALPN: &[u8] = b"acme-tls/1";

/// A chain and its key that belong together.
pub struct Given {
    key: Arc<CertifiedKey>,
    /// From when on it holds.
    pub not_before: Millis,
    /// Until when.
    pub not_after: Millis,
}

impl Given {
    /// Reads a chain, the server's own certificate first, and its key; both PEM.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|_| TlsError::Given)?;
        let leaf = chain.first().ok_or(TlsError::Given)?;
        ParsedCertificate::try_from(leaf).map_err(TlsError::Setup)?;
        let (_, facts) = X509Certificate::from_der(leaf).map_err(|_| TlsError::Given)?;
        let at = |seconds: i64| Millis(seconds.saturating_mul(1000));
        let validity = facts.validity();
        let (not_before, not_after) =
            (at(validity.not_before.timestamp()), at(validity.not_after.timestamp()));
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::GivenKey)?;
        let key =
            CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(TlsError::Setup)?;
        Ok(Self { key: Arc::new(key), not_before, not_after })
    }

    /// Whether it is good for a name.
    fn is_for(&self, name: &str) -> bool {
        let Ok(name) = ServerName::try_from(name) else { return false };
        let leaf = self.key.end_entity_cert().ok().and_then(|leaf| ParsedCertificate::try_from(leaf).ok());
        leaf.is_some_and(|leaf| verify_server_name(&leaf, &name).is_ok())
    }
}

/// Decides what is shown to whom.
pub struct PeopleCertificate {
    own: Arc<ServerIdentity>,
    given: RwLock<Option<Arc<Given>>>,
    /// What an ACME server is shown that asks whether a name is ours.
    answers: Mutex<BTreeMap<String, Arc<CertifiedKey>>>,
}

impl PeopleCertificate {
    /// Our own, until there is another.
    #[must_use]
    pub fn new(own: Arc<ServerIdentity>) -> Arc<Self> {
        Arc::new(Self { own, given: RwLock::default(), answers: Mutex::default() })
    }

    /// From now on shows this one.
    pub fn show(&self, given: Given) {
        *self.given.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(given));
    }

    /// When the one that is shown under its names ends; `None`: there is none but our own.
    #[must_use]
    pub fn not_after(&self) -> Option<Millis> {
        self.given().map(|given| given.not_after)
    }

    fn given(&self) -> Option<Arc<Given>> {
        self.given.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answers(&self) -> MutexGuard<'_, BTreeMap<String, Arc<CertifiedKey>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for PeopleCertificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Nobody else asks so, and it is shown nothing else (RFC 8737 section 3).
        if hello.alpn().is_some_and(|mut protocols| protocols.any(|protocol| protocol == ACME_ALPN)) {
            return hello.server_name().and_then(|name| self.answers().get(name).cloned());
        }
        let given = self.given().filter(|given| hello.server_name().is_some_and(|name| given.is_for(name)));
        match given {
            Some(given) => Some(given.key.clone()),
            None => self.own.resolve(hello),
        }
    }
}

impl fmt::Debug for PeopleCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeopleCertificate").finish_non_exhaustive()
    }
}
