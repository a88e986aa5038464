//! Verifies that an entry is in a tree, and that one tree continues another (RFC 6962 section 2.1).
//!
//! The rule: a proof has exactly the length that index and sizes call for, which is checked before anything is
//! hashed, so a hostile proof costs at most 127 hashes. Index and size are not proven by a proof; they hold because
//! the size stands in a signed checkpoint.

use super::{EMPTY_ROOT, Hash, node_hash};

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There is no such entry.
    #[error("index {index} is not in a tree of {size} entries")]
    Index {
        /// Claimed index, from 0.
        index: u64,
        /// Entries in the tree.
        size: u64,
    },
    /// A log never gets smaller.
    #[error("a tree of {new} entries cannot continue one of {old}")]
    Shrunk {
        /// Entries known before.
        old: u64,
        /// Entries now.
        new: u64,
    },
    /// Index and sizes determine the number of hashes.
    #[error("proof has {have} hashes, must have exactly {want}")]
    Length {
        /// Hashes in the proof.
        have: usize,
        /// Hashes that index and sizes call for.
        want: usize,
    },
    /// The size says empty, the root says otherwise.
    #[error("root of a tree of 0 entries must be {EMPTY_ROOT}, is {root}")]
    NotEmpty {
        /// The claimed root.
        root: Hash,
    },
    /// The entry is not in this tree at this index, or the proof is damaged.
    #[error("proof leads to root {computed}, not to {root} of {size} entries")]
    Root {
        /// Entries in the tree.
        size: u64,
        /// The root that was to be reached.
        root: Hash,
        /// The root that the proof leads to.
        computed: Hash,
    },
    /// The new tree does not begin with the old one (a fork), or the proof is damaged.
    #[error("the tree of {new} entries does not begin with the {old} entries under root {root}")]
    OldRoot {
        /// Entries in the old tree.
        old: u64,
        /// Entries in the new tree.
        new: u64,
        /// Root of the old tree.
        root: Hash,
    },
}

/// Checks that `leaf_hash` is entry `index` of the tree of `size` entries under `root`. The proof runs from the
/// leaf's sibling up (RFC 6962 section 2.1.1).
pub fn verify_inclusion(
    leaf_hash: Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    let (inner, border) = path_length(index, size);
    check_length(proof, inner + border)?;
    let (inner, border) = proof.split_at(inner);
    let computed = up_left(up(leaf_hash, index, inner), border);
    if computed != root {
        return Err(ProofError::Root { size, root, computed });
    }
    Ok(())
}

/// Checks that the first `old_size` entries of the tree of `new_size` entries under `new_root` are the ones under
/// `old_root` (RFC 6962 section 2.1.2). From size 0, and between equal sizes, the proof is empty.
pub fn verify_consistency(
    old_size: u64,
    old_root: Hash,
    new_size: u64,
    new_root: Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::Shrunk { old: old_size, new: new_size });
    }
    for (size, root) in [(old_size, old_root), (new_size, new_root)] {
        if size == 0 && root != EMPTY_ROOT {
            return Err(ProofError::NotEmpty { root });
        }
    }
    let forked = ProofError::OldRoot { old: old_size, new: new_size, root: old_root };
    if old_size == 0 || old_size == new_size {
        check_length(proof, 0)?;
        return if old_size == new_size && old_root != new_root { Err(forked) } else { Ok(()) };
    }

    // The proof is the path to the old tree's last complete subtree: the lowest node that has the last old leaf as
    // its last leaf. Below it there is nothing to tell. Old and new paths part above `shift`, because the new tree
    // has a leaf after the last old one; so `inner` is greater than `shift`.
    let shift = old_size.trailing_zeros();
    let (inner, border) = path_length(old_size - 1, new_size);
    let inner = inner - shift as usize;
    // When the whole old tree is that subtree, its root is known and the proof leaves it out.
    let given = usize::from(!old_size.is_power_of_two());
    check_length(proof, given + inner + border)?;
    let (seed, path) = match (given, proof) {
        (1, [seed, path @ ..]) => (*seed, path),
        _ => (old_root, proof),
    };
    let (inner, border) = path.split_at(inner);

    // The old root takes in only what lies left of the path, the new root everything.
    let position = (old_size - 1) >> shift;
    let left_only: Vec<Hash> =
        inner.iter().enumerate().filter(|(n, _)| position >> n & 1 == 1).map(|(_, h)| *h).collect();
    if up_left(up_left(seed, &left_only), border) != old_root {
        return Err(forked);
    }
    let computed = up_left(up(seed, position, inner), border);
    if computed != new_root {
        return Err(ProofError::Root { size: new_size, root: new_root, computed });
    }
    Ok(())
}

