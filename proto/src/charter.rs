//! The charter: the one document that everything is anchored in, signed by 2 of 3 offline organization keys.
//!
//! Appliances pin the organization keys; auditors get them from outside. Keys that lie beside what they verify are not trust.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    dsse::{self, EnvelopeError, Verified},
    field::{BadField, text},
    identity::{check_authority, trust_domain},
    keys::{PublicKey, SecretKey},
    log::{BadKey, WitnessKey, policy_text},
    time::Millis,
};

/// DSSE payload type of a charter.
pub const CHARTER_TYPE: &str = "application/vnd.orderly.charter.v1+json";
/// The longest a charter may hold.
pub const CHARTER_LIFETIME_MAX: Duration = Duration::from_secs(180 * 24 * 3600);
/// From this long before its end people are warned.
pub const CHARTER_WARN_BEFORE: Duration = Duration::from_secs(60 * 24 * 3600);

/// Witnesses that a charter may name: as many as every implementation of C2SP tlog-policy takes.
const WITNESSES_MAX: usize = 32;
/// The most bytes of each text about an approver.
const APPROVER_TEXT_MAX: usize = 253;

/// The organization's offline public keys: the root of all trust, kept outside of whatever is to be verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrganizationKeys {
    /// Trust domain, such as `msp.example`.
    pub organization: String,
    /// How many must sign; at least 2.
    pub threshold: usize,
    /// The public keys; normally three.
    pub keys: BTreeSet<PublicKey>,
}

/// A set of keys of which `threshold` must sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quorum {
    /// How many distinct keys must sign; at least 2.
    pub threshold: usize,
    /// The keys.
    pub keys: BTreeSet<PublicKey>,
}

/// A person who may approve, and their passkey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approver {
    /// Name in approvals.
    pub name: String,
    /// The passkey (P-256).
    pub key: PublicKey,
    /// WebAuthn relying party ID the passkey was made for.
    pub rp_id: String,
    /// The only origin an assertion may come from.
    pub origin: String,
}

/// Who may sign what, until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charter {
    /// Trust domain.
    pub organization: String,
    /// Rises with every charter.
    pub serial: u64,
    /// When it was signed.
    pub issued: Millis,
    /// When it ends: at most 180 days later.
    pub not_after: Millis,
    /// Sign orders, policies and time.
    pub order_keys: BTreeSet<PublicKey>,
    /// Sign checkpoints (Ed25519).
    pub log_keys: BTreeSet<PublicKey>,
    /// Sign catalogue, baseline and images.
    pub release_keys: Quorum,
    /// Device CA certificates, PEM.
    pub certificate_authorities: Vec<String>,
    /// Outside witnesses, as C2SP verifier keys.
    #[serde(default)]
    pub witnesses: Vec<String>,
    /// How many of them must have cosigned a checkpoint; `None`: one. It stands here, and not in the server's settings,
    /// because the server is whom the witnesses watch. Left out when it is not set, so that programs from before read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness_quorum: Option<usize>,
    /// Whose approval counts.
    #[serde(default)]
    pub approvers: Vec<Approver>,
}

/// Why a charter was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CharterError {
    /// Not enough organization keys signed it.
    #[error("charter is not signed by enough organization keys")]
    Signature(#[source] EnvelopeError),
    /// Signed, but not a charter, or one that must not be.
    #[error("charter: {0}")]
    Content(BadField),
    /// Older than the newest seen.
    #[error("charter serial {offered} is older than {newest}, the newest seen")]
    Older {
        /// Serial of the refused one.
        offered: u64,
        /// Serial already seen.
        newest: u64,
    },
    /// Same serial, other content: two charters were signed for one serial.
    #[error("charter serial {0} was seen with other content; sign one with a higher serial")]
    Forked(u64),
}

impl OrganizationKeys {
    /// Reads the trust file (JSON).
    pub fn parse(text: &[u8]) -> Result<Self, BadField> {
        let keys: Self = serde_json::from_slice(text).map_err(|e| BadField::new("trust", e.to_string()))?;
        trust_domain("trust.organization", &keys.organization)?;
        quorum_is_sane("trust", keys.threshold, &keys.keys)?;
        Ok(keys)
    }

    /// Opens a charter: enough signatures, the right organization, and nothing in it that must not be.
    pub fn open(&self, envelope: &[u8]) -> Result<Verified<Charter>, CharterError> {
        dsse::open(envelope, CHARTER_TYPE, &self.keys, self.threshold)
            .map_err(CharterError::Signature)?
            .parse(|bytes| {
                let charter: Charter = serde_json::from_slice(&bytes)
                    .map_err(|e| CharterError::Content(BadField::new("charter", e.to_string())))?;
                charter.check().map_err(CharterError::Content)?;
                if charter.organization != self.organization {
                    return Err(CharterError::Content(BadField::new(
                        "organization",
                        format!("must be {}, is {}", self.organization, charter.organization),
                    )));
                }
                Ok(charter)
            })
    }
}

impl Charter {
    /// Signs with as many keys as are at hand; others countersign ([`dsse::countersign`]).
    #[must_use]
    pub fn seal(&self, keys: &[&SecretKey]) -> Vec<u8> {
        dsse::seal(CHARTER_TYPE, &serde_json::to_vec(self).expect("plain data serialises"), keys)
    }

