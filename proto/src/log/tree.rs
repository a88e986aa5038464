//! Reads a stored tree: its root, and proofs for others to verify (RFC 6962 section 2.1).
//!
//! The rule: what a store answers is not trusted to be complete, and no question reads more than two tiles of each of
//! the at most eight levels, however large the tree. Whether the answers are right is for the verifier to find out.

use std::collections::{BTreeMap, btree_map::Entry};

use super::{
    EMPTY_ROOT, Hash, TileWrite, node_hash, root_of,
    tile::{TILE_HEIGHT, Tile, hashes_at},
};

/// A store of tiles: a table of blobs, a directory in C2SP layout, a map.
pub trait Tiles {
    /// Why a tile could not be read.
    type Error: std::error::Error + 'static;

    /// The hashes of `tile`. More than `tile.width()` may be returned and are ignored, since a tile only ever grows at
    /// its end: a table may keep only the newest version of each tile, and a directory may answer with the full tile
    /// when the partial one is gone.
    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Self::Error>;
}

/// Why a stored tree could not be read or continued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError<E: std::error::Error + 'static> {
    /// There is no such entry to prove.
    #[error("index {index} is not in a tree of {size} entries")]
    Index {
        /// Asked for, from 0.
        index: u64,
        /// Entries in the tree.
        size: u64,
    },
    /// A proof leads from the smaller tree to the larger.
    #[error("a tree of {new} entries does not continue one of {old}")]
    Shrunk {
        /// Entries in the old tree.
        old: u64,
        /// Entries in the new tree.
        new: u64,
    },
    /// The store could not read it.
    #[error("cannot read {tile}")]
    Read {
        /// The tile asked for.
        tile: Tile,
        /// What the store said.
        #[source]
        cause: E,
    },
    /// The store lost a part of the tree.
    #[error("{tile} must have {} hashes, has {have}", tile.width())]
    Short {
        /// The tile asked for.
        tile: Tile,
        /// Hashes that came.
        have: usize,
    },
    /// What is stored is not the tree that the head speaks of; to go on would sign a fork.
    #[error("the stored tree of {size} entries has root {stored}, its head says {root}")]
    Damaged {
        /// Entries in the tree.
        size: u64,
        /// The root that the head gives.
        root: Hash,
        /// The root that the stored tiles give.
        stored: Hash,
    },
    /// Sizes are 64-bit numbers.
    #[error("a tree of {size} entries has no room for {more} more")]
    Full {
        /// Entries in the tree.
        size: u64,
        /// Entries to be added.
        more: usize,
    },
}

/// Root of the tree of the first `size` entries.
pub fn root<T: Tiles + ?Sized>(tiles: &T, size: u64) -> Result<Hash, TreeError<T::Error>> {
    Tree::new(tiles, size).root()
}

