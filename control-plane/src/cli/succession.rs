//! `control-plane succession`: how a clinic goes on whose log is halted.
//!
//! The rule: the server says what it knows and begins nothing; the organization's keys sign where they are kept, each for
//! itself if need be, and whoever signs is shown what it means.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use proto::{
    dsse::{self, ENVELOPE_MAX, Envelope},
    log::Head,
    pb::{DraftSuccession, Succeed, tenants_client::TenantsClient},
    succession::{Cause, SUCCESSION_TYPE, Succession as Statement},
};
use serde_json::json;

use super::{
    Global, Misuse,
    connection::{answer, connect},
    output::{Answer, facts},
};
use crate::{
    files::{self, Access},
    offline::head,
};

#[derive(Debug, Subcommand)]
#[command(
    after_help = "A log that cannot be continued halts (`tenant list`). Another follows it when 2 of 3 organization keys say so; what\n\
    was in the old one stays, and is exported with `evidence export --log`.\n  \
    control-plane succession draft \"Elm Street Clinic\" --cause entries-lost --out elm.succession.json\n  \
    control-plane succession sign elm.succession.json --key /media/a/organization-1.key\n  \
    control-plane succession sign elm.succession.json --key /media/b/organization-2.key\n  \
    control-plane succession install elm.succession.json"
)]
pub(super) enum Succession {
    /// Draw up what the organization has to sign, as the server knows the halted log; nothing is in force yet
    Draft {
        /// Clinic, by name or ID
        tenant: String,
        /// Why its log cannot be continued: entries-lost, vault-blocked, key-stolen, forked or other
        #[arg(long)]
        cause: Cause,
        /// A larger head of the log than the server knows, as a box shows it: a checkpoint file, or SIZE:ROOT (base64).
        /// Name the largest that any box shows, or that box will not follow
        #[arg(long, value_name = "HEAD", value_parser = head)]
        head: Option<Head>,
        /// Where to write it; an existing file is left alone
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Sign it with organization keys, offline; those that are elsewhere sign the same file later
    Sign {
        /// The draft, as `succession draft` wrote it
        file: PathBuf,
        /// Key file of an organization key; may be given again
        #[arg(long = "key", value_name = "FILE", required = true)]
        keys: Vec<PathBuf>,
    },
    /// Hand it to the server, which begins the log that follows
    Install {
        /// The draft, signed by enough organization keys
        file: PathBuf,
    },
}

impl Succession {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        match self {
            Self::Draft { tenant, cause, head, out } => {
                let (size, root) = head.map_or((0, Vec::new()), |head| (head.size, head.root.to_vec()));
                let asked = DraftSuccession { tenant, cause: cause.to_string(), size, root };
                let mut client = TenantsClient::new(connect(global).await?);
                let draft = answer(client.draft_succession(asked)).await?;
                let statement = Statement::read(&draft.payload)?;
                files::create(&out, &dsse::seal(SUCCESSION_TYPE, &draft.payload, &[]), Access::Public)?;
                Ok(shown(&statement, 0, &out, &format!("halted: {}", draft.halted)))
            }
            Self::Sign { file, keys } => {
                let (mut envelope, statement) = read(&file)?;
                for key in &keys {
                    envelope = dsse::countersign(&envelope, &files::read_secret_key(key)?)?;
                }
                files::replace(&file, &envelope, Access::Public)?;
                let signatures = Envelope::parse(&envelope)?.signatures();
                Ok(shown(
                    &statement,
                    signatures,
                    &file,
                    "signed; `succession install` hands it to the server",
                ))
            }
            Self::Install { file } => {
                let (envelope, statement) = read(&file)?;
                let signatures = Envelope::parse(&envelope)?.signatures();
                let mut client = TenantsClient::new(connect(global).await?);
                let tenant = answer(client.succeed(Succeed { envelope })).await?;
                Ok(shown(&statement, signatures, &file, &format!("the log of {} goes on", tenant.name)))
            }
        }
    }
}

fn read(file: &Path) -> anyhow::Result<(Vec<u8>, Statement)> {
    let wrong = || Misuse(format!("FILE is {}, must be what `succession draft` wrote", file.display()));
    let bytes = files::read(file, ENVELOPE_MAX as u64)?;
    let envelope = Envelope::parse(&bytes).with_context(wrong)?;
    let statement = Statement::read(envelope.unverified_payload()).with_context(wrong)?;
    Ok((bytes, statement))
}

fn shown(statement: &Statement, signatures: usize, file: &Path, then: &str) -> Answer {
    let Statement { tenant, old, new, cause, .. } = statement;
    let text = facts([
        ("tenant", tenant.to_string()),
        ("ends", old.origin.clone()),
        ("with", format!("{} entries, root {}", old.size, old.head().root.to_base64())),
        ("begins", new.origin.clone()),
        ("because", cause.to_string()),
        ("signatures", signatures.to_string()),
        ("file", file.display().to_string()),
    ]);
    let json = json!({ "statement": statement, "signatures": signatures, "file": file });
    Answer::new(format!("{text}\n{then}"), json)
}
