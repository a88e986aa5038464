//! Continues a log: new leaf hashes in, tiles to write and the new head out.
//!
//! The rule: nothing is added to a tree that is not the one its head speaks of. All that is read here, the right edge
//! of the tree, goes into its root; so a damaged store is found before a checkpoint is signed that contradicts an
//! older one (C2SP tlog-checkpoint: a log must never do that).

use super::{Hash, Head, TILE_WIDTH, Tile, Tiles, TreeError, root_of, tree::Tree};

/// A tile as it is to be stored: it takes the place of a narrower one of the same level and index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileWrite {
    /// Place and width.
    pub tile: Tile,
    /// All its hashes, `tile.width()` of them; [`super::encode_hashes`] makes the stored bytes.
    pub hashes: Vec<Hash>,
}

/// What appending leads to. Durable first the writes and the head together, then a checkpoint over the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Every tile that is new or got wider; nothing else changes.
    pub writes: Vec<TileWrite>,
    /// The log after it.
    pub head: Head,
}

/// Appends `leaves` to the log that stands at `head`. Reads only the tiles at the right edge, each once.
pub fn append<T: Tiles + ?Sized>(
    tiles: &T,
    head: Head,
    leaves: &[Hash],
) -> Result<Appended, TreeError<T::Error>> {
    let full = TreeError::Full { size: head.size, more: leaves.len() };
    let size = u64::try_from(leaves.len()).ok().and_then(|more| head.size.checked_add(more)).ok_or(full)?;
    let mut tree = Tree::new(tiles, head.size);
    let stored = tree.root()?;
    if stored != head.root {
        return Err(TreeError::Damaged { size: head.size, root: head.root, stored });
    }

    let mut writes = Vec::new();
    let mut added = leaves.to_vec();
    let mut level = 0;
    while !added.is_empty() {
        let (index, mut hashes) = tree.last_partial(level)?;
        hashes.append(&mut added);
        for (index, hashes) in (index..).zip(hashes.chunks(TILE_WIDTH.into())) {
            let tile = Tile::in_tree(level, index, size).expect("a tree reaches as far as its hashes");
            if tile.is_full() {
                added.push(root_of(hashes));
            }
            writes.push(TileWrite { tile, hashes: hashes.to_vec() });
        }
        level += 1;
    }
    let root = tree.grown(size, &writes).root()?;
    Ok(Appended { writes, head: Head { size, root } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{EMPTY_ROOT, MemoryTiles, leaf_hash};

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    fn names(appended: &Appended) -> Vec<String> {
        appended.writes.iter().map(|write| write.tile.to_string()).collect()
    }

    #[test]
    fn nothing_changes_nothing() {
        let none = MemoryTiles::default();
        assert_eq!(append(&none, Head::EMPTY, &[]), Ok(Appended { writes: vec![], head: Head::EMPTY }));
    }

    #[test]
    fn only_what_changed_is_written() {
        let mut tiles = MemoryTiles::default();
        let all = leaves(70_000);
        let first = append(&tiles, Head::EMPTY, &all[..256]).unwrap();
        assert_eq!(names(&first), ["tile/0/000", "tile/1/000.p/1"]);
        assert_eq!(first.head, Head { size: 256, root: root_of(&all[..256]) });
        tiles.write(first.writes);

        let second = append(&tiles, first.head, &all[256..257]).unwrap();
        assert_eq!(names(&second), ["tile/0/001.p/1"]);
        tiles.write(second.writes);

        let third = append(&tiles, second.head, &all[257..]).unwrap();
        assert_eq!(third.writes.len(), 272 + 1 + 2 + 1);
        assert_eq!(third.head.root, root_of(&all));
        assert!(third.writes.iter().all(|write| write.hashes.len() == usize::from(write.tile.width())));
    }

    #[test]
    fn a_store_that_is_not_the_heads_is_not_continued() {
        let mut tiles = MemoryTiles::default();
        let mut appended = append(&tiles, Head::EMPTY, &leaves(300)).unwrap();
        let head = appended.head;
        appended.writes[1].hashes[3].0[0] ^= 1;
        tiles.write(appended.writes);
        let refused = append(&tiles, head, &leaves(1)).unwrap_err();
        assert!(matches!(refused, TreeError::Damaged { size: 300, root, .. } if root == head.root));
        let bare = Head { size: 0, root: Hash([1; 32]) };
        let refused = append(&MemoryTiles::default(), bare, &leaves(1)).unwrap_err();
        assert_eq!(refused, TreeError::Damaged { size: 0, root: bare.root, stored: EMPTY_ROOT });
    }

    /// The power went after the tiles were written and before the head was.
    #[test]
    fn a_store_that_is_ahead_of_its_head_does_no_harm() {
        let all = leaves(600);
        let mut ahead = MemoryTiles::default();
        ahead.write(append(&ahead, Head::EMPTY, &all).unwrap().writes);
        let head = Head { size: 300, root: root_of(&all[..300]) };
        let others = leaves(20);
        let appended = append(&ahead, head, &others).unwrap();
        assert_eq!(appended.head, Head { size: 320, root: root_of(&[&all[..300], &others].concat()) });
    }

    #[test]
    fn sizes_end() {
        let head = Head { size: u64::MAX, root: EMPTY_ROOT };
        let refused = append(&MemoryTiles::default(), head, &leaves(1)).unwrap_err();
        assert_eq!(refused, TreeError::Full { size: u64::MAX, more: 1 });
    }
}
