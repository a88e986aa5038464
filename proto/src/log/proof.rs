//! Proof files: one entry, its path to the root, and the checkpoint over it, for offline verification
//! (C2SP tlog-proof).
//!
//! The rule: a proof file is checked against keys from outside it; the index and the checkpoint that it speaks of are
//! handed out only together, and only after everything held.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Hash,
    checkpoint::{CheckpointError, SignedCheckpoint},
    decimal, leaf_hash,
    merkle::{ProofError, verify_inclusion},
    vkey::VerifierKey,
};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// Largest proof file in bytes: a note of the largest size, and as much again.
const FILE_MAX: usize = 2 << 20;

/// A path in the largest tree there can be has 64 hashes.
const HASHES_MAX: usize = u64::BITS as usize;

/// A `.tlog-proof` file: **nothing in it is verified**. Prints as its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Opaque, and not covered by any signature; empty: the file has no such line.
    pub extra: Vec<u8>,
    /// Index of the entry in the log, from 0.
    pub index: u64,
    /// From the leaf's sibling up (RFC 6962 section 2.1.1).
    pub hashes: Vec<Hash>,
    /// The signed note, byte for byte.
    pub checkpoint: String,
}

/// An entry that is in a log for certain. Only [`TlogProof::verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedEntry {
    index: u64,
    checkpoint: SignedCheckpoint,
}

/// Why a proof file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// Longer than any honest proof.
    #[error("proof must be at most {FILE_MAX} bytes, has {0}")]
    TooLong(usize),
    /// Proof files are text.
    #[error("proof must be UTF-8")]
    NotUtf8,
    /// Another format, or another version of it.
    #[error("first line of the proof must be {FIRST_LINE}")]
    FirstLine,
    /// The checkpoint begins after an empty line.
    #[error("proof must have an empty line before its checkpoint")]
    NoCheckpoint,
    /// One spelling only; no line at all when there is nothing to say.
    #[error("extra line of the proof must be base64 of at least one byte")]
    Extra,
    /// One spelling only.
    #[error("proof must have a line with index and a decimal number without leading zeros")]
    Index,
    /// One spelling only.
    #[error("hash {0} of the proof must be base64 of 32 bytes")]
    Hash(usize),
    /// No tree is that high.
    #[error("proof must have at most {HASHES_MAX} hashes")]
    TooMany,
    /// The checkpoint in it is not one of a known log.
    #[error("checkpoint in the proof was refused")]
    Checkpoint(#[source] CheckpointError),
    /// The entry is not there.
    #[error("entry is not at index {index} of {origin:?}")]
    NotIncluded {
        /// Index that the proof claims.
        index: u64,
        /// Origin of the log.
        origin: String,
        /// Where the proof fails.
        #[source]
        cause: ProofError,
    },
}

impl TlogProof {
    /// Proof that the entry at `index` is under `checkpoint`, by `hashes` of [`super::prove_inclusion`].
    #[must_use]
    pub fn new(index: u64, hashes: Vec<Hash>, checkpoint: &SignedCheckpoint) -> Self {
        Self { extra: Vec::new(), index, hashes, checkpoint: checkpoint.note().to_owned() }
    }

