//! A clock that a test turns, a server's certificate under it, and a client's trust in that.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use control_plane::{
    authorities::Authorities,
    ca::CertificateAuthority,
    serve::tls::{self, ServerIdentity},
};
use proto::time::Millis;
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, SupportedProtocolVersion, client::WantsClientCert,
    crypto::aws_lc_rs, time_provider::TimeProvider,
};
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject as _};

/// A clock that a test turns.
#[derive(Debug, Clone)]
pub struct Clock(Arc<AtomicI64>);

impl Clock {
    pub fn at(now: Millis) -> Self {
        let clock = Self(Arc::default());
        clock.set(now);
        clock
    }

    pub fn set(&self, now: Millis) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    pub fn shared(&self) -> tls::Now {
        let clock = self.clone();
        Arc::new(move || Millis(clock.0.load(Ordering::SeqCst)))
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.load(Ordering::SeqCst) as u64)))
    }
}

pub fn identity(authorities: &Arc<Authorities>, clock: &Clock) -> Arc<ServerIdentity> {
    let random: tls::Random = Arc::new(control_plane::clock::random);
    let names = vec!["127.0.0.1".to_owned()];
    ServerIdentity::new(authorities.clone(), names, clock.shared(), random).unwrap()
}

/// A client's settings up to the question of its own certificate.
pub fn trusting(
    versions: &[&'static SupportedProtocolVersion],
    authority: &CertificateAuthority,
    clock: &Clock,
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap()).unwrap();
    ClientConfig::builder_with_details(Arc::new(aws_lc_rs::default_provider()), Arc::new(clock.clone()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
}
