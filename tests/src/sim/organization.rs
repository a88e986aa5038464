//! The organization of a run: its keys, its charter, its catalogue. All of it follows from constants, so that every
//! signature, and with it every digest, is the same in every run of a seed.
//!
//! Ed25519 throughout, because ECDSA signatures are random. `papers/` holds a device authority and the boxes' certificate
//! requests, made once by `openssl genpkey -algorithm ed25519`, `openssl req -x509` and `openssl req -new`.

use std::{collections::BTreeSet, time::Duration};

use control_plane::{
    ca::CertificateAuthority,
    core::{chain, ports::CertificateIssuer},
};
use proto::{
    charter::{CHARTER_LIFETIME_MAX, Charter, OrganizationKeys, Quorum},
    digest::Digest,
    field::BadField,
    identity::SpiffeId,
    keys::{PublicKey, SecretKey},
    time::Millis,
};
use runbooks::{Action, Catalogue, Runbook, Step};

/// Its trust domain.
pub(super) const NAME: &str = "msp.example";
/// How many boxes have papers.
pub(super) const BOXES: usize = 3;

const AUTHORITY: &str = include_str!("papers/authority.pem");
const AUTHORITY_KEY: &str = include_str!("papers/authority.key.pem");
const REQUESTS: [&str; BOXES] = [
    include_str!("papers/box-1.csr.pem"),
    include_str!("papers/box-2.csr.pem"),
    include_str!("papers/box-3.csr.pem"),
];

fn key(number: u8) -> SecretKey {
    SecretKey::ed25519([number; 32])
}

fn publics(numbers: [u8; 3]) -> BTreeSet<PublicKey> {
    numbers.into_iter().map(|number| key(number).public()).collect()
}

/// Signs orders.
pub(super) fn order_key() -> SecretKey {
    key(1)
}

/// Signs checkpoints.
pub(super) fn log_key() -> SecretKey {
    key(2)
}

/// What everybody pins.
pub(super) fn trust() -> OrganizationKeys {
    OrganizationKeys { organization: NAME.to_owned(), threshold: 2, keys: publics([10, 11, 12]) }
}

/// A charter with its signatures.
pub(super) fn charter(serial: u64, issued: Millis) -> Vec<u8> {
    let charter = Charter {
        organization: NAME.to_owned(),
        serial,
        issued,
        not_after: issued.plus(CHARTER_LIFETIME_MAX),
        order_keys: [order_key().public()].into(),
        log_keys: [log_key().public()].into(),
        release_keys: Quorum { threshold: 2, keys: publics([20, 21, 22]) },
        certificate_authorities: vec![AUTHORITY.to_owned()],
        witnesses: Vec::new(),
        witness_quorum: None,
        approvers: Vec::new(),
    };
    charter.seal(&[&key(10), &key(12)])
}

/// A catalogue with its signatures: the one that ships, at a faster pace, and with a runbook of two steps in it.
pub(super) fn catalogue(version: u64, issued: Millis) -> anyhow::Result<Vec<u8>> {
    let runbooks = runbooks::sources()
        .iter()
        .map(|(name, text)| Ok(hastened(runbooks::from_yaml(text, name)?)))
        .collect::<anyhow::Result<_>>()?;
    let payload = Catalogue::build(version, issued, issued.plus(Duration::from_secs(30 * 86_400)), runbooks)?;
    Ok(Catalogue::seal(&payload, &[&key(20), &key(21)]))
}

fn hastened(mut runbook: Runbook) -> Runbook {
    runbook.cooldown_seconds /= 10;
    runbook.timeout_seconds = runbook.timeout_seconds.min(600);
    if let [Step { action: Action::ResticBackup, target }] = &runbook.steps[..] {
        runbook.steps.push(Action::ResticTestRestore.on(target));
    }
    runbook
}

/// The certificate request of a box, DER.
pub(super) fn request(number: usize) -> anyhow::Result<Vec<u8>> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(REQUESTS[number].as_bytes())?;
    Ok(pem.contents)
}

/// The device authority, with serial numbers that follow from the request.
pub(super) struct Issuer(CertificateAuthority);

impl Issuer {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self(CertificateAuthority::load(AUTHORITY, AUTHORITY_KEY)?))
    }
}

impl CertificateIssuer for Issuer {
    fn check(&self, named: &[String]) -> Result<(), BadField> {
        match named.iter().any(|pem| pem == AUTHORITY) {
            true => Ok(()),
            false => Err(BadField::new("certificate_authorities", "must name this one")),
        }
    }

    fn issue(&self, csr: &[u8], id: &SpiffeId, _: &[String], now: Millis) -> Result<Vec<u8>, BadField> {
        let mut serial = [0; 16];
        serial.copy_from_slice(&Digest::of(csr).0[..16]);
        self.0.issue_appliance(csr, id, now, serial).map_err(|error| BadField::new("csr", chain(&error)))
    }

    fn in_force(&self, _: &[String]) {}
}
