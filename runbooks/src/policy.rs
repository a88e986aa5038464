//! Policy: what of the catalogue may run on its own, when and how often.
//!
//! "Policy from the control plane only tightens catalogue and local configuration" (DESIGN.md section 4). [`Policy::tightened_by`]
//! is therefore the only way to combine two: it commutes, associates, changes nothing when repeated, and whatever the
//! result admits, each side admits.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proto::{
    charter::{self, Charter, CharterError},
    digest::Digest,
    dsse::{self, EnvelopeError, Unsigned, Verified},
    field::{BadField, text},
    ids::{RunbookId, SiteId, TenantId},
    keys::SecretKey,
    time::Millis,
};
use serde::{Deserialize, Serialize};

use crate::{
    hours::ClinicHours,
    runbook::{Risk, Runbook},
    window::Windows,
};

/// DSSE payload type of a policy.
pub const POLICY_TYPE: &str = "application/vnd.orderly.policy.v1+json";

proto::vocabulary! {
    /// Who has to agree before a runbook runs; the later, the tighter.
    pub enum Mode as "mode" {
        /// Nobody.
        Automatic = "automatic",
        /// An approver of the charter.
        Approval = "approval",
        /// It does not run.
        Never = "never",
    }
}

/// What may run, when and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Rises with every policy of a tenant; 0 is a box's own.
    pub serial: u64,
    /// The only tenant it is for; `None`: any.
    pub tenant: Option<TenantId>,
    /// Runbooks that may run; `None`: the whole catalogue.
    pub allow: Option<BTreeSet<RunbookId>>,
    /// Sites where fewer may run: there, only these.
    #[serde(default)]
    pub sites: BTreeMap<SiteId, BTreeSet<RunbookId>>,
    /// Who has to agree, by risk. High and destructive always need approval, whatever stands here.
    pub modes: BTreeMap<Risk, Mode>,
    /// Who has to agree, by runbook; it can only ask for more than the runbook's risk does. A program from before this refuses
    /// a policy that uses it, and so keeps the one before and takes no order that was cleared under this one (guardrail 5).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub runbook_modes: BTreeMap<RunbookId, Mode>,
    /// Nothing runs, and why.
    pub hold: Option<String>,
    /// Nothing runs before.
    pub freeze_until: Option<Millis>,
    /// Shadow mode: until then faults are planned for and reported, and nothing runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow_until: Option<Millis>,
    /// Whether standing orders may be given and used, for runbooks of low risk that run automatically.
    #[serde(default = "yes")]
    pub standing_orders: bool,
    /// When anything runs.
    #[serde(default)]
    pub windows: Windows,
    /// When people work in the clinic: then nothing runs that disturbs them.
    #[serde(default, skip_serializing_if = "ClinicHours::is_empty")]
    pub clinic_hours: ClinicHours,
    /// Seconds between two executions of a runbook on one target, even when the runbook says less.
    pub cooldown_at_least_seconds: u64,
    /// Most executions on one appliance in an hour.
    pub per_appliance_hour: u32,
    /// Most executions for one tenant in an hour.
    pub per_tenant_hour: u32,
    /// After so many failures in a row of one runbook on one target, the breaker opens.
    pub breaker_after: u32,
    /// Seconds that it stays open.
    pub breaker_reset_seconds: u64,
}

/// Why a policy was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not signed by an order key.
    #[error("policy is not signed by an order key of the charter")]
    Signature(#[source] EnvelopeError),
    /// Not a policy, or one that must not be.
    #[error("policy: {0}")]
    Content(BadField),
    /// Older than the newest seen.
    #[error("policy serial {offered} is older than {newest}, the newest seen")]
    Older {
        /// Serial of the refused one.
        offered: u64,
        /// Serial already seen.
        newest: u64,
    },
    /// Same serial, other content.
    #[error("policy serial {0} was seen with other content; sign one with a higher serial")]
    Forked(u64),
}

