//! Who an appliance is: a SPIFFE ID in a certificate, enrolled keys, and the proof that both keys belong together.
//!
//! The server admits enrolled public keys, not merely valid certificates; [`standing`] is the one rule on a
//! certificate's age. SPIFFE X.509-SVID: exactly one URI SAN.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use x509_parser::{
    certificate::X509Certificate, certification_request::X509CertificationRequest, extensions::GeneralName,
    prelude::FromDer,
};

use crate::{
    digest::Digest,
    dsse::{self, EnvelopeError, Verified},
    field::BadField,
    ids::{ApplianceId, Incarnation, TenantId},
    keys::{PublicKey, SecretKey},
    time::Millis,
};

/// How long an appliance's certificate lasts.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long after its end a certificate may still ask for the next one.
pub const RENEWAL_GRACE: Duration = Duration::from_secs(30 * 24 * 3600);

/// `spiffe://<trust domain>/tenant/<uuid>/appliance/<uuid>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpiffeId {
    /// The organization.
    pub trust_domain: String,
    /// The clinic.
    pub tenant: TenantId,
    /// The box.
    pub appliance: ApplianceId,
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/tenant/{}/appliance/{}", self.trust_domain, self.tenant, self.appliance)
    }
}

impl FromStr for SpiffeId {
    type Err = BadField;
    fn from_str(text: &str) -> Result<Self, BadField> {
        let wrong =
            || BadField::new("spiffe", "must be spiffe://<trust domain>/tenant/<uuid>/appliance/<uuid>");
        let parts: Vec<&str> = text.strip_prefix("spiffe://").ok_or_else(wrong)?.split('/').collect();
        let [domain, "tenant", tenant, "appliance", appliance] = parts[..] else { return Err(wrong()) };
        Ok(Self {
            trust_domain: trust_domain("spiffe", domain).map_err(|_| wrong())?,
            tenant: tenant.parse().map_err(|_| wrong())?,
            appliance: appliance.parse().map_err(|_| wrong())?,
        })
    }
}

/// The longest trust domain (SPIFFE-ID section 2.1), in bytes.
const TRUST_DOMAIN_MAX: usize = 255;

/// A trust domain as SPIFFE spells it, or a complaint about `field`.
pub fn trust_domain(field: &str, text: &str) -> Result<String, BadField> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
    if text.is_empty() || text.len() > TRUST_DOMAIN_MAX || !text.bytes().all(plain) {
        let right = "must be a trust domain: 1 to 255 lower-case letters, digits, dots, hyphens, underscores";
        return Err(BadField::new(field, right));
    }
    Ok(text.to_owned())
}

/// What a certificate says, read but not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Its one URI SAN.
    pub spiffe: SpiffeId,
    /// SHA-256 of its SubjectPublicKeyInfo: what is enrolled.
    pub spki: Digest,
    /// Begin of its life.
    pub not_before: Millis,
    /// End of its life.
    pub not_after: Millis,
}

impl CertificateFacts {
    /// Reads a DER certificate.
    pub fn read(der: &[u8]) -> Result<Self, BadField> {
        let bad = |problem: &str| BadField::new("certificate", problem);
        let (rest, cert) = X509Certificate::from_der(der).map_err(|_| bad("is not DER X.509"))?;
        if !rest.is_empty() {
            return Err(bad("must be one certificate and nothing after it"));
        }
        let names =
            cert.subject_alternative_name().map_err(|_| bad("has a broken subject alternative name"))?;
        let uris: Vec<&str> = names
            .iter()
            .flat_map(|ext| &ext.value.general_names)
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            })
            .collect();
        let [uri] = uris[..] else { return Err(bad("must have exactly one URI SAN")) };
        if cert.is_ca() {
            return Err(bad("must not be a CA"));
        }
        Ok(Self {
            spiffe: uri.parse().map_err(|b: BadField| b.within("certificate"))?,
            spki: Digest::of(cert.public_key().raw),
            not_before: Millis(cert.validity().not_before.timestamp().saturating_mul(1000)),
            not_after: Millis(cert.validity().not_after.timestamp().saturating_mul(1000)),
        })
    }

    /// Reads a DER certificate and checks that one of `authorities` (PEM) signed it. Says nothing about its age.
    pub fn issued_by(der: &[u8], authorities: &[String]) -> Result<Self, BadField> {
        let bad = |problem: &str| BadField::new("certificate", problem);
        let facts = Self::read(der)?;
        let (_, cert) = X509Certificate::from_der(der).map_err(|_| bad("is not DER X.509"))?;
        for pem in authorities {
            let pem = one_pem(pem)?;
            let authority = pem.parse_x509().map_err(|_| not_pem())?;
            if authority.is_ca() && cert.verify_signature(Some(authority.public_key())).is_ok() {
                return Ok(facts);
            }
        }
        Err(bad("is not signed by the charter's certificate authority"))
    }
}

