//! `control-plane mcp`: tools for the assistant of whoever runs it, over stdio.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use rmcp::{ServiceExt as _, transport::stdio};
use serde_json::json;
use tonic::{Status, body::Body};
use tower::{ServiceExt as _, util::BoxCloneSyncService};

use super::{Answer, Global, connection::connect, misuse};
use crate::{
    directory::Directory,
    mcp::{Assistant, Door},
};

/// Serves the Model Context Protocol on standard input and output.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Mcp {
    /// Settings of the installation beside which it runs [default: config.toml in --dir]
    #[arg(long, value_name = "FILE", conflicts_with = "address")]
    config: Option<PathBuf>,
}

const EXAMPLES: &str = "\
An assistant starts this program itself; what it may see and do is what the token, or the server's console, may. The server
answers the same over HTTP at /mcp of its people's listener, with the token as Bearer.

Examples:
  control-plane mcp --config /srv/orderly/config.toml
  control-plane --address https://control.msp.example:8444 --ca ca.pem --token-file assistant.token mcp

In an assistant's settings:
  { \"command\": \"control-plane\", \"args\": [\"mcp\", \"--config\", \"/srv/orderly/config.toml\"] }";

impl Mcp {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let wire = match &self.config {
            None => connect(global).await?,
            Some(file) => {
                let folder = file.parent().filter(|folder| Directory::new(folder).config() == *file);
                let folder = folder.ok_or_else(|| {
                    misuse(format!(
                        "--config is {}, must be the config.toml of an installation",
                        file.display()
                    ))
                })?;
                connect(&Global { dir: folder.to_owned(), ..global.clone() }).await?
            }
        };
        let door: Door = BoxCloneSyncService::new(
            wire.map_response(|answer| answer.map(Body::new))
                .map_err(|error| Status::unavailable(error.to_string())),
        );
        let running = Assistant::new(door).serve(stdio()).await.context("the assistant did not begin")?;
        running.waiting().await.context("the assistant's connection broke")?;
        Ok(Answer::new("", json!({ "ended": true })))
    }
}
