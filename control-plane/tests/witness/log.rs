//! Somebody's log, and what its owner can make of it who has its key.

use proto::{
    digest::Digest,
    keys::SecretKey,
    log::{
        AddCheckpoint, Checkpoint, Hash, Head, MemoryTiles, SignedCheckpoint, VerifierKey, append, leaf_hash,
        prove_consistency,
    },
};

pub const ORIGIN: &str = "evidence.msp.example/0190a0c0-0000-7000-8000-000000000001";

/// A log of up to 40 entries. Logs of different names have different entries from `parts` on.
pub struct Log {
    origin: String,
    tiles: MemoryTiles,
    leaves: Vec<Hash>,
    secret: SecretKey,
}

impl Log {
    pub fn new() -> Self {
        Self::forked_at(40, "")
    }

    /// The same log, signed with the same key, but with other entries from `parts` on.
    pub fn forked_at(parts: usize, name: &str) -> Self {
        Self::called(ORIGIN, parts, name)
    }

    pub fn called(origin: &str, parts: usize, name: &str) -> Self {
        let entry = |n: usize| format!("{} {n}", if n < parts { "entry" } else { name });
        let leaves: Vec<Hash> = (0..40).map(|n| leaf_hash(entry(n).as_bytes())).collect();
        let mut tiles = MemoryTiles::default();
        let appended = append(&tiles, Head::EMPTY, &leaves).unwrap();
        tiles.write(appended.writes);
        Self { origin: origin.to_owned(), tiles, leaves, secret: SecretKey::ed25519([77; 32]) }
    }

    pub fn key() -> VerifierKey {
        Self::key_of(ORIGIN)
    }

    pub fn key_of(origin: &str) -> VerifierKey {
        VerifierKey::new(origin, &SecretKey::ed25519([77; 32]).public()).unwrap()
    }

    pub fn checkpoint(&self, size: u64) -> SignedCheckpoint {
        let root = proto::log::root_of(&self.leaves[..usize::try_from(size).unwrap()]);
        Checkpoint::new(&self.origin, Head { size, root }).sign(&self.secret).unwrap()
    }

    /// What its owner asks of a witness.
    pub fn request(&self, old: u64, size: u64) -> AddCheckpoint {
        let proof = prove_consistency(&self.tiles, old, size).unwrap();
        AddCheckpoint { old, proof, checkpoint: self.checkpoint(size).note().to_owned() }
    }
}

/// Where a witness shows what it has of this log.
pub fn shown() -> String {
    format!("/{}/checkpoint", Digest::of(ORIGIN.as_bytes()))
}
