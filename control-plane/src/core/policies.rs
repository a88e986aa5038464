//! Policy: what each level says, joined into what a clinic's boxes are told.
//!
//! The rule: levels are joined by [`Policy::tightened_by`] and by nothing else, so that organization, clinic and place can
//! each only take away. What a box is told is the join, signed with a serial that rises with every change at any level; the
//! box joins its own configuration to it in the same way.

use std::collections::BTreeMap;

use proto::{
    act::{Change, Deed},
    digest::Digest,
    field::{BadField, text},
    ids::{SiteId, TenantId},
    time::Millis,
};
use runbooks::{ClinicHours, Patch, Policy, Windows, patch::typed};
use serde_json::{Map, Value, json};

use super::{Core, CoreError, level::Level, payload_digest};
use crate::store::{LevelRow, TemplateRow, TenantRow};

/// The most templates.
const TEMPLATES_MAX: usize = 100;

/// A setting of a policy that is in force, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Which: `modes.low`.
    pub setting: String,
    /// Its value, as JSON.
    pub value: String,
    /// The levels that ask for it; none: it is the default.
    pub levels: Vec<&'static str>,
}

/// What holds somewhere, and what each level says.
#[derive(Debug)]
pub struct Shown {
    /// Where.
    pub level: Level,
    /// What holds; of the organization, what it says itself.
    pub effective: Policy,
    /// What each level says, from the widest on.
    pub levels: Vec<(Level, LevelRow)>,
}

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

    fn change_level(
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

    /// Notes that a clinic's policy was put in force, and with it those of its places that have one of their own.
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
    fn level_row(&mut self, level: Level) -> Result<LevelRow, CoreError> {
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

    /// The policy in force at a place of a clinic: the clinic's, and the place's own.
    pub fn policy_at(&mut self, tenant: TenantId, site: SiteId) -> Result<Policy, CoreError> {
        let policy = self.policy_of(tenant)?;
        Ok(match self.store.policy_level(&site.to_string())? {
            Some(own) => policy.tightened_by(&own.policy),
            None => policy,
        })
    }

    /// What the boxes at a place are told, signed.
    pub(super) fn policy_for(&mut self, tenant: &TenantRow, site: SiteId) -> Result<Vec<u8>, CoreError> {
        if self.store.policy_level(&site.to_string())?.is_none() {
            return Ok(tenant.policy.clone());
        }
        let policy = self.policy_at(tenant.id, site)?;
        self.seal(&policy.unsigned())
    }

    /// What holds at a level, and which level says what.
    pub fn show_policy(&mut self, level: Level) -> Result<Shown, CoreError> {
        let effective = match level {
            Level::Organization => self.level_row(level)?.policy,
            Level::Tenant(tenant) => self.policy_of(tenant)?,
            Level::Site(tenant, site) | Level::Appliance(tenant, site, _) => self.policy_at(tenant, site)?,
        };
        let above = [
            Some(Level::Organization),
            level.tenant().map(Level::Tenant),
            level.tenant().zip(level.site()).map(|(tenant, site)| Level::Site(tenant, site)),
        ];
        let row = |level| Ok((level, self.level_row(level)?));
        let levels = above.into_iter().flatten().map(row).collect::<Result<_, CoreError>>()?;
        Ok(Shown { level, effective, levels })
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

    /// Keeps a template, in the place of one of its name. Clinics that it was applied to keep what they have.
    pub fn put_template(
        &mut self,
        name: &str,
        settings: Patch,
        now: Millis,
    ) -> Result<TemplateRow, CoreError> {
        let name = text("name", name, 60)?;
        // It must be one that can be applied.
        settings.apply(&mut Policy::default_local(), &Policy::default_local())?;
        if settings.is_empty() {
            return Err(BadField::new("settings", "must name at least one that is to change").into());
        }
        let all = self.store.templates()?;
        if all.len() >= TEMPLATES_MAX && !all.iter().any(|row| row.name == name) {
            return Err(CoreError::Precondition(format!("there are {TEMPLATES_MAX} templates; remove one")));
        }
        let before = all.iter().find(|row| row.name == name).map(|row| json!(row.settings));
        let row = TemplateRow { name, settings, changed: now };
        self.store.put_template(&row)?;
        let what = format!("policy template {:?}", row.name);
        self.changed(None, &what, before.unwrap_or_default(), json!(row.settings));
        Ok(row)
    }

    /// All templates.
    pub fn templates(&self) -> Result<Vec<TemplateRow>, CoreError> {
        Ok(self.store.templates()?)
    }

    /// Removes a template. Clinics that it was applied to keep what they have.
    pub fn remove_template(&mut self, name: &str) -> Result<(), CoreError> {
        let before = self.store.templates()?.into_iter().find(|row| row.name == name);
        let before = before.ok_or_else(|| no_template(name))?;
        self.store.remove_template(name)?;
        self.changed(None, &format!("policy template {name:?}"), json!(before.settings), Value::Null);
        Ok(())
    }

    /// The clinics that are named, or all of them.
    pub fn tenants_named(&self, names: &[String], all: bool) -> Result<Vec<TenantRow>, CoreError> {
        match (all, names.is_empty()) {
            (true, true) => Ok(self.tenants()?.into_iter().filter(|row| row.closed.0 == 0).collect()),
            (false, false) => {
                let mut rows = names.iter().map(|name| self.served(name)).collect::<Result<Vec<_>, _>>()?;
                rows.sort_by(|a, b| a.name.cmp(&b.name));
                rows.dedup_by_key(|row| row.id);
                Ok(rows)
            }
            _ => Err(BadField::new("tenants", "must name clinics, or be all of them").into()),
        }
    }

    /// Applies a template to clinics: to all of them that are named, or to none.
    pub fn apply_template(
        &mut self,
        name: &str,
        tenants: &[TenantRow],
        now: Millis,
    ) -> Result<(), CoreError> {
        let template = self
            .store
            .templates()?
            .into_iter()
            .find(|row| row.name == name)
            .ok_or_else(|| no_template(name))?;
        let base = Policy::default_local();
        for row in tenants {
            let change = |policy: &mut Policy| template.settings.apply(policy, &base);
            self.change_level(Level::Tenant(row.id), Change::Template, change, now)?;
        }
        Ok(())
    }
}

fn no_template(name: &str) -> CoreError {
    CoreError::NotFound(format!(
        "there is no template {name:?}; `control-plane policy template list` shows them"
    ))
}

/// What a level says before anybody has said anything at it.
fn base(level: Level) -> Policy {
    match level {
        Level::Tenant(_) => Policy::default_local(),
        Level::Organization | Level::Site(..) | Level::Appliance(..) => Policy::silent(),
    }
}

impl Shown {
    /// What a level says beyond the default, as JSON.
    #[must_use]
    pub fn says(level: Level, policy: &Policy) -> Value {
        let default = settings(&base(level));
        let own = settings(policy).into_iter().filter(|(key, value)| default.get(key) != Some(value));
        nested(own)
    }

    /// The whole of what holds, as JSON.
    #[must_use]
    pub fn whole(&self) -> Value {
        nested(settings(&self.effective).into_iter())
    }

    /// Each setting that holds, and which levels ask for it.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        let said: Vec<_> = self
            .levels
            .iter()
            .map(|(level, row)| (level.word().as_str(), settings(&base(*level)), settings(&row.policy)))
            .collect();
        let source = |(setting, value): (String, Value)| {
            let speaks = |(_, default, own): &&(_, BTreeMap<String, Value>, BTreeMap<String, Value>)| {
                own.get(&setting) != default.get(&setting)
            };
            let speakers: Vec<_> = said.iter().filter(speaks).collect();
            let exactly: Vec<_> =
                speakers.iter().filter(|(_, _, own)| own.get(&setting) == Some(&value)).copied().collect();
            // Windows and hours of two levels join into something that neither said alone.
            let levels = if exactly.is_empty() { speakers } else { exactly };
            Source {
                setting,
                value: value.to_string(),
                levels: levels.into_iter().map(|(word, ..)| *word).collect(),
            }
        };
        settings(&self.effective).into_iter().map(source).collect()
    }
}

/// A policy's settings by name, those of a table each by its own; as people write them.
fn settings(policy: &Policy) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let Ok(Value::Object(mut fields)) = serde_json::to_value(policy) else { return all };
    fields.retain(|key, value| {
        !["serial", "tenant", "hold", "sites"].contains(&key.as_str()) && !value.is_null()
    });
    if !fields.contains_key("runbook_modes") {
        fields.insert("runbook_modes".into(), json!({}));
    }
    let texts = |windows: &mut dyn Iterator<Item = String>| Value::from(windows.collect::<Vec<_>>());
    fields.insert("windows".into(), texts(&mut policy.windows.iter().map(ToString::to_string)));
    fields.insert("clinic_hours".into(), texts(&mut policy.clinic_hours.iter().map(ToString::to_string)));
    for (key, value) in fields {
        match value {
            Value::Object(table) => {
                all.extend(table.into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            value => drop(all.insert(key, value)),
        }
    }
    all
}

fn nested(settings: impl Iterator<Item = (String, Value)>) -> Value {
    let mut all = Map::new();
    for (key, value) in settings {
        match key.split_once('.') {
            None => drop(all.insert(key, value)),
            Some((table, name)) => {
                let table = all.entry(table).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(table) = table {
                    table.insert(name.to_owned(), value);
                }
            }
        }
    }
    Value::Object(all)
}
