//! Policy: what each level says, joined into what a clinic's boxes are told.
//!
//! The rule: levels are joined by [`Policy::tightened_by`] and by nothing else, so that organization, tenant and site can
//! each only take away. What a box is told is the join, signed with a serial that rises with every change at any level; the
//! box joins its own configuration to it in the same way.

use proto::{
    act::{Change, Deed},
    digest::Digest,
    field::BadField,
    ids::{SiteId, TenantId},
    time::Millis,
};
use runbooks::{ClinicHours, Patch, Policy, Windows, patch::typed};
use serde_json::json;

use super::{Core, CoreError, level::Level, payload_digest};
use crate::store::{LevelRow, TenantRow};

impl Core {
    /// Puts another policy of a clinic in force. Every box of it is told at its next exchange.
    pub fn change_policy(
        &mut self,
        tenant: &str,
        what: Change,
        change: impl FnOnce(&mut Policy),
        now: Millis,
    ) -> Result<TenantRow, CoreError> {
        let row = self.served(tenant)?;
        let changed = |policy: &mut Policy| {
            change(policy);
            Ok(())
        };
        self.change_level(Level::Tenant(row.id), what, changed, now)?;
        self.tenant(&row.id.to_string())
    }

    /// Changes what a level says by what people wrote.
    pub fn patch_policy(&mut self, level: Level, settings: &Patch, now: Millis) -> Result<(), CoreError> {
        if settings.is_empty() {
            return Err(BadField::new("settings", "must name at least one that is to change").into());
        }
        let what = match level {
            Level::Organization => Change::Organization,
            Level::Tenant(_) => Change::Settings,
            Level::Site(..) => Change::Site,
            Level::Appliance(..) => {
                return Err(BadField::new("appliance", "has no policy of its own; its site has").into());
            }
        };
        let base = base(level);
        self.change_level(level, what, |policy| settings.apply(policy, &base), now)
    }

    pub(super) fn change_level(
        &mut self,
        level: Level,
        what: Change,
        change: impl FnOnce(&mut Policy) -> Result<(), BadField>,
        now: Millis,
    ) -> Result<(), CoreError> {
        let concerned = match level.tenant() {
            Some(tenant) => vec![self.served(&tenant.to_string())?],
            None => self.store.tenants()?.into_iter().filter(|row| row.closed.0 == 0).collect(),
        };
        // What each clinic says itself is written down before anything is joined to it.
        for row in &concerned {
            let own = self.level_row(Level::Tenant(row.id))?;
            self.store.put_policy_level(&row.id.to_string(), &own.policy, own.changed)?;
        }
        let before = self.level_row(level)?.policy;
        let mut own = before.clone();
        change(&mut own)?;
        own.check()?;
        let of = match level.site() {
            Some(site) => format!("policy of site {site}"),
            None => "policy".to_owned(),
        };
        self.changed(level.tenant(), &of, json!(before), json!(own));
        self.store.put_policy_level(&level.key(), &own, now)?;
        for row in &concerned {
            self.renew_policy(row, what, now)?;
        }
        Ok(())
    }

    /// Joins a clinic's policy anew, and puts it in force.
    fn renew_policy(&mut self, row: &TenantRow, what: Change, now: Millis) -> Result<(), CoreError> {
        let mut policy = self.joined(Level::Tenant(row.id))?;
        policy.serial = row.policy_serial + 1;
        policy.tenant = Some(row.id);
        policy.check()?;
        let envelope = self.seal(&policy.unsigned())?;
        self.store.put_policy(row.id, policy.serial, &envelope)?;
        let digest = payload_digest(&envelope)?;
        self.note_policy(row.id, policy.serial, what, digest, now)?;
        self.wake.extend(self.below(Level::Tenant(row.id))?.into_iter().map(|appliance| appliance.id));
        Ok(())
    }

    /// Notes that a clinic's policy was put in force, and with it those of its sites that have one of their own.
    pub(super) fn note_policy(
        &mut self,
        tenant: TenantId,
        serial: u64,
        change: Change,
        digest: Digest,
        now: Millis,
    ) -> Result<(), CoreError> {
        self.note_act(tenant, Deed::Policy { serial, change, digest, site: None }, now);
        for site in self.store.sites(tenant)? {
            if self.store.policy_level(&site.id.to_string())?.is_some() {
                let digest = Digest::of(self.policy_at(tenant, site.id)?.unsigned().payload());
                self.note_act(tenant, Deed::Policy { serial, change, digest, site: Some(site.id) }, now);
            }
        }
        Ok(())
    }

    /// What a level says; where it never said anything, that is nothing.
    pub(super) fn level_row(&mut self, level: Level) -> Result<LevelRow, CoreError> {
        if let Some(row) = self.store.policy_level(&level.key())? {
            return Ok(row);
        }
        let policy = match level {
            // From before there were levels: all that it was told was its own.
            Level::Tenant(id) => Policy { serial: 0, tenant: None, ..self.policy_of(id)? },
            other => base(other),
        };
        Ok(LevelRow { policy, changed: Millis(0) })
    }

    /// What organization and clinic say together.
    fn joined(&mut self, tenant: Level) -> Result<Policy, CoreError> {
        let organization = self.level_row(Level::Organization)?.policy;
        Ok(organization.tightened_by(&self.level_row(tenant)?.policy))
    }

    /// The policy of a clinic to be.
    pub(super) fn first_policy(&self, tenant: TenantId) -> Result<Policy, CoreError> {
        let first = Policy::for_tenant(1, tenant);
        Ok(match self.store.policy_level(&Level::Organization.key())? {
            Some(organization) => organization.policy.tightened_by(&first),
            None => first,
        })
    }

    /// The policy in force at a site of a clinic: the clinic's, and the site's own.
    pub fn policy_at(&mut self, tenant: TenantId, site: SiteId) -> Result<Policy, CoreError> {
        let policy = self.policy_of(tenant)?;
        Ok(match self.store.policy_level(&site.to_string())? {
            Some(own) => policy.tightened_by(&own.policy),
            None => policy,
        })
    }

    /// What the boxes at a site are told, signed.
    pub(super) fn policy_for(&mut self, tenant: &TenantRow, site: SiteId) -> Result<Vec<u8>, CoreError> {
        if self.store.policy_level(&site.to_string())?.is_none() {
            return Ok(tenant.policy.clone());
        }
        let policy = self.policy_at(tenant.id, site)?;
        self.seal(&policy.unsigned())
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
        let hours = ClinicHours::during(typed("clinic_hours", times)?);
        self.change_policy(tenant, Change::ClinicHours, |policy| policy.clinic_hours = hours, now)
    }

    /// Sets a clinic's maintenance windows: outside of them nothing runs. None: it runs at any time.
    pub fn set_windows(
        &mut self,
        tenant: &str,
        times: &[String],
        now: Millis,
    ) -> Result<TenantRow, CoreError> {
        let all = typed("windows", times)?;
        let windows = if all.is_empty() { Windows::always() } else { Windows::any_of(all) };
        self.change_policy(tenant, Change::Windows, |policy| policy.windows = windows, now)
    }
}

/// What a level says before anybody has said anything at it.
pub(super) fn base(level: Level) -> Policy {
    match level {
        Level::Tenant(_) => Policy::default_local(),
        Level::Organization | Level::Site(..) | Level::Appliance(..) => Policy::silent(),
    }
}
