//! The device authorities of a world: the product's own, with serial numbers that are always the same.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use control_plane::{
    authorities::{Authorities, AuthorityError},
    ca::CertificateAuthority,
    core::{chain, ports::CertificateIssuer},
};
use proto::{field::BadField, identity::SpiffeId, time::Millis};

#[derive(Clone)]
pub struct Issuer {
    pub authorities: Arc<Authorities>,
    serial: Arc<AtomicU64>,
}

impl Issuer {
    /// Of these, the newest first, under a charter that names `all`.
    pub fn of(here: Vec<Arc<CertificateAuthority>>, all: &[String]) -> Self {
        Self { authorities: Authorities::of(here, all).unwrap(), serial: Arc::new(AtomicU64::new(1)) }
    }
}

fn bad(error: AuthorityError) -> BadField {
    BadField::new("certificate_authorities", chain(&error))
}

impl CertificateIssuer for Issuer {
    fn check(&self, named: &[String]) -> Result<(), BadField> {
        self.authorities.under(named).map(drop).map_err(bad)
    }

    fn issue(&self, csr: &[u8], id: &SpiffeId, named: &[String], now: Millis) -> Result<Vec<u8>, BadField> {
        let mut serial = [0; 16];
        serial[8..].copy_from_slice(&self.serial.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let issues = &self.authorities.under(named).map_err(bad)?.issues;
        issues.issue_appliance(csr, id, now, serial).map_err(|e| BadField::new("csr", chain(&e)))
    }

    fn in_force(&self, named: &[String]) {
        self.authorities.go_by(named).unwrap();
    }
}
