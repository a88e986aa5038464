//! Templates of policy: settings that are put down once and applied to many clinics.
//!
//! The rule: a clinic that one was applied to has its settings as its own. What becomes of the template later changes nothing
//! there; and one is applied to all clinics that are named, or to none.

use proto::{
    act::Change,
    field::{BadField, text},
    time::Millis,
};
use runbooks::{Patch, Policy};
use serde_json::{Value, json};

use super::{Core, CoreError, level::Level};
use crate::store::{TemplateRow, TenantRow};

/// The most templates.
const TEMPLATES_MAX: usize = 100;

impl Core {
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
