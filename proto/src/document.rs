//! Documents: what a clinic decided for its boxes, approved by people of the charter and delivered through Sync.
//!
//! The rule: the order key alone decides nothing here. It says that a document was sent; that it may hold, an approver has
//! signed, over the SHA-256 of its core's exact bytes. Only to withdraw what loosens needs no approver: that tightens.
//! Both sides judge a document anew under each charter: whose approver has left it, that document is not in force.

use prost::Message as _;

use crate::{
    approval::{self, Approval, ApprovalError},
    charter::Charter,
    digest::Digest,
    dsse::{self, EnvelopeError, Unsigned, Verified},
    evidence::Identity,
    field::{BadField, text},
    ids::{ApplianceId, Incarnation, TenantId},
    keys::SecretKey,
    pb,
    sync::NUMBER_MAX,
    time::Millis,
};

/// DSSE payload type of a document.
pub const DOCUMENT_TYPE: &str = "application/vnd.orderly.document.v1+protobuf";
/// The most bytes of a document's content.
pub const CONTENT_MAX: usize = 32 * 1024;
/// The most documents that are in force on one box.
pub const DOCUMENTS_MAX: usize = 64;
/// The name of a box's one watch list.
pub const WATCH_LIST: &str = "box";
/// The most approvals of one.
const APPROVALS_MAX: usize = 16;

crate::vocabulary! {
    /// What a document decides.
    pub enum Kind as "kind" {
        /// A control of the baseline is waived; named by the control.
        Exception = "exception",
        /// What one box watches, in the place of the list in its configuration; named [`WATCH_LIST`].
        WatchList = "watch-list",
        /// A secret of the clinic, sealed to one box; named as that box's configuration names it.
        Secret = "secret",
    }
}

/// Which document it is; the newest of each holds. Ordered, so that both sides call a set alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// What it decides.
    pub kind: Kind,
    /// Which of its kind.
    pub name: String,
    /// Whether it is for one box; else for every box of the clinic.
    pub is_for_one: bool,
}

/// What is decided and for whom: what approvers sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Core {
    /// Trust domain.
    pub organization: String,
    /// The clinic.
    pub tenant: TenantId,
    /// The box; `None`: every box of the clinic.
    pub appliance: Option<ApplianceId>,
    /// The executor's state it is meant for; `None`: whichever the box is in.
    pub incarnation: Option<Incarnation>,
    /// What it decides.
    pub kind: Kind,
    /// Which of its kind.
    pub name: String,
    /// Rises with every document of the same slot.
    pub serial: u64,
    /// When it was drawn up.
    pub issued: Millis,
    /// Exact bytes, of the kind's own format; empty: withdrawn.
    pub content: Vec<u8>,
}

/// A core with its approvals, as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What and for whom.
    pub core: Core,
    /// SHA-256 of the core's exact bytes: the approvers' challenge, and what the document is known by.
    pub core_digest: Digest,
    core_bytes: Vec<u8>,
    /// Charter it was signed under.
    pub charter_serial: u64,
    /// Who approved it.
    pub approvals: Vec<Approval>,
}

