//! Why a vault did not do as it was asked.

use std::io::{self, ErrorKind};

use proto::{digest::Digest, time::Millis};

use super::{OBJECT_MAX, s3};
use crate::files::FileError;

/// Why the vault did not do as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A key that could lead out of the vault, or that not every store can hold.
    #[error(
        "vault key {0:?} must be parts of letters, digits, '.', '_' and '-', not beginning with a dot, with '/' between them"
    )]
    Key(String),
    /// Too large.
    #[error("vault object {key} must be at most {OBJECT_MAX} bytes, has {size}")]
    TooLarge {
        /// Which.
        key: String,
        /// Its size.
        size: usize,
    },
    /// Written before with other bytes: somebody tries to change the past, or reuses a key.
    #[error(
        "vault object {key} was written before with other bytes: it has SHA-256 {kept}, offered was {offered}"
    )]
    Changed {
        /// Which.
        key: String,
        /// What is there.
        kept: Digest,
        /// What was to be put.
        offered: Digest,
    },
    /// What was read back is not what was written.
    #[error("vault object {key} does not read back as it was written; the storage is faulty")]
    ReadBack {
        /// Which.
        key: String,
    },
    /// The store cannot hold the date.
    #[error("vault object {key} cannot be retained until {until}: the store keeps no such time")]
    Date {
        /// Which.
        key: String,
        /// Its date.
        until: Millis,
    },
    /// It was written, and is not locked as was asked for.
    #[error("vault object {key} must be locked in COMPLIANCE mode until {until}; read back, it is {found}")]
    NotLocked {
        /// Which.
        key: String,
        /// Until when it must be.
        until: Millis,
        /// How it is.
        found: String,
    },
    /// The disk.
    #[error("vault object {key} cannot be kept")]
    File {
        /// Which, or the prefix that was listed.
        key: String,
        /// Why.
        #[source]
        source: FileError,
    },
    /// The disk.
    #[error("vault {key} is not accessible")]
    Io {
        /// Which, or the prefix that was listed.
        key: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A store over the network did not do it.
    #[error("vault {store}")]
    S3 {
        /// Endpoint and bucket.
        store: String,
        /// Why.
        #[source]
        source: s3::S3Error,
    },
    /// Evidence in it could be changed, so it is no vault.
    #[error("vault {store} cannot keep evidence: {}", unfit.join("; "))]
    Unfit {
        /// Endpoint and bucket.
        store: String,
        /// What is wrong, a sentence each.
        unfit: Vec<String>,
    },
}

impl VaultError {
    /// Whether it is this object that cannot be read, whoever put it there, and not the vault.
    #[must_use]
    pub fn is_of_the_object(&self) -> bool {
        matches!(
            self,
            Self::Key(_)
                | Self::TooLarge { .. }
                | Self::File { source: FileError::TooLarge { .. }, .. }
                | Self::S3 { source: s3::S3Error::Garbled { .. } | s3::S3Error::TooLarge { .. }, .. }
        ) || matches!(self, Self::File { source: FileError::Read { source, .. }, .. }
            if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::IsADirectory | ErrorKind::InvalidInput))
    }

    /// Whether it is the settings that are wrong, and not the day.
    #[must_use]
    pub fn is_settings(&self) -> bool {
        match self {
            Self::Unfit { .. } => true,
            Self::S3 { source, .. } => source.is_settings(),
            _ => false,
        }
    }
}
