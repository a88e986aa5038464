//! A change of a policy as people write it, for one clinic or as a template for many: what it does not name stays.
//!
//! The rule: strict, and whole or not at all. A key that is not known is refused, and so is what no policy may say.

use std::collections::{BTreeMap, BTreeSet};

use proto::{field::BadField, ids::RunbookId, time::Millis};
use serde::{Deserialize, Serialize};

use crate::{
    hours::ClinicHours,
    policy::{Mode, Policy},
    runbook::Risk,
    window::{Window, Windows},
};

/// The most windows or hours of a policy: each box keeps them all, and a week has seven days.
pub const TIMES_MAX: usize = 32;

proto::vocabulary! {
    /// What of a policy can be set.
    pub enum Setting as "setting" {
        /// Runbooks that may run.
        Allow = "allow",
        /// Who has to agree, by risk.
        Modes = "modes",
        /// Who has to agree, by runbook.
        RunbookModes = "runbook_modes",
        /// Nothing runs before.
        FreezeUntil = "freeze_until",
        /// Whether standing orders are given.
        StandingOrders = "standing_orders",
        /// When anything runs.
        Windows = "windows",
        /// When people work.
        ClinicHours = "clinic_hours",
        /// Seconds between two executions.
        Cooldown = "cooldown_at_least_seconds",
        /// Budget of an appliance.
        PerApplianceHour = "per_appliance_hour",
        /// Budget of a tenant.
        PerTenantHour = "per_tenant_hour",
        /// When the breaker opens.
        BreakerAfter = "breaker_after",
        /// How long it stays open.
        BreakerReset = "breaker_reset_seconds",
    }
}

/// Changes of some settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Patch {
    /// Settings that say nothing any more, before the others are set.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unset: BTreeSet<Setting>,
    /// Runbooks that may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<BTreeSet<RunbookId>>,
    /// Who has to agree, by risk.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub modes: BTreeMap<Risk, Mode>,
    /// Who has to agree, by runbook.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub runbook_modes: BTreeMap<RunbookId, Mode>,
    /// Nothing runs before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeze_until: Option<Millis>,
    /// Whether standing orders are given and used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standing_orders: Option<bool>,
    /// When anything runs: `saturday 22:00-02:00 America/Chicago`; none: at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<Vec<String>>,
    /// When people work, in the same words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clinic_hours: Option<Vec<String>>,
    /// Seconds between two executions of a runbook on one target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cooldown_at_least_seconds: Option<u64>,
    /// Most executions on one appliance in an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_appliance_hour: Option<u32>,
    /// Most executions for one tenant in an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_tenant_hour: Option<u32>,
    /// After so many failures in a row the breaker opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker_after: Option<u32>,
    /// Seconds that it stays open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker_reset_seconds: Option<u64>,
}

