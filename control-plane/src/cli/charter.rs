//! `control-plane charter`: who may sign what, until when.
//!
//! The rule: a charter is shown as verified only against organization keys that lie apart from it, and a new one is
//! signed only with keys that those name.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Subcommand;
use proto::{
    charter::{Approver, Charter as Document, OrganizationKeys},
    digest::Digest,
    dsse::ENVELOPE_MAX,
    identity::check_authority,
    keys::{PublicKey, SecretKey},
    log::WitnessKey,
    pb::{PublishCharter, ShowCharter, charter_client::CharterClient},
};
use serde_json::json;

use super::{
    Global, Misuse, World,
    connection::{ANSWER_MAX, NoServer, answer, connect},
    misuse,
    output::{Answer, facts},
};
use crate::{
    ca,
    files::{self, Access},
};

const APPROVER_MAX: u64 = 64 * 1024;
const AUTHORITY_MAX: u64 = 64 * 1024;
const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, off the command line")]
pub(super) enum Charter {
    /// Show the charter in force and until when it holds
    Show {
        /// The organization's public keys [default: trust/organization.keys.json in --dir]
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
    },
    /// Sign the charter anew, with the next serial, and publish it; with other approvers where they are given
    #[command(after_help = "Two people bring their keys; both are plugged in for this command alone.\n\n\
        Example:\n  control-plane charter renew --key /media/a/organization-1.key --key /media/b/organization-2.key")]
    Renew {
        /// Key file of an organization key; give two
        #[arg(long = "key", value_name = "FILE", required = true)]
        keys: Vec<PathBuf>,
        /// How long it holds, at most 180
        #[arg(long, default_value_t = 180, value_parser = clap::value_parser!(u32).range(1..=180))]
        days: u32,
        /// Adds an approver, or replaces the one of that name: JSON with name, key (p256:…), rp_id and origin
        #[arg(long = "approver", value_name = "FILE")]
        approvers: Vec<PathBuf>,
        /// Leaves out the approver of that name; what only they approved is not in force any more
        #[arg(long = "without-approver", value_name = "NAME")]
        without: Vec<String>,
        /// Adds an order key: the server signs with it from then on, where it has it (`key rotate order`)
        #[arg(long = "order-key", value_name = "KEY")]
        order_keys: Vec<PublicKey>,
        /// Leaves out an order key; nothing that it signed counts any more
        #[arg(long = "without-order-key", value_name = "KEY")]
        without_order_keys: Vec<PublicKey>,
        /// Adds a log key: the server signs with it from then on, where it has it (`key rotate log`)
        #[arg(long = "log-key", value_name = "KEY")]
        log_keys: Vec<PublicKey>,
        /// Leaves out a log key; checkpoints that it alone signed count no more
        #[arg(long = "without-log-key", value_name = "KEY")]
        without_log_keys: Vec<PublicKey>,
        /// Adds a certificate authority (PEM file): boxes get certificates of it, where the server has it (`key rotate ca`)
        #[arg(long = "authority", value_name = "FILE")]
        authorities: Vec<PathBuf>,
        /// Leaves out the authority of that SHA-256; boxes with a certificate of it must be enrolled anew
        #[arg(long = "without-authority", value_name = "SHA256")]
        without_authorities: Vec<Digest>,
        /// Adds an outside witness, or replaces the one of that name: its C2SP verifier key
        #[arg(long = "witness", value_name = "VKEY")]
        witnesses: Vec<String>,
        /// Leaves out the witness of that name
        #[arg(long = "without-witness", value_name = "NAME")]
        without_witnesses: Vec<String>,
        /// How many of the witnesses must have cosigned for the log to count as seen [default: as before; 1 at first]
        #[arg(long, value_name = "N")]
        witness_quorum: Option<usize>,
        /// The organization's public keys [default: trust/organization.keys.json in --dir]
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
    },
}

/// Where the charter in force was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Server,
    File,
}