fn not_pem() -> BadField {
    BadField::new("certificate_authorities", "must be PEM certificates, one in each entry")
}

fn one_pem(text: &str) -> Result<x509_parser::pem::Pem, BadField> {
    let (rest, pem) = x509_parser::pem::parse_x509_pem(text.as_bytes()).map_err(|_| not_pem())?;
    if pem.label != "CERTIFICATE" || !rest.trim_ascii().is_empty() {
        return Err(not_pem());
    }
    Ok(pem)
}

/// Checks that `pem` is the certificate of an authority.
pub fn check_authority(pem: &str) -> Result<(), BadField> {
    let pem = one_pem(pem)?;
    if !pem.parse_x509().map_err(|_| not_pem())?.is_ca() {
        return Err(BadField::new(
            "certificate_authorities",
            "must be certificates of authorities (CA:TRUE)",
        ));
    }
    Ok(())
}

/// SHA-256 of a CSR's SubjectPublicKeyInfo, once the CSR's own signature proves possession (RFC 2986).
pub fn csr_spki(der: &[u8]) -> Result<Digest, BadField> {
    let bad = |problem: &str| BadField::new("csr", problem);
    let (rest, csr) =
        X509CertificationRequest::from_der(der).map_err(|_| bad("is not a DER PKCS#10 request"))?;
    if !rest.is_empty() {
        return Err(bad("must be one request and nothing after it"));
    }
    csr.verify_signature().map_err(|_| bad("is not signed by its own key"))?;
    Ok(Digest::of(csr.certification_request_info.subject_pki.raw))
}

/// What a certificate's age allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Any call.
    Valid,
    /// Expired at most 30 days ago: Renew and nothing else.
    RenewOnly,
    /// Nothing.
    Refused,
}

/// The rule on a certificate's age.
#[must_use]
pub fn standing(not_before: Millis, not_after: Millis, now: Millis) -> Standing {
    if now < not_before {
        Standing::Refused
    } else if now < not_after {
        Standing::Valid
    } else if now < not_after.plus(RENEWAL_GRACE) {
        Standing::RenewOnly
    } else {
        Standing::Refused
    }
}

/// When to renew: half-way through its life, spread by `jitter` (0..=65535) over a tenth of it, so that a fleet that
/// was enrolled in one afternoon does not come back in one minute.
#[must_use]
pub fn renew_at(not_before: Millis, not_after: Millis, jitter: u16) -> Millis {
    let life = not_after.since(not_before);
    not_before.plus(life / 2).plus(life / 10 * u32::from(jitter) / 65_536)
}

/// How a secret key is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyProtection {
    /// In a file, mode 0600.
    File,
    /// In a TPM; it cannot leave.
    Tpm,
}

impl fmt::Display for KeyProtection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Tpm => "tpm",
        })
    }
}

/// DSSE payload type of a key proof.
pub const KEY_PROOF_TYPE: &str = "application/vnd.orderly.key-proof.v1+json";

/// The executor's statement that TLS key, evidence key and incarnation belong together. Made for Enroll and Renew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyProof {
    /// The executor's state.
    pub incarnation: Incarnation,
    /// The key that signs this and all evidence.
    pub evidence_key: PublicKey,
    /// How that key is kept.
    pub protection: KeyProtection,
    /// SHA-256 of the TLS key's SubjectPublicKeyInfo.
    pub tls_spki: Digest,
    /// SHA-256 of what is answered: the token on Enroll, the CSR on Renew.
    pub challenge: Digest,
}