/// Proof that entry `index` is in the tree of the first `size` entries, for [`super::verify_inclusion`].
pub fn prove_inclusion<T: Tiles + ?Sized>(
    tiles: &T,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, TreeError<T::Error>> {
    if index >= size {
        return Err(TreeError::Index { index, size });
    }
    let mut tree = Tree::new(tiles, size);
    let (mut low, mut high) = (0, size);
    let mut proof = Vec::new();
    while high - low > 1 {
        let middle = low + left_part(high - low);
        if index < middle {
            proof.push(tree.range(middle, high)?);
            high = middle;
        } else {
            proof.push(tree.range(low, middle)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Proof that the tree of the first `new` entries begins with the first `old` ones, for
/// [`super::verify_consistency`].
pub fn prove_consistency<T: Tiles + ?Sized>(
    tiles: &T,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, TreeError<T::Error>> {
    if old > new {
        return Err(TreeError::Shrunk { old, new });
    }
    if old == 0 {
        return Ok(Vec::new());
    }
    let mut tree = Tree::new(tiles, new);
    let (mut low, mut high) = (0, new);
    let mut proof = Vec::new();
    while high != old {
        let middle = low + left_part(high - low);
        if old <= middle {
            proof.push(tree.range(middle, high)?);
            high = middle;
        } else {
            proof.push(tree.range(low, middle)?);
            low = middle;
        }
    }
    if low > 0 {
        proof.push(tree.range(low, high)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Largest power of two smaller than `length`, which is at least 2.
fn left_part(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

/// A stored tree at one size; each tile is read once.
pub(super) struct Tree<'a, T: ?Sized> {
    tiles: &'a T,
    size: u64,
    seen: BTreeMap<Tile, Vec<Hash>>,
}

impl<'a, T: Tiles + ?Sized> Tree<'a, T> {
    pub(super) fn new(tiles: &'a T, size: u64) -> Self {
        Self { tiles, size, seen: BTreeMap::new() }
    }

    /// Reads the right edge of the tree, and all of it.
    pub(super) fn root(&mut self) -> Result<Hash, TreeError<T::Error>> {
        self.range(0, self.size)
    }

    /// Index and hashes of the level's partial tile; of the next tile, no hashes, where the last one is full.
    pub(super) fn last_partial(&mut self, level: u8) -> Result<(u64, Vec<Hash>), TreeError<T::Error>> {
        let hashes = hashes_at(level, self.size);
        let (index, width) = (hashes >> TILE_HEIGHT, (hashes % (1 << TILE_HEIGHT)) as usize);
        let hashes = if width == 0 { Vec::new() } else { self.tile(level, index)?[..width].to_vec() };
        Ok((index, hashes))
    }

    /// The tree as it will be. An unwritten tile of its right edge was at the right edge before, so is known.
    pub(super) fn grown(mut self, size: u64, writes: &[TileWrite]) -> Self {
        self.size = size;
        self.seen.extend(writes.iter().map(|write| (write.tile, write.hashes.clone())));
        self
    }

    /// Merkle tree hash of entries `low..high`, where `low` is a multiple of a power of two not smaller than the length.
    fn range(&mut self, mut low: u64, high: u64) -> Result<Hash, TreeError<T::Error>> {
        let mut complete = Vec::new();
        while low < high {
            let height = (high - low).ilog2();
            complete.push(self.complete(height, low >> height)?);
            low += 1 << height;
        }
        Ok(complete.into_iter().rev().reduce(|right, left| node_hash(left, right)).unwrap_or(EMPTY_ROOT))
    }

    /// Root of the complete subtree of 2^`height` entries at `position`.
    fn complete(&mut self, height: u32, position: u64) -> Result<Hash, TreeError<T::Error>> {
        let inner = height % TILE_HEIGHT;
        let level = (height / TILE_HEIGHT) as u8;
        let index = position >> (TILE_HEIGHT - inner);
        let first = ((position << inner) % (1 << TILE_HEIGHT)) as usize;
        let hashes = self.tile(level, index)?;
        Ok(root_of(&hashes[first..first + (1 << inner)]))
    }

    /// The tile at this place, which the tree must reach.
    fn tile(&mut self, level: u8, index: u64) -> Result<&[Hash], TreeError<T::Error>> {
        let tile =
            Tile::in_tree(level, index, self.size).expect("a complete subtree of the tree lies within it");
        match self.seen.entry(tile) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let hashes = self.tiles.tile(tile).map_err(|cause| TreeError::Read { tile, cause })?;
                if hashes.len() < tile.width().into() {
                    return Err(TreeError::Short { tile, have: hashes.len() });
                }
                Ok(place.insert(hashes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Head, MemoryTiles, MissingTile, append, leaf_hash};

    /// Answers every question with the same hashes.
    struct Fixed(Vec<Hash>);

    impl Tiles for Fixed {
        type Error = MissingTile;
        fn tile(&self, _: Tile) -> Result<Vec<Hash>, MissingTile> {
            Ok(self.0.clone())
        }
    }

    #[test]
    fn questions_outside_the_tree_are_refused() {
        let none = MemoryTiles::default();
        assert_eq!(root(&none, 0), Ok(EMPTY_ROOT));
        assert_eq!(prove_inclusion(&none, 0, 0), Err(TreeError::Index { index: 0, size: 0 }));
        assert_eq!(prove_inclusion(&none, 7, 7), Err(TreeError::Index { index: 7, size: 7 }));
        assert_eq!(prove_consistency(&none, 8, 7), Err(TreeError::Shrunk { old: 8, new: 7 }));
        assert_eq!(prove_consistency(&none, 0, 7), Ok(vec![]));
        assert_eq!(prove_consistency(&none, 7, 7), Ok(vec![]));
    }

    #[test]
    fn a_store_that_lost_tiles_is_an_error_at_every_size() {
        let tile = Tile::new(0, 0, 7).unwrap();
        assert_eq!(root(&MemoryTiles::default(), 7), Err(TreeError::Read { tile, cause: MissingTile }));
        assert_eq!(root(&Fixed(vec![EMPTY_ROOT; 6]), 7), Err(TreeError::Short { tile, have: 6 }));
        for size in [1, 255, 256, 257, 65_536, 1 << 63, u64::MAX - 1, u64::MAX] {
            assert!(matches!(root(&Fixed(vec![]), size), Err(TreeError::Short { have: 0, .. })), "{size}");
            assert!(matches!(
                prove_inclusion(&Fixed(vec![]), size - 1, size.max(2)),
                Err(TreeError::Short { .. })
            ));
        }
    }

    #[test]
    fn a_huge_tree_costs_two_tiles_a_level() {
        struct Counting(std::cell::Cell<usize>);
        impl Tiles for Counting {
            type Error = MissingTile;
            fn tile(&self, _: Tile) -> Result<Vec<Hash>, MissingTile> {
                self.0.set(self.0.get() + 1);
                Ok(vec![EMPTY_ROOT; 256])
            }
        }
        let tiles = Counting(0.into());
        for size in [u64::MAX, u64::MAX / 3, 1 << 63, 70_000] {
            for other in [1, size / 2, size / 5 * 3, size - 1] {
                prove_inclusion(&tiles, other, size).unwrap();
                assert!(tiles.0.replace(0) <= 16, "inclusion of {other} in {size}");
                prove_consistency(&tiles, other, size).unwrap();
                assert!(tiles.0.replace(0) <= 16, "consistency of {other} with {size}");
            }
        }
    }

    #[test]
    fn a_store_may_know_more_than_it_is_asked_for() {
        let leaves: Vec<Hash> = (0..300_u32).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let mut newest = MemoryTiles::default();
        newest.write(append(&newest, Head::EMPTY, &leaves).unwrap().writes);
        for size in [1, 7, 255, 256, 257, 299] {
            assert_eq!(root(&newest, size as u64), Ok(root_of(&leaves[..size])), "{size}");
        }
    }
}