impl Charter {
    pub(super) async fn run(self, global: &Global, world: World) -> anyhow::Result<Answer> {
        let now = (world.now)();
        match self {
            Self::Show { trust } => {
                let trust = read_trust(&trust_path(global, trust))?;
                let (envelope, found) = current(global).await?;
                let charter = trust.open(&envelope)?.into_value();
                let warning = charter.warning(now);
                Ok(shown(&charter, found, warning))
            }
            Self::Renew {
                keys,
                days,
                approvers,
                without,
                order_keys,
                without_order_keys,
                log_keys,
                without_log_keys,
                authorities,
                without_authorities,
                witnesses,
                without_witnesses,
                witness_quorum,
                trust,
            } => {
                let trust = read_trust(&trust_path(global, trust))?;
                let signers = signers(&keys, &trust)?;
                let (envelope, found) = current(global).await?;
                let mut charter = trust.open(&envelope)?.into_value();
                change_approvers(&mut charter, &approvers, &without)?;
                change_keys("order-key", &mut charter.order_keys, order_keys, &without_order_keys)?;
                change_keys("log-key", &mut charter.log_keys, log_keys, &without_log_keys)?;
                change_authorities(&mut charter, &authorities, &without_authorities)?;
                change_witnesses(&mut charter, &witnesses, &without_witnesses)?;
                change_quorum(&mut charter, witness_quorum)?;
                charter.serial += 1;
                charter.issued = now;
                charter.not_after = now.plus(DAY * days);
                charter.check().context("the new charter would not be valid")?;
                let signed = charter.seal(&signers.iter().collect::<Vec<_>>());
                // Opened as everybody else will open it, before anybody gets it.
                trust.open(&signed)?;
                let warning = publish(global, found, signed).await?.or_else(|| charter.warning(now));
                Ok(shown(&charter, found, warning))
            }
        }
    }
}

fn change_approvers(charter: &mut Document, files: &[PathBuf], without: &[String]) -> anyhow::Result<()> {
    for name in without {
        let before = charter.approvers.len();
        charter.approvers.retain(|approver| approver.name != *name);
        if charter.approvers.len() == before {
            return Err(misuse(format!("--without-approver {name}: the charter names no such approver")));
        }
    }
    for file in files {
        let wrong = || {
            Misuse(format!("--approver {}: must be JSON with name, key, rp_id and origin", file.display()))
        };
        let text = files::read_text(file, APPROVER_MAX)?;
        let approver: Approver = serde_json::from_str(&text).with_context(wrong)?;
        charter.approvers.retain(|other| other.name != approver.name);
        charter.approvers.push(approver);
    }
    Ok(())
}

fn change_keys(
    flag: &str,
    keys: &mut BTreeSet<PublicKey>,
    more: Vec<PublicKey>,
    without: &[PublicKey],
) -> anyhow::Result<()> {
    keys.extend(more);
    for key in without {
        if !keys.remove(key) {
            return Err(misuse(format!("--without-{flag} {key}: the charter names no such key")));
        }
    }
    match keys.is_empty() {
        true => Err(misuse(format!("--without-{flag}: one key at least must be left"))),
        false => Ok(()),
    }
}

fn change_authorities(charter: &mut Document, files: &[PathBuf], without: &[Digest]) -> anyhow::Result<()> {
    let all = &mut charter.certificate_authorities;
    for file in files {
        let wrong = || Misuse(format!("--authority {}", file.display()));
        let pem = files::read_text(file, AUTHORITY_MAX).with_context(wrong)?;
        check_authority(&pem).with_context(wrong)?;
        let new = ca::fingerprint(&pem).with_context(wrong)?;
        if !all.iter().any(|known| is(known, new)) {
            all.push(pem);
        }
    }
    for old in without {
        let before = all.len();
        all.retain(|known| !is(known, *old));
        if all.len() == before {
            return Err(misuse(format!("--without-authority {old}: the charter names no such authority")));
        }
    }
    match all.is_empty() {
        true => Err(misuse("--without-authority: one authority at least must be left")),
        false => Ok(()),
    }
}

fn is(authority: &str, fingerprint: Digest) -> bool {
    ca::fingerprint(authority).is_ok_and(|found| found == fingerprint)
}

/// The charter in force, verified.
pub(super) async fn in_force(global: &Global) -> anyhow::Result<Document> {
    let trust = read_trust(&trust_path(global, None))?;
    Ok(trust.open(&current(global).await?.0)?.into_value())
}

pub(super) use crate::offline::read_trust;

fn change_witnesses(charter: &mut Document, keys: &[String], without: &[String]) -> anyhow::Result<()> {
    let is = |text: &String, name: &str| text.parse().is_ok_and(|key: WitnessKey| key.name() == name);
    for name in without {
        let before = charter.witnesses.len();
        charter.witnesses.retain(|witness| !is(witness, name));
        if charter.witnesses.len() == before {
            return Err(misuse(format!("--without-witness {name}: the charter names no such witness")));
        }
    }
    for text in keys {
        let wrong = || Misuse(format!("--witness {text}: must be the verifier key of a witness"));
        let key: WitnessKey = text.parse().with_context(wrong)?;
        charter.witnesses.retain(|witness| !is(witness, key.name()));
        charter.witnesses.push(key.to_string());
    }
    Ok(())
}