impl KeyProof {
    /// Signs with the evidence key.
    #[must_use]
    pub fn seal(&self, evidence_key: &SecretKey) -> Vec<u8> {
        dsse::seal(KEY_PROOF_TYPE, &serde_json::to_vec(self).expect("plain data serialises"), &[evidence_key])
    }

    /// Opens a proof whose key is not known yet: it must be signed by the key it names.
    pub fn open_self_signed(envelope: &[u8]) -> Result<Verified<Self>, KeyProofError> {
        let parsed = dsse::Envelope::parse(envelope).map_err(KeyProofError::Envelope)?;
        let claimed: Self = serde_json::from_slice(parsed.unverified_payload())
            .map_err(|e| KeyProofError::Malformed(e.to_string()))?;
        Self::open(envelope, &claimed.evidence_key)
    }

    /// Opens a proof by an enrolled evidence key.
    pub fn open(envelope: &[u8], evidence_key: &PublicKey) -> Result<Verified<Self>, KeyProofError> {
        dsse::open(envelope, KEY_PROOF_TYPE, [evidence_key], 1).map_err(KeyProofError::Envelope)?.parse(
            |bytes| serde_json::from_slice(&bytes).map_err(|e| KeyProofError::Malformed(e.to_string())),
        )
    }
}

/// Why a key proof was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyProofError {
    /// Not signed by the evidence key.
    #[error("key_proof is not signed by the evidence key")]
    Envelope(#[source] EnvelopeError),
    /// Signed, but not a proof.
    #[error("key_proof: {0}")]
    Malformed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn standing_by_age() {
        let (begin, end) = (Millis(0), Millis(0).plus(7 * DAY));
        for (now, expected) in [
            (Millis(-1), Standing::Refused),
            (begin, Standing::Valid),
            (Millis(end.0 - 1), Standing::Valid),
            (end, Standing::RenewOnly),
            (Millis(end.plus(30 * DAY).0 - 1), Standing::RenewOnly),
            (end.plus(30 * DAY), Standing::Refused),
        ] {
            assert_eq!(standing(begin, end, now), expected, "{now}");
        }
    }

    #[test]
    fn renewal_is_spread_after_half_life() {
        let (begin, end) = (Millis(0), Millis(0).plus(7 * DAY));
        let earliest = renew_at(begin, end, 0);
        let latest = renew_at(begin, end, u16::MAX);
        assert_eq!(earliest, begin.plus(7 * DAY / 2));
        assert!(latest > earliest.plus(DAY / 2) && latest < earliest.plus(DAY));
    }

    #[test]
    fn spiffe_ids_are_exact() {
        let good = "spiffe://msp.example/tenant/0190a0c0-0000-7000-8000-000000000001/appliance/0190a0c0-0000-7000-8000-000000000002";
        for domain in ["msp.example", "a", "msp_1.example-2", &"a".repeat(255)] {
            let good = good.replace("msp.example", domain);
            assert_eq!(good.parse::<SpiffeId>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "spiffe://",
            &good[1..],
            &format!("{good}/more"),
            &good.replace("tenant", "site"),
            &good.to_uppercase(),
            &good.replace("msp.example", ""),
            &good.replace("msp.example", "MSP.example"),
            &good.replace("msp.example", "msp.example:443"),
            &good.replace("msp.example", "user@msp.example"),
            &good.replace("msp.example", "msp%2eexample"),
            &good.replace("msp.example", "größe"),
            &good.replace("msp.example", &"a".repeat(256)),
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_proof_is_by_the_key_it_names() {
        let key = SecretKey::ed25519([1; 32]);
        let other = SecretKey::ed25519([2; 32]);
        let proof = KeyProof {
            incarnation: Incarnation([3; 16]),
            evidence_key: key.public(),
            protection: KeyProtection::File,
            tls_spki: Digest::of(b"tls"),
            challenge: Digest::of(b"token"),
        };
        assert_eq!(KeyProof::open_self_signed(&proof.seal(&key)).unwrap().value(), &proof);
        assert!(KeyProof::open_self_signed(&proof.seal(&other)).is_err());
    }
}
