//! A store of tiles in memory.
//!
//! The rule: it keeps of each tile the newest version only, as a table of blobs would.

use std::collections::BTreeMap;

use super::{Hash, Tile, TileWrite, Tiles};

/// A store in memory, for rebuilding a log from its entries and for simulations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryTiles(BTreeMap<(u8, u64), Vec<Hash>>);

/// The log has no such tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such tile")]
pub struct MissingTile;

impl MemoryTiles {
    /// Keeps what [`super::append`] wants written.
    pub fn write(&mut self, writes: Vec<TileWrite>) {
        self.0
            .extend(writes.into_iter().map(|write| ((write.tile.level(), write.tile.index()), write.hashes)));
    }
}

impl Tiles for MemoryTiles {
    type Error = MissingTile;
    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, MissingTile> {
        self.0.get(&(tile.level(), tile.index())).cloned().ok_or(MissingTile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::EMPTY_ROOT;

    #[test]
    fn a_wider_tile_takes_the_place_of_a_narrower() {
        let mut tiles = MemoryTiles::default();
        for width in [1, 2] {
            let tile = Tile::new(0, 5, width).unwrap();
            tiles.write(vec![TileWrite { tile, hashes: vec![EMPTY_ROOT; width.into()] }]);
        }
        assert_eq!(tiles.tile(Tile::new(0, 5, 1).unwrap()), Ok(vec![EMPTY_ROOT; 2]));
        assert_eq!(tiles.tile(Tile::new(1, 5, 1).unwrap()), Err(MissingTile));
    }
}
