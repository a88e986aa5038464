//! Whose evidence key it is: the papers of one executor.
//!
//! The rule: **the server is not asked.** Three parties must say the same: the charter's certificate authority named the
//! box and its TLS key; the evidence key signed that TLS key and its own incarnation; and the first record of that
//! incarnation's chain, under that evidence key and in the log, names exactly this certificate.
//!
//! ```text
//!  charter ──CA──> certificate: SPIFFE ID, TLS key ──┐ same TLS key
//!  evidence key ──> key proof: incarnation, TLS key ─┤
//!  evidence key ──> record 0: digest of certificate ─┘ under the checkpoint
//! ```
//!
//! What stays open: that the box which holds this evidence key is the one in the clinic. It shows its key; compare.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proto::{
    charter::Charter,
    digest::Digest,
    evidence::Enrolment,
    field::BadField,
    identity::{CertificateFacts, KeyProof, SpiffeId},
    ids::{ApplianceId, Incarnation, TenantId},
};
use serde::{Deserialize, Serialize};

/// What the server keeps of an enrolment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// The box.
    pub appliance: ApplianceId,
    /// Its executor's state.
    pub incarnation: Incarnation,
    /// The certificate that it was enrolled with, DER. Not a renewed one: the first record names this.
    pub certificate: Vec<u8>,
    /// The key proof that came with the enrolment, exact envelope bytes.
    pub key_proof: Vec<u8>,
}

/// Papers that agree among themselves.
#[derive(Debug, Clone)]
pub(super) struct Papers {
    certificate: Vec<u8>,
    pub(super) spiffe: SpiffeId,
    pub(super) proof: KeyProof,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    appliance: ApplianceId,
    incarnation: Incarnation,
    certificate: String,
    key_proof: String,
}

impl Enrolled {
    /// As a file of the bundle.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let json = Json {
            appliance: self.appliance,
            incarnation: self.incarnation,
            certificate: STANDARD.encode(&self.certificate),
            key_proof: STANDARD.encode(&self.key_proof),
        };
        let mut bytes = serde_json::to_vec_pretty(&json).expect("plain data serialises");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a file of the bundle.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadField> {
        let json: Json =
            serde_json::from_slice(bytes).map_err(|e| BadField::new("enrolment", e.to_string()))?;
        let decode = |field: &str, text: &str| {
            STANDARD.decode(text).map_err(|_| BadField::new(field, "must be standard base64"))
        };
        Ok(Self {
            appliance: json.appliance,
            incarnation: json.incarnation,
            certificate: decode("certificate", &json.certificate)?,
            key_proof: decode("key_proof", &json.key_proof)?,
        })
    }

    /// Checks that certificate and key proof speak of one TLS key, of this box, and of this incarnation. Who signed
    /// the certificate is for [`Papers::confirm`].
    pub(super) fn papers(&self, organization: &str, tenant: Option<TenantId>) -> Result<Papers, BadField> {
        let bad = |field: &str, problem: &str| Err(BadField::new(field, problem));
        let certificate = CertificateFacts::read(&self.certificate)?;
        let proof = KeyProof::open_self_signed(&self.key_proof)
            .map_err(|error| BadField::new("key_proof", super::verify::chain(&error)))?
            .into_value();
        if certificate.spiffe.appliance != self.appliance {
            return bad("certificate", "is of another appliance than the file's name says");
        }
        if certificate.spiffe.trust_domain != organization {
            return bad("certificate", "is of another organization than the charter");
        }
        if tenant.is_some_and(|tenant| tenant != certificate.spiffe.tenant) {
            return bad("certificate", "is of another tenant than the log");
        }
        if proof.incarnation != self.incarnation {
            return bad("key_proof", "is of another incarnation than the file's name says");
        }
        if proof.tls_spki != certificate.spki {
            return bad("key_proof", "vouches for another TLS key than the certificate's");
        }
        Ok(Papers { certificate: self.certificate.clone(), spiffe: certificate.spiffe, proof })
    }
}

impl Papers {
    /// The rest of it: the charter that the executor believed names the CA that signed, and the executor's own first
    /// record names this certificate.
    pub(super) fn confirm(&self, enrolment: &Enrolment, charter: &Charter) -> Result<(), BadField> {
        self.signed_under(charter)?;
        if enrolment.certificate != Digest::of(&self.certificate) {
            return Err(BadField::new(
                "certificate",
                "is not the one that the executor's first record names",
            ));
        }
        if enrolment.tls_spki != self.proof.tls_spki {
            return Err(BadField::new("tls_spki", "is not the one that the executor's first record names"));
        }
        Ok(())
    }

    /// Whether a CA of `charter` signed the certificate.
    pub(super) fn signed_under(&self, charter: &Charter) -> Result<(), BadField> {
        CertificateFacts::issued_by(&self.certificate, &charter.certificate_authorities).map(|_| ())
    }
}
