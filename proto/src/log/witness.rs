//! What a signed checkpoint means to whoever kept an earlier one: the state table of evidence acknowledgement.
//!
//! The rule (DESIGN.md section 5): inclusion and consistency are verified, then the checkpoint is kept, and only then is
//! evidence let go. One that contradicts the kept one is a fork for certain; one without a proof says nothing.

use std::cmp::Ordering;

use super::{Checkpoint, CheckpointError, Hash, Head};

/// What a signed checkpoint means, given the one kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// It is the one kept: nothing to keep, proofs in it count.
    Same,
    /// The first, or a proven continuation: keep it, proofs in it count.
    Continues,
    /// Smaller: from before. Nothing is let go by it.
    Older,
    /// The same size and another root: two logs, for certain. Orders are held for good.
    Fork,
    /// Larger, but the proof is missing or wrong. Nothing is let go by it.
    Unproven(CheckpointError),
}

impl Meaning {
    /// Whether evidence may be let go by inclusion proofs in it.
    #[must_use]
    pub fn acknowledges(&self) -> bool {
        matches!(self, Self::Same | Self::Continues)
    }
}

/// The table of acknowledgements. `proof`: what came with `offered`, from the kept one on.
#[must_use]
pub fn meaning(kept: Option<&Checkpoint>, offered: &Checkpoint, proof: &[Hash]) -> Meaning {
    match kept {
        None => Meaning::Continues,
        Some(kept) if offered.size < kept.size => Meaning::Older,
        Some(kept) if offered.size == kept.size && offered.root == kept.root => Meaning::Same,
        Some(kept) if offered.size == kept.size => Meaning::Fork,
        Some(kept) => match offered.verify_continues(kept, proof) {
            Ok(()) => Meaning::Continues,
            Err(refused) => Meaning::Unproven(refused),
        },
    }
}

/// What a checkpoint that continues the kept one says about a head that was shown without a proof: one of the same log,
/// a fork, or `None`, nothing. `proof`: what came with it.
#[must_use]
pub fn accounts_for(proven: &Checkpoint, shown: Head, proof: &[Hash]) -> Option<bool> {
    let other = Checkpoint::new(&proven.origin, shown);
    match shown.size.cmp(&proven.size) {
        Ordering::Equal => Some(shown.root == proven.root),
        Ordering::Less => proven.verify_continues(&other, proof).is_ok().then_some(true),
        Ordering::Greater => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{MemoryTiles, append, leaf_hash, prove_consistency};

    fn log_of(name: &str, size: u64) -> (MemoryTiles, Checkpoint) {
        let leaves: Vec<Hash> = (0..size).map(|n| leaf_hash(format!("{name} {n}").as_bytes())).collect();
        let mut tiles = MemoryTiles::default();
        let appended = append(&tiles, Head::EMPTY, &leaves).unwrap();
        let head = appended.head;
        tiles.write(appended.writes);
        (tiles, Checkpoint::new("evidence.msp.example/t", head))
    }

    /// The word for each row of the table.
    fn word(meaning: &Meaning) -> &'static str {
        match meaning {
            Meaning::Same => "same",
            Meaning::Continues => "continues",
            Meaning::Older => "older",
            Meaning::Fork => "fork",
            Meaning::Unproven(_) => "unproven",
        }
    }

    #[test]
    fn acknowledgements() {
        let (tiles, five) = log_of("a", 5);
        let (_, three) = log_of("a", 3);
        let (_, other_three) = log_of("b", 3);
        let (_, other_five) = log_of("b", 5);
        let empty = Checkpoint::new(&three.origin, Head::EMPTY);
        let elsewhere = Checkpoint { origin: "evidence.msp.example/u".into(), ..five.clone() };
        let proof = prove_consistency(&tiles, 3, 5).unwrap();
        let no_proof: &[Hash] = &[];
        for (case, kept, offered, proof, expected, lets_go) in [
            ("the first", None, &three, no_proof, "continues", true),
            ("after an empty log", Some(&empty), &three, no_proof, "continues", true),
            ("again", Some(&three), &three, no_proof, "same", true),
            ("again, with a proof of something else", Some(&three), &three, &proof, "same", true),
            ("grown, proven", Some(&three), &five, &proof, "continues", true),
            ("grown, no proof", Some(&three), &five, no_proof, "unproven", false),
            ("grown, half a proof", Some(&three), &five, &proof[1..], "unproven", false),
            ("grown out of another", Some(&three), &other_five, &proof, "unproven", false),
            ("of another log", Some(&three), &elsewhere, &proof, "unproven", false),
            ("from before", Some(&five), &three, &proof, "older", false),
            ("from before, of another", Some(&five), &other_three, &proof, "older", false),
            ("as large, another root", Some(&three), &other_three, no_proof, "fork", false),
            ("as large, another root, any proof", Some(&three), &other_three, &proof, "fork", false),
        ] {
            let found = meaning(kept, offered, proof);
            assert_eq!((word(&found), found.acknowledges()), (expected, lets_go), "{case}");
        }
    }

    #[test]
    fn what_was_shown_without_a_proof_is_accounted_for_later_or_never() {
        let (tiles, five) = log_of("a", 5);
        let (_, three) = log_of("a", 3);
        let (_, other_three) = log_of("b", 3);
        let (_, other_five) = log_of("b", 5);
        let (_, seven) = log_of("a", 7);
        let proof = prove_consistency(&tiles, 3, 5).unwrap();
        for (case, shown, proof, expected) in [
            ("the very head", five.head(), &proof[..], Some(true)),
            ("as large, another root", other_five.head(), &proof, Some(false)),
            ("smaller, proven", three.head(), &proof, Some(true)),
            ("smaller, no proof", three.head(), &[], None),
            ("smaller, another root", other_three.head(), &proof, None),
            ("larger", seven.head(), &proof, None),
        ] {
            assert_eq!(accounts_for(&five, shown, proof), expected, "{case}");
        }
    }
}