    /// Reads a proof file without verifying it. It prints as exactly these bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadProof> {
        if bytes.len() > FILE_MAX {
            return Err(BadProof::TooLong(bytes.len()));
        }
        let file = std::str::from_utf8(bytes).map_err(|_| BadProof::NotUtf8)?;
        let (head, checkpoint) = file.split_once("\n\n").ok_or(BadProof::NoCheckpoint)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(BadProof::FirstLine);
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => {
                let extra = STANDARD.decode(&line["extra ".len()..]).map_err(|_| BadProof::Extra)?;
                if extra.is_empty() {
                    return Err(BadProof::Extra);
                }
                extra
            }
            None => Vec::new(),
        };
        let index =
            lines.next().and_then(|line| decimal(line.strip_prefix("index ")?)).ok_or(BadProof::Index)?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == HASHES_MAX {
                return Err(BadProof::TooMany);
            }
            hashes.push(Hash::from_base64(line).ok_or(BadProof::Hash(hashes.len()))?);
        }
        Ok(Self { extra, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// Proves that `entry`, the bytes that were logged, is in the log of one of the `known` keys. The proof's `extra`
    /// stays unproven.
    pub fn verify(&self, entry: &[u8], known: &[VerifierKey]) -> Result<VerifiedEntry, BadProof> {
        let checkpoint =
            SignedCheckpoint::open(self.checkpoint.as_bytes(), known).map_err(BadProof::Checkpoint)?;
        let (index, head) = (self.index, checkpoint.checkpoint().head());
        verify_inclusion(leaf_hash(entry), index, head.size, &self.hashes, head.root).map_err(|cause| {
            BadProof::NotIncluded { index, origin: checkpoint.checkpoint().origin.clone(), cause }
        })?;
        Ok(VerifiedEntry { index, checkpoint })
    }
}

impl VerifiedEntry {
    /// Index of the entry in its log, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The checkpoint that covers it.
    #[must_use]
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if !self.extra.is_empty() {
            writeln!(f, "extra {}", STANDARD.encode(&self.extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::{PublicKey, SecretKey},
        log::{Checkpoint, Head, MemoryTiles, append, prove_inclusion},
    };

    const ORIGIN: &str = "evidence.example.com/0192f0c1";

    fn known() -> [VerifierKey; 1] {
        [VerifierKey::new(ORIGIN, &SecretKey::ed25519([9; 32]).public()).unwrap()]
    }

    /// A log of five entries, `entry 0` to `entry 4`, and the proof of one of them.
    fn proof(index: u64) -> TlogProof {
        let leaves: Vec<Hash> = (0..5).map(|n| leaf_hash(format!("entry {n}").as_bytes())).collect();
        let mut tiles = MemoryTiles::default();
        let appended = append(&tiles, Head::EMPTY, &leaves).unwrap();
        tiles.write(appended.writes);
        let signed = Checkpoint::new(ORIGIN, appended.head).sign(&SecretKey::ed25519([9; 32])).unwrap();
        TlogProof::new(index, prove_inclusion(&tiles, index, 5).unwrap(), &signed)
    }

    #[test]
    fn a_proof_is_verified_and_says_where() {
        for index in 0..5 {
            let entry = format!("entry {index}");
            let verified = proof(index).verify(entry.as_bytes(), &known()).unwrap();
            assert_eq!((verified.index(), verified.checkpoint().checkpoint().size), (index, 5));
        }
    }

    #[test]
    fn another_entry_place_or_key_is_not_proven() {
        let refused = proof(3).verify(b"entry 2", &known()).unwrap_err();
        assert!(matches!(refused, BadProof::NotIncluded { index: 3, .. }), "{refused}");
        for index in [0, 1, 2, 4, 5, u64::MAX] {
            let moved = TlogProof { index, ..proof(3) };
            assert!(
                matches!(moved.verify(b"entry 3", &known()), Err(BadProof::NotIncluded { .. })),
                "{index}"
            );
        }
        let stranger = VerifierKey::new(ORIGIN, &PublicKey::Ed25519([1; 32])).unwrap();
        assert!(matches!(proof(3).verify(b"entry 3", &[stranger]), Err(BadProof::Checkpoint(_))));
        assert!(matches!(proof(3).verify(b"entry 3", &[]), Err(BadProof::Checkpoint(_))));
    }

    #[test]
    fn the_file_prints_as_it_was_read() {
        for proof in [proof(0), proof(4), TlogProof { extra: vec![1, 2, 3], ..proof(2) }] {
            let file = proof.to_string();
            assert_eq!(TlogProof::parse(file.as_bytes()), Ok(proof));
        }
        let lone = TlogProof { hashes: vec![], ..proof(0) };
        assert_eq!(
            TlogProof::parse(lone.to_string().as_bytes()),
            Ok(lone),
            "a log of one entry has no hashes"
        );
    }

    #[test]
    fn malformed_files_are_refused() {
        let file = TlogProof { extra: vec![7; 6], ..proof(2) }.to_string();
        let hash = proof(2).hashes[0].to_base64();
        for (wrong, why) in [
            (String::new(), BadProof::NoCheckpoint),
            (file.split("\n\n").next().unwrap().to_owned(), BadProof::NoCheckpoint),
            (file.replace("@v1", "@v2"), BadProof::FirstLine),
            (format!("\n{file}"), BadProof::FirstLine),
            (file.replace('\n', "\r\n"), BadProof::NoCheckpoint),
            (file.replace("extra BwcHBwcH", "extra "), BadProof::Extra),
            (file.replace("extra BwcHBwcH", "extra BwcHBwc"), BadProof::Extra),
            (file.replace("extra BwcHBwcH", "extra"), BadProof::Index),
            (file.replace("extra BwcHBwcH", "extra BwcHBwcH\nextra BwcHBwcH"), BadProof::Index),
            (file.replace("index 2", "index 02"), BadProof::Index),
            (file.replace("index 2", "index  2"), BadProof::Index),
            (file.replace("index 2", "index 18446744073709551616"), BadProof::Index),
            (file.replace("index 2\n", ""), BadProof::Index),
            (file.replace("index 2", "index 2\nAAAA"), BadProof::Hash(0)),
            (file.replace(&hash, &format!("{hash} ")), BadProof::Hash(0)),
            (file.replace(&hash, &[hash.as_str(); 63].join("\n")), BadProof::TooMany),
        ] {
            assert_eq!(TlogProof::parse(wrong.as_bytes()), Err(why), "{wrong}");
        }
        assert_eq!(TlogProof::parse(b"\xff\n\n"), Err(BadProof::NotUtf8));
        assert_eq!(TlogProof::parse(&vec![b'a'; FILE_MAX + 1]), Err(BadProof::TooLong(FILE_MAX + 1)));
    }
}
