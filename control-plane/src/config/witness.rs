//! `[[witness]]`: where outside witnesses are reached. Whose keys count is the charter's to say.

use http::Uri;
use proto::charter::Charter;
use serde::Deserialize;

use super::{
    Config, ConfigError,
    value::{bad, webhook},
};

/// A witness that is asked to cosign the logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Name of its key in the charter.
    pub name: String,
    /// Its submission prefix (C2SP tlog-witness): `add-checkpoint` is below it.
    pub url: Uri,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileWitness {
    name: String,
    url: String,
}

pub(super) fn witnesses(blocks: Vec<FileWitness>) -> Result<Vec<Witness>, ConfigError> {
    let mut all: Vec<Witness> = Vec::new();
    for FileWitness { name, url } in blocks {
        if name.is_empty() {
            return Err(bad(
                "witness.name",
                &name,
                "the name of a witness's key, such as witness.example/w1",
            ));
        }
        if all.iter().any(|other| other.name == name) {
            return Err(bad("witness.name", &name, "named once: one block for each witness"));
        }
        let url = webhook("witness.url", url)?;
        if url.query().is_some() {
            return Err(bad(
                "witness.url",
                &url.to_string(),
                "without a query, such as https://witness.example/",
            ));
        }
        all.push(Witness { name, url });
    }
    Ok(all)
}

impl Config {
    /// A witness without a key in the charter could say anything: the file must name none.
    pub fn witnesses_are_of(&self, charter: &Charter) -> Result<(), ConfigError> {
        let keys = charter.witness_keys();
        for witness in &self.witnesses {
            match keys.iter().find(|key| key.name() == witness.name) {
                Some(key) if key.public().is_some() => {}
                Some(_) => {
                    let why = "a witness with an Ed25519 key (type 0x04): others are not verified yet";
                    return Err(bad("witness.name", &witness.name, why));
                }
                None => {
                    let names: Vec<&str> = keys.iter().map(|key| key.name()).collect();
                    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                    let why = format!(
                        "a witness of the charter (serial {}: {names}); `control-plane charter renew --witness VKEY` adds one",
                        charter.serial
                    );
                    return Err(bad("witness.name", &witness.name, why));
                }
            }
        }
        Ok(())
    }
}
