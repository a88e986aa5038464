//! A tenant's policy, changed: read, changed, checked, signed anew with a higher serial.

use proto::{
    act::{Change, Deed},
    field::BadField,
    time::Millis,
};
use runbooks::{ClinicHours, Policy, Window, Windows};
use serde_json::json;

use super::{Core, CoreError, payload_digest};
use crate::store::TenantRow;

/// The most windows of a clinic: each box keeps them all, and a week has seven days.
const TIMES_MAX: usize = 32;

impl Core {
    /// Puts another policy of a clinic in force. Every box of it is told at its next exchange.
    pub fn change_policy(
        &mut self,
        tenant: &str,
        what: Change,
        change: impl FnOnce(&mut Policy),
        now: Millis,
    ) -> Result<TenantRow, CoreError> {
        let row = self.tenant(tenant)?;
        let before = self.policy_of(row.id)?;
        let mut policy = before.clone();
        change(&mut policy);
        policy.serial = row.policy_serial + 1;
        policy.tenant = Some(row.id);
        policy.check()?;
        let envelope = policy.seal(&self.keys.order);
        self.store.put_policy(row.id, policy.serial, &envelope)?;
        let digest = payload_digest(&envelope)?;
        self.changed(Some(row.id), "policy", json!(before), json!(policy));
        self.note_act(row.id, Deed::Policy { serial: policy.serial, change: what, digest }, now);
        self.wake.extend(self.store.appliances(Some(row.id))?.into_iter().map(|appliance| appliance.id));
        self.tenant(&row.id.to_string())
    }

    /// Sets shadow mode for a clinic, or ends it: until then faults are planned for and reported, and nothing runs.
    pub fn shadow_tenant(
        &mut self,
        tenant: &str,
        until: Option<Millis>,
        now: Millis,
    ) -> Result<TenantRow, CoreError> {
        if until.is_some_and(|until| until <= now) {
            return Err(BadField::new("until", format!("must be later than now, {now}")).into());
        }
        self.change_policy(tenant, Change::Shadow, |policy| policy.shadow_until = until, now)
    }

    /// Says when people work in a clinic: then nothing runs that disturbs them.
    pub fn set_clinic_hours(
        &mut self,
        tenant: &str,
        times: &[String],
        now: Millis,
    ) -> Result<TenantRow, CoreError> {
        let hours = ClinicHours::during(windows("clinic_hours", times)?);
        self.change_policy(tenant, Change::ClinicHours, |policy| policy.clinic_hours = hours, now)
    }

    /// Sets a clinic's maintenance windows: outside of them nothing runs. None: it runs at any time.
    pub fn set_windows(
        &mut self,
        tenant: &str,
        times: &[String],
        now: Millis,
    ) -> Result<TenantRow, CoreError> {
        let all = windows("windows", times)?;
        let windows = if all.is_empty() { Windows::always() } else { Windows::any_of(all) };
        self.change_policy(tenant, Change::Windows, |policy| policy.windows = windows, now)
    }
}

/// Weekly windows as people write them, each in a zone that this program knows.
fn windows(field: &str, times: &[String]) -> Result<Vec<Window>, BadField> {
    if times.len() > TIMES_MAX {
        return Err(BadField::new(field, format!("must be at most {TIMES_MAX}, are {}", times.len())));
    }
    let read = |(at, text): (usize, &String)| {
        Window::typed(text).map_err(|bad| bad.within(&format!("{field}[{at}]")))
    };
    times.iter().enumerate().map(read).collect()
}
