//! Trees, proofs and appending, against RFC 6962's own recursive definitions, which are written out below and share
//! nothing with the code under test but the hash functions.

use proptest::{collection::vec, prelude::*, sample::Index};
use proto::log::{
    EMPTY_ROOT, Hash, Head, MemoryTiles, Tiles, append, leaf_hash, node_hash, prove_consistency,
    prove_inclusion, root, root_of, tiles, verify_consistency, verify_inclusion,
};

/// RFC 6962 section 2.1: the Merkle tree hash.
fn mth(d: &[Hash]) -> Hash {
    match d {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let k = split(d.len());
            node_hash(mth(&d[..k]), mth(&d[k..]))
        }
    }
}

/// Section 2.1.1: the audit path of leaf m.
fn path(m: usize, d: &[Hash]) -> Vec<Hash> {
    if d.len() == 1 {
        return vec![];
    }
    let k = split(d.len());
    if m < k {
        [path(m, &d[..k]), vec![mth(&d[k..])]].concat()
    } else {
        [path(m - k, &d[k..]), vec![mth(&d[..k])]].concat()
    }
}

/// Section 2.1.2: SUBPROOF.
fn subproof(m: usize, d: &[Hash], whole: bool) -> Vec<Hash> {
    if m == d.len() {
        return if whole { vec![] } else { vec![mth(d)] };
    }
    let k = split(d.len());
    if m <= k {
        [subproof(m, &d[..k], whole), vec![mth(&d[k..])]].concat()
    } else {
        [subproof(m - k, &d[k..], false), vec![mth(&d[..k])]].concat()
    }
}

/// The largest power of two smaller than n.
fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// On which side the siblings of a path stand, from the leaf up. It is all that a proof shows of index and size:
/// two places with the same sides are told apart by the signed size only.
fn sides(index: usize, size: usize) -> Option<Vec<bool>> {
    if index >= size {
        return None;
    }
    if size == 1 {
        return Some(vec![]);
    }
    let k = split(size);
    let (mut below, left) =
        if index < k { (sides(index, k)?, false) } else { (sides(index - k, size - k)?, true) };
    below.push(left);
    Some(below)
}

/// The same of a consistency proof, from the last subtree that is wholly old.
fn old_sides(old: usize, new: usize) -> Option<Vec<bool>> {
    if old == 0 || old > new {
        return None;
    }
    if old == new {
        return Some(vec![]);
    }
    let k = split(new);
    let (mut below, left) =
        if old <= k { (old_sides(old, k)?, false) } else { (old_sides(old - k, new - k)?, true) };
    below.push(left);
    Some(below)
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(format!("leaf {n}").as_bytes())).collect()
}

fn stored(leaves: &[Hash]) -> MemoryTiles {
    let mut tiles = MemoryTiles::default();
    tiles.write(append(&tiles, Head::EMPTY, leaves).expect("an empty log takes entries").writes);
    tiles
}

/// Sizes where something happens: around whole tiles, and anything small.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 1..40_usize, 4 => 200..600_usize, 2 => Just(256_usize), 1 => 65_000..70_000_usize]
}

fn flip(hash: &mut Hash, bit: Index) {
    let bit = bit.index(256);
    hash.0[bit / 8] ^= 1 << (bit % 8);
}

#[test]
fn every_proof_of_every_small_tree() {
    let all = leaves(70);
    let store = stored(&all);
    for size in 0..=all.len() {
        let tree = &all[..size];
        let expected = mth(tree);
        assert_eq!(root_of(tree), expected);
        assert_eq!(root(&store, size as u64).unwrap(), expected);
        for index in 0..size {
            let proof = prove_inclusion(&store, index as u64, size as u64).unwrap();
            assert_eq!(proof, path(index, tree), "{index} of {size}");
            verify_inclusion(tree[index], index as u64, size as u64, &proof, expected).unwrap();
        }
        for old in 1..=size {
            let proof = prove_consistency(&store, old as u64, size as u64).unwrap();
            assert_eq!(proof, subproof(old, tree, true), "{old} to {size}");
            verify_consistency(old as u64, mth(&tree[..old]), size as u64, expected, &proof).unwrap();
        }
    }
}

