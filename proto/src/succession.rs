//! Successions: a clinic's log could not be continued, and the organization says that another follows it.
//!
//! The rule (DESIGN.md section 5, Restore): a log that cannot be rebuilt up to the highest head that anybody has seen halts,
//! and only a statement by 2 of 3 organization keys that names both heads begins another. No key that lies at the control
//! plane can sign one, or a thief of them could leave a history behind. Whoever has verified more of the old log than the
//! statement names, or another log of that name, does not follow: to him it says that evidence is to be forgotten. Whoever has
//! verified less is shown that the named head continues what he knows, or he may have verified a fork of it. Only where the
//! organization says that entries are lost can nobody show that.

use serde::{Deserialize, Serialize};

use crate::{
    charter::OrganizationKeys,
    digest::Digest,
    dsse::{self, EnvelopeError, Verified},
    evidence::Identity,
    field::BadField,
    identity::trust_domain,
    ids::TenantId,
    keys::SecretKey,
    log::{EMPTY_ROOT, Hash, Head, ProofError, log_number, origin_of, verify_consistency},
    time::Millis,
};

/// DSSE payload type of a succession.
pub const SUCCESSION_TYPE: &str = "application/vnd.orderly.succession.v1+json";

crate::vocabulary! {
    /// Why a log could not be continued.
    pub enum Cause as "cause" {
        /// Entries that were published are nowhere any more.
        EntriesLost = "entries-lost",
        /// Something that is not ours lies in the vault where the next entries should.
        VaultBlocked = "vault-blocked",
        /// Somebody signed another history with the log's key.
        KeyStolen = "key-stolen",
        /// Two servers, or a restored one, signed two histories.
        Forked = "forked",
        /// Something else.
        Other = "other",
    }
}

/// A head of a named log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedHead {
    /// What the log is called.
    pub origin: String,
    /// Its entries.
    pub size: u64,
    /// RFC 6962 root.
    pub root: Digest,
}

/// What the organization says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Succession {
    /// Trust domain.
    pub organization: String,
    /// The clinic.
    pub tenant: TenantId,
    /// The log that ends, and the highest head of it that is known.
    pub old: NamedHead,
    /// The log that follows, and how it begins: empty.
    pub new: NamedHead,
    /// Why.
    pub cause: Cause,
    /// When that was said.
    pub at: Millis,
}

/// Why a succession was not believed, or not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// Not enough organization keys signed it.
    #[error("succession is not signed by enough organization keys")]
    Signature(#[source] EnvelopeError),
    /// Signed, but not what it must be.
    #[error("succession: {0}")]
    Content(#[from] BadField),
    /// It forgets what was seen.
    #[error(
        "succession names {named} entries of the old log, {seen} of it were seen: what came after is not to be forgotten"
    )]
    Forgets {
        /// What it says.
        named: u64,
        /// What is known here.
        seen: u64,
    },
    /// It is of another log.
    #[error("succession names another root of {0} entries of the old log than was seen")]
    Contradicts(u64),
    /// Nobody has shown that it is of the same log.
    #[error("succession names a head of the old log that was not shown to continue what was seen")]
    Unshown(#[source] ProofError),
}

impl NamedHead {
    /// Of a log by its name.
    #[must_use]
    pub fn new(origin: String, head: Head) -> Self {
        Self { origin, size: head.size, root: Digest(head.root.0) }
    }

    /// Size and root.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { size: self.size, root: Hash(self.root.0) }
    }
}

impl OrganizationKeys {
    /// Opens a succession: enough signatures, the right organization, and nothing in it that must not be.
    pub fn open_succession(&self, envelope: &[u8]) -> Result<Verified<Succession>, SuccessionError> {
        dsse::open(envelope, SUCCESSION_TYPE, &self.keys, self.threshold)
            .map_err(SuccessionError::Signature)?
            .parse(|bytes| {
                let succession = Succession::read(&bytes)?;
                if succession.organization != self.organization {
                    let (ours, theirs) = (&self.organization, &succession.organization);
                    return Err(BadField::new("organization", format!("must be {ours}, is {theirs}")).into());
                }
                Ok(succession)
            })
    }
}

impl Succession {
    /// What follows the log `old` of a clinic.
    pub fn of(
        organization: &str,
        tenant: TenantId,
        old: NamedHead,
        cause: Cause,
        at: Millis,
    ) -> Result<Self, BadField> {
        let number = log_number(&old.origin).saturating_add(1);
        let new = NamedHead::new(origin_of(organization, tenant, number), Head::EMPTY);
        let succession = Self { organization: organization.to_owned(), tenant, old, new, cause, at };
        succession.check().map(|()| succession)
    }

    /// Reads a payload that nobody has vouched for yet.
    pub fn read(payload: &[u8]) -> Result<Self, BadField> {
        let succession: Self =
            serde_json::from_slice(payload).map_err(|e| BadField::new("succession", e.to_string()))?;
        succession.check().map(|()| succession)
    }

    /// What is signed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data serialises")
    }

    /// Signs with as many keys as are at hand; others countersign ([`dsse::countersign`]).
    #[must_use]
    pub fn seal(&self, keys: &[&SecretKey]) -> Vec<u8> {
        dsse::seal(SUCCESSION_TYPE, &self.encode(), keys)
    }

    /// Which of the clinic's logs begins.
    #[must_use]
    pub fn number(&self) -> u64 {
        log_number(&self.new.origin)
    }

    fn check(&self) -> Result<(), BadField> {
        trust_domain("organization", &self.organization)?;
        let number = log_number(&self.old.origin);
        let name = |number| origin_of(&self.organization, self.tenant, number);
        if self.old.origin != name(number) {
            return Err(BadField::new("old.origin", "must be a log of this organization and tenant"));
        }
        if number.checked_add(1).map(name).as_deref() != Some(&self.new.origin) {
            return Err(BadField::new("new.origin", "must be the one after the old log's"));
        }
        if self.old.size == 0 && self.old.root.0 != EMPTY_ROOT.0 {
            return Err(BadField::new("old.root", "must be the root of no entries"));
        }
        if self.new.head() != Head::EMPTY {
            return Err(BadField::new("new", "must be a log without entries"));
        }
        Ok(())
    }

    /// Whether it is of this executor's clinic.
    #[must_use]
    pub fn is_for(&self, identity: &Identity) -> bool {
        (&self.organization, self.tenant) == (&identity.organization, identity.tenant)
    }

    /// Whether somebody who has verified `seen` of the old log may follow.
    pub fn is_after(&self, seen: Head) -> Result<(), SuccessionError> {
        if seen.size > self.old.size {
            return Err(SuccessionError::Forgets { named: self.old.size, seen: seen.size });
        }
        if seen.size == self.old.size && seen != self.old.head() {
            return Err(SuccessionError::Contradicts(seen.size));
        }
        Ok(())
    }

    /// The same, and whether `proof` shows that the named head continues `seen`; where entries are lost there is none.
    pub fn is_shown_after(&self, seen: Head, proof: &[Hash]) -> Result<bool, SuccessionError> {
        self.is_after(seen)?;
        if seen.size == 0 || seen == self.old.head() {
            return Ok(true);
        }
        let old = self.old.head();
        match verify_consistency(seen.size, seen.root, old.size, old.root, proof) {
            Ok(()) => Ok(true),
            Err(_) if proof.is_empty() && self.cause == Cause::EntriesLost => Ok(false),
            Err(refused) => Err(SuccessionError::Unshown(refused)),
        }
    }
}