/// Why a document was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not signed by an order key.
    #[error("document is not signed by an order key of the charter")]
    Signature(#[source] EnvelopeError),
    /// Not a document, or one that must not be.
    #[error("document: {0}")]
    Content(BadField),
    /// An approval does not hold.
    #[error("document is not approved")]
    Approval(#[source] ApprovalError),
    /// Nobody approved it.
    #[error("document needs an approver of the charter, has none")]
    Unapproved,
    /// Older than the newest seen.
    #[error("document serial {offered} is older than {newest}, the newest seen")]
    Older {
        /// Serial of the refused one.
        offered: u64,
        /// Serial already seen.
        newest: u64,
    },
    /// Same serial, other content.
    #[error("document serial {0} was seen with other content; draw up one with a higher serial")]
    Forked(u64),
}

impl Core {
    /// The bytes that approvers sign.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        pb::DocumentCore {
            organization: self.organization.clone(),
            tenant: self.tenant.to_string(),
            appliance: self.appliance.map(|id| id.to_string()).unwrap_or_default(),
            incarnation: self.incarnation.map(|incarnation| incarnation.to_vec()).unwrap_or_default(),
            kind: self.kind.to_string(),
            name: self.name.clone(),
            serial: self.serial,
            issued_ms: self.issued.0,
            content: self.content.clone(),
        }
        .encode_to_vec()
    }

    /// Reads a core. Says what it is, not that it holds.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadField> {
        let m = pb::DocumentCore::decode(bytes).map_err(|e| BadField::new("core", e.to_string()))?;
        if m.content.len() > CONTENT_MAX {
            let have = m.content.len();
            return Err(BadField::new("content", format!("must be at most {CONTENT_MAX} bytes, has {have}")));
        }
        if m.serial == 0 || m.serial > NUMBER_MAX {
            return Err(BadField::new("serial", format!("must be 1 to {NUMBER_MAX}, is {}", m.serial)));
        }
        let core = Self {
            organization: text("organization", &m.organization, 253)?,
            tenant: TenantId::from_field("tenant", &m.tenant)?,
            appliance: match m.appliance.as_str() {
                "" => None,
                id => Some(ApplianceId::from_field("appliance", id)?),
            },
            incarnation: match m.incarnation.as_slice() {
                [] => None,
                bytes => Some(Incarnation::from_field("incarnation", bytes)?),
            },
            kind: m.kind.parse()?,
            name: text("name", &m.name, 60)?,
            serial: m.serial,
            issued: Millis(m.issued_ms),
            content: m.content,
        };
        if core.incarnation.is_some() && core.appliance.is_none() {
            return Err(BadField::new("incarnation", "must be empty where no appliance is named"));
        }
        if core.kind != Kind::Exception && core.incarnation.is_none() {
            let problem = format!("must be named by a {}: it is for one box as it is", core.kind);
            return Err(BadField::new("incarnation", problem));
        }
        if core.kind == Kind::WatchList && core.name != WATCH_LIST {
            return Err(BadField::new("name", format!("must be {WATCH_LIST} for a watch list")));
        }
        Ok(core)
    }

    /// Which document it is.
    #[must_use]
    pub fn slot(&self) -> Slot {
        Slot { kind: self.kind, name: self.name.clone(), is_for_one: self.appliance.is_some() }
    }

    /// Whether it takes back what the one before it decided.
    #[must_use]
    pub fn is_withdrawal(&self) -> bool {
        self.content.is_empty()
    }

    /// Whether an approver must have signed it.
    #[must_use]
    pub fn needs_approval(&self) -> bool {
        match self.kind {
            Kind::Exception => !self.is_withdrawal(),
            // To go back to the box's own list changes what is watched, too.
            Kind::WatchList => true,
            // Where it goes, and whether at all, the box says; what it is, only the box can see.
            Kind::Secret => false,
        }
    }

    /// Refuses one that is for somebody else; the complaint names the field.
    pub fn is_for(&self, box_: &Identity, incarnation: Incarnation) -> Result<(), BadField> {
        let other = |field: &str, named: &dyn std::fmt::Display, own: &dyn std::fmt::Display| {
            Err(BadField::new(field, format!("is {named}; this box is {own}")))
        };
        if self.organization != box_.organization {
            return other("organization", &self.organization, &box_.organization);
        }
        if self.tenant != box_.tenant {
            return other("tenant", &self.tenant, &box_.tenant);
        }
        if let Some(appliance) = self.appliance.filter(|named| *named != box_.appliance) {
            return other("appliance", &appliance, &box_.appliance);
        }
        if let Some(named) = self.incarnation.filter(|named| *named != incarnation) {
            return other("incarnation", &named, &incarnation);
        }
        Ok(())
    }
}

