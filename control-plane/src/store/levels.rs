//! What each level says of policy, and templates to say it by.

use proto::time::Millis;
use runbooks::{Patch, Policy};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// What one level says.
#[derive(Debug, Clone)]
pub struct LevelRow {
    /// As a policy of its own.
    pub policy: Policy,
    /// When it was changed last.
    pub changed: Millis,
}

/// A template.
#[derive(Debug, Clone)]
pub struct TemplateRow {
    /// Its name, unique.
    pub name: String,
    /// What it changes.
    pub settings: Patch,
    /// When it was changed last.
    pub changed: Millis,
}

impl Store {
    /// What a level says; `None`: it never said anything.
    pub fn policy_level(&self, place: &str) -> Result<Option<LevelRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM policy_level WHERE place = ?1")?;
        let found = statement
            .query_row([place], |row| Ok((row.get::<_, String>("policy")?, col(row, "changed_ms")?)))
            .optional()?;
        let corrupt = |_| StoreError::Corrupt { column: "policy_level.policy" };
        found
            .map(|(policy, changed)| {
                Ok(LevelRow { policy: serde_json::from_str(&policy).map_err(corrupt)?, changed })
            })
            .transpose()
    }

    /// Keeps what a level says now.
    pub fn put_policy_level(&self, place: &str, policy: &Policy, now: Millis) -> Result<(), StoreError> {
        let text = serde_json::to_string(policy)
            .map_err(|_| StoreError::Corrupt { column: "policy_level.policy" })?;
        self.db
            .prepare_cached(
                "INSERT INTO policy_level VALUES (?1, ?2, ?3)
                 ON CONFLICT (place) DO UPDATE SET policy = ?2, changed_ms = ?3",
            )?
            .execute(params![place, text, Col(now)])?;
        Ok(())
    }

    /// Keeps a template, in the place of one of its name.
    pub fn put_template(&self, row: &TemplateRow) -> Result<(), StoreError> {
        let text = serde_json::to_string(&row.settings)
            .map_err(|_| StoreError::Corrupt { column: "policy_template.settings" })?;
        self.db
            .prepare_cached(
                "INSERT INTO policy_template VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET settings = ?2, changed_ms = ?3",
            )?
            .execute(params![row.name, text, Col(row.changed)])?;
        Ok(())
    }

    /// Removes a template; `false`: there was none.
    pub fn remove_template(&self, name: &str) -> Result<bool, StoreError> {
        let removed =
            self.db.prepare_cached("DELETE FROM policy_template WHERE name = ?1")?.execute([name])?;
        Ok(removed == 1)
    }

    /// All templates by name.
    pub fn templates(&self) -> Result<Vec<TemplateRow>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM policy_template ORDER BY name")?;
        Ok(statement.query_map([], template)?.collect::<Result<_, _>>()?)
    }
}

fn template(row: &Row<'_>) -> rusqlite::Result<TemplateRow> {
    let settings: String = row.get("settings")?;
    let settings = serde_json::from_str(&settings)
        .map_err(|_| rusqlite::Error::InvalidColumnName("policy_template.settings".into()))?;
    Ok(TemplateRow { name: row.get("name")?, settings, changed: col(row, "changed_ms")? })
}
