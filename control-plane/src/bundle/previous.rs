//! Last month's packet, as this month's bundle names it: so that packets follow one another, and none can be swapped unseen.
//!
//! The rule: the digests are the provider's word, and whoever has last month's packet compares them. That the log of then is
//! the beginning of the log of now, a verifier computes.

use proto::{
    digest::Digest,
    field::BadField,
    log::{Hash, Head},
    time::Millis,
};
use serde::{Deserialize, Serialize};

use super::Month;

/// The file `packet/previous.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviousPacket {
    /// Its month.
    pub month: Month,
    /// SHA-256 of its Markdown.
    pub markdown_sha256: Digest,
    /// SHA-256 of its PDF; `null`: there was none.
    pub pdf_sha256: Option<Digest>,
    /// Entries of the log when it was made.
    pub size: u64,
    /// Root over them.
    pub root: Digest,
    /// When it was made.
    pub made_at: Millis,
}

impl PreviousPacket {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain data serialises");
        bytes.push(b'\n');
        bytes
    }

    /// Reads it: exactly what [`PreviousPacket::encode`] writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadField> {
        let read: Self =
            serde_json::from_slice(bytes).map_err(|e| BadField::new("previous.json", e.to_string()))?;
        if read.encode() != bytes {
            return Err(BadField::new("previous.json", "must be written as this program writes it"));
        }
        Ok(read)
    }

    /// The log of then.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { size: self.size, root: Hash(self.root.0) }
    }
}
