//! `control-plane key`: the server's own keys, exchanged while it runs.
//!
//! The rule: a new key signs nothing until a charter names it. Making one changes nothing for anybody; the charter that names
//! both brings it into use; the one that leaves the old out ends it.

mod authority;

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use proto::{
    charter::Charter,
    keys::{PublicKey, SecretKey},
};
use serde_json::json;

use super::{Global, World, charter, misuse, output::Answer};
use crate::{
    config::{Config, OrderKey},
    directory::Directory,
    files::{self, Access},
    signer,
};

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Show the keys and certificate authorities of this installation, and which of them the charter names
    List,
    /// Make the key, or authority, that is to follow, beside the one in use; then have a charter name both
    #[command(after_help = "Example, without a moment of standstill:\n  control-plane key rotate order\n  \
        control-plane charter renew --order-key NEW --key organization-1.key --key organization-2.key\n  \
        control-plane charter renew --without-order-key OLD --key organization-1.key --key organization-2.key\n\n\
        For the authority: `rotate ca`, `--authority FILE`, and 37 days later `--without-authority OLD`.")]
    Rotate {
        /// Which
        which: Which,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Which {
    /// Signs orders, policies, stops, acts and time
    Order,
    /// Signs the checkpoints of the logs
    Log,
    /// The certificate authority of boxes and of this server
    Ca,
}

/// A key that signs what is not a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signing {
    Order,
    Log,
}

impl Signing {
    fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Log => "log",
        }
    }

    /// Those that a charter names.
    fn named(self, charter: &Charter) -> &BTreeSet<PublicKey> {
        match self {
            Self::Order => &charter.order_keys,
            Self::Log => &charter.log_keys,
        }
    }

    /// Where the one in use is, and the one that is to follow.
    fn paths(self, directory: &Directory) -> [PathBuf; 2] {
        match self {
            Self::Order => [directory.order_key(), directory.next_order_key()],
            Self::Log => [directory.log_key(), directory.next_log_key()],
        }
    }
}

impl Key {
    pub(super) async fn run(self, global: &Global, world: World) -> anyhow::Result<Answer> {
        if global.address.is_some() {
            return Err(misuse("keys lie on the server's machine: use --dir there, without --address"));
        }
        let directory = global.directory();
        let charter = charter::in_force(global).await?;
        let settings = Config::load(&directory.config())?.order_key;
        match self {
            Self::List => list(&directory, &settings, &charter),
            Self::Rotate { which: Which::Ca } => authority::rotate(&directory, &charter, world),
            Self::Rotate { which: Which::Order } if settings != OrderKey::File => Err(misuse(
                "the order key is in a transit engine: `vault write -f transit/keys/NAME/rotate` makes the next, \
                 `key list` shows it; then have a charter name both",
            )),
            Self::Rotate { which: Which::Order } => rotate(&directory, Signing::Order, &charter, world),
            Self::Rotate { which: Which::Log } => rotate(&directory, Signing::Log, &charter, world),
        }
    }
}

fn list(directory: &Directory, settings: &OrderKey, charter: &Charter) -> anyhow::Result<Answer> {
    let mut found = Vec::new();
    if let OrderKey::Transit(transit) = settings {
        let versions = signer::versions(transit).context("the transit engine")?;
        let at = |version| format!("version {version} at {}", transit.address);
        found.extend(versions.into_iter().map(|(version, key)| (Signing::Order, key, at(version))));
    }
    for which in [Signing::Order, Signing::Log] {
        for path in which.paths(directory) {
            let key = signer::read(&path)?;
            found.extend(key.map(|key| (which, key.public(), path.display().to_string())));
        }
    }
    let (mut lines, mut keys) = (Vec::new(), Vec::new());
    for (which, key, at) in found {
        let is_named = which.named(charter).contains(&key);
        lines.push(format!("{} {key} {} ({at})", which.name(), word(is_named)));
        keys.push(json!({ "kind": which.name(), "public_key": key, "at": at, "named": is_named }));
    }
    for authority::Listed { fingerprint, at, is_named } in authority::list(directory, charter)? {
        lines.push(format!("ca {fingerprint} {} ({at})", word(is_named)));
        keys.push(json!({ "kind": "ca", "fingerprint": fingerprint, "at": at, "named": is_named }));
    }
    Ok(Answer::new(lines.join("\n"), json!({ "keys": keys })))
}

fn word(is_named: bool) -> &'static str {
    if is_named { "named by the charter" } else { "not named by the charter" }
}

fn rotate(directory: &Directory, which: Signing, charter: &Charter, world: World) -> anyhow::Result<Answer> {
    let named = |key: &SecretKey| which.named(charter).contains(&key.public());
    let [path, next] = which.paths(directory);
    let current = files::read_secret_key(&path)?;
    if let Some(waiting) = signer::read(&next)? {
        // The same in both: the power went between the two steps below.
        let is_moved = waiting.public() == current.public();
        if !is_moved && (named(&current) || !named(&waiting)) {
            return Err(misuse(format!(
                "{} is there already ({}): one exchange after the other; have a charter leave the old key out first, \
                 or remove that file if no charter ever named its key",
                next.display(),
                waiting.public()
            )));
        }
        // The last exchange is over: what followed is the one in use, and the one before has no use any more.
        files::replace(&path, waiting.to_file().as_bytes(), Access::Secret)?;
        fs::remove_file(&next).with_context(|| format!("cannot remove {}", next.display()))?;
    }
    let old = files::read_secret_key(&path)?.public();
    let mut seed = [0; 32];
    (world.random)(&mut seed);
    let key = SecretKey::ed25519(seed);
    files::create(&next, key.to_file().as_bytes(), Access::Secret)?;
    let (name, public) = (which.name(), key.public());
    let text = format!(
        "new {name} key: {public}\nin {}\nold {name} key: {old}\n\n\
         It signs nothing yet. Have a charter name both: the server takes the new one into use at once.\n  \
         control-plane charter renew --{name}-key {public} --key ... --key ...\n\
         Then one that leaves the old one out: from then on nothing that it signs counts.\n  \
         control-plane charter renew --without-{name}-key {old} --key ... --key ...",
        next.display()
    );
    Ok(Answer::new(text, json!({ "kind": name, "file": next, "public_key": public, "old": old })))
}