impl Policy {
    /// What holds on a box whose configuration says nothing else.
    #[must_use]
    pub fn default_local() -> Self {
        Self {
            serial: 0,
            tenant: None,
            allow: None,
            sites: BTreeMap::new(),
            modes: Risk::ALL.iter().map(|risk| (*risk, least_mode(*risk))).collect(),
            runbook_modes: BTreeMap::new(),
            hold: None,
            freeze_until: None,
            shadow_until: None,
            standing_orders: true,
            windows: Windows::always(),
            clinic_hours: ClinicHours::default(),
            cooldown_at_least_seconds: 0,
            per_appliance_hour: 60,
            per_tenant_hour: 600,
            breaker_after: 3,
            breaker_reset_seconds: 3600,
        }
    }

    /// One that says nothing: joined with another, it changes nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self {
            modes: BTreeMap::new(),
            per_appliance_hour: u32::MAX,
            per_tenant_hour: u32::MAX,
            breaker_after: u32::MAX,
            breaker_reset_seconds: 0,
            ..Self::default_local()
        }
    }

    /// What holds on such a box, for one tenant, ready to be signed.
    #[must_use]
    pub fn for_tenant(serial: u64, tenant: TenantId) -> Self {
        Self { serial, tenant: Some(tenant), ..Self::default_local() }
    }

    /// Opens a policy: an order key of the charter signed it.
    pub fn open(envelope: &[u8], charter: &Charter) -> Result<Verified<Self>, PolicyError> {
        dsse::open(envelope, POLICY_TYPE, &charter.order_keys, 1).map_err(PolicyError::Signature)?.parse(
            |bytes| {
                let policy: Self = serde_json::from_slice(&bytes)
                    .map_err(|e| PolicyError::Content(BadField::new("payload", e.to_string())))?;
                if policy.serial == 0 {
                    return Err(PolicyError::Content(BadField::new(
                        "serial",
                        "must be at least 1; 0 is a box's own",
                    )));
                }
                policy.check().map_err(PolicyError::Content)?;
                Ok(policy)
            },
        )
    }

    /// What the order key is to sign.
    #[must_use]
    pub fn unsigned(&self) -> Unsigned {
        Unsigned::new(POLICY_TYPE, serde_json::to_vec(self).expect("plain data serialises"))
    }

    /// Signs with the order key.
    #[must_use]
    pub fn seal(&self, order_key: &SecretKey) -> Vec<u8> {
        self.unsigned().seal(order_key)
    }

    /// What every policy must hold to, wherever it comes from.
    pub fn check(&self) -> Result<(), BadField> {
        if let Some(reason) = &self.hold {
            text("hold", reason, 200)?;
        }
        for window in self.windows.iter() {
            window.check().map_err(|bad| bad.within("windows"))?;
        }
        self.clinic_hours.check().map_err(|bad| bad.within("clinic_hours"))?;
        if self.breaker_after == 0 {
            return Err(BadField::new("breaker_after", "must be at least 1; to stop everything, use hold"));
        }
        Ok(())
    }

    /// Who has to agree to a runbook of that risk: never less than the risk itself asks for.
    #[must_use]
    pub fn mode(&self, risk: Risk) -> Mode {
        self.modes.get(&risk).copied().unwrap_or(Mode::Automatic).max(least_mode(risk))
    }

    /// The same for one runbook: never less than its risk asks for.
    #[must_use]
    pub fn mode_of(&self, runbook: &Runbook) -> Mode {
        let own = self.runbook_modes.get(&runbook.id).copied().unwrap_or(Mode::Automatic);
        own.max(self.mode(runbook.risk))
    }

    /// How many approvers of the charter must agree to a runbook; `None`: it does not run, whoever agrees.
    #[must_use]
    pub fn approvers_for(&self, runbook: &Runbook) -> Option<usize> {
        match (self.mode_of(runbook), runbook.risk) {
            (Mode::Never, _) => None,
            (_, Risk::Destructive) => Some(2),
            (Mode::Approval, _) | (_, Risk::High) => Some(1),
            (Mode::Automatic, Risk::Low | Risk::Medium) => Some(0),
        }
    }

    /// Until when shadow mode goes on, if it does; without trusted time it does.
    #[must_use]
    pub fn shadow(&self, now: Option<Millis>) -> Option<Millis> {
        self.shadow_until.filter(|until| now.is_none_or(|now| now < *until))
    }

    /// Whether the allowlists name `runbook` at `site`.
    #[must_use]
    pub fn allows(&self, runbook: &RunbookId, site: SiteId) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.contains(runbook))
            && self.sites.get(&site).is_none_or(|here| here.contains(runbook))
    }

    /// [`Self::cooldown_at_least_seconds`] as a span.
    #[must_use]
    pub fn cooldown_at_least(&self) -> Duration {
        Duration::from_secs(self.cooldown_at_least_seconds)
    }

    /// [`Self::breaker_reset_seconds`] as a span.
    #[must_use]
    pub fn breaker_reset(&self) -> Duration {
        Duration::from_secs(self.breaker_reset_seconds)
    }

    /// Both at once. Two policies for different tenants admit nothing together.
    #[must_use]
    pub fn tightened_by(&self, other: &Self) -> Self {
        let strangers = self.tenant.zip(other.tenant).is_some_and(|(a, b)| a != b);
        let allow = either(&self.allow, &other.allow, |a, b| a.intersection(b).cloned().collect());
        Self {
            serial: self.serial.max(other.serial),
            tenant: either(&self.tenant, &other.tenant, |a, b| *a.min(b)),
            allow: if strangers { Some(BTreeSet::new()) } else { allow },
            sites: union(&self.sites, &other.sites, |a, b| a.intersection(b).cloned().collect()),
            modes: union(&self.modes, &other.modes, |a, b| *a.max(b)),
            runbook_modes: union(&self.runbook_modes, &other.runbook_modes, |a, b| *a.max(b)),
            hold: either(&self.hold, &other.hold, |a, b| a.min(b).clone()),
            freeze_until: self.freeze_until.max(other.freeze_until),
            shadow_until: self.shadow_until.max(other.shadow_until),
            standing_orders: self.standing_orders && other.standing_orders,
            windows: self.windows.and(&other.windows),
            clinic_hours: self.clinic_hours.or(&other.clinic_hours),
            cooldown_at_least_seconds: self.cooldown_at_least_seconds.max(other.cooldown_at_least_seconds),
            per_appliance_hour: self.per_appliance_hour.min(other.per_appliance_hour),
            per_tenant_hour: self.per_tenant_hour.min(other.per_tenant_hour),
            breaker_after: self.breaker_after.min(other.breaker_after),
            breaker_reset_seconds: self.breaker_reset_seconds.max(other.breaker_reset_seconds),
        }
    }
}