    /// What every charter must hold to, whoever signs it.
    pub fn check(&self) -> Result<(), BadField> {
        trust_domain("organization", &self.organization)?;
        if self.serial == 0 {
            return Err(BadField::new("serial", "must be at least 1"));
        }
        if self.not_after <= self.issued || self.not_after.since(self.issued) > CHARTER_LIFETIME_MAX {
            return Err(BadField::new("not_after", "must be after issued, by at most 180 days"));
        }
        if self.order_keys.is_empty() {
            return Err(BadField::new("order_keys", "must name at least one key"));
        }
        if self.log_keys.is_empty() || !self.log_keys.iter().all(|k| matches!(k, PublicKey::Ed25519(_))) {
            return Err(BadField::new("log_keys", "must name at least one key, all of them ed25519"));
        }
        if self.certificate_authorities.is_empty() {
            return Err(BadField::new("certificate_authorities", "must name at least one certificate"));
        }
        self.certificate_authorities.iter().try_for_each(|pem| check_authority(pem))?;
        self.check_witnesses()?;
        self.check_approvers()?;
        quorum_is_sane("release_keys", self.release_keys.threshold, &self.release_keys.keys)
    }

    /// Two cosignatures are two witnesses': each must be able to stand in a policy for other people's verifiers.
    fn check_witnesses(&self) -> Result<(), BadField> {
        let bad = |problem: String| BadField::new("witnesses", problem);
        if self.witnesses.len() > WITNESSES_MAX {
            return Err(bad(format!("must be at most {WITNESSES_MAX}")));
        }
        let keys: Vec<WitnessKey> = self
            .witnesses
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()
            .map_err(|wrong: BadKey| bad(wrong.to_string()))?;
        for (at, key) in keys.iter().enumerate() {
            for other in &keys[..at] {
                if other.name() == key.name() || other.id() == key.id() || other.is_same_key(key) {
                    let (name, other) = (key.name(), other.name());
                    return Err(bad(format!(
                        "{name:?} has a name, an ID or a key that {other:?} has already"
                    )));
                }
            }
        }
        if let Some(quorum) = self.witness_quorum.filter(|quorum| !(1..=keys.len()).contains(quorum)) {
            return Err(BadField::new(
                "witness_quorum",
                format!("must be from 1 to the number of witnesses, {}, is {quorum}", keys.len()),
            ));
        }
        policy_text(&[], &keys, self.quorum()).map(drop).map_err(|wrong| bad(wrong.to_string()))
    }

    /// How many of the outside witnesses must have cosigned, where there are any.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.witness_quorum.unwrap_or(1)
    }

    /// The outside witnesses' keys.
    #[must_use]
    pub fn witness_keys(&self) -> Vec<WitnessKey> {
        // A charter was checked when it was opened: all of them read.
        self.witnesses.iter().filter_map(|text| text.parse().ok()).collect()
    }

    /// Two approvals are two people's: a name or a passkey that stands twice would make one of them two.
    fn check_approvers(&self) -> Result<(), BadField> {
        let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for (at, approver) in self.approvers.iter().enumerate() {
            let bad =
                |key: &str, problem: &str| Err(BadField::new(format!("approvers[{at}].{key}"), problem));
            let named = |key: &str, value| text(&format!("approvers[{at}].{key}"), value, APPROVER_TEXT_MAX);
            named("name", &approver.name)?;
            named("rp_id", &approver.rp_id)?;
            named("origin", &approver.origin)?;
            if !matches!(approver.key, PublicKey::P256(_)) {
                return bad("key", "must be a passkey's: p256");
            }
            if !names.insert(&approver.name) {
                return bad("name", "is another approver's already");
            }
            if !keys.insert(&approver.key) {
                return bad("key", "is another approver's already");
            }
        }
        Ok(())
    }

    /// Whether it holds at `now`.
    #[must_use]
    pub fn holds_at(&self, now: Millis) -> bool {
        now < self.not_after
    }

    /// A sentence for people from 60 days before its end on.
    #[must_use]
    pub fn warning(&self, now: Millis) -> Option<String> {
        if !self.holds_at(now) {
            return Some(format!(
                "charter ended on {}: no order is signed or accepted; run `control-plane charter renew`",
                self.not_after
            ));
        }
        let left = self.not_after.since(now);
        (left <= CHARTER_WARN_BEFORE).then(|| {
            format!(
                "charter ends in {} days, on {}: run `control-plane charter renew`",
                left.as_secs() / 86_400,
                self.not_after
            )
        })
    }
}

/// What to do with a charter that verified, given the newest one seen (serial and digest of its envelope's payload).
///
/// `Ok(true)`: keep it, it is newer. `Ok(false)`: it is the one we have.
pub fn succession(newest: Option<(u64, Digest)>, offered: (u64, Digest)) -> Result<bool, CharterError> {
    match newest {
        None => Ok(true),
        Some((serial, _)) if offered.0 > serial => Ok(true),
        Some((serial, _)) if offered.0 < serial => {
            Err(CharterError::Older { offered: offered.0, newest: serial })
        }
        Some((_, digest)) if digest == offered.1 => Ok(false),
        Some((serial, _)) => Err(CharterError::Forked(serial)),
    }
}

fn quorum_is_sane(field: &str, threshold: usize, keys: &BTreeSet<PublicKey>) -> Result<(), BadField> {
    if threshold < 2 || keys.len() < threshold {
        return Err(BadField::new(
            field,
            format!(
                "must need at least 2 signatures out of at least as many keys, needs {threshold} of {}",
                keys.len()
            ),
        ));
    }
    Ok(())
}
