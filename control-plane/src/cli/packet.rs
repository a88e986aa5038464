//! `control-plane packet`: the monthly report for an auditor.

use std::path::PathBuf;

use clap::Subcommand;
use proto::pb::{BuildPacket, packets_client::PacketsClient};
use serde_json::json;

use super::{
    Global,
    connection::{ANSWER_MAX, answer, connect},
    output::{Answer, printable},
};
use crate::files::{self, Access};

#[derive(Debug, Subcommand)]
pub(super) enum Packet {
    /// Build a clinic's packet of a month as Markdown and PDF
    #[command(
        after_help = "Example:\n  control-plane packet build --tenant \"Elm Street Clinic\" --month 2026-11 --out packets/"
    )]
    Build {
        /// Clinic, by name or ID
        #[arg(long)]
        tenant: String,
        /// Month, such as 2026-11
        #[arg(long, value_name = "YYYY-MM")]
        month: String,
        /// Folder for packet.md and packet.pdf, which are replaced
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

impl Packet {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let Self::Build { tenant, month, out } = self;
        let mut client = PacketsClient::new(connect(global).await?).max_decoding_message_size(ANSWER_MAX);
        let packet = answer(client.build(BuildPacket { tenant, month })).await?;
        files::create_folder(&out)?;
        let mut written = vec![("packet.md", packet.markdown.as_bytes())];
        // A server built without PDF sends none.
        if !packet.pdf.is_empty() {
            written.push(("packet.pdf", &packet.pdf));
        }
        let mut paths = Vec::new();
        for (name, bytes) in written {
            let path = out.join(name);
            files::replace(&path, bytes, Access::Public)?;
            paths.push(path);
        }
        let lines: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        let text = format!("{}\nSHA-256 {}", lines.join("\n"), printable(&packet.sha256));
        Ok(Answer::new(text, json!({ "files": paths, "sha256": packet.sha256 })))
    }
}
