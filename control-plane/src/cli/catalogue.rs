//! `control-plane catalogue`: build and sign offline, publish to the server.
//!
//! The rule: whoever signs sees what; nothing is published by building or signing it.

mod verify;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use proto::{
    dsse::{self, ENVELOPE_MAX, Envelope},
    keys::SecretKey,
    pb::{CatalogueView, PublishCatalogue, ShowCatalogue, catalogue_client::CatalogueClient},
    time::Millis,
};
use runbooks::{CATALOGUE_TYPE, Catalogue as Document};
use serde_json::{Value, json};

use super::{
    Global, World,
    connection::{ANSWER_MAX, answer, connect},
    output::{Answer, table, time, when},
};
use crate::files::{self, Access};
pub(super) use crate::offline::date;

#[derive(Debug, Subcommand)]
#[command(after_help = "From a folder of runbooks to the appliances:\n  \
    control-plane catalogue build runbooks/ --version 2 --expires 2027-11-01 --out catalogue.json\n  \
    control-plane catalogue sign --key release-1.key catalogue.json\n  \
    control-plane catalogue sign --key release-2.key catalogue.json      (another person, another machine)\n  \
    control-plane catalogue verify --trust organization.keys.json --charter charter.json catalogue.json\n  \
    control-plane catalogue publish catalogue.json")]
pub(super) enum Catalogue {
    /// Make an offline key (release or organization) and print its public half
    Keygen {
        /// Where to write it, mode 0600; an existing file is left alone
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Kind of key
        #[arg(long, value_enum, default_value = "ed25519")]
        kind: KeyKind,
    },
    /// Build an unsigned catalogue from a folder of YAML
    Build {
        /// Folder of runbooks, one per file
        folder: PathBuf,
        /// Must be higher than that of every catalogue before
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        version: u64,
        /// From here on nothing out of it runs
        #[arg(long, value_name = "DATE", value_parser = date)]
        expires: Millis,
        /// Where to write it; an existing file is left alone
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Add a signature to a catalogue, and show what is signed
    Sign {
        /// Key file of a release key; may be given twice
        #[arg(long = "key", value_name = "FILE", required = true)]
        keys: Vec<PathBuf>,
        /// The catalogue, which is replaced
        file: PathBuf,
    },
    /// Say whether a catalogue is signed by enough release keys and holds (exit 0 valid, 1 refused, 3 ended)
    Verify {
        /// The organization's public keys
        #[arg(long, value_name = "FILE")]
        trust: PathBuf,
        /// The charter that names the release keys
        #[arg(long, value_name = "FILE")]
        charter: PathBuf,
        /// The catalogue
        file: PathBuf,
    },
    /// Hand a signed catalogue to the server
    Publish {
        /// The catalogue
        file: PathBuf,
    },
    /// Show the catalogue in force
    Show,
}

/// Kinds of offline keys.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum KeyKind {
    /// Ed25519
    Ed25519,
    /// ECDSA P-256
    P256,
}

