//! `[timestamps]`: the authority that says when checkpoints were there (RFC 3161), and whose certificates count for it.

use std::path::PathBuf;

use http::Uri;
use serde::Deserialize;

use super::{
    ConfigError,
    value::{absolute, bad, webhook},
};
use crate::{core::chain, files, timestamp::Authority};

const AUTHORITY_MAX: u64 = 256 * 1024;

/// `[timestamps]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamps {
    /// Where it answers POSTs of `application/timestamp-query`.
    pub url: Uri,
    /// A file with its certificate, or with the one that signed it.
    pub authority: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileTimestamps {
    url: String,
    authority: PathBuf,
}

impl FileTimestamps {
    pub(super) fn check(self) -> Result<Timestamps, ConfigError> {
        Ok(Timestamps {
            url: webhook("timestamps.url", self.url)?,
            authority: absolute("timestamps.authority", self.authority)?,
        })
    }
}

impl Timestamps {
    /// Reads the certificates.
    pub fn certificates(&self) -> Result<Authority, ConfigError> {
        let path = &self.authority;
        let wrong = |why: String| {
            let allowed = format!("a file with the authority's certificates, PEM: {why}");
            bad("timestamps.authority", &path.display().to_string(), allowed)
        };
        let pem = files::read(path, AUTHORITY_MAX).map_err(|error| wrong(chain(&error)))?;
        Authority::parse(&pem).map_err(|error| wrong(error.to_string()))
    }
}