impl Document {
    /// Puts approvals to a core's exact bytes. It is not signed yet.
    pub fn new(core: &[u8], charter_serial: u64, approvals: Vec<Approval>) -> Result<Self, BadField> {
        if approvals.len() > APPROVALS_MAX {
            let have = approvals.len();
            return Err(BadField::new("approvals", format!("must be at most {APPROVALS_MAX}, are {have}")));
        }
        Ok(Self {
            core: Core::decode(core).map_err(|bad| bad.within("core"))?,
            core_digest: Digest::of(core),
            core_bytes: core.to_vec(),
            charter_serial,
            approvals,
        })
    }

    /// The same, to be signed under that charter.
    #[must_use]
    pub fn under(self, charter_serial: u64) -> Self {
        Self { charter_serial, ..self }
    }

    /// Reads a payload. Says what it is, not that it holds.
    pub fn decode(payload: &[u8]) -> Result<Self, BadField> {
        let m = pb::Document::decode(payload).map_err(|e| BadField::new("payload", e.to_string()))?;
        Self::new(&m.core, m.charter_serial, m.approvals.into_iter().map(Into::into).collect())
    }

    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        pb::Document {
            core: self.core_bytes.clone(),
            charter_serial: self.charter_serial,
            approvals: self.approvals.iter().cloned().map(Into::into).collect(),
        }
        .encode_to_vec()
    }

    /// What the order key is to sign.
    #[must_use]
    pub fn unsigned(&self) -> Unsigned {
        Unsigned::new(DOCUMENT_TYPE, self.encode())
    }

    /// Signs with the order key.
    #[must_use]
    pub fn seal(&self, order_key: &SecretKey) -> Vec<u8> {
        self.unsigned().seal(order_key)
    }

    /// Opens a document: an order key of the charter sent it, and who must has approved it. For whom it is, and that it is
    /// the newest, is for the caller.
    pub fn open(envelope: &[u8], charter: &Charter) -> Result<Verified<Self>, DocumentError> {
        dsse::open(envelope, DOCUMENT_TYPE, &charter.order_keys, 1).map_err(DocumentError::Signature)?.parse(
            |bytes| {
                let document = Self::decode(&bytes).map_err(DocumentError::Content)?;
                document.holds(charter)?;
                Ok(document)
            },
        )
    }

    /// Refuses one that this charter does not let hold: drawn up under a newer one, or not approved by its people.
    pub fn holds(&self, charter: &Charter) -> Result<(), DocumentError> {
        if self.charter_serial > charter.serial {
            let problem =
                format!("is {}; the newest charter here is {}", self.charter_serial, charter.serial);
            return Err(DocumentError::Content(BadField::new("charter_serial", problem)));
        }
        let approvers = approval::approvers(&self.approvals, &charter.approvers, self.core_digest)
            .map_err(DocumentError::Approval)?;
        if self.core.needs_approval() && approvers.is_empty() {
            return Err(DocumentError::Unapproved);
        }
        Ok(())
    }
}

/// Whether `offered` takes the place of `kept`: by serial, which never falls.
pub fn succession(kept: Option<(u64, Digest)>, offered: (u64, Digest)) -> Result<bool, DocumentError> {
    match kept {
        Some((newest, _)) if offered.0 < newest => Err(DocumentError::Older { offered: offered.0, newest }),
        Some((newest, digest)) if offered.0 == newest && offered.1 != digest => {
            Err(DocumentError::Forked(newest))
        }
        Some((newest, _)) => Ok(offered.0 > newest),
        None => Ok(true),
    }
}

impl From<Approval> for pb::Approval {
    fn from(a: Approval) -> Self {
        Self {
            approver: a.approver,
            authenticator_data: a.authenticator_data,
            client_data: a.client_data,
            signature: a.signature,
        }
    }
}

impl From<pb::Approval> for Approval {
    fn from(m: pb::Approval) -> Self {
        Self {
            approver: m.approver,
            authenticator_data: m.authenticator_data,
            client_data: m.client_data,
            signature: m.signature,
        }
    }
}
