//! `control-plane evidence audit`: the database against the vault, both read as they lie there.

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::{
    audit::audit,
    cli::{Answer, Global, World, misuse},
    config::{Config, VaultStore},
    store::Store,
    vault,
};

const DIRECTORY: &str = "A directory finds every change and cannot stop one: root can write to any file. S3 with Object Lock \
    refuses it ([vault] kind = \"s3\").";

pub(super) fn run(global: &Global, world: World, tenant: Option<&str>) -> anyhow::Result<Answer> {
    let directory = global.directory();
    let config = Config::load(&directory.config())?;
    let store = Store::open_reader(&directory.database())?;
    store.is_of_this_program()?;
    let tenant = match tenant {
        None => None,
        Some(name) => Some(store.tenant_called(name)?.map(|row| row.id).ok_or_else(|| {
            misuse(format!(
                "--tenant is {name:?}, must be a clinic's name or ID (`control-plane tenant list`)"
            ))
        })?),
    };
    let vault = vault::to_look_at(&config.vault.store, &directory, world.now)?;
    let (place, note) = match &config.vault.store {
        VaultStore::Directory => (directory.vault().display().to_string(), DIRECTORY),
        VaultStore::S3(s3) => (s3.to_string(), ""),
    };
    // Shown only where somebody looks: not where standard error is a file.
    let bar = if global.json { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let style = "{msg} {wide_bar} {pos} of {len}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is right"));
    bar.set_message("auditing");
    let report = audit(&store, vault.as_ref(), tenant, (world.now)(), &mut |more, all| {
        bar.set_length(all);
        bar.inc(more);
    })?;
    bar.finish_and_clear();
    let mut json = report.json();
    json["vault"] = json!(place);
    let text = format!("Vault: {place}\n\n{report}\n{note}");
    Ok(Answer::new(text, json).with_code(report.exit_code()))
}
