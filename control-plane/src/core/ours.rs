//! What in the vault is ours: nothing counts there because of its name.
//!
//! The rule: whoever can write to the vault can put an object under any name that is still free. So a checkpoint counts
//! that a log key of one of this organization's charters signed, a paper that an order key or a certificate authority of
//! one signed, a charter that the organization keys signed. All else is stepped over and said aloud, never fatal; it is
//! not noted in the index either, so that `evidence audit` goes on naming it. Where something lies in the place of one of
//! ours, ours goes beside it.
//!
//! An order key that the charter in force does not name any more was taken away, and whoever has it may sign on. What it signed
//! in its time is in the index, or the clinic's log speaks of it; nothing else by it counts. Only that somebody was shut out
//! counts by any key of ours: a false word of that is soon heard of, a lost one is not.
//!
//! Entries are another matter. The first object in the place of the next entries decides what the log goes on with, for
//! every server alike; a server that stepped over one because it cannot verify it now might sign a fork. There the log of
//! that clinic halts, names the object, and the others go on.

use std::collections::{BTreeMap, BTreeSet};

use proto::{
    digest::Digest,
    dsse::{self, Unsigned},
    keys::PublicKey,
    log::{Head, SignedCheckpoint, VerifierKey},
    order::ORDER_TYPE,
    standing::STANDING_TYPE,
    time::Millis,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Core, CoreError, papers::CHARTERS};
use crate::{store::Document, vault::VaultError};

/// DSSE payload type of a paper in the vault.
const PAPER_TYPE: &str = "application/vnd.orderly.paper.v1+json";

/// The keys of all charters of this organization that are known, here or in the vault.
#[derive(Default)]
pub(crate) struct Known {
    /// By the charter's serial.
    order: BTreeMap<u64, BTreeSet<PublicKey>>,
    log: BTreeSet<PublicKey>,
    authorities: BTreeSet<String>,
}

/// What an order key says, and where: a paper that was copied to another place says nothing there.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Paper<T> {
    key: String,
    says: T,
}

/// Whose key signed something of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signer {
    /// One that the charter in force names.
    Now,
    /// One that was taken away since.
    Once,
}

impl Core {
    /// Learns the keys of the charters in the database, and of those in the vault that it lacks.
    pub(super) fn learn_keys(&mut self) -> Result<(), CoreError> {
        let mut envelopes: Vec<_> =
            self.store.documents(Document::Charter)?.into_iter().map(|(_, envelope)| envelope).collect();
        for key in self.ports.vault.list(CHARTERS)? {
            envelopes.extend(self.object(&key)?);
        }
        for envelope in envelopes {
            let Ok(charter) = self.trust.open(&envelope) else { continue };
            let charter = charter.into_value();
            self.known.order.entry(charter.serial).or_default().extend(charter.order_keys);
            self.known.log.extend(charter.log_keys);
            self.known.authorities.extend(charter.certificate_authorities);
        }
        Ok(())
    }

    /// Certificate authorities of all charters.
    pub(super) fn authorities(&self) -> Vec<String> {
        self.known.authorities.iter().cloned().collect()
    }

    /// An object that anybody may have put; `None`: there is none, or none that could be ours.
    pub(super) fn object(&self, key: &str) -> Result<Option<Vec<u8>>, CoreError> {
        match self.ports.vault.get(key) {
            Err(error) if error.is_of_the_object() => {
                tracing::error!(key, "the vault's object {key} cannot be read and is stepped over: {error}");
                Ok(None)
            }
            got => Ok(got?),
        }
    }

    /// Says that an object is none of ours. One that the index knows was put by an older version of this program.
    pub(super) fn is_strange(&self, key: &str) -> Result<(), CoreError> {
        if self.store.vault_object(key)?.is_none() {
            tracing::error!(
                key,
                "no key of this organization has signed the vault's object {key}: it is stepped over; find out who can write there"
            );
        }
        Ok(())
    }

    /// The head in a checkpoint of the log `origin`, when one of our log keys signed it and it is of the size that its key says.
    pub(super) fn signed_head(&self, origin: &str, key: &str, note: &[u8]) -> Option<Head> {
        let keys = self.known.log.iter().filter_map(|key| VerifierKey::new(origin, key).ok());
        let signed = SignedCheckpoint::open(note, &keys.collect::<Vec<_>>()).ok()?;
        let head = signed.checkpoint().head();
        (first_part(key).parse() == Ok(head.size)).then_some(head)
    }

