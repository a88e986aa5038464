//! `control-plane evidence audit`: the database against the vault, both read as they lie there.

use serde_json::json;

use super::bar;
use crate::{
    audit::audit,
    cli::{Answer, Global, World, misuse},
    config::{Config, VaultStore},
    store::Store,
    vault,
};

const DIRECTORY: &str = "A directory finds every change and cannot stop one: root can write to any file. S3 with Object Lock \
    refuses it ([vault] kind = \"s3\"; `evidence copy` brings it there).";

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
    let bar = bar(global, "auditing");
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
