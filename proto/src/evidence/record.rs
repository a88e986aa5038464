//! The predicate: typed, closed, and without any field that could hold what a patient would not want kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Heartbeat, Link, Scan, Update};
use crate::{
    digest::Digest,
    document,
    identity::KeyProtection,
    ids::{ApplianceId, IncidentId, OrderId, RunbookId, TenantId, WatchId},
    order::Plan,
    time::Millis,
};

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its place in the chain.
    pub chain: Link,
    /// Whose it is.
    pub identity: Identity,
    /// When, and how the clock stood.
    pub clock: Clock,
    /// Newest checkpoint of the tenant's log that this executor had verified.
    pub checkpoint: Option<CheckpointSeen>,
    /// How the signing key is kept.
    pub key_protection: KeyProtection,
    /// What happened.
    pub body: Body,
}

/// Who an executor is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Trust domain.
    pub organization: String,
    /// The clinic.
    pub tenant: TenantId,
    /// The box.
    pub appliance: ApplianceId,
}

/// Time of a record and how far it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// The best time at hand: signed server time plus boot-time clock where there is an anchor, else the wall clock.
    pub at: Millis,
    /// Which of the two.
    pub source: ClockSource,
    /// The wall clock's distance from `at`, in milliseconds.
    pub wall_offset_ms: i64,
    /// Certainly past at that moment.
    pub floor: Millis,
    /// Whether the wall clock was kept in step with others; `None`: an older version made this record, and does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synchronised: Option<Synchronised>,
}

/// Whether a machine's time service kept its clock in step with others, when it was last asked: minutes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Synchronised {
    /// It did.
    Yes,
    /// It said that it did not.
    No,
    /// It did not answer, or nobody had asked it yet.
    Unknown,
}

/// Where a record's time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockSource {
    /// A signed time token since boot.
    Token,
    /// The machine's own clock; nothing vouches for it.
    Wall,
}

/// A checkpoint, by size and root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointSeen {
    /// Entries of the log.
    pub size: u64,
    /// RFC 6962 root.
    pub root: Digest,
    /// Which of the clinic's logs, from 1.
    #[serde(default = "first_log", skip_serializing_if = "is_first_log")]
    pub log: u64,
}

fn first_log() -> u64 {
    1
}

fn is_first_log(log: &u64) -> bool {
    *log == 1
}

/// What a record is about. How it is read: see the module `body`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Body {
    /// The executor learned who it is: the first record of an incarnation.
    Enrolment(Enrolment),
    /// It runs, and this is how it stands; made on its own timer, so that silence is visible.
    Heartbeat(Heartbeat),
    /// An order was carried out, or broke off.
    Execution(Box<Execution>),
    /// An order was refused by a guardrail.
    Refusal(Refusal),
    /// Someone stopped or released all orders at the box.
    Hold(Hold),
    /// All controls of the baseline were looked at.
    Scan(Scan),
    /// A document was taken: from here on it is in force, or withdrawn.
    Document(DocumentTaken),
    /// Other software runs from here on.
    Update(Update),
    /// Something that only a newer version of this program can say. Never written: what is read as this keeps its bytes.
    #[serde(skip)]
    Unknown,
}

impl Body {
    /// Digest of the order's payload, when there is one.
    #[must_use]
    pub fn order_digest(&self) -> Option<Digest> {
        match self {
            Self::Execution(execution) => Some(execution.order.digest),
            Self::Refusal(refusal) => Some(refusal.order_digest),
            Self::Enrolment(_)
            | Self::Heartbeat(_)
            | Self::Hold(_)
            | Self::Scan(_)
            | Self::Document(_)
            | Self::Update(_)
            | Self::Unknown => None,
        }
    }

    /// One word for lists: `execution`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Enrolment(_) => "enrolment",
            Self::Heartbeat(_) => "heartbeat",
            Self::Execution(_) => "execution",
            Self::Refusal(_) => "refusal",
            Self::Hold(_) => "hold",
            Self::Scan(_) => "scan",
            Self::Document(_) => "document",
            Self::Update(_) => "update",
            Self::Unknown => "unknown",
        }
    }
}

/// An incarnation begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// SHA-256 of the certificate that named it.
    pub certificate: Digest,
    /// SHA-256 of the TLS key's SubjectPublicKeyInfo.
    pub tls_spki: Digest,
    /// Charter believed at that moment.
    pub charter_serial: u64,
    /// Head of the chain of the incarnation before; `None`: unknown, and completeness says so.
    pub predecessor: Option<Digest>,
}

