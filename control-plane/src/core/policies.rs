//! A tenant's policy, changed: read, changed, checked, signed anew with a higher serial.

use proto::{field::BadField, ids::TenantId, time::Millis};
use runbooks::Policy;

use super::{Core, CoreError};
use crate::store::TenantRow;

impl Core {
    /// Puts another policy of a clinic in force. Every box of it is told at its next exchange.
    pub fn change_policy(
        &mut self,
        tenant: &str,
        change: impl FnOnce(&mut Policy),
    ) -> Result<TenantRow, CoreError> {
        let row = self.tenant(tenant)?;
        let mut policy = self.policy_of(row.id)?;
        change(&mut policy);
        policy.serial = row.policy_serial + 1;
        policy.tenant = Some(row.id);
        policy.check()?;
        self.store.put_policy(row.id, policy.serial, &policy.seal(&self.keys.order))?;
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
        self.change_policy(tenant, |policy| policy.shadow_until = until)
    }

    /// Until when a clinic is in shadow mode, if it is.
    pub fn shadow_of(&mut self, tenant: TenantId, now: Millis) -> Result<Option<Millis>, CoreError> {
        Ok(self.policy_of(tenant)?.shadow(Some(now)))
    }
}