/// The same proof with another index or size holds exactly where the path has the same shape; within one tree, and
/// from one old tree to one new, that is nowhere else.
#[test]
fn a_proof_of_one_place_is_none_of_another() {
    let all = leaves(20);
    let roots: Vec<Hash> = (0..=all.len()).map(|size| mth(&all[..size])).collect();
    for (size, root) in roots.iter().enumerate() {
        for index in 0..size {
            let proof = path(index, &all[..size]);
            for (other_index, other_size) in (0..24).flat_map(|i| (0..24).map(move |s| (i, s))) {
                let verdict =
                    verify_inclusion(all[index], other_index as u64, other_size as u64, &proof, *root);
                let same = sides(other_index, other_size) == sides(index, size);
                assert_eq!(verdict.is_ok(), same, "{index} of {size} as {other_index} of {other_size}");
                assert!(other_size != size || other_index == index || !same);
            }
        }
        for (old, old_root) in roots.iter().enumerate().take(size).skip(1) {
            let proof = subproof(old, &all[..size], true);
            for (other_old, other_size) in (1..24).flat_map(|o| (o + 1..25).map(move |s| (o, s))) {
                let verdict =
                    verify_consistency(other_old as u64, *old_root, other_size as u64, *root, &proof);
                let same = old_sides(other_old, other_size) == old_sides(old, size);
                assert_eq!(verdict.is_ok(), same, "{old} to {size} as {other_old} to {other_size}");
                assert!(other_size != size || other_old == old || !same);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn inclusion_holds_and_no_mutation_does(
        size in size(), index: Index, victim: Index, bit: Index, extra: [u8; 32],
    ) {
        let all = leaves(size);
        let (index, size) = (index.index(size), size as u64);
        let root = mth(&all);
        let proof = prove_inclusion(&stored(&all), index as u64, size).unwrap();
        prop_assert_eq!(&proof, &path(index, &all));
        let verify = |leaf, index, proof: &[Hash], root| verify_inclusion(leaf, index, size, proof, root).is_ok();
        let (leaf, index) = (all[index], index as u64);
        prop_assert!(verify(leaf, index, &proof, root));

        let mut other = leaf;
        flip(&mut other, bit);
        prop_assert!(!verify(other, index, &proof, root), "other leaf");
        let mut other = root;
        flip(&mut other, bit);
        prop_assert!(!verify(leaf, index, &proof, other), "other root");
        let neighbour = if index + 1 < size { index + 1 } else { index.wrapping_sub(1) };
        prop_assert!(!verify(leaf, neighbour, &proof, root), "other index");
        prop_assert!(!verify(leaf, index + size, &proof, root), "index beyond the tree");

        let mut more = proof.clone();
        more.insert(victim.index(proof.len() + 1), Hash(extra));
        prop_assert!(!verify(leaf, index, &more, root), "one hash more");
        if !proof.is_empty() {
            let victim = victim.index(proof.len());
            let mut flipped = proof.clone();
            flip(&mut flipped[victim], bit);
            prop_assert!(!verify(leaf, index, &flipped, root), "a bit of the proof");
            let mut fewer = proof.clone();
            fewer.remove(victim);
            prop_assert!(!verify(leaf, index, &fewer, root), "one hash less");
        }
        if proof.len() > 1 {
            let mut swapped = proof.clone();
            swapped.swap(0, 1 + victim.index(proof.len() - 1));
            prop_assert!(!verify(leaf, index, &swapped, root), "two hashes swapped");
        }
    }

    #[test]
    fn consistency_holds_and_no_mutation_does(
        new in size(), old: Index, victim: Index, bit: Index, extra: [u8; 32],
    ) {
        let all = leaves(new);
        let old = 1 + old.index(new);
        let (old_root, new_root) = (mth(&all[..old]), mth(&all));
        let proof = prove_consistency(&stored(&all), old as u64, new as u64).unwrap();
        prop_assert_eq!(&proof, &subproof(old, &all, true));
        let (old, new) = (old as u64, new as u64);
        let verify = |old, old_root, new, new_root, proof: &[Hash]| {
            verify_consistency(old, old_root, new, new_root, proof).is_ok()
        };
        prop_assert!(verify(old, old_root, new, new_root, &proof));

        let mut other = old_root;
        flip(&mut other, bit);
        prop_assert!(!verify(old, other, new, new_root, &proof), "other old root");
        let mut other = new_root;
        flip(&mut other, bit);
        prop_assert!(!verify(old, old_root, new, other, &proof), "other new root");
        prop_assert!(!verify(new + 1, old_root, new, new_root, &proof), "a tree that shrank");
        if old < new {
            prop_assert!(!verify(old + 1, old_root, new, new_root, &proof), "other old size");
            prop_assert!(!verify(new, old_root, new, new_root, &proof), "a fork of the same size");
        }

        let mut more = proof.clone();
        more.insert(victim.index(proof.len() + 1), Hash(extra));
        prop_assert!(!verify(old, old_root, new, new_root, &more), "one hash more");
        if !proof.is_empty() {
            let victim = victim.index(proof.len());
            let mut flipped = proof.clone();
            flip(&mut flipped[victim], bit);
            prop_assert!(!verify(old, old_root, new, new_root, &flipped), "a bit of the proof");
            let mut fewer = proof.clone();
            fewer.remove(victim);
            prop_assert!(!verify(old, old_root, new, new_root, &fewer), "one hash less");
        }
    }

    /// Nobody can show an old entry changed: whatever leaf of the old tree differs, no proof leads across.
    #[test]
    fn a_rewritten_entry_is_a_fork(new in 2..300_usize, old: Index, changed: Index) {
        let all = leaves(new);
        let old = 1 + old.index(new);
        let mut rewritten = all.clone();
        rewritten[changed.index(old)] = leaf_hash(b"rewritten");
        let proof = prove_consistency(&stored(&rewritten), old as u64, new as u64).unwrap();
        let verdict = verify_consistency(old as u64, mth(&all[..old]), new as u64, mth(&rewritten), &proof);
        prop_assert!(verdict.is_err());
    }

    #[test]
    fn hostile_numbers_and_proofs_are_answered(
        a in edge(), b in edge(), leaf: [u8; 32], proof in vec(any::<[u8; 32]>(), 0..130),
    ) {
        let proof: Vec<Hash> = proof.into_iter().map(Hash).collect();
        let leaf = Hash(leaf);
        prop_assert!(verify_inclusion(leaf, a, b, &proof, EMPTY_ROOT).is_err());
        let same = a == b && proof.is_empty();
        prop_assert_eq!(verify_consistency(a.max(1), leaf, b, leaf, &proof).is_ok(), same && a > 0);
        // Of exactly the right length, too, nothing holds that was not computed.
        for length in 0..=65 {
            let proof = vec![leaf; length];
            prop_assert!(verify_inclusion(leaf, a, b, &proof, EMPTY_ROOT).is_err());
            prop_assert!(verify_consistency(a.max(1), leaf, b, EMPTY_ROOT, &proof).is_err());
        }
    }

    #[test]
    fn appending_in_pieces_is_appending_at_once(pieces in vec(0..700_usize, 0..8)) {
        let total = pieces.iter().sum();
        let all = leaves(total);
        let mut store = MemoryTiles::default();
        let mut head = Head::EMPTY;
        for piece in pieces {
            let from = head.size as usize;
            let appended = append(&store, head, &all[from..from + piece]).unwrap();
            for write in &appended.writes {
                prop_assert_eq!(write.hashes.len(), usize::from(write.tile.width()));
                // Only tiles of the new tree, and only ones that the old tree did not have as they are.
                prop_assert!(tiles(appended.head.size).any(|tile| tile == write.tile));
                prop_assert!(tiles(head.size).all(|tile| tile != write.tile));
            }
            store.write(appended.writes);
            head = appended.head;
            prop_assert_eq!(head.root, mth(&all[..head.size as usize]));
        }
        prop_assert_eq!(&store, &stored(&all));
        for tile in tiles(total as u64) {
            let hashes = store.tile(tile).unwrap();
            let span = 256_usize.pow(tile.level().into());
            for (n, hash) in hashes.iter().enumerate() {
                let first = (tile.index() as usize * 256 + n) * span;
                prop_assert_eq!(*hash, mth(&all[first..first + span]), "{} hash {}", tile, n);
            }
        }
    }
}

/// Numbers near the edges of the range and near powers of two.
fn edge() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..5_u64,
        (u64::MAX - 5)..=u64::MAX,
        (0..64_u32, -2..3_i64).prop_map(|(bit, off)| (1_u64 << bit).wrapping_add_signed(off)),
    ]
}
