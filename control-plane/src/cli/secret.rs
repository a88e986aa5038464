//! `control-plane secret`: secrets of a clinic, sealed to one box before they leave this program.
//!
//! The rule: the server gets what nobody but that box's executor can open. What is sealed to is the key that the executor
//! itself has signed in its newest heartbeat; whoever does not trust the server with which executor that is, names its
//! evidence key.

use std::{io::Read as _, path::PathBuf};

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use proto::{
    document::Core,
    evidence::{Body, Claim, Record},
    keys::PublicKey,
    pb::{
        AskSealingKey, DocumentView, DraftDocument, ListDocuments, PublishDocument, WithdrawDocument,
        documents_client::DocumentsClient,
    },
    sealed::{Binding, SECRET_MAX},
};
use serde_json::json;

use super::{
    Global,
    connection::{answer, connect},
    draft,
    output::{Answer, table, when},
};
use crate::files;

const KIND: &str = "secret";

#[derive(Debug, Subcommand)]
#[command(after_help = "Only the box can open it: not the server, not its operators, not its database.\n  \
    control-plane secret set --appliance ID --name restic --from restic.password\n  \
    pass show clinic/restic | control-plane secret set --appliance ID --name restic --from -\n\n\
    The box's configuration says where it goes, mode 0600: [secrets] restic = \"/var/lib/orderly/restic.password\"")]
pub(super) enum Secret {
    /// Seal a secret to a box and send it; a newer one takes its place
    Set {
        /// The box, by ID
        #[arg(long, value_name = "ID")]
        appliance: String,
        /// What the box's configuration calls it under [secrets]
        #[arg(long)]
        name: String,
        /// File with the secret, byte for byte; - reads standard input
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The box's evidence key, as `appliance status` on it shows it [default: what the server says]
        #[arg(long, value_name = "KEY")]
        evidence_key: Option<PublicKey>,
    },
    /// Show which secrets were sent, never what they are
    List {
        /// Only of this clinic, by name or ID
        #[arg(long, default_value = "", hide_default_value = true)]
        tenant: String,
    },
    /// Have a box remove a secret
    Remove {
        /// The box, by ID
        #[arg(long, value_name = "ID")]
        appliance: String,
        /// What the box's configuration calls it
        #[arg(long)]
        name: String,
    },
}

impl Secret {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let mut client = DocumentsClient::new(connect(global).await?);
        match self {
            Self::Set { appliance, name, from, evidence_key } => {
                let secret = read(&from)?;
                let proof =
                    answer(client.sealing_key(AskSealingKey { appliance: appliance.clone() })).await?;
                let said: PublicKey = proof.evidence_key.parse()?;
                if let Some(expected) = evidence_key {
                    ensure!(
                        expected == said,
                        "the server says that this box's evidence key is {said}, not {expected}; nothing was sealed"
                    );
                }
                let record = Claim::read(&proof.heartbeat)?.verify(&said)?.into_value();
                let content = seal(&record, &appliance, &name, &secret)?;
                let draft =
                    DraftDocument { tenant: proof.tenant, appliance, kind: KIND.into(), name, content };
                let core = answer(client.draft(draft)).await?.core;
                ensure!(
                    Core::decode(&core)?.incarnation == Some(record.chain.incarnation),
                    "the box began anew meanwhile; run this again"
                );
                let sent = answer(client.publish(PublishDocument { core, approvals: Vec::new() })).await?;
                Ok(draft::shown(&sent))
            }
            Self::List { tenant } => {
                let list = answer(client.list(ListDocuments { tenant, kind: KIND.into() })).await?.documents;
                Ok(listed(&list))
            }
            Self::Remove { appliance, name } => {
                let proof =
                    answer(client.sealing_key(AskSealingKey { appliance: appliance.clone() })).await?;
                let withdraw = WithdrawDocument { tenant: proof.tenant, appliance, kind: KIND.into(), name };
                Ok(draft::shown(&answer(client.withdraw(withdraw)).await?))
            }
        }
    }
}

fn read(from: &std::path::Path) -> anyhow::Result<Vec<u8>> {
    let most = SECRET_MAX as u64;
    if from != std::path::Path::new("-") {
        return Ok(files::read(from, most)?);
    }
    let mut secret = Vec::new();
    std::io::stdin().take(most + 1).read_to_end(&mut secret).context("cannot read standard input")?;
    Ok(secret)
}

fn seal(record: &Record, appliance: &str, name: &str, secret: &[u8]) -> anyhow::Result<Vec<u8>> {
    let own = record.identity.appliance;
    ensure!(own.to_string() == appliance, "the server gave the key of {own} for {appliance}");
    let Body::Heartbeat(beat) = &record.body else { anyhow::bail!("the server gave no heartbeat") };
    let key = beat.sealing_key.as_ref().context("the box's program is too old: it has no key to seal to")?;
    Ok(key.seal(secret, &Binding { appliance: own, incarnation: record.chain.incarnation, name })?)
}

fn listed(documents: &[DocumentView]) -> Answer {
    let rows = documents
        .iter()
        .map(|one| [one.name.clone(), one.state.clone(), draft::addressee(one), when(one.issued_ms)]);
    let json = json!({ "secrets": documents.iter().map(draft::view).collect::<Vec<_>>() });
    Answer::new(table(["NAME", "STATE", "FOR", "SENT"], rows), json)
}
