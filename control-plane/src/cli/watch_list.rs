//! `control-plane appliance watch-list`: what a box watches, when an approver has signed another list than its own.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use proto::{
    document::{CONTENT_MAX, WATCH_LIST},
    pb::{
        DocumentView, DraftDocument, ListAppliances, ListDocuments, appliances_client::AppliancesClient,
        documents_client::DocumentsClient,
    },
};
use serde_json::json;

use super::{
    Global,
    connection::{answer, connect},
    draft,
    output::Answer,
};
use crate::files;

const KIND: &str = "watch-list";

#[derive(Debug, Subcommand)]
#[command(
    after_help = "The control plane alone cannot change what a box watches: an approver of the charter signs it.\n  \
    control-plane appliance watch-list draft ID watch.toml --out draft.json\n  \
    control-plane appliance watch-list set draft.json --approval approval.json\n\n\
    The file: the [[watch.*]] entries of an appliance's configuration, all of them, and nothing else."
)]
pub(super) enum WatchList {
    /// Draw up a watch list for an approver to sign; it is not in force yet
    Draft {
        /// The box, by ID
        id: String,
        /// The watch list, TOML
        file: PathBuf,
        /// Where to write the draft; an existing file is left alone
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Put a watch list in force that an approver has signed
    Set {
        /// The draft, as `watch-list draft` wrote it
        draft: PathBuf,
        /// Assertion of an approver's passkey over the draft's challenge; may be given again
        #[arg(long, value_name = "FILE", required = true)]
        approval: Vec<PathBuf>,
    },
    /// Show the watch list that an approver has signed for a box
    Show {
        /// The box, by ID
        id: String,
    },
}

impl WatchList {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let mut client = DocumentsClient::new(connect(global).await?);
        match self {
            Self::Draft { id, file, out } => {
                let content = files::read(&file, CONTENT_MAX as u64)?;
                let tenant = tenant_of(global, &id).await?;
                let (kind, name) = (KIND.into(), WATCH_LIST.into());
                let draft = DraftDocument { tenant, appliance: id, kind, name, content };
                let draft = answer(client.draft(draft)).await?;
                let next =
                    format!("control-plane appliance watch-list set {} --approval FILE", out.display());
                draft::hand_out(draft, &out, &next)
            }
            Self::Set { draft, approval } => {
                let publish = draft::bring_back(&draft, &approval)?;
                Ok(draft::shown(&answer(client.publish(publish)).await?))
            }
            Self::Show { id } => {
                let tenant = tenant_of(global, &id).await?;
                let all = answer(client.list(ListDocuments { tenant, kind: KIND.into() })).await?.documents;
                match all.iter().find(|one| one.appliance == id) {
                    Some(document) => shown(document),
                    None => {
                        let json = json!({ "appliance": id, "watch_list": null });
                        Ok(Answer::new(format!("{id} goes by the watch list of its own configuration"), json))
                    }
                }
            }
        }
    }
}

async fn tenant_of(global: &Global, id: &str) -> anyhow::Result<String> {
    let mut client = AppliancesClient::new(connect(global).await?);
    let list = answer(client.list(ListAppliances { tenant: String::new() })).await?.appliances;
    let found = list.into_iter().find(|appliance| appliance.id == id);
    let found = found
        .with_context(|| format!("there is no appliance {id}; `control-plane appliance list` shows them"))?;
    Ok(found.tenant)
}

fn shown(document: &DocumentView) -> anyhow::Result<Answer> {
    let text = std::str::from_utf8(&document.content).context("the server's watch list is not UTF-8")?;
    let facts = draft::shown(document);
    let mut json = facts.json;
    json["watch_list"] = json!(text);
    Ok(Answer::new(format!("{}\n\n{text}", facts.text), json))
}
