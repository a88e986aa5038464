//! What can be done: a closed list, each with the typed facts that an auditor asks for.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    document,
    ids::{ApplianceId, Incarnation, IncidentId, OrderId, RunbookId, SiteId, WatchId},
    succession::Cause,
    time::Millis,
};

use super::words::{Change, End, Level, Mode, Through, Verdict};

/// Until when somebody has access who signs in: until it is taken back. A day that nobody here sees, and that a timestamp can say.
pub const NO_END: Millis = Millis(253_402_041_600_000);

/// Something done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Deed {
    /// A box was claimed: an enrolment token was used up, its keys admitted, a certificate issued.
    Claim {
        /// The box.
        appliance: ApplianceId,
        /// Its executor's state.
        incarnation: Incarnation,
        /// Where it stands.
        site: SiteId,
        /// SHA-256 of its certificate.
        certificate: Digest,
    },
    /// A box's certificate was renewed, its executor co-signing.
    Renewal {
        /// The box.
        appliance: ApplianceId,
        /// Its executor's state.
        incarnation: Incarnation,
        /// SHA-256 of the new certificate.
        certificate: Digest,
        /// When that ends.
        until: Millis,
    },
    /// A box's orders stop: its story does not hold.
    Quarantine {
        /// The box.
        appliance: ApplianceId,
        /// Why, in the program's words.
        cause: String,
    },
    /// A quarantine ended.
    Readmission {
        /// The box.
        appliance: ApplianceId,
    },
    /// A box was shut out for good.
    Revocation {
        /// The box.
        appliance: ApplianceId,
    },
    /// A token to claim a box with was given out.
    Ticket {
        /// For which site.
        site: SiteId,
        /// When it ends.
        until: Millis,
    },
    /// A document was approved and put in force, or withdrawn.
    Approval {
        /// What it decides.
        what: document::Kind,
        /// Which of its kind.
        name: String,
        /// Its serial.
        serial: u64,
        /// For which box; `None`: every box of the clinic.
        appliance: Option<ApplianceId>,
        /// SHA-256 of its core: what approvers signed.
        core: Digest,
        /// Whether it takes back what the one before it decided.
        is_withdrawal: bool,
        /// Who approved it, by name in the charter.
        approvers: Vec<String>,
    },
    /// The clinic's policy was changed.
    Policy {
        /// Its new serial.
        serial: u64,
        /// What was changed.
        change: Change,
        /// SHA-256 of its payload.
        digest: Digest,
        /// The place whose own it is; `None`: the clinic's, wherever a place has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
    },
    /// Orders were held: nothing runs, standing orders neither. Why, the control plane keeps: people's words stay outside.
    Hold {
        /// At which level.
        level: Level,
        /// The place, when it was held at one.
        site: Option<SiteId>,
        /// The box, when it was held at one.
        appliance: Option<ApplianceId>,
        /// Until when; `None`: until it is released.
        until: Option<Millis>,
    },
    /// A hold was released, or ended.
    Release {
        /// At which level.
        level: Level,
        /// The place, when it was held at one.
        site: Option<SiteId>,
        /// The box, when it was held at one.
        appliance: Option<ApplianceId>,
    },
    /// What became of asking people whether an order may be given. Why, the control plane keeps: people's words stay outside.
    Decision {
        /// The order that it would be, or was.
        order: OrderId,
        /// For what.
        incident: IncidentId,
        /// On which box.
        appliance: ApplianceId,
        /// Which procedure.
        runbook: RunbookId,
        /// SHA-256 of its core: what approvers sign.
        core: Digest,
        /// What was decided.
        verdict: Verdict,
        /// Whose approval it was, by name in the charter; `None`: it was none.
        approver: Option<String>,
    },
    /// A charter was put in force.
    Charter {
        /// Its serial.
        serial: u64,
        /// SHA-256 of its payload.
        digest: Digest,
    },
    /// A catalogue of runbooks was put in force.
    Catalogue {
        /// Its version.
        version: u64,
        /// SHA-256 of its payload.
        digest: Digest,
    },
    /// A person or program was given access to this control plane.
    Access {
        /// By what name.
        name: String,
        /// Until when.
        until: Millis,
    },
    /// An access was taken back.
    AccessEnd {
        /// Of what name.
        name: String,
    },
    /// Something that a box should have sent is missing.
    Gap {
        /// The box.
        appliance: ApplianceId,
        /// Why, in a word: `buffer-full`, `batches-missing`.
        cause: String,
        /// How many records.
        amount: u64,
        /// From when.
        first: Millis,
        /// Until when.
        last: Millis,
    },
    /// An incident is over for the control plane.
    Incident {
        /// Which.
        id: IncidentId,
        /// On which box.
        appliance: ApplianceId,
        /// The fault: `backup.stale`.
        fault: String,
        /// The entry of the box's watch list, or the control; `None`: something else, or one that no executor has named.
        watch: Option<WatchId>,
        /// When it was opened.
        opened: Millis,
        /// How it ended.
        end: End,
    },
    /// A person took an incident on.
    Acknowledgement {
        /// Which.
        id: IncidentId,
        /// On which box.
        appliance: ApplianceId,
    },
    /// This control plane came back from a backup, and read back what it had forgotten.
    Restore {
        /// Its generation since.
        generation: u64,
    },
    /// The clinic's log could not be continued; by word of the organization keys this one follows it.
    Succession {
        /// What the log before was called.
        origin: String,
        /// How many entries it had.
        size: u64,
        /// Its root.
        root: Digest,
        /// Why it could not be continued.
        cause: Cause,
        /// SHA-256 of the statement's payload.
        statement: Digest,
    },
    /// The contract between clinic and service provider (a business associate agreement) was recorded; the newest is the
    /// one in force. Its parties and its text stay in the document.
    Agreement {
        /// Day on which it was signed: its begin, UTC.
        signed: Millis,
        /// Its last day; `None`: it holds until somebody ends it.
        until: Option<Millis>,
        /// SHA-256 of the signed document.
        document: Digest,
    },
    /// It was said who runs this control plane. As long as nobody says so, a service provider does.
    Mode {
        /// Who.
        mode: Mode,
    },
    /// It was gone through who has access to this control plane.
    AccessReview {
        /// Whose access goes on, by name, and until when at most.
        kept: BTreeMap<String, Millis>,
        /// Whose access was taken back by it, by name.
        ended: BTreeSet<String>,
    },
    /// To whom packets are sent was changed. Addresses are people's own, and nothing can be deleted here: a number alone.
    Recipients {
        /// How many there are now.
        count: u64,
    },
    /// The packet of a month was made, once and for all.
    Packet {
        /// `2026-11`.
        month: String,
        /// SHA-256 of its Markdown.
        markdown: Digest,
        /// SHA-256 of its PDF, where there is one.
        pdf: Option<Digest>,
    },
    /// A packet was sent by mail, and every mail server has answered for good.
    Delivery {
        /// Which month's.
        month: String,
        /// SHA-256 of what was sent.
        packet: Digest,
        /// How many recipients' mail servers took it.
        sent: u64,
        /// How many did not.
        refused: u64,
    },
    /// A person acknowledged a packet: 45 CFR 164.308(a)(1)(ii)(D).
    Review {
        /// Which month's.
        month: String,
        /// SHA-256 of what was reviewed.
        packet: Digest,
        /// Who, by the name that was given.
        name: String,
        /// As what.
        role: String,
        /// How it came here.
        through: Through,
    },
    /// The clinic left: its boxes, and whoever had access to it alone, were shut out.
    Closure {},
    /// Something else that somebody changed; the audit record that the act names says what.
    Operation {
        /// What they called: `Sites/Create`.
        call: String,
    },
    /// Something that only a newer version of this program can say.
    #[serde(skip)]
    Unknown,
}

