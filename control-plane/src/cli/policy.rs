//! `control-plane policy`: what may run by itself, what needs an approver, and when: of the organization, its clinics and
//! their places.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use proto::{
    ids::RunbookId,
    pb::{
        ApplyPolicyTemplate, ChangePolicy, ListPolicyTemplates, PolicyTemplate, PolicyView,
        RemovePolicyTemplate, ShowBudgets, ShowPolicy, policies_client::PoliciesClient,
    },
    time::Millis,
};
use runbooks::{Mode, Patch, Risk, Setting};
use serde_json::{Value, json};

use super::{
    Global,
    catalogue::date,
    connection::{answer, connect},
    output::{Answer, optional, table, time, when},
};
use crate::{files, offline::Misuse};

const FILE_MAX: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
A clinic can only take away from what the organization allows, a place from what its clinic does, and the box from all of it.
  control-plane policy set --organization --runbook RB-UPDATE-001=approval
  control-plane policy set --tenant \"Elm Street Clinic\" --risk medium=approval --freeze-until 2027-01-04
  control-plane policy show --tenant \"Elm Street Clinic\" --site Main
  control-plane policy template put careful careful.toml
  control-plane policy template apply careful --all

A file of settings (TOML) has any of: allow, standing_orders, windows, clinic_hours, freeze_until,
cooldown_at_least_seconds, per_appliance_hour, per_tenant_hour, breaker_after, breaker_reset_seconds, tables [modes] (by
risk) and [runbook_modes] with automatic, approval or never, and unset: a list of settings to forget.")]
pub(super) enum Policy {
    /// Show what holds, and which level says so
    Show {
        #[command(flatten)]
        level: Level,
    },
    /// Change settings at one level; what is not named stays
    Set {
        #[command(flatten)]
        level: Level,
        #[command(flatten)]
        settings: Settings,
    },
    /// Show what of a clinic's budgets is used, and which breakers are open
    Budgets {
        /// Clinic, by name or ID
        tenant: String,
    },
    /// Settings with a name, to be applied to many clinics at once
    #[command(subcommand)]
    Template(Template),
}

/// Whose policy.
#[derive(Debug, Args)]
pub(super) struct Level {
    /// Clinic, by name or ID
    #[arg(long, required_unless_present = "organization")]
    tenant: Option<String>,
    /// One of its places, by name or ID
    #[arg(long, requires = "tenant")]
    site: Option<String>,
    /// The organization's: it holds for all clinics
    #[arg(long, conflicts_with_all = ["tenant", "site"])]
    organization: bool,
}

/// What is to change.
#[derive(Debug, Args)]
pub(super) struct Settings {
    /// Settings to begin with (TOML)
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Who must agree to runbooks of a risk: low=approval; may be given again
    #[arg(long, value_name = "RISK=MODE", value_parser = pair::<Risk>)]
    risk: Vec<(Risk, Mode)>,
    /// Who must agree to one runbook: RB-DISK-002=never; may be given again
    #[arg(long, value_name = "RUNBOOK=MODE", value_parser = pair::<RunbookId>)]
    runbook: Vec<(RunbookId, Mode)>,
    /// Change freeze: nothing runs before
    #[arg(long, value_name = "DATE", value_parser = date)]
    freeze_until: Option<Millis>,
    /// A setting that is to say nothing any more, such as freeze_until; may be given again
    #[arg(long, value_name = "SETTING")]
    unset: Vec<Setting>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Template {
    /// Keep a template, in the place of one of its name; clinics that have it already keep what they have
    Put {
        /// Its name
        name: String,
        /// Settings (TOML)
        file: PathBuf,
    },
    /// Show all templates
    List,
    /// Remove a template; clinics that have it keep what they have
    Remove {
        /// Its name
        name: String,
    },
    /// Put a template's settings in force: in all clinics that are named, or in none
    Apply {
        /// Its name
        name: String,
        /// Clinic, by name or ID; may be given again
        #[arg(long, required_unless_present = "all", conflicts_with = "all")]
        tenant: Vec<String>,
        /// All clinics
        #[arg(long)]
        all: bool,
    },
}

fn pair<T: std::str::FromStr<Err = proto::field::BadField>>(text: &str) -> Result<(T, Mode), String> {
    let (what, mode) = text.split_once('=').ok_or("must be NAME=MODE, such as low=approval")?;
    let said = |bad: proto::field::BadField| bad.to_string();
    Ok((what.parse().map_err(said)?, mode.parse().map_err(said)?))
}

impl Settings {
    fn patch(self) -> anyhow::Result<Patch> {
        let mut patch = self.file.as_deref().map(read).transpose()?.unwrap_or_default();
        patch.modes.extend(self.risk);
        patch.runbook_modes.extend(self.runbook);
        patch.freeze_until = self.freeze_until.or(patch.freeze_until);
        patch.unset.extend(self.unset);
        Ok(patch)
    }
}

fn read(file: &Path) -> anyhow::Result<Patch> {
    let wrong = || Misuse(format!("{} is not a file of settings, see `policy --help`", file.display()));
    let text = files::read_text(file, FILE_MAX).with_context(wrong)?;
    toml::from_str(&text).with_context(wrong)
}

fn settings(patch: &Patch) -> anyhow::Result<String> {
    Ok(serde_json::to_string(patch)?)
}

impl Policy {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        match self {
            Self::Show { level } => {
                let Level { tenant, site, .. } = level;
                let (tenant, site) = (tenant.unwrap_or_default(), site.unwrap_or_default());
                let mut client = PoliciesClient::new(connect(global).await?);
                shown(&answer(client.show(ShowPolicy { tenant, site })).await?)
            }
            Self::Set { level, settings: asked } => {
                let Level { tenant, site, .. } = level;
                let (tenant, site) = (tenant.unwrap_or_default(), site.unwrap_or_default());
                let settings = settings(&asked.patch()?)?;
                let mut client = PoliciesClient::new(connect(global).await?);
                shown(&answer(client.change(ChangePolicy { tenant, site, settings })).await?)
            }
            Self::Budgets { tenant } => budgets(global, tenant).await,
            Self::Template(template) => template.run(global).await,
        }
    }
}