    /// Order keys of the charter in force, and of newer ones that a person is still to put in force here.
    fn order_keys(&self) -> impl Iterator<Item = &PublicKey> + Clone {
        self.known.order.range(self.charter.document.serial..).flat_map(|(_, keys)| keys)
    }

    /// Order keys of all charters.
    fn order_keys_ever(&self) -> impl Iterator<Item = &PublicKey> + Clone {
        self.known.order.values().flatten()
    }

    /// Whose key signed it, if it is an order or a standing order by one of ours.
    pub(super) fn order_by(&self, envelope: &[u8]) -> Option<Signer> {
        let is_by = |keys: Vec<&PublicKey>| {
            let mut kinds = [ORDER_TYPE, STANDING_TYPE].iter();
            kinds.any(|kind| dsse::open(envelope, kind, keys.iter().copied(), 1).is_ok())
        };
        if is_by(self.order_keys().collect()) {
            return Some(Signer::Now);
        }
        is_by(self.order_keys_ever().collect()).then_some(Signer::Once)
    }

    /// Signs what a paper says, for the place where it is to lie.
    pub(super) fn seal_paper(&self, key: &str, says: &impl Serialize) -> Result<Vec<u8>, CoreError> {
        let paper = Paper { key: key.to_owned(), says };
        let payload = serde_json::to_vec(&paper).expect("plain data serialises");
        self.seal(&Unsigned::new(PAPER_TYPE, payload))
    }

    /// What a paper says, when a key of ours signed it for this place, or for the one that it had to lie beside.
    pub(super) fn open_paper<T: DeserializeOwned>(&self, key: &str, bytes: &[u8]) -> Option<T> {
        open_by(self.order_keys(), key, bytes)
    }

    /// The same, where the key may have been taken away since: for who knows from elsewhere that it is true.
    pub(super) fn open_old_paper<T: DeserializeOwned>(&self, key: &str, bytes: &[u8]) -> Option<T> {
        open_by(self.order_keys_ever(), key, bytes)
    }

    /// Keeps something under `key`, unless one of ours lies there already; where something else lies, beside it.
    pub(super) fn keep_ours(
        &self,
        key: &str,
        bytes: &[u8],
        retain_until: Millis,
        is_ours: impl Fn(&str, &[u8]) -> bool,
    ) -> Result<(), CoreError> {
        match self.object(key)? {
            Some(there) if is_ours(key, &there) => Ok(()),
            _ => self.put_ours(key, bytes, retain_until, is_ours),
        }
    }

    /// The same, where another one of ours in that place is an error.
    pub(super) fn put_ours(
        &self,
        key: &str,
        bytes: &[u8],
        retain_until: Millis,
        is_ours: impl Fn(&str, &[u8]) -> bool,
    ) -> Result<(), CoreError> {
        match self.keep(key, bytes, retain_until) {
            Err(CoreError::Vault(error))
                if (matches!(error, VaultError::Changed { .. }) || error.is_of_the_object())
                    && !self.object(key)?.is_some_and(|there| is_ours(key, &there)) =>
            {
                self.is_strange(key)?;
                self.keep(&format!("{key}.{}", Digest::of(bytes)), bytes, retain_until)
            }
            kept => kept,
        }
    }

    /// What a folder holds that is wanted: each key, what its name begins with, and its bytes.
    pub(super) fn papers_in<T: std::str::FromStr>(
        &self,
        folder: &str,
        is_wanted: impl Fn(&T) -> Result<bool, CoreError>,
    ) -> Result<Vec<(String, T, Vec<u8>)>, CoreError> {
        let mut all = Vec::new();
        for key in self.ports.vault.list(folder)? {
            let Ok(named) = first_part(&key).parse() else {
                self.is_strange(&key)?;
                continue;
            };
            if is_wanted(&named)?
                && let Some(bytes) = self.object(&key)?
            {
                all.push((key, named, bytes));
            }
        }
        Ok(all)
    }
}

fn open_by<'k, T: DeserializeOwned>(
    keys: impl Iterator<Item = &'k PublicKey>,
    key: &str,
    bytes: &[u8],
) -> Option<T> {
    let verified = dsse::open(bytes, PAPER_TYPE, keys, 1).ok()?.into_value();
    let paper: Paper<T> = serde_json::from_slice(&verified).ok()?;
    let rest = key.strip_prefix(&paper.key)?;
    (rest.is_empty() || rest.starts_with('.')).then_some(paper.says)
}

/// What the last part of a key begins with; the rest is there because its own place was taken.
pub(super) fn first_part(key: &str) -> &str {
    let last = key.rsplit('/').next().unwrap_or(key);
    last.split('.').next().unwrap_or(last)
}
