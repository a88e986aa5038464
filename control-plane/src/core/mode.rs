//! In which mode this control plane is run, as each clinic's log has it, and who may approve there.
//!
//! The rule: the settings decide, and the log says so: from the start at which they changed, the mode is an act of every
//! clinic that is served, with an audit record of what was before. Until then, and in logs that say nothing, a service
//! provider runs it.

use proto::{
    act::{Deed, Mode},
    charter::Approver,
    ids::TenantId,
    time::Millis,
};
use serde_json::json;

use super::{Core, CoreError};
use crate::{
    access::Principal,
    mode::{self, Brand, Differs},
};

impl Core {
    /// What differs in the mode of now.
    pub(super) fn differs(&self) -> Differs {
        mode::of(self.settings.running.mode)
    }

    /// How whoever runs this wants to be known.
    #[must_use]
    pub fn brand(&self) -> &Brand {
        &self.settings.running.brand
    }

    /// Notes the mode of now where a clinic's log says another.
    pub(super) fn note_mode(&mut self, now: Millis) -> Result<(), CoreError> {
        let here = Principal::control_plane();
        self.acting_as(here, "Settings/Mode", now, |core| {
            let mode = core.settings.running.mode;
            for row in core.store.tenants()?.into_iter().filter(|row| row.closed.0 == 0) {
                let (tenant, before) = (row.id, core.mode_of(row.id)?);
                // A log that takes nothing now says it when the next one begins.
                if before == mode || core.store.log_head(tenant)?.halted.is_some() {
                    continue;
                }
                core.changed(Some(tenant), "mode", json!(before), json!(mode));
                core.note_act(tenant, Deed::Mode { mode }, now);
                tracing::warn!(%tenant, %before, %mode, "this control plane is run in mode {mode}; it was {before}");
            }
            Ok(())
        })
    }

    /// The mode that a clinic's log says.
    fn mode_of(&self, tenant: TenantId) -> Result<Mode, CoreError> {
        Ok(match self.newest_act(Some(tenant), "mode")?.map(|act| act.deed) {
            Some(Deed::Mode { mode }) => mode,
            _ => Mode::Reseller,
        })
    }

    /// The charter's approvers who may approve in a clinic.
    pub(super) fn approvers_in(&self, tenant: TenantId) -> Result<Vec<Approver>, CoreError> {
        let name = self.tenant_named(tenant)?.name;
        let all = self.charter.document.approvers.iter();
        let may = |one: &&Approver| self.settings.running.may_approve(&one.name, (tenant, &name));
        Ok(all.filter(may).cloned().collect())
    }

    /// Refuses who may not approve in a clinic.
    pub(super) fn must_approve_in(&self, tenant: TenantId, approver: &str) -> Result<(), CoreError> {
        let name = self.tenant_named(tenant)?.name;
        if self.settings.running.may_approve(approver, (tenant, &name)) {
            return Ok(());
        }
        let own = self.settings.running.approvers.get(approver).map_or("another", String::as_str);
        Err(CoreError::Denied(format!(
            "{approver} is an approver of {own} alone, as [[approver]] in config.toml says, and cannot approve for {name}"
        )))
    }
}