impl Catalogue {
    pub(super) async fn run(self, global: &Global, world: World) -> anyhow::Result<Answer> {
        match self {
            Self::Keygen { out, kind } => keygen(&out, kind, world),
            Self::Build { folder, version, expires, out } => {
                build(&folder, version, expires, &out, (world.now)())
            }
            Self::Sign { keys, file } => sign(&keys, &file),
            Self::Verify { trust, charter, file } => verify::verify(&trust, &charter, &file, (world.now)()),
            Self::Publish { file } => {
                let envelope = read(&file)?;
                let mut client =
                    CatalogueClient::new(connect(global).await?).max_decoding_message_size(ANSWER_MAX);
                Ok(published(&answer(client.publish(PublishCatalogue { envelope })).await?))
            }
            Self::Show => {
                let mut client =
                    CatalogueClient::new(connect(global).await?).max_decoding_message_size(ANSWER_MAX);
                Ok(published(&answer(client.show(ShowCatalogue {})).await?))
            }
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, files::FileError> {
    files::read(file, ENVELOPE_MAX as u64)
}

fn keygen(out: &Path, kind: KeyKind, world: World) -> anyhow::Result<Answer> {
    let key = match kind {
        KeyKind::Ed25519 => {
            let mut seed = [0; 32];
            (world.random)(&mut seed);
            SecretKey::ed25519(seed)
        }
        KeyKind::P256 => SecretKey::generate_p256(),
    };
    files::create(out, key.to_file().as_bytes(), Access::Secret)?;
    let public = key.public().to_string();
    Ok(Answer::new(public.clone(), json!({ "file": out, "public_key": public })))
}

fn build(folder: &Path, version: u64, expires: Millis, out: &Path, now: Millis) -> anyhow::Result<Answer> {
    let payload = Document::build(version, now, expires, runbooks::read_folder(folder)?)?;
    files::create(out, &Document::seal(&payload, &[]), Access::Public)?;
    let next = format!(
        "{} is not signed yet; two release keys must sign it: control-plane catalogue sign",
        out.display()
    );
    let document = Document::parse(&payload)?;
    Ok(Answer::new(format!("{}\n{next}", text(&document)), view(&document)))
}

fn sign(keys: &[PathBuf], file: &Path) -> anyhow::Result<Answer> {
    let mut envelope = read(file)?;
    let context = || format!("{} is not a catalogue", file.display());
    let document = Document::parse(Envelope::parse(&envelope).with_context(context)?.unverified_payload())
        .with_context(context)?;
    let mut signers = Vec::new();
    for path in keys {
        let key = files::read_secret_key(path)?;
        envelope = dsse::countersign(&envelope, &key)?;
        // Also checks that it is signed as a catalogue and as nothing else.
        dsse::open(&envelope, CATALOGUE_TYPE, [&key.public()], 1).with_context(context)?;
        signers.push(key.public().to_string());
    }
    files::replace(file, &envelope, Access::Public)?;
    let mut json = view(&document);
    json["signed_by"] = json!(signers);
    Ok(Answer::new(format!("{}\nsigned by {}", text(&document), signers.join(", ")), json))
}

fn text(document: &Document) -> String {
    let rows = document.entries.values().map(|entry| {
        let runbook = &entry.runbook;
        [runbook.id.to_string(), runbook.risk.to_string(), entry.digest.to_string(), runbook.title.clone()]
    });
    let head = format!("catalogue version {}, expires {}", document.version, document.expires);
    format!("{head}\n{}", table(["RUNBOOK", "RISK", "SHA-256", "TITLE"], rows))
}

fn view(document: &Document) -> Value {
    let runbooks: Vec<Value> = document
        .entries
        .values()
        .map(|entry| {
            let runbook = &entry.runbook;
            json!({ "id": runbook.id, "title": runbook.title, "risk": runbook.risk.to_string(), "sha256": entry.digest })
        })
        .collect();
    json!({ "version": document.version, "expires": document.expires, "runbooks": runbooks })
}

fn published(catalogue: &CatalogueView) -> Answer {
    let rows =
        catalogue.runbooks.iter().map(|r| [r.id.clone(), r.risk.clone(), r.sha256.clone(), r.title.clone()]);
    let head = format!("catalogue version {}, expires {}", catalogue.version, when(catalogue.expires_ms));
    let runbooks: Vec<Value> = catalogue
        .runbooks
        .iter()
        .map(|r| json!({ "id": r.id, "title": r.title, "risk": r.risk, "sha256": r.sha256 }))
        .collect();
    let json =
        json!({ "version": catalogue.version, "expires": time(catalogue.expires_ms), "runbooks": runbooks });
    Answer::new(format!("{head}\n{}", table(["RUNBOOK", "RISK", "SHA-256", "TITLE"], rows)), json)
}
