//! The catalogue: all runbooks of a release, one document, signed offline by 2 of 3 release keys.
//!
//! A runbook is known by the SHA-256 of the exact bytes that stand in the signed payload; those bytes must be its
//! canonical JSON, so that two readers cannot see two runbooks in them. Older than the newest seen is refused.

use std::collections::BTreeMap;

use proto::{
    charter::{self, Charter, CharterError},
    digest::Digest,
    dsse::{self, EnvelopeError, Verified},
    field::BadField,
    ids::RunbookId,
    keys::SecretKey,
    time::Millis,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::runbook::Runbook;

/// DSSE payload type of a catalogue.
pub const CATALOGUE_TYPE: &str = "application/vnd.orderly.catalogue.v1+json";
/// The version of the format that this program writes: each runbook says whether it disturbs people at work.
pub const SPEC: u32 = 2;
/// The oldest that it reads: evidence of years ago was made under such a catalogue, and must stay provable.
pub const SPEC_OLDEST: u32 = 1;

/// A runbook and what it is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The procedure.
    pub runbook: Runbook,
    /// SHA-256 of its canonical JSON, as it stands in the catalogue.
    pub digest: Digest,
}

/// All runbooks of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    /// Version of the format.
    pub spec: u32,
    /// Rises with every release.
    pub version: u64,
    /// When it was built.
    pub issued: Millis,
    /// From here on nothing out of it runs (guardrail 6).
    pub expires: Millis,
    /// By name.
    pub entries: BTreeMap<RunbookId, Entry>,
}

/// Why a catalogue was not believed, or not built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// Not enough release keys signed it.
    #[error("catalogue is not signed by enough release keys of the charter")]
    Signature(#[source] EnvelopeError),
    /// Not a catalogue, or one that must not be; names the runbook and the key.
    #[error("catalogue: {0}")]
    Content(BadField),
    /// Older than the newest seen.
    #[error("catalogue version {offered} is older than {newest}, the newest seen")]
    Older {
        /// Version of the refused one.
        offered: u64,
        /// Version already seen.
        newest: u64,
    },
    /// Same version, other content: two catalogues were signed for one version.
    #[error("catalogue version {0} was seen with other content; build one with a higher version")]
    Forked(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    spec: u32,
    version: u64,
    issued: Millis,
    expires: Millis,
    runbooks: Vec<Box<RawValue>>,
}

impl Catalogue {
    /// Opens a catalogue: enough release keys of the charter signed it, and everything in it is as it must be.
    pub fn open(envelope: &[u8], charter: &Charter) -> Result<Verified<Self>, CatalogueError> {
        let keys = &charter.release_keys;
        dsse::open(envelope, CATALOGUE_TYPE, &keys.keys, keys.threshold)
            .map_err(CatalogueError::Signature)?
            .parse(|bytes| Self::parse(&bytes))
    }

    /// Reads a payload that somebody else vouches for.
    pub fn parse(payload: &[u8]) -> Result<Self, CatalogueError> {
        let document: Document = serde_json::from_slice(payload)
            .map_err(|e| CatalogueError::Content(BadField::new("payload", e.to_string())))?;
        document.read().map_err(CatalogueError::Content)
    }

    /// The payload for these runbooks, ready to be signed; what [`Self::parse`] would refuse is not built.
    pub fn build(
        version: u64,
        issued: Millis,
        expires: Millis,
        mut runbooks: Vec<Runbook>,
    ) -> Result<Vec<u8>, CatalogueError> {
        runbooks.sort_by(|a, b| a.id.cmp(&b.id));
        let runbooks = runbooks
            .iter()
            .map(|runbook| serde_json::value::to_raw_value(runbook).expect("plain data serialises"))
            .collect();
        let document = Document { spec: SPEC, version, issued, expires, runbooks };
        let payload = serde_json::to_vec(&document).expect("plain data serialises");
        document.read().map_err(CatalogueError::Content)?;
        Ok(payload)
    }

    /// Signs a payload with as many release keys as are at hand; others countersign ([`dsse::countersign`]).
    #[must_use]
    pub fn seal(payload: &[u8], keys: &[&SecretKey]) -> Vec<u8> {
        dsse::seal(CATALOGUE_TYPE, payload, keys)
    }

    /// The runbook of that name.
    #[must_use]
    pub fn runbook(&self, id: &RunbookId) -> Option<&Entry> {
        self.entries.get(id)
    }
}

impl Document {
    fn read(self) -> Result<Catalogue, BadField> {
        if !(SPEC_OLDEST..=SPEC).contains(&self.spec) {
            return Err(BadField::new("spec", format!("must be {SPEC_OLDEST} to {SPEC}, is {}", self.spec)));
        }
        if self.version == 0 {
            return Err(BadField::new("version", "must be at least 1"));
        }
        if self.expires <= self.issued {
            return Err(BadField::new("expires", format!("must be after issued, {}", self.issued)));
        }
        if self.runbooks.is_empty() {
            return Err(BadField::new("runbooks", "must have at least one"));
        }
        let mut entries: BTreeMap<RunbookId, Entry> = BTreeMap::new();
        for (at, raw) in self.runbooks.iter().enumerate() {
            let entry =
                read_entry(raw.get(), self.spec).map_err(|bad| bad.within(&format!("runbooks[{at}]")))?;
            let id = entry.runbook.id.clone();
            if let Some((before, _)) = entries.last_key_value().filter(|(before, _)| **before >= id) {
                let problem = format!("is {id} after {before}; each name once and in order is right");
                return Err(BadField::new(format!("runbooks[{at}].id"), problem));
            }
            entries.insert(id, entry);
        }
        Ok(Catalogue {
            spec: self.spec,
            version: self.version,
            issued: self.issued,
            expires: self.expires,
            entries,
        })
    }
}

fn read_entry(raw: &str, spec: u32) -> Result<Entry, BadField> {
    let runbook: Runbook = serde_json::from_str(raw).map_err(|e| BadField::new("json", e.to_string()))?;
    if runbook.canonical() != raw.as_bytes() {
        let problem = "must be canonical: no spaces, keys in the order of the schema and each once";
        return Err(BadField::new("json", problem));
    }
    runbook.check().map_err(|bad| bad.within(runbook.id.as_str()))?;
    // Spec 1 has no such key, and every later one demands it.
    if runbook.disruptive.is_some() != (spec > 1) {
        let right = if spec > 1 { "must be true or false" } else { "must not be given in spec 1" };
        return Err(BadField::new("disruptive", right).within(runbook.id.as_str()));
    }
    Ok(Entry { digest: Digest::of(raw.as_bytes()), runbook })
}

/// What to do with a catalogue that verified, given the newest one seen (version and digest of its payload).
///
/// `Ok(true)`: keep it, it is newer. `Ok(false)`: it is the one we have. The rule is the charter's.
pub fn succession(newest: Option<(u64, Digest)>, offered: (u64, Digest)) -> Result<bool, CatalogueError> {
    charter::succession(newest, offered).map_err(|refused| match refused {
        CharterError::Older { offered, newest } => CatalogueError::Older { offered, newest },
        CharterError::Forked(version) => CatalogueError::Forked(version),
        CharterError::Signature(source) => CatalogueError::Signature(source),
        CharterError::Content(bad) => CatalogueError::Content(bad),
    })
}
