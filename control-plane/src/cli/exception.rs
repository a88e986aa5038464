//! `control-plane exception`: controls of the baseline that a clinic does not keep, because somebody answers for the risk.

use std::path::PathBuf;

use anyhow::Context as _;
use baseline::Exception as Waiver;
use clap::Subcommand;
use proto::pb::{
    DocumentView, DraftDocument, ListDocuments, WithdrawDocument, documents_client::DocumentsClient,
};
use serde_json::{Value, json};

use super::{
    Global, World,
    connection::{answer, connect},
    draft,
    output::{Answer, optional, table, when},
};
use crate::files;

/// The most bytes of an exception's file.
const FILE_MAX: u64 = 64 * 1024;
const KIND: &str = "exception";

#[derive(Debug, Subcommand)]
#[command(
    after_help = "An exception loosens, so the control plane alone cannot give one: an approver of the charter signs it.\n  \
    control-plane exception draft --tenant \"Elm Street Clinic\" NXH-028.yaml --out NXH-028.draft.json\n  \
    control-plane exception add NXH-028.draft.json --approval approval.json\n  \
    control-plane exception revoke --tenant \"Elm Street Clinic\" NXH-028\n\n\
    The file: control, reason, risk, compensating, approver, issued, expires (at most a year), as YAML or JSON."
)]
pub(super) enum Exception {
    /// Draw up an exception for an approver to sign; it is not in force yet
    Draft {
        /// The exception, YAML or JSON
        file: PathBuf,
        /// Clinic, by name or ID
        #[arg(long)]
        tenant: String,
        /// Only for this box, by ID [default: for every box of the clinic]
        #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
        appliance: String,
        /// Where to write the draft; an existing file is left alone
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Put an exception in force that an approver has signed
    Add {
        /// The draft, as `exception draft` wrote it
        draft: PathBuf,
        /// Assertion of an approver's passkey over the draft's challenge; may be given again
        #[arg(long, value_name = "FILE", required = true)]
        approval: Vec<PathBuf>,
    },
    /// Show exceptions, and how they stand
    List {
        /// Only of this clinic, by name or ID
        #[arg(long, default_value = "", hide_default_value = true)]
        tenant: String,
    },
    /// Take an exception back: the control must hold again
    Revoke {
        /// The control: NXH-028
        control: String,
        /// Clinic, by name or ID
        #[arg(long)]
        tenant: String,
        /// The one that is only for this box, by ID
        #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
        appliance: String,
    },
}

impl Exception {
    pub(super) async fn run(self, global: &Global, world: World) -> anyhow::Result<Answer> {
        match self {
            Self::Draft { file, tenant, appliance, out } => {
                let name = file.display().to_string();
                let text = files::read_text(&file, FILE_MAX)?;
                let waiver = baseline::yaml::exception(&text, &name, (world.now)())?;
                let draft = DraftDocument {
                    tenant,
                    appliance,
                    kind: KIND.into(),
                    name: waiver.control.to_string(),
                    content: waiver.canonical(),
                };
                let mut client = DocumentsClient::new(connect(global).await?);
                let draft = answer(client.draft(draft)).await?;
                let next = format!("control-plane exception add {} --approval FILE", out.display());
                draft::hand_out(draft, &out, &next)
            }
            Self::Add { draft, approval } => {
                let publish = draft::bring_back(&draft, &approval)?;
                let mut client = DocumentsClient::new(connect(global).await?);
                Ok(draft::shown(&answer(client.publish(publish)).await?))
            }
            Self::List { tenant } => {
                let mut client = DocumentsClient::new(connect(global).await?);
                let list = ListDocuments { tenant, kind: KIND.into() };
                listed(&answer(client.list(list)).await?.documents)
            }
            Self::Revoke { control, tenant, appliance } => {
                let mut client = DocumentsClient::new(connect(global).await?);
                let withdraw = WithdrawDocument { tenant, appliance, kind: KIND.into(), name: control };
                Ok(draft::shown(&answer(client.withdraw(withdraw)).await?))
            }
        }
    }
}

fn listed(documents: &[DocumentView]) -> anyhow::Result<Answer> {
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    for document in documents {
        let waiver = match document.content.as_slice() {
            [] => None,
            content => Some(
                Waiver::of_document(content, &document.name)
                    .with_context(|| format!("the server's exception {} cannot be read", document.name))?,
            ),
        };
        let until = waiver.as_ref().map_or(String::new(), |waiver| when(waiver.expires.0));
        let reason = waiver.as_ref().map_or(String::new(), |waiver| waiver.reason.clone());
        rows.push([
            document.name.clone(),
            document.state.clone(),
            draft::addressee(document),
            until,
            document.approvers.join(", "),
            reason,
        ]);
        all.push(view(document, waiver.as_ref()));
    }
    let text = table(["CONTROL", "STATE", "FOR", "UNTIL", "APPROVED BY", "REASON"], rows);
    Ok(Answer::new(text, json!({ "exceptions": all })))
}

fn view(document: &DocumentView, waiver: Option<&Waiver>) -> Value {
    let mut view = draft::view(document);
    let said = |of: fn(&Waiver) -> &str| optional(waiver.map_or("", of));
    view["reason"] = said(|waiver| &waiver.reason);
    view["risk"] = said(|waiver| &waiver.risk);
    view["compensating"] = said(|waiver| &waiver.compensating);
    view["answers_for_it"] = said(|waiver| &waiver.approver);
    view["expires"] = json!(waiver.map(|waiver| waiver.expires));
    view
}