impl Deed {
    /// One word for lists: `claim`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Claim { .. } => "claim",
            Self::Renewal { .. } => "renewal",
            Self::Quarantine { .. } => "quarantine",
            Self::Readmission { .. } => "readmission",
            Self::Revocation { .. } => "revocation",
            Self::Ticket { .. } => "ticket",
            Self::Approval { .. } => "approval",
            Self::Policy { .. } => "policy",
            Self::Hold { .. } => "hold",
            Self::Release { .. } => "release",
            Self::Decision { .. } => "decision",
            Self::Charter { .. } => "charter",
            Self::Catalogue { .. } => "catalogue",
            Self::Access { .. } => "access",
            Self::AccessEnd { .. } => "access-end",
            Self::Gap { .. } => "gap",
            Self::Incident { .. } => "incident",
            Self::Acknowledgement { .. } => "acknowledgement",
            Self::Restore { .. } => "restore",
            Self::Succession { .. } => "succession",
            Self::Agreement { .. } => "agreement",
            Self::Mode { .. } => "mode",
            Self::AccessReview { .. } => "access-review",
            Self::Recipients { .. } => "recipients",
            Self::Packet { .. } => "packet",
            Self::Delivery { .. } => "delivery",
            Self::Review { .. } => "review",
            Self::Closure {} => "closure",
            Self::Operation { .. } => "operation",
            Self::Unknown => "unknown",
        }
    }

    /// The box that it is about, when it is about one.
    #[must_use]
    pub fn appliance(&self) -> Option<ApplianceId> {
        match self {
            Self::Claim { appliance, .. }
            | Self::Renewal { appliance, .. }
            | Self::Quarantine { appliance, .. }
            | Self::Readmission { appliance }
            | Self::Revocation { appliance }
            | Self::Gap { appliance, .. }
            | Self::Incident { appliance, .. }
            | Self::Acknowledgement { appliance, .. }
            | Self::Decision { appliance, .. } => Some(*appliance),
            Self::Approval { appliance, .. }
            | Self::Hold { appliance, .. }
            | Self::Release { appliance, .. } => *appliance,
            Self::Ticket { .. }
            | Self::Policy { .. }
            | Self::Charter { .. }
            | Self::Catalogue { .. }
            | Self::Access { .. }
            | Self::AccessEnd { .. }
            | Self::Restore { .. }
            | Self::Succession { .. }
            | Self::Agreement { .. }
            | Self::Mode { .. }
            | Self::AccessReview { .. }
            | Self::Recipients { .. }
            | Self::Packet { .. }
            | Self::Delivery { .. }
            | Self::Review { .. }
            | Self::Closure {}
            | Self::Operation { .. }
            | Self::Unknown => None,
        }
    }
}
