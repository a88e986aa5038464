//! `control-plane evidence`: list, export as a bundle, verify offline, write again in NIST's format, audit and copy the vault.

mod audit;
mod copy;
mod export;
mod oscal;
mod witnesses;

use std::path::PathBuf;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use proto::pb::{self, ExportBundle, ListEvidence, ListWitnesses, evidence_client::EvidenceClient};
use serde_json::{Value, json};

use super::{
    Global, World,
    connection::{ANSWER_MAX, answer, connect},
    output::{Answer, table, time, when},
};
use crate::offline::Verify;

#[derive(Debug, Subcommand)]
pub(super) enum Evidence {
    /// Show a clinic's evidence, in the order of its log
    List {
        /// Clinic, by name or ID
        #[arg(long)]
        tenant: String,
        /// From this index of the log on
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// At most this many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Write a bundle: everything an auditor needs to verify, as files
    #[command(
        after_help = "Example:\n  control-plane evidence export --tenant \"Elm Street Clinic\" --month 2026-11 --out bundle/"
    )]
    Export {
        /// Clinic, by name or ID
        #[arg(long)]
        tenant: String,
        /// Month of the packet in it, such as 2026-11 [default: no packet]
        #[arg(long, value_name = "YYYY-MM", default_value = "", hide_default_value = true)]
        month: String,
        /// Which of the clinic's logs, from 1: one that another follows [default: the newest]
        #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
        log: u64,
        /// Folder for it: an empty one, or none
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Compare the vault with the database: is all there as it was kept? (exit 0 sound, 1 tampered with, 3 not all seen)
    #[command(
        after_help = "Runs where the installation is, beside its server or without it; reads, and changes nothing.\n\n\
        Example:\n  control-plane --dir /srv/orderly evidence audit --tenant \"Elm Street Clinic\""
    )]
    Audit {
        /// Clinic, by name or ID [default: all, and what belongs to none]
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Copy the vault's folder into a bucket with Object Lock, to go on from there (exit 3: the server still runs)
    #[command(
        after_help = "Run again after it was broken off, it goes on. Each object keeps its own date, and is read back from the\n\
        bucket. What is to be changed in config.toml is printed at the end; nothing is changed there, or in the folder.\n\n\
        Examples:\n  control-plane --dir /srv/orderly evidence copy --bucket orderly-evidence --region eu-west-1\n  \
        control-plane --dir /srv/orderly evidence copy --bucket evidence --endpoint https://ceph.msp.example \\\n    \
        --path-style --prefix orderly --credentials /etc/orderly/vault.credentials"
    )]
    Copy(copy::Copy),
    /// Show what outside witnesses have cosigned of a clinic's log, and the log's key for a new witness
    Witnesses {
        /// Clinic, by name or ID
        #[arg(long)]
        tenant: String,
    },
    /// Verify a bundle offline, without a server (exit 0 sound and complete, 1 a fault, 3 incomplete or no --trust)
    #[command(
        after_help = "Keys inside a bundle never count as trust: get the trust file from the organization itself. Times of an\n\
        outside authority count only with --tsa; without it they are not asked about, and the exit code is that of the rest.\n\n\
        Example:\n  control-plane evidence verify --trust organization.keys.json --from 2026-11-01 --to 2026-12-01 bundle/"
    )]
    Verify(Verify),
    /// Write what a bundle says in NIST's format, OSCAL 1.1.3: made from its evidence, offline
    #[command(
        after_help = "The bundle carries the same files under oscal/; `evidence verify` compares them.\n\n\
        Example:\n  control-plane evidence oscal bundle/ --out oscal/"
    )]
    Oscal {
        /// The bundle's folder
        bundle: PathBuf,
        /// Folder for them: an empty one, or none
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

impl Evidence {
    pub(super) async fn run(self, global: &Global, world: World) -> anyhow::Result<Answer> {
        match self {
            Self::List { tenant, from, limit } => {
                let mut client = EvidenceClient::new(connect(global).await?);
                Ok(listed(&answer(client.list(ListEvidence { tenant, from, limit })).await?))
            }
            Self::Witnesses { tenant } => {
                let mut client = EvidenceClient::new(connect(global).await?);
                Ok(witnesses::shown(&answer(client.witnesses(ListWitnesses { tenant })).await?))
            }
            Self::Export { tenant, month, log, out } => {
                let mut client =
                    EvidenceClient::new(connect(global).await?).max_decoding_message_size(ANSWER_MAX);
                let parts = answer(client.export(ExportBundle { tenant, month, log })).await?;
                let written = export::write(parts, &out).await?;
                let text = format!("{}: {} files, {} bytes", out.display(), written.files, written.bytes);
                Ok(Answer::new(
                    text,
                    json!({ "folder": out, "files": written.files, "bytes": written.bytes }),
                ))
            }
            Self::Verify(verify) => verify.run((world.now)()),
            Self::Copy(copy) => copy.run(global, world),
            Self::Audit { tenant } => audit::run(global, world, tenant.as_deref()),
            Self::Oscal { bundle, out } => oscal::write(&bundle, &out),
        }
    }
}

/// How far something long has come; shown only where somebody looks: not where standard error is a file.
fn bar(global: &Global, message: &'static str) -> ProgressBar {
    let bar = if global.json { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let style = "{msg} {wide_bar} {pos} of {len}, {eta} left";
    bar.with_style(ProgressStyle::with_template(style).expect("the template is right")).with_message(message)
}

fn listed(list: &pb::EvidenceList) -> Answer {
    let rows = list.evidence.iter().map(|e| {
        let by = if e.appliance.is_empty() { &e.actor } else { &e.appliance };
        [e.log_index.to_string(), when(e.at_ms), e.kind.clone(), by.clone(), e.summary.clone()]
    });
    let text = table(["INDEX", "WHEN", "KIND", "BY", "SUMMARY"], rows);
    let json = json!({ "evidence": list.evidence.iter().map(view).collect::<Vec<_>>(), "size": list.size });
    Answer::new(format!("{text}\n{} in the log", list.size), json)
}

fn view(evidence: &pb::EvidenceSummary) -> Value {
    json!({
        "sha256": evidence.sha256,
        "appliance": evidence.appliance,
        "actor": evidence.actor,
        "kind": evidence.kind,
        "chain_index": evidence.chain_index,
        "log_index": evidence.log_index,
        "at": time(evidence.at_ms),
        "summary": evidence.summary,
    })
}
