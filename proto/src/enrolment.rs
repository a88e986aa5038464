//! What a box asks when it enrols and when it renews, read at the boundary: each refused field is named.
//!
//! Whether the token is good and the keys are the enrolled ones is the server's to know; that the keys are there and
//! speak of one another is checked here.

use crate::{
    digest::Digest,
    dsse::Envelope,
    field::{BadField, text},
    identity::{KeyProof, csr_spki},
    pb,
};

/// The most bytes of a token.
pub const TOKEN_MAX: usize = 200;
/// The most bytes that a box says about what it is made of.
pub const HARDWARE_MAX: usize = 60;

/// A request for a first certificate, with both keys proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// SHA-256 of the one-time token: all that a server keeps of it.
    pub token: Digest,
    /// PKCS#10 request, DER; signed by its own key.
    pub csr: Vec<u8>,
    /// SHA-256 of that key's SubjectPublicKeyInfo.
    pub tls_spki: Digest,
    /// The executor's statement, exact bytes.
    pub key_proof: Vec<u8>,
    /// What it says: signed by the evidence key that it names, about this token and this TLS key.
    pub proof: KeyProof,
    /// What the box says it is made of; may be empty.
    pub hardware: String,
}

impl TryFrom<pb::EnrollRequest> for Enrolment {
    type Error = BadField;
    fn try_from(m: pb::EnrollRequest) -> Result<Self, BadField> {
        let token = Digest::of(text("token", &m.token, TOKEN_MAX)?.as_bytes());
        let tls_spki = csr_spki(&m.csr)?;
        let bad = |problem| BadField::new("key_proof", problem);
        let proof = KeyProof::open_self_signed(&m.key_proof)
            .map_err(|_| bad("must be a key proof signed by the key it names"))?
            .into_value();
        if proof.challenge != token || proof.tls_spki != tls_spki {
            return Err(bad("must answer this token and name the key of csr"));
        }
        let hardware = match m.hardware.as_str() {
            "" => String::new(),
            said => text("hardware", said, HARDWARE_MAX)?,
        };
        Ok(Self { token, csr: m.csr, tls_spki, key_proof: m.key_proof, proof, hardware })
    }
}

/// A request for the next certificate of the same keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// PKCS#10 request, DER; signed by its own key.
    pub csr: Vec<u8>,
    /// SHA-256 of that key's SubjectPublicKeyInfo.
    pub tls_spki: Digest,
    /// The executor's statement: an envelope, not believed yet. Only the enrolled evidence key opens it.
    pub key_proof: Vec<u8>,
}

impl TryFrom<pb::RenewRequest> for Renewal {
    type Error = BadField;
    fn try_from(m: pb::RenewRequest) -> Result<Self, BadField> {
        let tls_spki = csr_spki(&m.csr)?;
        Envelope::parse(&m.key_proof).map_err(|e| BadField::new("key_proof", e.to_string()))?;
        Ok(Self { csr: m.csr, tls_spki, key_proof: m.key_proof })
    }
}
