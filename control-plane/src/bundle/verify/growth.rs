//! The tree as it grows, leaf by leaf, with the root of every beginning at hand.
//!
//! The rule: each node is hashed once. Leaves are kept, and nodes from a height on; the few below are hashed again when
//! they are asked for.

use proto::log::{EMPTY_ROOT, Hash, TILE_WIDTH, Tile, node_hash};

/// The lowest height whose nodes are kept: below, 2^3 leaves are soon hashed.
const KEPT: u32 = 3;

/// Leaves from the first on, and nodes over them.
#[derive(Debug, Default)]
pub(super) struct Growth {
    leaves: Vec<Hash>,
    /// Complete subtrees by height, from [`KEPT`] up.
    nodes: Vec<Vec<Hash>>,
}

impl Growth {
    /// With room for so many leaves.
    pub(super) fn with_capacity(leaves: usize) -> Self {
        Self { leaves: Vec::with_capacity(leaves), nodes: Vec::new() }
    }

    pub(super) fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    pub(super) fn leaf(&self, index: u64) -> Option<Hash> {
        self.leaves.get(usize::try_from(index).ok()?).copied()
    }

    pub(super) fn push(&mut self, leaf: Hash) {
        self.leaves.push(leaf);
        let size = self.size();
        if size.trailing_zeros() < KEPT {
            return;
        }
        let mut node = self.node(KEPT, (size >> KEPT) - 1).unwrap_or(leaf);
        for height in KEPT..=size.trailing_zeros() {
            let level = (height - KEPT) as usize;
            if level == self.nodes.len() {
                self.nodes.push(Vec::new());
            }
            self.nodes[level].push(node);
            if let [.., left, right] = self.nodes[level][..] {
                node = node_hash(left, right);
            }
        }
    }

    /// Root of the first `size` leaves; `None`: there are fewer.
    pub(super) fn root(&self, size: u64) -> Option<Hash> {
        if size > self.size() {
            return None;
        }
        let mut root = None;
        // One complete subtree for each bit, from right to left.
        for height in (0..u64::BITS).filter(|height| size >> height & 1 == 1) {
            let left = self.node(height, (size >> height) - 1)?;
            root = Some(root.map_or(left, |right| node_hash(left, right)));
        }
        Some(root.unwrap_or(EMPTY_ROOT))
    }

    /// The hashes of a tile.
    pub(super) fn tile(&self, tile: Tile) -> Option<&[Hash]> {
        let level = match tile.level() {
            0 => &self.leaves,
            level => self.nodes.get((u32::from(level) * TILE_WIDTH.trailing_zeros() - KEPT) as usize)?,
        };
        let first = usize::try_from(tile.index()).ok()?.checked_mul(TILE_WIDTH.into())?;
        level.get(first..first.checked_add(tile.width().into())?)
    }

    fn node(&self, height: u32, index: u64) -> Option<Hash> {
        if height == 0 {
            return self.leaf(index);
        }
        let kept = height.checked_sub(KEPT).and_then(|level| self.nodes.get(level as usize));
        if let Some(node) = kept.and_then(|level| level.get(usize::try_from(index).ok()?)) {
            return Some(*node);
        }
        let (left, right) = (index.checked_mul(2)?, index.checked_mul(2)?.checked_add(1)?);
        // Of a kept height, what is not there is not complete.
        (height <= KEPT)
            .then(|| Some(node_hash(self.node(height - 1, left)?, self.node(height - 1, right)?)))?
    }
}

#[cfg(test)]
mod tests {
    use proto::log::{Head, MemoryTiles, append, leaf_hash, root_of};

    use super::*;

    #[test]
    fn roots_of_all_beginnings_and_all_tiles() {
        let leaves: Vec<Hash> = (0..66_000_u32).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let mut growth = Growth::default();
        for leaf in &leaves {
            growth.push(*leaf);
        }
        for size in (0..=300).chain([511, 512, 513, 65_535, 65_536, 65_537, 66_000]) {
            assert_eq!(growth.root(size as u64), Some(root_of(&leaves[..size])), "{size}");
        }
        assert_eq!((growth.root(66_001), growth.root(u64::MAX)), (None, None));
        for write in append(&MemoryTiles::default(), Head::EMPTY, &leaves).unwrap().writes {
            assert_eq!(growth.tile(write.tile), Some(&write.hashes[..]), "{}", write.tile);
        }
        for beyond in [Tile::new(0, 257, 256), Tile::new(1, 1, 2), Tile::new(63, u64::MAX, 256)] {
            assert_eq!(growth.tile(beyond.unwrap()), None);
        }
    }
}
