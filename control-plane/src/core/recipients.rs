//! To whom a clinic's packets are sent by mail.

use proto::{act::Deed, field::BadField, ids::TenantId, time::Millis};

use serde_json::json;

use super::{Core, CoreError};
use crate::store::TenantRow;

/// The most recipients of one clinic: a packet is for the few who answer for it.
const RECIPIENTS_MAX: usize = 20;

impl Core {
    /// A clinic's recipients, sorted.
    pub fn recipients(&self, tenant: TenantId) -> Result<Vec<String>, CoreError> {
        Ok(self.store.recipients(tenant)?)
    }

    /// Adds and takes out recipients; all or none. The act says how many there are, and no address.
    pub fn change_recipients(
        &mut self,
        tenant: &str,
        add: &[String],
        remove: &[String],
        now: Millis,
    ) -> Result<TenantRow, CoreError> {
        let tenant = if add.is_empty() { self.tenant(tenant)? } else { self.served(tenant)? };
        let before = self.store.recipients(tenant.id)?;
        let mut changed = false;
        for text in remove {
            let gone = self.store.remove_recipient(tenant.id, &address("remove", text)?)?;
            if !gone {
                return Err(CoreError::NotFound(format!("{} has no recipient {text:?}", tenant.name)));
            }
            changed = true;
        }
        for text in add {
            changed |= self.store.add_recipient(tenant.id, &address("add", text)?, now)?;
        }
        let after = self.store.recipients(tenant.id)?;
        let count = after.len();
        if count > RECIPIENTS_MAX {
            let problem = format!("must leave at most {RECIPIENTS_MAX} recipients, leaves {count}");
            return Err(BadField::new("add", problem).into());
        }
        if changed {
            self.changed(Some(tenant.id), "recipients", json!(before), json!(after));
            self.note_act(tenant.id, Deed::Recipients { count: count as u64 }, now);
        }
        Ok(tenant)
    }
}

/// An address as mail servers take it. The name of a host is the same however it is written.
fn address(field: &str, text: &str) -> Result<String, BadField> {
    let read: lettre::Address = text.parse().map_err(|error| {
        BadField::new(
            field,
            format!("must be an e-mail address such as owner@clinic.example: {text:?}: {error}"),
        )
    })?;
    Ok(format!("{}@{}", read.user(), read.domain().to_lowercase()))
}
