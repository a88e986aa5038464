//! Who is in the crowd: appliances that were enrolled by the control plane's own core, ten at each clinic.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use control_plane::{core::Core, directory::Directory};
use proto::{
    digest::Digest,
    enrolment::Enrolment,
    identity::{CertificateFacts, KeyProof, KeyProtection},
    ids::{ApplianceId, Incarnation, TenantId},
    keys::SecretKey,
    pb,
};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use serde::{Deserialize, Serialize};

use crate::{bench::intake::core, clock};

/// Appliances of one clinic.
const OF_ONE: usize = 10;
const SITE: &str = "box";

/// The crowd.
#[derive(Serialize, Deserialize)]
pub(in crate::bench) struct Members {
    /// The certificate of who enrolled them, PEM.
    pub(super) authority: String,
    pub(super) all: Vec<Member>,
}

/// One of them.
#[derive(Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) tenant: TenantId,
    pub(super) appliance: ApplianceId,
    pub(super) incarnation: Incarnation,
    /// PEM.
    pub(super) key: String,
    /// DER, in hexadecimal.
    pub(super) certificate: String,
    /// Where it calls from: a clinic has one address.
    pub(super) source: Ipv4Addr,
}

/// The key of everybody's evidence: what it costs to verify does not depend on whose it is.
pub(super) fn evidence_key() -> SecretKey {
    SecretKey::ed25519([7; 32])
}

/// Enrols `count` appliances at the control plane in `dir`, which does not run.
pub(in crate::bench) fn enrol(dir: &Path, count: usize) -> Result<Members> {
    let mut core = core(dir)?;
    let authority = std::fs::read_to_string(Directory::new(dir).ca_certificate())?;
    let keys: Vec<KeyPair> = (0..count)
        .map(|_| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256))
        .collect::<Result<_, _>>()
        .context("cannot make TLS keys")?;
    let now = clock::now();
    core.begin()?;
    let mut all = Vec::with_capacity(count);
    for (number, keys) in keys.chunks(OF_ONE).enumerate() {
        all.extend(clinic(&mut core, number, keys)?);
    }
    core.commit(now)?;
    Ok(Members { authority, all })
}

fn clinic(core: &mut Core, number: usize, keys: &[KeyPair]) -> Result<Vec<Member>> {
    let (now, name) = (clock::now(), format!("clinic-{number}"));
    let hour = Duration::from_secs(3600);
    let tokens: Vec<String> = core.attempt(|core| {
        core.create_tenant(&name, now)?;
        core.create_site(&name, SITE, now)?;
        keys.iter().map(|_| Ok(core.issue_enrolment_token(&name, SITE, hour, now)?.secret)).collect()
    })?;
    let first = number * OF_ONE;
    let asked: Vec<Enrolment> = (first..)
        .zip(keys.iter().zip(tokens))
        .map(|(number, (key, token))| request(number, key, token))
        .collect::<Result<_>>()?;
    let welcomes: Vec<_> =
        core.attempt(|core| asked.iter().map(|asked| core.enroll(asked, now)).collect())?;
    let [_, _, high, low] = u32::try_from(number)?.to_be_bytes();
    let all = asked.iter().zip(keys).zip(welcomes).map(|((asked, key), welcome)| {
        let name = CertificateFacts::read(&welcome.certificate)?.spiffe;
        Ok(Member {
            tenant: name.tenant,
            appliance: name.appliance,
            incarnation: asked.proof.incarnation,
            key: key.serialize_pem(),
            certificate: hex::encode(&welcome.certificate),
            source: Ipv4Addr::new(127, 1, high, low.max(1)),
        })
    });
    all.collect()
}

fn request(number: usize, key: &KeyPair, token: String) -> Result<Enrolment> {
    let executor = evidence_key();
    let mut incarnation = [6; 16];
    incarnation[8..].copy_from_slice(&(number as u64).to_be_bytes());
    let proof = KeyProof {
        incarnation: Incarnation(incarnation),
        evidence_key: executor.public(),
        protection: KeyProtection::File,
        tls_spki: Digest::of(&key.subject_public_key_info()),
        challenge: Digest::of(token.as_bytes()),
    };
    let csr = CertificateParams::default().serialize_request(key)?.der().to_vec();
    let asked = pb::EnrollRequest { token, csr, key_proof: proof.seal(&executor), hardware: String::new() };
    Ok(asked.try_into()?)
}
