//! Orders: permission to run one runbook once, on one appliance. Decided on the signed bytes, never on a re-encoding.

use std::{collections::BTreeMap, time::Duration};

use prost::Message as _;

use crate::{
    approval::Approval,
    digest::Digest,
    dsse::Unsigned,
    field::{BadField, text},
    ids::{ApplianceId, Incarnation, IncidentId, OrderId, RunbookId, SiteId, TenantId, WatchId},
    keys::SecretKey,
    pb,
    time::Millis,
};

/// DSSE payload type of an order.
pub const ORDER_TYPE: &str = "application/vnd.orderly.order.v1+protobuf";
/// The longest an order may live.
pub const ORDER_LIFETIME_MAX: Duration = Duration::from_secs(15 * 60);
/// How far a sequence may lie above the highest seen.
pub const SEQUENCE_WINDOW: u64 = 1 << 20;
/// The most bytes an order's payload may have.
pub const ORDER_MAX: usize = 32 * 1024;

/// The most parameters and approvals, and the most bytes of text: evidence repeats them, and must find room for them.
const LIST_MAX: usize = 16;
const TEXT_MAX: usize = 1000;

/// What is to be done and to whom: what approvers sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Core {
    /// This order.
    pub id: OrderId,
    /// Trust domain.
    pub organization: String,
    /// The clinic.
    pub tenant: TenantId,
    /// The place.
    pub site: SiteId,
    /// The box.
    pub appliance: ApplianceId,
    /// The executor's state it is meant for.
    pub incarnation: Incarnation,
    /// Why.
    pub incident: IncidentId,
    /// Which procedure.
    pub runbook: RunbookId,
    /// SHA-256 of that procedure's canonical JSON.
    pub runbook_digest: Digest,
    /// Names to entries of the box's own watch list.
    pub parameters: BTreeMap<String, WatchId>,
    /// Approvals of this core end here; `None`: it needs none.
    pub approve_until: Option<Millis>,
}

/// Who chose the runbook, and from what.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// `rules` or `model`.
    pub planner: String,
    /// Model name; empty for rules.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Digest of the prompt; `None` for rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_digest: Option<Digest>,
    /// In a sentence.
    pub reason: String,
}

/// A core, issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What and to whom.
    pub core: Core,
    /// SHA-256 of the core's exact bytes: the approvers' challenge.
    pub core_digest: Digest,
    core_bytes: Vec<u8>,
    /// Charter it was signed under.
    pub charter_serial: u64,
    /// Policy it was cleared under.
    pub policy_serial: u64,
    /// Rises with every order of an incarnation.
    pub sequence: u64,
    /// When it was signed.
    pub issued: Millis,
    /// Not to be run before.
    pub not_before: Millis,
    /// Not to be run from here on.
    pub expires: Millis,
    /// Who chose it.
    pub plan: Plan,
    /// Who approved it.
    pub approvals: Vec<Approval>,
}

/// What issuing adds to a core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuance {
    /// Charter in force.
    pub charter_serial: u64,
    /// Policy in force.
    pub policy_serial: u64,
    /// Next of this incarnation.
    pub sequence: u64,
    /// Now.
    pub issued: Millis,
    /// How long it lives.
    pub lifetime: Duration,
}

/// Why a sequence is not the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// Seen before, or passed over.
    #[error("sequence {sequence} is not above {high}, the highest seen")]
    Replayed {
        /// The order's.
        sequence: u64,
        /// The highest seen.
        high: u64,
    },
    /// Too far ahead: one stolen order must not use up the whole space.
    #[error("sequence {sequence} is more than {SEQUENCE_WINDOW} above {high}, the highest seen")]
    TooFar {
        /// The order's.
        sequence: u64,
        /// The highest seen.
        high: u64,
    },
}

/// The rule against replay: high < sequence ≤ high + 2^20. No set of IDs is kept.
pub fn sequence_follows(high: u64, sequence: u64) -> Result<(), SequenceError> {
    if sequence <= high {
        return Err(SequenceError::Replayed { sequence, high });
    }
    if sequence - high > SEQUENCE_WINDOW {
        return Err(SequenceError::TooFar { sequence, high });
    }
    Ok(())
}

impl Core {
    /// The bytes that approvers and the order key sign.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        pb::OrderCore {
            id: self.id.to_string(),
            organization: self.organization.clone(),
            tenant: self.tenant.to_string(),
            site: self.site.to_string(),
            appliance: self.appliance.to_string(),
            incarnation: self.incarnation.to_vec(),
            incident: self.incident.to_string(),
            runbook: self.runbook.to_string(),
            runbook_digest: self.runbook_digest.to_vec(),
            parameters: self
                .parameters
                .iter()
                .map(|(name, watch)| pb::Parameter { name: name.clone(), watch: watch.to_string() })
                .collect(),
            approve_until_ms: self.approve_until.map_or(0, |t| t.0),
        }
        .encode_to_vec()
    }

    /// Reads the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadField> {
        let m = pb::OrderCore::decode(bytes).map_err(|e| BadField::new("core", e.to_string()))?;
        at_most("parameters", m.parameters.len())?;
        let mut parameters = BTreeMap::new();
        for p in m.parameters {
            let name = text("parameters.name", &p.name, 40)?;
            let watch = p
                .watch
                .parse()
                .map_err(|b: BadField| BadField::new(format!("parameters.{name}"), b.problem))?;
            if parameters.insert(name.clone(), watch).is_some() {
                return Err(BadField::new(format!("parameters.{name}"), "must be given once"));
            }
        }
        Ok(Self {
            id: OrderId::from_field("id", &m.id)?,
            organization: text("organization", &m.organization, 253)?,
            tenant: TenantId::from_field("tenant", &m.tenant)?,
            site: SiteId::from_field("site", &m.site)?,
            appliance: ApplianceId::from_field("appliance", &m.appliance)?,
            incarnation: Incarnation::from_field("incarnation", &m.incarnation)?,
            incident: IncidentId::from_field("incident", &m.incident)?,
            runbook: m.runbook.parse()?,
            runbook_digest: Digest::from_field("runbook_digest", &m.runbook_digest)?,
            parameters,
            approve_until: (m.approve_until_ms != 0).then_some(Millis(m.approve_until_ms)),
        })
    }
}

