//! Acts: what the control plane did for a clinic, or was told to do by its operators, signed by the order key.
//!
//! The rule: executors sign what they saw and did, and nobody else signs evidence. What only the control plane can say,
//! that a box was admitted, an operator let in, a policy changed, stands beside it in the same log, in a chain of its own
//! for each clinic, so that it cannot be left out either. Only typed fields: what people typed stays outside, because
//! write-once storage cannot be cleaned.

mod deed;
mod sentence;
mod words;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    EVIDENCE_MAX,
    charter::Charter,
    digest::Digest,
    dsse::{Envelope, EnvelopeError, Unsigned, Verified},
    ids::TenantId,
    keys::{PublicKey, SecretKey},
    statement::{self, STATEMENT_PAYLOAD_TYPE, Statement},
    time::Millis,
};

pub use deed::{Deed, NO_END};
pub use words::{Change, End, Level, Mode, Through, Verdict};

/// Predicate of every act of this version.
pub const PREDICATE_TYPE: &str = "urn:orderly:act:v1";
/// What the predicate of every version begins with.
const PREDICATE_FAMILY: &str = "urn:orderly:act:";

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// Its place among the clinic's acts.
    pub chain: Place,
    /// Trust domain.
    pub organization: String,
    /// The clinic.
    pub tenant: TenantId,
    /// When, by the control plane's clock; nothing vouches for it but the witnesses of the log.
    pub at: Millis,
    /// The charter in force; one of its order keys signed this.
    pub charter_serial: u64,
    /// Who wanted it.
    pub by: Actor,
    /// What was done.
    pub deed: Deed,
    /// SHA-256 of the control plane's audit record of it, where a person or a program asked for it: as what, from where,
    /// what was before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Digest>,
}

/// A place in the chain of one clinic's acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// From 0.
    pub index: u64,
    /// SHA-256 of the act's envelope before; all zero for the first.
    pub previous: Digest,
}

/// Who wanted something done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// Nobody: a rule of the control plane.
    ControlPlane,
    /// Whoever administers the server's machine, through its admin socket.
    Console,
    /// The holder of the API token of that name.
    Operator(String),
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ControlPlane => f.pad("control plane"),
            Self::Console => f.pad("server console"),
            Self::Operator(name) => f.pad(name),
        }
    }
}

/// Why an act was not believed.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// Not signed by an order key.
    #[error("act is not signed by an order key of the charter that it names")]
    Signature(#[source] EnvelopeError),
    /// Signed, but not a statement of this version.
    #[error("act {0}")]
    Malformed(String),
    /// More than a log entry holds.
    #[error("act must be at most {EVIDENCE_MAX} bytes, has {0}")]
    TooLarge(usize),
}

impl Act {
    /// What the order key is to sign.
    pub fn unsigned(&self) -> Result<Unsigned, ActError> {
        statement::unsigned(PREDICATE_TYPE, self, &[]).map_err(|e| ActError::Malformed(e.to_string()))
    }

    /// The envelope of an act, if it fits into a log.
    pub fn fitting(envelope: Vec<u8>) -> Result<Vec<u8>, ActError> {
        if envelope.len() > EVIDENCE_MAX {
            return Err(ActError::TooLarge(envelope.len()));
        }
        Ok(envelope)
    }

    /// Signs with the order key.
    pub fn seal(&self, order_key: &SecretKey) -> Result<Vec<u8>, ActError> {
        Self::fitting(self.unsigned()?.seal(order_key))
    }

    /// What was said of acts of a newer version: place, clinic and time; of what was done, nothing.
    fn outline(predicate: &str) -> Option<Self> {
        let all: Value = serde_json::from_str(predicate).ok()?;
        let of = |name: &str| all.get(name).cloned().unwrap_or_default();
        let (index, previous) = (all["chain"]["index"].clone(), all["chain"]["previous"].clone());
        Some(Self {
            chain: Place { index: index.as_u64()?, previous: serde_json::from_value(previous).ok()? },
            organization: of("organization").as_str()?.to_owned(),
            tenant: serde_json::from_value(of("tenant")).ok()?,
            at: serde_json::from_value(of("at")).ok()?,
            charter_serial: of("charter_serial").as_u64()?,
            by: serde_json::from_value(of("by")).unwrap_or(Actor::ControlPlane),
            deed: Deed::Unknown,
            record: None,
        })
    }
}

/// An act that nobody has vouched for yet: says under which charter to check it, and is never acted on.
#[derive(Debug)]
pub struct Claim<'e> {
    bytes: &'e [u8],
    envelope: Envelope,
    act: Act,
}

impl<'e> Claim<'e> {
    /// Reads an envelope. Nothing in it is believed. `None`: it is no act, of any version.
    pub fn read(bytes: &'e [u8]) -> Result<Option<Self>, ActError> {
        if bytes.len() > EVIDENCE_MAX {
            return Err(ActError::TooLarge(bytes.len()));
        }
        let envelope = Envelope::parse(bytes).map_err(ActError::Signature)?;
        let Ok(statement) = Statement::read(envelope.unverified_payload(), PREDICATE_FAMILY) else {
            return Ok(None);
        };
        let known = serde_json::from_str(statement.predicate())
            .ok()
            .filter(|_| statement.predicate_type() == PREDICATE_TYPE);
        let act = known
            .or_else(|| Act::outline(statement.predicate()))
            .ok_or_else(|| ActError::Malformed("says neither place nor clinic".into()))?;
        Ok(Some(Self { bytes, envelope, act }))
    }

    /// What it says, unbelieved: for who kept it in a place of their own.
    #[must_use]
    pub fn unverified(self) -> Act {
        self.act
    }

    /// Serial of the charter that it says was in force.
    #[must_use]
    pub fn charter_serial(&self) -> u64 {
        self.act.charter_serial
    }

    /// The act, if an order key of `charter`, the one that it names, signed it, and nobody else.
    pub fn verify(self, charter: &Charter) -> Result<Verified<Act>, ActError> {
        if charter.serial != self.act.charter_serial || charter.organization != self.act.organization {
            return Err(ActError::Malformed("names another charter or organization".into()));
        }
        self.verify_by(&charter.order_keys)
    }

    /// The act, if one of `order_keys` signed it: for who kept the keys and not the charters.
    pub fn verify_by<'k>(
        self,
        order_keys: impl IntoIterator<Item = &'k PublicKey> + Clone,
    ) -> Result<Verified<Act>, ActError> {
        // It was read from the very bytes that are verified.
        let verified = self
            .envelope
            .vouch(STATEMENT_PAYLOAD_TYPE, order_keys.clone(), 1, self.act)
            .map_err(ActError::Signature)?;
        if !order_keys.into_iter().any(|key| self.envelope.is_exact(self.bytes, key)) {
            return Err(ActError::Malformed("must be the envelope as it was sealed, byte for byte".into()));
        }
        Ok(verified)
    }
}
