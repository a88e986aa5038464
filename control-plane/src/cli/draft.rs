//! Drafts and approvals as files: what one person draws up is carried to another, who signs it with a passkey.
//!
//! The rule: what is sent is the draft's exact bytes; an approval is over their SHA-256 and nothing else.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use proto::{
    digest::Digest,
    document::Core,
    field::BadField,
    pb::{self, DocumentDraft, DocumentView, PublishDocument},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::output::{Answer, facts, time, when};
use crate::files::{self, Access};

/// The most bytes of either file.
const FILE_MAX: u64 = 256 * 1024;

/// A draft as it lies in a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftFile {
    /// Base64 of the exact bytes.
    core: String,
    /// The challenge of a WebAuthn assertion: base64url of their SHA-256.
    challenge: String,
}

/// A WebAuthn assertion as browsers hand it over: base64url without padding.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApprovalFile {
    approver: String,
    authenticator_data: String,
    client_data: String,
    signature: String,
}

/// Writes a draft for an approver, and says what to do with it.
pub(super) fn hand_out(draft: DocumentDraft, out: &Path, next: &str) -> anyhow::Result<Answer> {
    let core = Core::decode(&draft.core)?;
    let challenge = write(&draft.core, out)?;
    let told = format!(
        "{} {} is drawn up in {}; it is not in force.\nAn approver of the charter signs the challenge {} with a passkey, then:\n  {next}",
        core.kind,
        core.name,
        out.display(),
        challenge
    );
    let json = json!({ "file": out, "kind": core.kind, "name": core.name, "serial": core.serial, "challenge": challenge });
    Ok(Answer::new(told, json))
}

/// The challenge of a WebAuthn assertion over these bytes.
pub(super) fn challenge(core: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Digest::of(core).0)
}

/// Writes the bytes that an approver is to sign into a new file; gives the challenge.
pub(super) fn write(core: &[u8], out: &Path) -> anyhow::Result<String> {
    let file = DraftFile { core: STANDARD.encode(core), challenge: challenge(core) };
    let text = serde_json::to_string_pretty(&file)? + "\n";
    files::create(out, text.as_bytes(), Access::Public)?;
    Ok(file.challenge)
}

/// Reads a draft and the approvals of it.
pub(super) fn bring_back(draft: &Path, approvals: &[PathBuf]) -> anyhow::Result<PublishDocument> {
    let text = files::read_text(draft, FILE_MAX)?;
    let file: DraftFile = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a draft, as `draft` writes it", draft.display()))?;
    let core = STANDARD
        .decode(&file.core)
        .map_err(|_| BadField::new("core", "must be base64"))
        .with_context(|| draft.display().to_string())?;
    if file.challenge != challenge(&core) {
        let bad = BadField::new("challenge", "is not the SHA-256 of core; one of the two was changed");
        return Err(bad).with_context(|| draft.display().to_string());
    }
    let approvals = approvals.iter().map(|path| approval(path)).collect::<Result<_, _>>()?;
    Ok(PublishDocument { core, approvals })
}

/// Reads an approver's assertion.
pub(super) fn approval(path: &Path) -> anyhow::Result<pb::Approval> {
    let text = files::read_text(path, FILE_MAX)?;
    let file: ApprovalFile =
        serde_json::from_str(&text).with_context(|| format!("{} is not an approval", path.display()))?;
    let bytes = |field: &str, value: &str| {
        URL_SAFE_NO_PAD
            .decode(value)
            .map_err(|_| BadField::new(field, "must be base64url without padding"))
            .with_context(|| path.display().to_string())
    };
    Ok(pb::Approval {
        authenticator_data: bytes("authenticator_data", &file.authenticator_data)?,
        client_data: bytes("client_data", &file.client_data)?,
        signature: bytes("signature", &file.signature)?,
        approver: file.approver,
    })
}

/// One document, for people and programs.
pub(super) fn shown(document: &DocumentView) -> Answer {
    let text = facts([
        (document.kind.as_str(), document.name.clone()),
        ("state", document.state.clone()),
        ("for", addressee(document)),
        ("serial", document.serial.to_string()),
        ("drawn up", when(document.issued_ms)),
        ("approved by", document.approvers.join(", ")),
    ]);
    Answer::new(text, view(document))
}

/// For whom a document is.
pub(super) fn addressee(document: &DocumentView) -> String {
    match document.appliance.as_str() {
        "" => "every box of the clinic".to_owned(),
        id => id.to_owned(),
    }
}

/// A document for programs; its content is the kind's own affair.
pub(super) fn view(document: &DocumentView) -> Value {
    let hex = |bytes: &[u8]| Digest::from_field("sha256", bytes).map(|digest| digest.to_string()).ok();
    json!({
        "tenant": document.tenant,
        "appliance": super::output::optional(&document.appliance),
        "kind": document.kind,
        "name": document.name,
        "serial": document.serial,
        "issued": time(document.issued_ms),
        "approvers": document.approvers,
        "sha256": hex(&document.sha256),
        "state": document.state,
    })
}
