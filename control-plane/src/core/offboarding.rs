//! A clinic leaves: nothing acts for it or sees it any more; what was kept for it stays until its dates.

use proto::{
    act::Deed,
    field::{BadField, text},
    time::Millis,
};
use serde_json::json;

use super::{Core, CoreError};
use crate::{
    access::PersonState,
    store::{ApplianceState, TenantRow},
};

impl Core {
    /// Shuts out a clinic's boxes, its enrolment tokens, whoever had access to it alone, and its packets' recipients. `name`
    /// is typed again, because no box comes back from this. Whoever wants a bundle of its log exports it, before or after.
    pub fn offboard_tenant(
        &mut self,
        tenant: &str,
        name: &str,
        why: &str,
        now: Millis,
    ) -> Result<TenantRow, CoreError> {
        let row = self.tenant(tenant)?;
        if name != row.name {
            let problem = format!("must be {:?}, typed out: this cannot be undone", row.name);
            return Err(BadField::new("name", problem).into());
        }
        let why = text("why", why, 200)?;
        if row.closed.0 != 0 {
            return Err(CoreError::Precondition(format!("{} left already, {}", row.name, row.closed)));
        }
        for appliance in self.store.appliances(Some(row.id))? {
            if appliance.state != ApplianceState::Revoked {
                self.revoke_appliance(&appliance.id.to_string(), &format!("the clinic left: {why}"), now)?;
            }
        }
        for token in self.store.operator_tokens()? {
            if token.grant.scope.tenant() == Some(row.id) && !token.revoked {
                self.revoke_operator_token(&token.name, now)?;
            }
        }
        for person in self.store.operators()? {
            if person.grant.scope.tenant() == Some(row.id) && person.state != PersonState::Ended {
                self.end_person(&person.name, now)?;
            }
        }
        for address in self.store.recipients(row.id)? {
            self.store.remove_recipient(row.id, &address)?;
        }
        self.end_chains(row.id, "the clinic left", now)?;
        self.store.close_tenant(row.id, now)?;
        self.changed(Some(row.id), "clinic", json!("served"), json!({ "left": now, "why": why }));
        self.note_act(row.id, Deed::Closure {}, now);
        self.tenant(&row.id.to_string())
    }

    /// A clinic that is still served, for what would begin something new for it.
    pub(super) fn served(&self, called: &str) -> Result<TenantRow, CoreError> {
        let row = self.tenant(called)?;
        if row.closed.0 != 0 {
            return Err(CoreError::Precondition(format!("{} left, {}", row.name, row.closed)));
        }
        Ok(row)
    }
}
