//! A person who approves, and their passkey: a software one that signs as a browser's would, into files as browsers hand
//! assertions over.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proto::{charter::Approver, digest::Digest, keys::SecretKey};
use serde_json::{Value, json};

use super::Provider;

const SITE: &str = "msp.example";

/// An approver.
pub struct Passkey {
    name: String,
    key: SecretKey,
}

impl Passkey {
    /// A new one.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self { name: name.to_owned(), key: SecretKey::generate_p256() }
    }

    /// Has a new charter name these approvers; `folder` is for what is handed over.
    pub fn into_charter(all: &[&Self], provider: &Provider, folder: &Path) -> Result<()> {
        let mut args = vec!["charter".to_owned(), "renew".to_owned()];
        for n in 1..3 {
            args.extend([
                "--key".to_owned(),
                text(&provider.dir.join(format!("offline/organization-{n}.key")))?,
            ]);
        }
        for one in all {
            let approver = Approver {
                name: one.name.clone(),
                key: one.key.public(),
                rp_id: SITE.into(),
                origin: format!("https://{SITE}"),
            };
            let file = folder.join(format!("{}.json", one.name));
            fs::write(&file, serde_json::to_string(&approver)?)?;
            args.extend(["--approver".to_owned(), text(&file)?]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        provider.ask(&args).map(drop)
    }

    /// What a browser hands over when this person has touched their key for the challenge of `shown`, in a file.
    pub fn approve(&self, shown: &Value, folder: &Path) -> Result<String> {
        let challenge = shown["challenge"].as_str().context("there is a challenge")?;
        let client =
            json!({ "type": "webauthn.get", "challenge": challenge, "origin": format!("https://{SITE}") });
        let client = client.to_string();
        let authenticator = [&Digest::of(SITE.as_bytes()).0[..], &[0x05, 0, 0, 0, 1]].concat();
        let signed = [&authenticator[..], &Digest::of(client.as_bytes()).0].concat();
        let approval = json!({
            "approver": self.name,
            "authenticator_data": URL_SAFE_NO_PAD.encode(&authenticator),
            "client_data": URL_SAFE_NO_PAD.encode(&client),
            "signature": URL_SAFE_NO_PAD.encode(self.key.sign(&signed)),
        });
        let file = folder.join(format!("{}.approval.json", self.name));
        fs::write(&file, approval.to_string())?;
        text(&file)
    }
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("a path in UTF-8")?.to_owned())
}