/// Root over hashes that stand side by side: leaf hashes give the tree's root, a full tile's hashes the hash above.
///
/// Pairing level by level, an odd last one passed up as it is, makes the same tree as RFC 6962's division by the
/// largest power of two.
#[must_use]
pub fn root_of(hashes: &[Hash]) -> Hash {
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level.chunks(2).filter_map(|pair| pair.iter().copied().reduce(node_hash)).collect();
    }
    level.first().copied().unwrap_or(EMPTY_ROOT)
}

/// Length of the path from leaf `index` to the root, in two parts: below the point where it meets the path of the
/// last leaf (siblings on both sides), and above it, along the tree's right edge (siblings on the left only, and only
/// where the edge has one). `index < size`.
fn path_length(index: u64, size: u64) -> (usize, usize) {
    let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
    let border = index.checked_shr(inner).unwrap_or(0).count_ones();
    (inner as usize, border as usize)
}

fn check_length(proof: &[Hash], want: usize) -> Result<(), ProofError> {
    if proof.len() != want {
        return Err(ProofError::Length { have: proof.len(), want });
    }
    Ok(())
}

/// Climbs from the node at `position`: each bit says whether the sibling stands left (1) or right (0).
fn up(node: Hash, position: u64, siblings: &[Hash]) -> Hash {
    siblings.iter().enumerate().fold(node, |node, (n, sibling)| {
        if position >> n & 1 == 1 { node_hash(*sibling, node) } else { node_hash(node, *sibling) }
    })
}

/// Climbs along the right edge: every sibling stands left.
fn up_left(node: Hash, siblings: &[Hash]) -> Hash {
    siblings.iter().fold(node, |node, sibling| node_hash(*sibling, node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_the_number_range_are_answered() {
        let (h, max) = (Hash([1; 32]), u64::MAX);
        assert_eq!(verify_inclusion(h, 0, 0, &[], EMPTY_ROOT), Err(ProofError::Index { index: 0, size: 0 }));
        assert_eq!(verify_inclusion(h, max, max, &[], h), Err(ProofError::Index { index: max, size: max }));
        assert_eq!(verify_inclusion(h, 0, max, &[], h), Err(ProofError::Length { have: 0, want: 64 }));
        assert!(matches!(verify_inclusion(h, 0, max, &[h; 64], h), Err(ProofError::Root { .. })));
        assert!(matches!(verify_inclusion(h, max - 1, max, &[h; 63], h), Err(ProofError::Root { .. })));
        assert_eq!(
            verify_consistency(max - 1, h, max, h, &[]),
            Err(ProofError::Length { have: 0, want: 64 })
        );
        assert!(matches!(verify_consistency(max - 1, h, max, h, &[h; 64]), Err(ProofError::OldRoot { .. })));
        assert!(matches!(verify_consistency(1 << 63, h, max, h, &[h; 1]), Err(ProofError::Root { .. })));
    }

    #[test]
    fn between_equal_sizes_and_from_nothing_there_is_nothing_to_prove() {
        let (a, b) = (Hash([1; 32]), Hash([2; 32]));
        assert_eq!(verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, &[]), Ok(()));
        assert_eq!(verify_consistency(0, EMPTY_ROOT, 9, a, &[]), Ok(()));
        assert_eq!(verify_consistency(9, a, 9, a, &[]), Ok(()));
        assert_eq!(verify_consistency(0, a, 9, a, &[]), Err(ProofError::NotEmpty { root: a }));
        assert_eq!(verify_consistency(0, EMPTY_ROOT, 0, a, &[]), Err(ProofError::NotEmpty { root: a }));
        assert_eq!(
            verify_consistency(0, EMPTY_ROOT, 9, a, &[b]),
            Err(ProofError::Length { have: 1, want: 0 })
        );
        assert_eq!(verify_consistency(9, a, 9, b, &[]), Err(ProofError::OldRoot { old: 9, new: 9, root: a }));
        assert_eq!(verify_consistency(9, a, 8, b, &[]), Err(ProofError::Shrunk { old: 9, new: 8 }));
    }
}
