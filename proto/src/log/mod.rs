//! The Merkle log of one tenant: what makes it visible when evidence is changed, dropped or reordered.
//!
//! The rule: entries hash as RFC 6962 section 2.1 says and lie as C2SP says (`c2sp.org/tlog-tiles`, `signed-note`,
//! `tlog-checkpoint`, `tlog-proof`, `tlog-cosignature`, `tlog-witness`, `tlog-policy`), so that a stranger verifies them
//! with software that is not ours. Sizes, indices and proofs come from whoever wants to deceive: every number up to
//! `u64::MAX` gets an answer, none a panic.
//!
//! ```text
//!  entry ──leaf_hash──> append ──> tile writes ──> store ──Tiles──> root, prove_inclusion, prove_consistency
//!                          └─────> Head ──> Checkpoint ──sign──> note ──┐                    │
//!                                                      witnesses ──cosign──> ├───> TlogProof <────┘
//!                                                                            └───> Policy
//! ```
//!
//! Nothing is stored here: a store is whatever answers [`Tiles`], and keeps what [`append`] tells it to.

mod add_checkpoint;
mod append;
mod checkpoint;
mod cosignature;
mod entries;
mod memory;
mod merkle;
mod note;
mod origin;
mod policy;
mod proof;
mod signature;
mod tile;
mod tree;
mod vkey;
mod witness;

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

pub use self::{
    add_checkpoint::{ADD_CHECKPOINT_MAX, AddCheckpoint, BadRequest, PROOF_HASHES_MAX, Refusal},
    append::{Appended, TileWrite, append},
    checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint},
    cosignature::{
        BadCosignature, Cosigned, CosignedCheckpoint, CosignedError, Cosigner, WitnessKey, cosignatures,
    },
    entries::{BadBundle, Bundle, ENTRY_MAX, bundles, pack, unpack},
    memory::{MemoryTiles, MissingTile},
    merkle::{ProofError, root_of, verify_consistency, verify_inclusion},
    note::{Note, NoteError, OpenedNote, SIGNATURES_MAX},
    origin::{log_number, log_origin, origin_of, tenant_of},
    policy::{BadPolicy, Policy, PolicyError, policy_text},
    proof::{BadProof, TlogProof, VerifiedEntry},
    signature::Signature,
    tile::{BadTile, TILE_WIDTH, Tile, decode_hashes, encode_hashes, tiles},
    tree::{Tiles, TreeError, prove_consistency, prove_inclusion, root},
    vkey::{BadKey, KeyId, Signer, VerifierKey},
    witness::{Meaning, accounts_for, meaning},
};
use crate::field::{BadField, fixed};

/// A node of the tree. Not a [`crate::digest::Digest`]: the leaf hash of an envelope is not the envelope's SHA-256,
/// and the compiler keeps them apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

/// The root of a tree without entries: SHA-256 of nothing (RFC 6962 section 2.1).
pub const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// How a tree stands: number of entries and root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of entries.
    pub size: u64,
    /// Merkle tree hash over all of them.
    pub root: Hash,
}

impl Head {
    /// A log that was just begun.
    pub const EMPTY: Self = Self { size: 0, root: EMPTY_ROOT };
}

/// Hash of an entry: `SHA-256(0x00 || entry)` (RFC 6962 section 2.1).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0x00]).chain_update(entry).finalize().into())
}

/// Hash of an inner node: `SHA-256(0x01 || left || right)` (RFC 6962 section 2.1).
#[must_use]
pub fn node_hash(left: Hash, right: Hash) -> Hash {
    Hash(Sha256::new().chain_update([0x01]).chain_update(left.0).chain_update(right.0).finalize().into())
}

impl Hash {
    /// From 32 raw bytes; `field` names them in the complaint.
    pub fn from_field(field: &str, bytes: &[u8]) -> Result<Self, BadField> {
        fixed(field, bytes).map(Self)
    }

    /// The raw bytes, for a protobuf field.
    #[must_use]
    pub fn to_vec(self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// As checkpoints and proofs write it: standard base64 with padding, 44 characters.
    #[must_use]
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }

    /// The one base64 text of 32 bytes; anything else is `None`.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        if text.len() != 44 {
            return None;
        }
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A decimal number written the one way there is: ASCII digits, no sign, no leading zero.
fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_rfc_6962() {
        assert_eq!(EMPTY_ROOT.0, <[u8; 32]>::from(Sha256::digest(b"")));
        // The first two leaves of the Certificate Transparency test tree, and the node over them.
        let (left, right) = (leaf_hash(b""), leaf_hash(&[0]));
        assert_eq!(left.to_string(), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(right.to_string(), "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7");
        let node = node_hash(left, right);
        assert_eq!(node.to_string(), "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
    }

    #[test]
    fn base64_has_one_spelling() {
        let hash = leaf_hash(b"x");
        let text = hash.to_base64();
        assert_eq!(Hash::from_base64(&text), Some(hash));
        assert_eq!(Hash::from_base64(text.trim_end_matches('=')), None, "padding is not optional");
        assert_eq!(Hash::from_base64(&format!("{text} ")), None);
        assert_eq!(
            Hash::from_base64("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB="),
            None,
            "no bits after the last byte"
        );
        assert_eq!(Hash::from_base64(&STANDARD.encode([7; 31])), None);
        assert_eq!(Hash::from_base64(&STANDARD.encode([7; 33])), None);
    }

    #[test]
    fn decimals_have_one_spelling() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for wrong in ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "18446744073709551616", "٣"] {
            assert_eq!(decimal(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_raw_hash_of_another_length_names_its_field() {
        let bad = Hash::from_field("consistency[3]", &[0; 31]).unwrap_err();
        assert_eq!(bad.to_string(), "consistency[3] must be 32 bytes, has 31");
    }
}
