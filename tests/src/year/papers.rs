//! Whose keys they are: charters, catalogue, and the appliances' certificates.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;
use appliance::agent::credentials::{Folder, TlsKey};
use control_plane::{
    bundle::{Enrolled, Place},
    ca::CertificateAuthority,
};
use proto::{
    charter::{CHARTER_LIFETIME_MAX, Charter, OrganizationKeys, Quorum},
    digest::Digest,
    identity::{KeyProof, KeyProtection, SpiffeId},
    ids::{ApplianceId, Incarnation, TenantId},
    keys::SecretKey,
    log::{Cosigner, SignedCheckpoint, WitnessKey, log_origin},
    time::Millis,
};
use runbooks::Catalogue;

/// Its trust domain.
pub(super) const ORGANIZATION: &str = "msp.example";
/// January 1, 2025.
pub(super) const BEGIN: Millis = Millis(1_735_689_600_000);
/// A charter is made anew before it ends.
const RENEWED: Duration = Duration::from_secs(170 * 24 * 3600);

/// Outside witnesses, and the numbers of their keys.
const WITNESSES: [(&str, u8); 2] = [("witness.auditor.example/w1", 20), ("zeuge.example/w2", 21)];

/// One box's.
pub(super) struct Box {
    pub(super) appliance: ApplianceId,
    pub(super) incarnation: Incarnation,
    pub(super) key: SecretKey,
    pub(super) spki: Digest,
    pub(super) enrolled: Enrolled,
}

/// All of them.
pub(super) struct Papers {
    pub(super) tenant: TenantId,
    pub(super) order_key: SecretKey,
    pub(super) log_key: SecretKey,
    pub(super) catalogue: Catalogue,
    pub(super) boxes: Vec<Box>,
    catalogue_envelope: Vec<u8>,
    charters: Vec<Vec<u8>>,
}

fn key(number: u8) -> SecretKey {
    SecretKey::ed25519([number; 32])
}

fn witnesses() -> Vec<WitnessKey> {
    let one = |(name, number): (&str, u8)| WitnessKey::new(name, &key(number).public());
    WITNESSES.into_iter().map(one).collect::<Result<_, _>>().expect("names and keys that cosign")
}

/// The charter in force at `at`.
pub(super) fn charter_at(at: Millis) -> u64 {
    1 + at.since(BEGIN).as_secs() / RENEWED.as_secs()
}

impl Papers {
    /// Makes them; TLS keys go through `work`, which is gone afterwards.
    pub(super) fn make(work: &Path, appliances: usize) -> Result<Self> {
        let authority = CertificateAuthority::create(ORGANIZATION, BEGIN, [7; 16])?;
        let (order_key, log_key, release) = (key(1), key(2), [key(3), key(4), key(5)]);
        let charters = (1..=3).map(|serial: u32| {
            let issued = BEGIN.plus(RENEWED * (serial - 1));
            let charter = Charter {
                organization: ORGANIZATION.to_owned(),
                serial: serial.into(),
                issued,
                not_after: issued.plus(CHARTER_LIFETIME_MAX),
                order_keys: [order_key.public()].into(),
                log_keys: [log_key.public()].into(),
                release_keys: Quorum { threshold: 2, keys: release.iter().map(SecretKey::public).collect() },
                certificate_authorities: vec![authority.certificate_pem().to_owned()],
                witnesses: witnesses().iter().map(ToString::to_string).collect(),
                witness_quorum: None,
                approvers: Vec::new(),
            };
            charter.seal(&[&key(10), &key(12)])
        });
        let charters = charters.collect();
        let runbooks = runbooks::sources()
            .iter()
            .map(|(name, text)| runbooks::from_yaml(text, name))
            .collect::<Result<_, _>>()?;
        let payload = Catalogue::build(1, BEGIN, BEGIN.plus(RENEWED * 4), runbooks)?;
        let tenant = TenantId::new(BEGIN, [1; 10]);
        let boxes = (0..appliances).map(|n| {
            let folder = work.join(n.to_string());
            fs::create_dir_all(&folder)?;
            one(u8::try_from(n)?, tenant, &authority, &TlsKey::load_or_make(&Folder::at(folder))?)
        });
        let boxes = boxes.collect::<Result<_>>()?;
        fs::remove_dir_all(work)?;
        Ok(Self {
            tenant,
            order_key,
            log_key,
            catalogue: Catalogue::parse(&payload)?,
            boxes,
            catalogue_envelope: Catalogue::seal(&payload, &[&release[0], &release[1]]),
            charters,
        })
    }

    /// Who watches the log.
    pub(super) fn witnesses(&self) -> Vec<WitnessKey> {
        witnesses()
    }

    /// A checkpoint with one witness's word under it.
    pub(super) fn cosigned(
        &self,
        witness: usize,
        checkpoint: &SignedCheckpoint,
        at: Millis,
    ) -> Result<SignedCheckpoint> {
        let (name, number) = WITNESSES[witness];
        let line = Cosigner::new(name, &key(number))?.cosign(checkpoint, at)?;
        Ok(checkpoint.with(&[line])?)
    }

    /// The log's name.
    pub(super) fn origin(&self) -> String {
        log_origin(ORGANIZATION, self.tenant)
    }

    /// What an auditor has from elsewhere.
    pub(super) fn trust(&self) -> OrganizationKeys {
        let keys = [10, 11, 12].map(|number| key(number).public()).into();
        OrganizationKeys { organization: ORGANIZATION.to_owned(), threshold: 2, keys }
    }

    /// As files of a bundle.
    pub(super) fn files(&self) -> Vec<(Place, Vec<u8>)> {
        let hipaa = baseline::HIPAA_V1.as_bytes();
        let mut files = vec![
            (Place::Catalogue(1), self.catalogue_envelope.clone()),
            (Place::SecurityRule, baseline::rule::CSV.as_bytes().to_vec()),
            (Place::Baseline(Digest::of(hipaa)), hipaa.to_vec()),
        ];
        files.extend((1..).map(Place::Charter).zip(self.charters.iter().cloned()));
        let papers = self.boxes.iter().map(|one| &one.enrolled);
        files.extend(papers.map(|one| (Place::Appliance(one.appliance, one.incarnation), one.encode())));
        files
    }
}

fn one(n: u8, tenant: TenantId, authority: &CertificateAuthority, tls: &TlsKey) -> Result<Box> {
    let appliance = ApplianceId::new(BEGIN, [n; 10]);
    let (incarnation, key) = (Incarnation([n; 16]), key(100 + n));
    let spiffe = SpiffeId { trust_domain: ORGANIZATION.to_owned(), tenant, appliance };
    let certificate = authority.issue_appliance(&tls.request()?, &spiffe, BEGIN, [n; 16])?;
    let proof = KeyProof {
        incarnation,
        evidence_key: key.public(),
        protection: KeyProtection::File,
        tls_spki: tls.spki(),
        challenge: Digest::of(b"token"),
    };
    let enrolled = Enrolled { appliance, incarnation, certificate, key_proof: proof.seal(&key) };
    Ok(Box { appliance, incarnation, key, spki: tls.spki(), enrolled })
}