/// What an order was, as evidence keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderFacts {
    /// SHA-256 of the order's signed payload.
    pub digest: Digest,
    /// Its ID.
    pub id: OrderId,
    /// Why it was given.
    pub incident: IncidentId,
    /// Its sequence.
    pub sequence: u64,
    /// Charter it was signed under.
    pub charter_serial: u64,
    /// Policy it was cleared under.
    pub policy_serial: u64,
    /// The procedure.
    pub runbook: RunbookId,
    /// Digest of that procedure.
    pub runbook_digest: Digest,
    /// Names to watch-list entries.
    pub parameters: BTreeMap<String, WatchId>,
    /// Who chose it.
    pub plan: Plan,
    /// Who approved it.
    pub approvers: Vec<String>,
    /// The standing order that was drawn on; `None`: it was an order for this one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<StandingUse>,
}

/// One use of a standing order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingUse {
    /// The standing order.
    pub id: OrderId,
    /// Which of its executions this is, from 1.
    pub count: u32,
    /// How many it permits.
    pub most: u32,
    /// The fault that called for it.
    pub trigger: String,
    /// For how long that had been seen, in milliseconds of the boot-time clock.
    pub held_ms: u64,
    /// By whom.
    pub seen_by: SeenBy,
}

/// Whose measurements called for the use of a standing order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeenBy {
    /// The executor's own. What the agent says, of the network or of a fault, played no part.
    Executor,
}

/// An order carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Execution {
    /// The order.
    pub order: OrderFacts,
    /// 45 CFR citations of the procedure.
    pub hipaa: Vec<String>,
    /// Guardrails that passed, in order.
    pub guardrails: Vec<String>,
    /// Measured before the first step.
    pub before: Readings,
    /// What was done.
    pub steps: Vec<Step>,
    /// Measured after the last.
    pub after: Readings,
    /// What it came to.
    pub verdict: Verdict,
    /// From first step to verdict, in milliseconds.
    pub took_ms: u64,
}

/// Named whole numbers, the unit in the name: `bytes`, `age_seconds`. −1 stands for "cannot be read".
pub type Readings = BTreeMap<String, i64>;

/// One step of an execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The action, as in the catalogue: `files.prune`.
    pub action: String,
    /// How it ended.
    pub result: StepResult,
    /// In milliseconds.
    pub took_ms: u64,
    /// Counted results, such as `files_removed`.
    pub counts: Readings,
    /// SHA-256 of its output, which travels as an attachment; only when the procedure says that it keeps the output.
    pub output: Option<Digest>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepResult {
    /// Done.
    Done,
    /// It could not be done.
    Failed,
    /// Over its time; stopped.
    TimedOut,
    /// Started before a power cut; nobody knows how far it got.
    Interrupted,
}

/// What an execution came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The fault is gone.
    Repaired,
    /// Every step was done; the fault is still there.
    Ineffective,
    /// A step failed; the fault is still there.
    Failed,
    /// Broken off by a power cut or kill; the fault is still there.
    Interrupted,
    /// Broken off, and yet the fault is gone.
    InterruptedRepaired,
}

impl Verdict {
    /// Whether the fault is gone.
    #[must_use]
    pub fn is_good(self) -> bool {
        matches!(self, Self::Repaired | Self::InterruptedRepaired)
    }
}

/// An order refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// SHA-256 of the payload that claimed to be an order, believed or not.
    pub order_digest: Digest,
    /// The order, when its signature held.
    pub order: Option<OrderFacts>,
    /// Number of the guardrail, 1 to 12.
    pub guardrail: u8,
    /// Its name.
    pub name: String,
    /// What was wrong and what would be right. Code-made text; no input is quoted but IDs.
    pub reason: String,
}

/// A document that was taken from the control plane, approvals and all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentTaken {
    /// What it decides: `exception`.
    pub what: document::Kind,
    /// Which of its kind: `NXH-028`.
    pub name: String,
    /// Its serial.
    pub serial: u64,
    /// SHA-256 of its core: what approvers signed.
    pub core: Digest,
    /// SHA-256 of its content: an exception's is what scans name it by.
    pub content: Digest,
    /// Whether it takes back what the one before it decided.
    pub is_withdrawal: bool,
    /// Who approved it, by name in the charter.
    pub approvers: Vec<String>,
}

/// All orders stopped, or released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Whether orders are held from here on.
    pub held: bool,
    /// How: `file`, `key`, `log-fork`; `quarantine`: the control plane stopped it.
    pub by: String,
    /// The head that a log key signed and that contradicts the log this box has verified, when that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointSeen>,
}
