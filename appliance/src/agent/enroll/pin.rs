//! Pinning: the organization's keys and the server's authority, once and for all.
//!
//! The rule: what is there is never replaced by what a ticket says. Whoever wants another organization removes the
//! files by hand, and knows why.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use proto::{charter::OrganizationKeys, field::BadField};

use super::{
    publish,
    ticket::{Ticket, authorities},
};
use crate::{
    config::Trust,
    files::{self, FileError},
};

/// Why a ticket does not fit what is pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The file is there and cannot be read, or others may write it.
    #[error("cannot use {key}")]
    Read {
        /// Key of the configuration.
        key: &'static str,
        /// Why.
        #[source]
        source: FileError,
    },
    /// The file is there and is not what it should be.
    #[error("{key} = {path} is damaged; when you are sure that it was never right, remove it")]
    Damaged {
        /// Key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// How.
        #[source]
        source: BadField,
    },
    /// The ticket says something else.
    #[error(
        "{key} = {path} pins {pinned}, the ticket's {field} says {offered}; a box belongs to one organization: check that the ticket is meant for it, or remove the file if it was pinned by mistake"
    )]
    Differs {
        /// Key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is in it.
        pinned: String,
        /// Field of the ticket.
        field: &'static str,
        /// What the ticket says.
        offered: String,
    },
    /// The file cannot be written.
    #[error("cannot write {key}")]
    Write {
        /// Key of the configuration.
        key: &'static str,
        /// Why.
        #[source]
        source: FileError,
    },
}

/// Writes what is not there yet; refuses when what is there differs.
pub(super) fn pin(trust: &Trust, ticket: &Ticket) -> Result<(), PinError> {
    pin_keys(&trust.organization_keys, &ticket.organization_keys)?;
    pin_authority(&trust.ca, &ticket.ca_pem)
}

fn pin_keys(path: &Path, offered: &OrganizationKeys) -> Result<(), PinError> {
    const KEY: &str = "trust.organization_keys";
    let Some(bytes) = read(KEY, path)? else {
        let mut text = serde_json::to_vec_pretty(offered).expect("keys serialise");
        text.push(b'\n');
        return write(KEY, path, &text);
    };
    let pinned = OrganizationKeys::parse(&bytes).map_err(|source| PinError::Damaged {
        key: KEY,
        path: path.to_owned(),
        source,
    })?;
    if pinned == *offered {
        return Ok(());
    }
    let name = |keys: &OrganizationKeys| {
        let hints: Vec<String> = keys.keys.iter().map(proto::keys::PublicKey::hint).collect();
        format!("{} of keys {} of {}", keys.threshold, hints.join(", "), keys.organization)
    };
    let (pinned, offered) = (name(&pinned), name(offered));
    Err(PinError::Differs { key: KEY, path: path.to_owned(), pinned, field: "organization_keys", offered })
}

fn pin_authority(path: &Path, offered: &str) -> Result<(), PinError> {
    const KEY: &str = "trust.ca";
    let Some(bytes) = read(KEY, path)? else { return write(KEY, path, offered.as_bytes()) };
    let damaged = || PinError::Damaged {
        key: KEY,
        path: path.to_owned(),
        source: BadField::new("content", "must be PEM certificates"),
    };
    let pinned = authorities(&String::from_utf8_lossy(&bytes)).ok_or_else(damaged)?;
    let offered = authorities(offered).unwrap_or_default();
    if pinned == offered {
        return Ok(());
    }
    let name = |certificates: &[rustls::pki_types::CertificateDer<'_>]| {
        let digests: Vec<String> = certificates
            .iter()
            .map(|der| proto::digest::Digest::of(der).to_string()[..16].to_owned())
            .collect();
        format!("certificates with SHA-256 {}…", digests.join("…, "))
    };
    let (pinned, offered) = (name(&pinned), name(&offered));
    Err(PinError::Differs { key: KEY, path: path.to_owned(), pinned, field: "ca_pem", offered })
}

fn read(key: &'static str, path: &Path) -> Result<Option<Vec<u8>>, PinError> {
    match files::read_pinned(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PinError::Read { key, source }),
    }
}

/// Public, so that the other of the two processes can read it too.
fn write(key: &'static str, path: &Path, content: &[u8]) -> Result<(), PinError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)
        .map_err(|source| FileError { doing: "create folder", path: folder.to_owned(), source })
        .and_then(|()| files::create_private(path, content))
        .and_then(|()| publish(path))
        .map_err(|source| PinError::Write { key, source })
}
