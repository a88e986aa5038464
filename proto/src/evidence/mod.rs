//! Evidence: signed records of what an executor saw and did, chained one to the next.
//!
//! An in-toto Statement v1 in a DSSE envelope. The envelope's exact bytes are opaque end to end: their SHA-256 is the
//! record's name, the next record's `previous`, and the log's entry. Only allow-listed typed fields, because write-once
//! storage cannot be cleaned.

mod body;
mod chain;
mod outline;
mod record;
mod running;
mod scan;

use crate::{
    EVIDENCE_MAX,
    dsse::{Envelope, EnvelopeError, Verified},
    ids::Incarnation,
    keys::{PublicKey, SecretKey},
    statement::{self, Statement},
};

pub use crate::statement::{STATEMENT_PAYLOAD_TYPE, STATEMENT_TYPE};
pub use chain::{Arrival, ChainState, Head, Link, arrival};
pub use record::*;
pub use running::{Beats, Footprint, Heartbeat, Software, Update};
pub use scan::{ControlFinding, ControlName, Scan, Seen, Standing, Token};

/// Predicate of every record of this version.
pub const PREDICATE_TYPE: &str = "urn:orderly:evidence:v1";
/// What the predicate of every version begins with.
const PREDICATE_FAMILY: &str = "urn:orderly:evidence:";
/// The subject that is the order's payload.
const ORDER: &str = "order";

/// Why evidence was not believed.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// Not signed by the enrolled evidence key.
    #[error("evidence is not signed by the enrolled key")]
    Signature(#[source] EnvelopeError),
    /// Signed, but not a statement of this version.
    #[error("evidence {0}")]
    Malformed(String),
    /// More than a log entry holds.
    #[error("evidence must be at most {EVIDENCE_MAX} bytes, has {0}; bulk goes along as attachments")]
    TooLarge(usize),
}

/// Signs a record. The subjects are the record itself and, when there is one, the order.
pub fn seal(record: &Record, evidence_key: &SecretKey) -> Result<Vec<u8>, EvidenceError> {
    let order = record.body.order_digest().map(|order| (ORDER, order));
    let envelope = statement::seal(PREDICATE_TYPE, record, order.as_slice(), evidence_key)
        .map_err(|e| EvidenceError::Malformed(e.to_string()))?;
    if envelope.len() > EVIDENCE_MAX {
        return Err(EvidenceError::TooLarge(envelope.len()));
    }
    Ok(envelope)
}

/// A record that nobody has vouched for yet: says whose key to check it with, and is never acted on. One of a newer version
/// is read as far as every version says the same ([`Body::Unknown`]): who signed it and where it stands can be checked.
#[derive(Debug)]
pub struct Claim<'e> {
    bytes: &'e [u8],
    envelope: Envelope,
    record: Record,
}

impl<'e> Claim<'e> {
    /// Reads an envelope. Nothing in it is believed.
    pub fn read(bytes: &'e [u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > EVIDENCE_MAX {
            return Err(EvidenceError::TooLarge(bytes.len()));
        }
        let envelope = Envelope::parse(bytes).map_err(EvidenceError::Signature)?;
        let record = read(envelope.unverified_payload())?;
        Ok(Self { bytes, envelope, record })
    }

    /// Which incarnation it says that it is of.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.record.chain.incarnation
    }

    /// The record, if it is signed by `evidence_key` and nobody else, in the one envelope that its executor wrote:
    /// whoever carries it must not be able to make two records, a fork, out of one.
    pub fn verify(self, evidence_key: &PublicKey) -> Result<Verified<Record>, EvidenceError> {
        // It was read from the very bytes that are verified.
        let verified = self
            .envelope
            .vouch(STATEMENT_PAYLOAD_TYPE, [evidence_key], 1, self.record)
            .map_err(EvidenceError::Signature)?;
        if !self.envelope.is_exact(self.bytes, evidence_key) {
            return Err(EvidenceError::Malformed(
                "must be the envelope as it was sealed, byte for byte".into(),
            ));
        }
        Ok(verified)
    }
}

/// Opens a record signed by `evidence_key`; see [`Claim::verify`].
pub fn open(envelope: &[u8], evidence_key: &PublicKey) -> Result<Verified<Record>, EvidenceError> {
    Claim::read(envelope)?.verify(evidence_key)
}

/// Reads a record that nobody has vouched for: what one's own books kept once it was verified, never what came from outside.
pub fn peek(envelope: &[u8]) -> Result<Record, EvidenceError> {
    Ok(Claim::read(envelope)?.record)
}

fn read(payload: &[u8]) -> Result<Record, EvidenceError> {
    let malformed = |problem: String| EvidenceError::Malformed(problem);
    let statement = Statement::read(payload, PREDICATE_FAMILY).map_err(malformed)?;
    let predicate = statement.predicate();
    if statement.predicate_type() != PREDICATE_TYPE {
        return outline::read(predicate).ok_or_else(|| malformed("says neither chain nor identity".into()));
    }
    let record: Record = match serde_json::from_str(predicate) {
        Ok(record) => record,
        // A word or field more than this version knows: genuine all the same, if it is signed.
        Err(e) => return outline::read(predicate).ok_or_else(|| malformed(e.to_string())),
    };
    if statement.subject(ORDER) != record.body.order_digest() {
        return Err(malformed("subject order must be the digest of the order".into()));
    }
    Ok(record)
}
