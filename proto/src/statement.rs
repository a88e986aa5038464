//! In-toto Statements (v1) as evidence and acts are written: subjects by digest, the predicate's exact bytes.
//!
//! The rule: subject `record` is the SHA-256 of the predicate as it stands there, so that who reads a statement and who
//! signs one speak of the same bytes.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{digest::Digest, dsse::Unsigned, keys::SecretKey};

/// DSSE payload type (in-toto attestation framework, envelope.md).
pub const STATEMENT_PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// in-toto Statement type.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The subject that is the predicate itself.
const RECORD: &str = "record";

/// A statement that was read, where it lies; nobody has vouched for it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Statement<'p> {
    #[serde(rename = "_type", borrow)]
    kind: Cow<'p, str>,
    #[serde(borrow)]
    subject: Vec<Subject<'p>>,
    #[serde(rename = "predicateType", borrow)]
    predicate_type: Cow<'p, str>,
    #[serde(borrow)]
    predicate: &'p RawValue,
}

#[derive(Debug, Serialize, Deserialize)]
struct Subject<'p> {
    #[serde(borrow)]
    name: Cow<'p, str>,
    digest: SubjectDigest,
}

#[derive(Debug, Serialize, Deserialize)]
struct SubjectDigest {
    sha256: Digest,
}

impl<'p> Subject<'p> {
    fn new(name: &'p str, sha256: Digest) -> Self {
        Self { name: name.into(), digest: SubjectDigest { sha256 } }
    }
}

/// Signs a statement with this predicate. `more`: further subjects, by name.
pub(crate) fn seal(
    predicate_type: &str,
    predicate: &impl Serialize,
    more: &[(&str, Digest)],
    key: &SecretKey,
) -> serde_json::Result<Vec<u8>> {
    Ok(unsigned(predicate_type, predicate, more)?.seal(key))
}

/// A statement with this predicate, to be signed.
pub(crate) fn unsigned(
    predicate_type: &str,
    predicate: &impl Serialize,
    more: &[(&str, Digest)],
) -> serde_json::Result<Unsigned> {
    let predicate = serde_json::value::to_raw_value(predicate)?;
    let own = Subject::new(RECORD, Digest::of(predicate.get().as_bytes()));
    let more = more.iter().map(|(name, sha256)| Subject::new(name, *sha256));
    let statement = Statement {
        kind: STATEMENT_TYPE.into(),
        subject: std::iter::once(own).chain(more).collect(),
        predicate_type: predicate_type.into(),
        predicate: &predicate,
    };
    Ok(Unsigned::new(STATEMENT_PAYLOAD_TYPE, serde_json::to_vec(&statement)?))
}

impl<'p> Statement<'p> {
    /// Reads a payload whose predicate type begins with `family`; says what it must be otherwise.
    pub(crate) fn read(payload: &'p [u8], family: &str) -> Result<Self, String> {
        let statement: Self = serde_json::from_slice(payload).map_err(|e| e.to_string())?;
        if statement.kind != STATEMENT_TYPE || !statement.predicate_type.starts_with(family) {
            return Err(format!("must be a {STATEMENT_TYPE} with a predicate {family}…"));
        }
        if statement.subject(RECORD) != Some(Digest::of(statement.predicate().as_bytes())) {
            return Err("subject record must be the digest of the predicate".into());
        }
        Ok(statement)
    }

    pub(crate) fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// The predicate's exact bytes.
    pub(crate) fn predicate(&self) -> &'p str {
        self.predicate.get()
    }

    /// The digest of the subject of this name.
    pub(crate) fn subject(&self, name: &str) -> Option<Digest> {
        self.subject.iter().find(|s| s.name == name).map(|s| s.digest.sha256)
    }
}
