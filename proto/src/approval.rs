//! Approvals: WebAuthn assertions over the SHA-256 of an order's core (W3C WebAuthn Level 3, section 7.2).
//!
//! Checked by control plane and executor alike, so that a stolen order key cannot invent one.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::{charter::Approver, digest::Digest, keys::BadSignature};

/// An assertion by one approver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Name in the charter.
    pub approver: String,
    /// Authenticator data, as signed.
    pub authenticator_data: Vec<u8>,
    /// Client data JSON, as signed.
    pub client_data: Vec<u8>,
    /// ECDSA P-256 signature, ASN.1.
    pub signature: Vec<u8>,
}

/// Why an approval does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// Nobody of that name in the charter.
    #[error("approver {0} is not in the charter")]
    UnknownApprover(String),
    /// Client data is not what an assertion over this core says.
    #[error("approval by {approver}: client data {problem}")]
    ClientData {
        /// Who.
        approver: String,
        /// What is wrong.
        problem: String,
    },
    /// Authenticator data is for another site, or nobody was verified to be there.
    #[error("approval by {approver}: authenticator data {problem}")]
    AuthenticatorData {
        /// Who.
        approver: String,
        /// What is wrong.
        problem: String,
    },
    /// The signature does not verify.
    #[error("approval by {approver} does not verify")]
    Signature {
        /// Who.
        approver: String,
        /// Why.
        #[source]
        source: BadSignature,
    },
}

#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin", default)]
    cross_origin: bool,
}

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;

/// The distinct people who approved `core`; any approval that does not hold is an error, not a smaller number.
pub fn approvers<'a>(
    approvals: &'a [Approval],
    known: &[Approver],
    core: Digest,
) -> Result<BTreeSet<&'a str>, ApprovalError> {
    approvals
        .iter()
        .map(|approval| check(approval, known, core).map(|()| approval.approver.as_str()))
        .collect()
}

fn check(approval: &Approval, known: &[Approver], core: Digest) -> Result<(), ApprovalError> {
    let name = &approval.approver;
    let approver =
        known.iter().find(|k| k.name == *name).ok_or_else(|| ApprovalError::UnknownApprover(name.clone()))?;
    let client =
        |problem: &str| ApprovalError::ClientData { approver: name.clone(), problem: problem.to_owned() };
    let data: ClientData =
        serde_json::from_slice(&approval.client_data).map_err(|_| client("is not JSON"))?;
    if data.kind != "webauthn.get" {
        return Err(client("must be of type webauthn.get"));
    }
    if data.challenge != URL_SAFE_NO_PAD.encode(core.0) {
        return Err(client("must answer the SHA-256 of this order's core"));
    }
    if data.origin != approver.origin {
        return Err(client("must come from the approver's own origin"));
    }
    // Section 7.2, step 10: nobody approves from inside somebody else's page.
    if data.cross_origin {
        return Err(client("must not come from a frame of another origin"));
    }
    let authenticator = |problem: &str| ApprovalError::AuthenticatorData {
        approver: name.clone(),
        problem: problem.to_owned(),
    };
    // rpIdHash (32) || flags (1) || signCount (4): WebAuthn section 6.1.
    let (Some(rp), Some(flags)) =
        (approval.authenticator_data.get(..32), approval.authenticator_data.get(32))
    else {
        return Err(authenticator("is too short"));
    };
    if approval.authenticator_data.len() < 37 {
        return Err(authenticator("is too short"));
    }
    if rp != Digest::of(approver.rp_id.as_bytes()).0 {
        return Err(authenticator("is for another relying party"));
    }
    if flags & USER_PRESENT == 0 || flags & USER_VERIFIED == 0 {
        return Err(authenticator("must say that the person was present and verified"));
    }
    let mut message = approval.authenticator_data.clone();
    message.extend_from_slice(&Digest::of(&approval.client_data).0);
    approver
        .key
        .verify(&message, &approval.signature)
        .map_err(|source| ApprovalError::Signature { approver: name.clone(), source })
}
