//! `control-plane packet`: the monthly report for an auditor.

mod track;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use proto::{
    digest::Digest,
    pb::{self, BuildPacket, packets_client::PacketsClient},
};
use serde_json::json;

use super::{
    Global, Misuse,
    connection::{ANSWER_MAX, answer, connect},
    misuse,
    output::{Answer, printable},
};
use crate::{
    bundle::{self, Folder, Month},
    files::{self, Access},
    packet,
};

#[derive(Debug, Subcommand)]
pub(super) enum Packet {
    /// Build a clinic's packet of a month as Markdown and PDF
    #[command(
        after_help = "With --from no server is asked: the packet is made from the bundle alone, and is the server's byte for byte.\n\n\
        Examples:\n  control-plane packet build --tenant \"Elm Street Clinic\" --month 2026-11 --out packets/\n  \
        control-plane packet build --from bundle/ --out packets/"
    )]
    Build {
        /// Clinic, by name or ID
        #[arg(long, required_unless_present = "from")]
        tenant: Option<String>,
        /// Month, such as 2026-11 [default with --from: the one that the bundle has a packet of]
        #[arg(long, value_name = "YYYY-MM", required_unless_present = "from")]
        month: Option<String>,
        /// Make it from this bundle, offline
        #[arg(long, value_name = "BUNDLE", conflicts_with = "tenant")]
        from: Option<PathBuf>,
        /// Folder for packet.md and packet.pdf, which are replaced
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Show the packets of months that are over: made, sent, acknowledged
    #[command(after_help = track::LIST)]
    List {
        /// Only of this clinic, by name or ID
        #[arg(long, default_value = "", hide_default_value = true)]
        tenant: String,
        /// The most packets to show
        #[arg(long, value_name = "N", default_value_t = 24)]
        limit: u32,
    },
    /// Send a packet by mail once more, to each of the clinic's recipients
    #[command(after_help = "Example:\n  control-plane packet send \"Elm Street Clinic\" 2026-11")]
    Send {
        /// Clinic, by name or ID
        tenant: String,
        /// Month, such as 2026-11
        #[arg(value_name = "YYYY-MM")]
        month: String,
    },
    /// Write down that a person acknowledged a packet (45 CFR 164.308(a)(1)(ii)(D))
    #[command(after_help = track::REVIEW)]
    Review {
        /// Clinic, by name or ID
        tenant: String,
        /// Month, such as 2026-11
        #[arg(value_name = "YYYY-MM")]
        month: String,
        /// Who did
        #[arg(long, value_name = "NAME")]
        by: String,
        /// As what: owner, security official
        #[arg(long, value_name = "ROLE")]
        role: String,
    },
}

impl Packet {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let (tenant, month, from, out) = match self {
            Self::Build { tenant, month, from, out } => (tenant, month, from, out),
            kept => return track::run(kept, global).await,
        };
        if let Some(bundle) = from {
            return offline(&bundle, month.as_deref(), &out);
        }
        let (tenant, month) = (tenant.unwrap_or_default(), month.unwrap_or_default());
        let mut client = PacketsClient::new(connect(global).await?).max_decoding_message_size(ANSWER_MAX);
        let packet = answer(client.build(BuildPacket { tenant, month })).await?;
        write(&packet, &out)
    }
}

/// Makes it from a bundle and nothing else. Says nothing about whether the bundle is true: that is for `evidence verify`.
fn offline(bundle: &Path, month: Option<&str>, out: &Path) -> anyhow::Result<Answer> {
    let folder = Folder::open(bundle)
        .with_context(|| Misuse(format!("--from is {}, must be the folder of a bundle", bundle.display())))?;
    let facts = bundle::verify::facts(&folder)
        .with_context(|| Misuse(format!("--from is {}, must be the folder of a bundle", bundle.display())))?;
    let month = match month {
        Some(text) => text.parse::<Month>().map_err(|bad| misuse(format!("--month: {bad}")))?,
        None => facts.said.packet.ok_or_else(|| {
            misuse("--month must be given: the bundle was made without a packet".to_owned())
        })?,
    };
    let made = packet::build(&facts, month)?;
    let pdf = made.pdf.unwrap_or_default();
    let whole = if pdf.is_empty() { made.markdown.as_bytes() } else { &pdf };
    let sha256 = Digest::of(whole).to_string();
    write(&pb::Packet { sha256, markdown: made.markdown, pdf }, out)
}

/// Writes what the server made, once it is sure that it arrived whole.
fn write(packet: &pb::Packet, out: &Path) -> anyhow::Result<Answer> {
    let mut parts = vec![("packet.md", packet.markdown.as_bytes())];
    if !packet.pdf.is_empty() {
        parts.push(("packet.pdf", &packet.pdf));
    }
    let (whole, bytes) = parts[parts.len() - 1];
    let digest = Digest::of(bytes).to_string();
    if digest != packet.sha256 {
        bail!("{whole} has SHA-256 {digest}, the server says {}; ask again", printable(&packet.sha256));
    }
    files::create_folder(out)?;
    let mut paths = Vec::new();
    for (name, bytes) in parts {
        let path = out.join(name);
        files::replace(&path, bytes, Access::Public)?;
        paths.push(path);
    }
    let lines: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let mut text = format!("{}\nSHA-256 of {whole}: {digest}", lines.join("\n"));
    if packet.pdf.is_empty() {
        text.push_str("\nThere is no packet.pdf: what made it is built without the feature `pdf`.");
    }
    Ok(Answer::new(text, json!({ "files": paths, "sha256": digest })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(pdf: &[u8]) -> pb::Packet {
        let whole = if pdf.is_empty() { b"text" } else { pdf };
        pb::Packet { markdown: "text".into(), pdf: pdf.to_vec(), sha256: Digest::of(whole).to_string() }
    }

    #[test]
    fn without_a_pdf_the_answer_says_so_and_none_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let answer = write(&packet(b""), &out).unwrap();
        assert!(
            answer.text.contains("There is no packet.pdf: what made it is built without"),
            "{}",
            answer.text
        );
        assert!(answer.text.contains(&format!("SHA-256 of packet.md: {}", Digest::of(b"text"))));
        assert_eq!(std::fs::read(out.join("packet.md")).unwrap(), b"text");
        assert!(!out.join("packet.pdf").exists());

        let answer = write(&packet(b"%PDF-"), &out).unwrap();
        assert!(!answer.text.contains("without"), "{}", answer.text);
        assert_eq!(std::fs::read(out.join("packet.pdf")).unwrap(), b"%PDF-");
    }

    #[test]
    fn what_came_damaged_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let damaged = pb::Packet { pdf: b"%PDF!".to_vec(), ..packet(b"%PDF-") };
        assert!(write(&damaged, &out).unwrap_err().to_string().contains("packet.pdf has SHA-256"));
        assert!(!out.exists());
    }
}