/// One that more witnesses were to meet than there are, now that some are left out, is for people to set anew.
fn change_quorum(charter: &mut Document, quorum: Option<usize>) -> anyhow::Result<()> {
    let of = charter.witnesses.len();
    charter.witness_quorum = quorum.or(charter.witness_quorum.filter(|_| of > 0));
    match charter.witness_quorum {
        Some(quorum) if !(1..=of).contains(&quorum) => Err(misuse(format!(
            "--witness-quorum: must be from 1 to the number of witnesses in the charter, {of}, would be {quorum}"
        ))),
        _ => Ok(()),
    }
}

fn trust_path(global: &Global, given: Option<PathBuf>) -> PathBuf {
    given.unwrap_or_else(|| global.directory().organization_keys())
}

fn signers(files: &[PathBuf], trust: &OrganizationKeys) -> anyhow::Result<Vec<SecretKey>> {
    let keys: Vec<SecretKey> =
        files.iter().map(|file| files::read_secret_key(file)).collect::<Result<_, _>>()?;
    for (file, key) in files.iter().zip(&keys) {
        if !trust.keys.contains(&key.public()) {
            return Err(misuse(format!("{} is not a key of {}", file.display(), trust.organization)));
        }
    }
    let distinct: BTreeSet<PublicKey> = keys.iter().map(SecretKey::public).collect();
    if distinct.len() < trust.threshold {
        let (needed, found) = (trust.threshold, distinct.len());
        return Err(misuse(format!(
            "{needed} different organization keys must sign, {found} given; repeat --key"
        )));
    }
    Ok(keys)
}

/// The newest charter: the server's, or the file's while no server runs here.
async fn current(global: &Global) -> anyhow::Result<(Vec<u8>, Found)> {
    match connect(global).await {
        Ok(wire) => {
            let mut client = CharterClient::new(wire).max_decoding_message_size(ANSWER_MAX);
            Ok((answer(client.show(ShowCharter {})).await?.envelope, Found::Server))
        }
        Err(error) if error.is::<NoServer>() && global.address.is_none() => {
            Ok((files::read(&global.directory().charter(), ENVELOPE_MAX as u64)?, Found::File))
        }
        Err(error) => Err(error),
    }
}

/// Gives what the server warns of.
async fn publish(global: &Global, found: Found, envelope: Vec<u8>) -> anyhow::Result<Option<String>> {
    let mut warning = String::new();
    if found == Found::Server {
        let mut client = CharterClient::new(connect(global).await?).max_decoding_message_size(ANSWER_MAX);
        warning = answer(client.publish(PublishCharter { envelope: envelope.clone() })).await?.warning;
    }
    // Also beside a server of this machine: the next renewal may find it stopped.
    if global.address.is_none() {
        files::replace(&global.directory().charter(), &envelope, Access::Public)?;
    }
    Ok(Some(warning).filter(|warning| !warning.is_empty()))
}

fn shown(charter: &Document, found: Found, warning: Option<String>) -> Answer {
    let source = match found {
        Found::Server => "server",
        Found::File => "file",
    };
    let authorities = charter.certificate_authorities.iter().flat_map(|pem| ca::fingerprint(pem));
    let authorities: Vec<String> = authorities.map(|print| print.to_string()).collect();
    let text = facts([
        ("charter", format!("serial {} of {}", charter.serial, charter.organization)),
        ("verified", "signed by enough organization keys".to_owned()),
        ("issued", charter.issued.to_string()),
        ("holds until", charter.not_after.to_string()),
        ("order keys", list(&charter.order_keys)),
        ("log keys", list(&charter.log_keys)),
        (
            "release keys",
            format!("{} of: {}", charter.release_keys.threshold, list(&charter.release_keys.keys)),
        ),
        ("authorities", authorities.join(", ")),
        ("approvers", charter.approvers.len().to_string()),
        ("witnesses", names(charter)),
        ("found in", source.to_owned()),
    ]);
    let text = match &warning {
        Some(warning) => format!("{text}\n{warning}"),
        None => text,
    };
    let json = json!({
        "organization": charter.organization,
        "serial": charter.serial,
        "issued": charter.issued,
        "not_after": charter.not_after,
        "order_keys": charter.order_keys,
        "log_keys": charter.log_keys,
        "release_keys": charter.release_keys,
        "certificate_authorities": authorities,
        "witnesses": charter.witnesses,
        "witness_quorum": (!charter.witnesses.is_empty()).then(|| charter.quorum()),
        "approvers": charter.approvers.iter().map(|a| &a.name).collect::<Vec<_>>(),
        "warning": warning,
        "source": source,
    });
    Answer::new(text, json)
}

fn names(charter: &Document) -> String {
    let keys = charter.witness_keys();
    let names: Vec<&str> = keys.iter().map(WitnessKey::name).collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    format!("{} of: {}", charter.quorum(), names.join(", "))
}

fn list(keys: &BTreeSet<PublicKey>) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