impl Template {
    async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        match self {
            Self::Put { name, file } => {
                let settings = settings(&read(&file)?)?;
                let mut client = PoliciesClient::new(connect(global).await?);
                let kept =
                    answer(client.put_template(PolicyTemplate { name, settings, changed_ms: 0 })).await?;
                listed(&[kept])
            }
            Self::List => {
                let mut client = PoliciesClient::new(connect(global).await?);
                listed(&answer(client.list_templates(ListPolicyTemplates {})).await?.templates)
            }
            Self::Remove { name } => {
                let mut client = PoliciesClient::new(connect(global).await?);
                listed(&answer(client.remove_template(RemovePolicyTemplate { name })).await?.templates)
            }
            Self::Apply { name, tenant, all } => {
                let mut client = PoliciesClient::new(connect(global).await?);
                let asked = ApplyPolicyTemplate { name, tenants: tenant, all };
                let tenants = answer(client.apply_template(asked)).await?.tenants;
                let text = format!("in force in {} clinics:\n{}", tenants.len(), tenants.join("\n"));
                Ok(Answer::new(text, json!({ "tenants": tenants })))
            }
        }
    }
}

fn listed(templates: &[PolicyTemplate]) -> anyhow::Result<Answer> {
    let rows = templates.iter().map(|one| [one.name.clone(), when(one.changed_ms), one.settings.clone()]);
    let view = |one: &PolicyTemplate| {
        let settings: Value = serde_json::from_str(&one.settings)?;
        Ok(json!({ "name": one.name, "changed": time(one.changed_ms), "settings": settings }))
    };
    let views = templates.iter().map(view).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Answer::new(table(["NAME", "CHANGED", "SETTINGS"], rows), json!({ "templates": views })))
}

fn shown(view: &PolicyView) -> anyhow::Result<Answer> {
    let by = |levels: &[String]| if levels.is_empty() { "default".to_owned() } else { levels.join(", ") };
    let rows = view.sources.iter().map(|one| [one.setting.clone(), one.value.clone(), by(&one.levels)]);
    let parsed = |text: &str| serde_json::from_str::<Value>(text);
    let mut levels = serde_json::Map::new();
    for level in &view.levels {
        levels.insert(level.level.clone(), parsed(&level.says)?);
    }
    let mut said_by = serde_json::Map::new();
    for one in &view.sources {
        said_by.insert(one.setting.clone(), json!(one.levels));
    }
    let json = json!({
        "tenant": optional(&view.tenant),
        "site": optional(&view.site),
        "serial": view.serial,
        "effective": parsed(&view.effective)?,
        "levels": levels,
        "said_by": said_by,
    });
    Ok(Answer::new(table(["SETTING", "VALUE", "SAID BY"], rows), json))
}

async fn budgets(global: &Global, tenant: String) -> anyhow::Result<Answer> {
    let mut client = PoliciesClient::new(connect(global).await?);
    let list = answer(client.budgets(ShowBudgets { tenant })).await?;
    let rows = list.budgets.iter().map(|one| {
        [one.of.clone(), one.id.clone(), format!("{} of {} in the last hour", one.used, one.most)]
    });
    let budgets = table(["BUDGET", "OF", "USED"], rows);
    let rows = list.breakers.iter().map(|one| {
        [
            one.runbook.clone(),
            one.target.clone(),
            one.appliance.clone(),
            one.failures.to_string(),
            when(one.closes_ms),
            one.why.clone(),
        ]
    });
    let breakers = table(["OPEN BREAKER", "ON", "APPLIANCE", "FAILURES", "CLOSES", "WHY"], rows);
    let json = json!({
        "budgets": list.budgets.iter().map(|one| json!({
            "of": one.of, "id": one.id, "used": one.used, "most": one.most,
        })).collect::<Vec<_>>(),
        "breakers": list.breakers.iter().map(|one| json!({
            "appliance": one.appliance, "runbook": one.runbook, "target": one.target,
            "failures": one.failures, "closes": time(one.closes_ms), "why": one.why,
        })).collect::<Vec<_>>(),
    });
    Ok(Answer::new(format!("{budgets}\n{breakers}"), json))
}
