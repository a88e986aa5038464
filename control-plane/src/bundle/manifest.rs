//! The manifest: what is in a bundle, and what each file is good for.
//!
//! The rule: it is an index, not a source of trust. Everything in it but the provider's own words is made again from the
//! other files and compared. Its own digest finds damage, not forgery.

use std::collections::BTreeMap;

use proto::{
    digest::Digest,
    field::{BadField, text},
    ids::{ApplianceId, TenantId},
    time::Millis,
};
use serde::{Deserialize, Serialize};

use super::{LogFacts, Month, Period};
use crate::mode::Brand;

/// What this layout is called.
pub const FORMAT: &str = "orderly-bundle-v1";
/// Name and version of the program that makes bundles and packets.
pub const GENERATOR: &str = concat!("orderly control-plane ", env!("CARGO_PKG_VERSION"));

/// The file `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What this layout is called: `orderly-bundle-v1`.
    pub format: String,
    /// Trust domain.
    pub organization: String,
    /// Whose evidence it is; `null` when no checkpoint holds.
    pub tenant: Option<TenantId>,
    /// The log; `null` when no checkpoint holds.
    pub log: Option<LogLine>,
    /// What nothing signs.
    pub provider_says: ProviderSays,
    /// Every other file, sorted by path.
    pub files: Vec<FileLine>,
    /// SHA-256 of this file with 64 zeros here: finds damage; whoever forges makes it anew.
    pub sha256: Digest,
}

/// The log, as its checkpoint describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLine {
    /// Its name.
    pub origin: String,
    /// Entries.
    pub size: u64,
    /// Root, base64.
    pub root: String,
}

/// Words of the provider that nothing signs. The packet repeats them, and is compared with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSays {
    /// What the clinic is called.
    pub clinic: String,
    /// What its boxes are called.
    pub appliances: BTreeMap<ApplianceId, String>,
    /// What time the bundle is meant to cover.
    pub period: Period,
    /// When it was made.
    pub made_at: Millis,
    /// By what.
    pub generator: String,
    /// The packet's month, when there is one.
    pub packet: Option<Month>,
    /// How whoever runs the control plane wants to be known.
    #[serde(default, skip_serializing_if = "Brand::is_empty")]
    pub brand: Brand,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileLine {
    /// Where.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// Digest.
    pub sha256: Digest,
    /// What it is good for: the packet's line, where there is one.
    pub proves: String,
}

/// Why a manifest was refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is none that can be read.
    #[error("manifest.json cannot be read")]
    Read(#[source] super::ReadError),
    /// Not the JSON it must be.
    #[error("is not a manifest")]
    Json(#[source] serde_json::Error),
    /// One spelling only.
    #[error("is not written as manifests are written")]
    Spelling,
    /// Damaged.
    #[error("has digest {computed}, says {stated}")]
    Digest {
        /// Of what it says.
        computed: Digest,
        /// As it says.
        stated: Digest,
    },
    /// A value that it must not have.
    #[error("manifest.json: {0}")]
    Field(BadField),
}

impl From<&LogFacts> for LogLine {
    fn from(log: &LogFacts) -> Self {
        Self { origin: log.origin.clone(), size: log.size, root: log.root.to_base64() }
    }
}

impl ProviderSays {
    /// What the words must hold to: they are printed.
    pub fn check(&self) -> Result<(), BadField> {
        text("clinic", &self.clinic, 200)?;
        text("generator", &self.generator, 200)?;
        for (appliance, name) in &self.appliances {
            text(&format!("appliances.{appliance}"), name, 100)?;
        }
        self.brand.check()?;
        if self.period.to <= self.period.from {
            return Err(BadField::new("period.to", "must be after period.from"));
        }
        Ok(())
    }
}

impl Manifest {
    /// Its bytes, its own digest filled in.
    #[must_use]
    pub fn encode(mut self) -> Vec<u8> {
        self.sha256 = self.digest();
        self.bytes()
    }

    /// Reads it: exactly what [`Manifest::encode`] writes. Says nothing about whether it is true.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if manifest.bytes() != bytes {
            return Err(ManifestError::Spelling);
        }
        let computed = manifest.digest();
        if computed != manifest.sha256 {
            return Err(ManifestError::Digest { computed, stated: manifest.sha256 });
        }
        if manifest.format != FORMAT {
            return Err(ManifestError::Field(BadField::new("format", format!("must be {FORMAT}"))));
        }
        manifest.provider_says.check().map_err(ManifestError::Field)?;
        Ok(manifest)
    }

    fn digest(&self) -> Digest {
        Digest::of(&Self { sha256: Digest::ZERO, ..self.clone() }.bytes())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain data serialises");
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT.into(),
            organization: "msp.example".into(),
            tenant: None,
            log: None,
            provider_says: ProviderSays {
                clinic: "North".into(),
                appliances: BTreeMap::new(),
                period: Period { from: Millis(0), to: Millis(1) },
                made_at: Millis(1),
                generator: GENERATOR.into(),
                packet: None,
                brand: Brand::default(),
            },
            files: vec![],
            sha256: Digest::ZERO,
        }
    }

    #[test]
    fn it_reads_back_and_has_one_spelling() {
        let bytes = manifest().encode();
        assert_eq!(Manifest::parse(&bytes).unwrap().encode(), bytes);
        let spaced = String::from_utf8(bytes.clone()).unwrap().replacen('{', "{ ", 1);
        assert!(matches!(Manifest::parse(spaced.as_bytes()), Err(ManifestError::Spelling)));
        let renamed = String::from_utf8(bytes).unwrap().replace("North", "South");
        assert!(matches!(Manifest::parse(renamed.as_bytes()), Err(ManifestError::Digest { .. })));
    }

    #[test]
    fn words_that_would_break_a_page_are_refused() {
        for clinic in ["", "two\nlines", "\u{1b}[2J", &"x".repeat(201)] {
            let mut bad = manifest();
            bad.provider_says.clinic = clinic.to_owned();
            assert!(matches!(Manifest::parse(&bad.encode()), Err(ManifestError::Field(_))), "{clinic:?}");
        }
    }
}