fn at_most(field: &str, have: usize) -> Result<(), BadField> {
    if have > LIST_MAX {
        return Err(BadField::new(field, format!("must be at most {LIST_MAX}, are {have}")));
    }
    Ok(())
}

fn optional(field: &str, value: &str, max: usize) -> Result<String, BadField> {
    if value.is_empty() { Ok(String::new()) } else { text(field, value, max) }
}

impl Order {
    /// Puts a core in force. It is not signed yet.
    #[must_use]
    pub fn issue(core: Core, issuance: &Issuance, plan: Plan, approvals: Vec<Approval>) -> Self {
        Self::put_in_force(core.encode(), core, issuance, plan, approvals)
    }

    /// Puts in force what approvers have signed: these very bytes, whatever another program would make of their meaning.
    pub fn approved(
        core: &[u8],
        issuance: &Issuance,
        plan: Plan,
        approvals: Vec<Approval>,
    ) -> Result<Self, BadField> {
        let read = Core::decode(core).map_err(|bad| bad.within("core"))?;
        Ok(Self::put_in_force(core.to_vec(), read, issuance, plan, approvals))
    }

    fn put_in_force(
        core_bytes: Vec<u8>,
        core: Core,
        issuance: &Issuance,
        plan: Plan,
        approvals: Vec<Approval>,
    ) -> Self {
        Self {
            core_digest: Digest::of(&core_bytes),
            core,
            core_bytes,
            charter_serial: issuance.charter_serial,
            policy_serial: issuance.policy_serial,
            sequence: issuance.sequence,
            issued: issuance.issued,
            not_before: issuance.issued,
            expires: issuance.issued.plus(issuance.lifetime),
            plan,
            approvals,
        }
    }

    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        pb::Order {
            core: self.core_bytes.clone(),
            charter_serial: self.charter_serial,
            policy_serial: self.policy_serial,
            sequence: self.sequence,
            issued_ms: self.issued.0,
            not_before_ms: self.not_before.0,
            expires_ms: self.expires.0,
            plan: Some(pb::Plan {
                planner: self.plan.planner.clone(),
                model: self.plan.model.clone(),
                prompt_digest: self.plan.prompt_digest.map(|d| d.to_vec()).unwrap_or_default(),
                reason: self.plan.reason.clone(),
            }),
            approvals: self
                .approvals
                .iter()
                .map(|a| pb::Approval {
                    approver: a.approver.clone(),
                    authenticator_data: a.authenticator_data.clone(),
                    client_data: a.client_data.clone(),
                    signature: a.signature.clone(),
                })
                .collect(),
        }
        .encode_to_vec()
    }

    /// What the order key is to sign.
    #[must_use]
    pub fn unsigned(&self) -> Unsigned {
        Unsigned::new(ORDER_TYPE, self.encode())
    }

    /// Signs with the order key.
    #[must_use]
    pub fn seal(&self, order_key: &SecretKey) -> Vec<u8> {
        self.unsigned().seal(order_key)
    }

    /// Reads a payload. Says what an order is, not that it may run: that is for the guardrails.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadField> {
        if bytes.len() > ORDER_MAX {
            return Err(BadField::new(
                "order",
                format!("must be at most {ORDER_MAX} bytes, has {}", bytes.len()),
            ));
        }
        let m = pb::Order::decode(bytes).map_err(|e| BadField::new("order", e.to_string()))?;
        at_most("approvals", m.approvals.len())?;
        let plan = m.plan.ok_or_else(|| BadField::new("plan", "must be present"))?;
        let prompt_digest = match plan.prompt_digest.as_slice() {
            [] => None,
            bytes => Some(Digest::from_field("plan.prompt_digest", bytes)?),
        };
        Ok(Self {
            core: Core::decode(&m.core).map_err(|b| b.within("core"))?,
            core_digest: Digest::of(&m.core),
            core_bytes: m.core,
            charter_serial: m.charter_serial,
            policy_serial: m.policy_serial,
            sequence: m.sequence,
            issued: Millis(m.issued_ms),
            not_before: Millis(m.not_before_ms),
            expires: Millis(m.expires_ms),
            plan: Plan {
                planner: text("plan.planner", &plan.planner, 40)?,
                model: optional("plan.model", &plan.model, 100)?,
                prompt_digest,
                reason: optional("plan.reason", &plan.reason, TEXT_MAX)?,
            },
            approvals: m
                .approvals
                .into_iter()
                .map(|a| Approval {
                    approver: a.approver,
                    authenticator_data: a.authenticator_data,
                    client_data: a.client_data,
                    signature: a.signature,
                })
                .collect(),
        })
    }
}