fn yes() -> bool {
    true
}

/// High risk wants an approver, whatever a policy says (guardrail 10).
fn least_mode(risk: Risk) -> Mode {
    match risk {
        Risk::Low | Risk::Medium => Mode::Automatic,
        Risk::High | Risk::Destructive => Mode::Approval,
    }
}

fn either<T: Clone>(a: &Option<T>, b: &Option<T>, join: impl FnOnce(&T, &T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(join(a, b)),
        (a, b) => a.as_ref().or(b.as_ref()).cloned(),
    }
}

fn union<K: Clone + Ord, V: Clone>(
    a: &BTreeMap<K, V>,
    b: &BTreeMap<K, V>,
    join: impl Fn(&V, &V) -> V,
) -> BTreeMap<K, V> {
    let mut all = a.clone();
    for (key, value) in b {
        let joined = all.get(key).map_or_else(|| value.clone(), |kept| join(kept, value));
        all.insert(key.clone(), joined);
    }
    all
}

/// What to do with a policy that verified, given the newest one seen (serial and digest of its payload).
///
/// `Ok(true)`: keep it, it is newer. `Ok(false)`: it is the one we have. The rule is the charter's.
pub fn succession(newest: Option<(u64, Digest)>, offered: (u64, Digest)) -> Result<bool, PolicyError> {
    charter::succession(newest, offered).map_err(|refused| match refused {
        CharterError::Older { offered, newest } => PolicyError::Older { offered, newest },
        CharterError::Forked(serial) => PolicyError::Forked(serial),
        CharterError::Signature(source) => PolicyError::Signature(source),
        CharterError::Content(bad) => PolicyError::Content(bad),
    })
}