impl Patch {
    /// Reads what was sent: JSON.
    pub fn parse(text: &str) -> Result<Self, BadField> {
        let bad = |e: serde_json::Error| BadField::new("settings", e.to_string());
        // By name and in no other form: a list would be taken for the settings in their order.
        if !text.trim_start().starts_with('{') {
            return Err(BadField::new("settings", "must be an object of settings by name"));
        }
        serde_json::from_str(text).map_err(bad)
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Changes `policy`; what is unset is as in `base` again. When it cannot be, nothing is changed.
    pub fn apply(&self, policy: &mut Policy, base: &Policy) -> Result<(), BadField> {
        let mut next = policy.clone();
        for setting in &self.unset {
            reset(&mut next, base, *setting);
        }
        if let Some(allow) = &self.allow {
            next.allow = Some(allow.clone());
        }
        next.modes.extend(self.modes.iter().map(|(risk, mode)| (*risk, *mode)));
        next.runbook_modes.extend(self.runbook_modes.iter().map(|(id, mode)| (id.clone(), *mode)));
        next.freeze_until = self.freeze_until.or(next.freeze_until);
        if let Some(times) = &self.windows {
            let all = typed("windows", times)?;
            next.windows = if all.is_empty() { Windows::always() } else { Windows::any_of(all) };
        }
        if let Some(times) = &self.clinic_hours {
            next.clinic_hours = ClinicHours::during(typed("clinic_hours", times)?);
        }
        set(&mut next.standing_orders, self.standing_orders);
        set(&mut next.cooldown_at_least_seconds, self.cooldown_at_least_seconds);
        set(&mut next.per_appliance_hour, self.per_appliance_hour);
        set(&mut next.per_tenant_hour, self.per_tenant_hour);
        set(&mut next.breaker_after, self.breaker_after);
        set(&mut next.breaker_reset_seconds, self.breaker_reset_seconds);
        next.check()?;
        *policy = next;
        Ok(())
    }
}

fn set<T: Copy>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn reset(policy: &mut Policy, base: &Policy, setting: Setting) {
    match setting {
        Setting::Allow => policy.allow.clone_from(&base.allow),
        Setting::Modes => policy.modes.clone_from(&base.modes),
        Setting::RunbookModes => policy.runbook_modes.clone_from(&base.runbook_modes),
        Setting::FreezeUntil => policy.freeze_until = base.freeze_until,
        Setting::StandingOrders => policy.standing_orders = base.standing_orders,
        Setting::Windows => policy.windows.clone_from(&base.windows),
        Setting::ClinicHours => policy.clinic_hours.clone_from(&base.clinic_hours),
        Setting::Cooldown => policy.cooldown_at_least_seconds = base.cooldown_at_least_seconds,
        Setting::PerApplianceHour => policy.per_appliance_hour = base.per_appliance_hour,
        Setting::PerTenantHour => policy.per_tenant_hour = base.per_tenant_hour,
        Setting::BreakerAfter => policy.breaker_after = base.breaker_after,
        Setting::BreakerReset => policy.breaker_reset_seconds = base.breaker_reset_seconds,
    }
}

/// Weekly windows as people write them, each in a zone that this program knows.
pub fn typed(field: &str, times: &[String]) -> Result<Vec<Window>, BadField> {
    if times.len() > TIMES_MAX {
        return Err(BadField::new(field, format!("must be at most {TIMES_MAX}, are {}", times.len())));
    }
    let read = |(at, text): (usize, &String)| {
        Window::typed(text).map_err(|bad| bad.within(&format!("{field}[{at}]")))
    };
    times.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(text: &str) -> Patch {
        Patch::parse(text).unwrap()
    }

    #[test]
    fn what_is_not_named_stays_and_what_is_unset_says_nothing_any_more() {
        let (base, mut policy) = (Policy::silent(), Policy::silent());
        patch(r#"{"modes":{"low":"approval"},"runbook_modes":{"RB-DISK-001":"never"},"per_tenant_hour":5}"#)
            .apply(&mut policy, &base)
            .unwrap();
        patch(r#"{"runbook_modes":{"RB-DISK-002":"approval"},"windows":["sunday 01:00-02:00 UTC"]}"#)
            .apply(&mut policy, &base)
            .unwrap();
        assert_eq!((policy.per_tenant_hour, policy.runbook_modes.len()), (5, 2));
        assert_eq!(policy.modes, [(Risk::Low, Mode::Approval)].into());
        patch(r#"{"unset":["runbook_modes","windows"],"runbook_modes":{"RB-DISK-003":"never"}}"#)
            .apply(&mut policy, &base)
            .unwrap();
        assert_eq!(policy.runbook_modes, [("RB-DISK-003".parse().unwrap(), Mode::Never)].into());
        assert_eq!((&policy.windows, policy.per_tenant_hour), (&Windows::always(), 5));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name_and_changes_nothing() {
        for (text, field) in [
            (r#"{"per_tenant_hour":7,"breaker_after":0}"#, "breaker_after"),
            (r#"{"per_tenant_hour":7,"windows":["sunday 01:00-02:00 America/Gotham"]}"#, "windows[0].zone"),
        ] {
            let mut policy = Policy::silent();
            let bad = patch(text).apply(&mut policy, &Policy::silent()).unwrap_err();
            assert_eq!((bad.field.as_str(), policy), (field, Policy::silent()));
        }
        for text in [
            r#"{"serial":9}"#,
            r#"{"hold":"x"}"#,
            r#"{"modes":{"low":"sometimes"}}"#,
            "[]",
            "",
            r#"{"modes":{"low":"never"},"modes":{}}"#,
        ] {
            assert_eq!(Patch::parse(text).unwrap_err().field, "settings", "{text}");
        }
    }
}
