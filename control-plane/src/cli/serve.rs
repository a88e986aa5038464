//! `control-plane serve`: runs the server until it is told to stop.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::Answer;
use crate::{
    config::{Config, Mail, Planner},
    directory::Directory,
    serve::{doors::Doors, open::trust_of, run::run},
    store::Store,
};

#[derive(Debug, Args)]
#[command(
    after_help = "Settings are in config.toml of the folder. SIGTERM and Ctrl-C stop it: what is under way is answered first.\n\n\
    Example:\n  control-plane serve --dir /srv/orderly"
)]
pub(super) struct Serve {
    /// Only say whether the settings are right (exit 2 when they are not)
    #[arg(long)]
    check_config: bool,
}

/// By which names and IDs the installation's clinics are called; `None`: it has no database yet, or an older one's.
fn tenants(directory: &Directory) -> Option<BTreeSet<String>> {
    let path = directory.database();
    let store = path.exists().then(|| Store::open_reader(&path).ok()).flatten()?;
    store.is_of_this_program().ok()?;
    Some(store.tenants().ok()?.into_iter().flat_map(|row| [row.id.to_string(), row.name]).collect())
}

impl Serve {
    pub(super) fn run(self, directory: &Directory) -> anyhow::Result<Answer> {
        // Nothing binds, spawns or writes before the settings are good.
        let path = directory.config();
        let config = Config::load(&path)?;
        trust_of(directory, &config)?;
        config.vault.check()?;
        config.mail.as_ref().map_or(Ok(()), Mail::check)?;
        config.certificate.check()?;
        config.escalation.check()?;
        config.planner.as_ref().map_or(Ok(()), Planner::check)?;
        if self.check_config {
            if let Some(names) = tenants(directory) {
                config.escalation.check_tenants(&names)?;
            }
            return Ok(Answer::new(
                format!("{} is right", path.display()),
                json!({ "file": path, "right": true }),
            ));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let (mut terminate, mut interrupt) =
                (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            let doors = Doors::bind(&config).await?;
            let stop = async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            };
            run(directory, config, doors, stop).await
        })?;
        Ok(Answer::new("", json!({ "stopped": true })))
    }
}
