//! Policy as people see it: what holds somewhere, setting by setting, and which level says so.

use std::collections::BTreeMap;

use runbooks::Policy;
use serde_json::{Map, Value, json};

use super::{Core, CoreError, level::Level, policies::base};
use crate::store::LevelRow;

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
