//! Names and places of tiles: which tiles make a tree, and how each is called (C2SP tlog-tiles, "Merkle Tree").
//!
//! The rule: one tile has one name. Whatever does not read back as it was written is refused, so a cache, a directory
//! and a URL can never hold two versions of the same tile under two spellings.

use std::{fmt, fmt::Write as _, str::FromStr};

use super::{Hash, decimal};

/// Hashes in a full tile.
pub const TILE_WIDTH: u16 = 256;

/// Binary levels that one tile spans: a full tile has 2^8 hashes.
pub(super) const TILE_HEIGHT: u32 = 8;

const LEVEL_MAX: u8 = 63;

/// One tile: hashes `index * 256 ..` of a level, the first `width` of them. Prints as its path, `tile/0/x001/234.p/5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

/// Not a tile of any log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTile {
    /// Levels go from 0 to 63.
    #[error("tile level must be 0 to 63, is {0}")]
    Level(u8),
    /// A tile is never empty, and never wider than 256.
    #[error("tile width must be 1 to 256, is {0}")]
    Width(u16),
    /// Not the one spelling of a tile's name.
    #[error(
        "path {0:?} is not of the form tile/<level>/<index>[.p/<width>] or tile/entries/<index>[.p/<width>]"
    )]
    Path(String),
    /// Tile data is hashes of 32 bytes, one after the other.
    #[error("tile data must be 1 to 256 hashes of 32 bytes, has {0} bytes")]
    Data(usize),
}

impl Tile {
    /// The tile at this place, its first `width` hashes (1 to 256).
    pub fn new(level: u8, index: u64, width: u16) -> Result<Self, BadTile> {
        if level > LEVEL_MAX {
            return Err(BadTile::Level(level));
        }
        if !(1..=TILE_WIDTH).contains(&width) {
            return Err(BadTile::Width(width));
        }
        Ok(Self { level, index, width })
    }

    /// The tile at this place as it stands in a tree of `size` entries; `None` when the tree does not reach there.
    #[must_use]
    pub fn in_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        let before = index.checked_mul(TILE_WIDTH.into())?;
        let width = hashes_at(level, size).saturating_sub(before).min(TILE_WIDTH.into());
        Self::new(level, index, width as u16).ok()
    }

    /// 0 for leaf hashes; each level above has one hash for each full tile below.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Place within the level, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Number of hashes, 1 to 256.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Will never change again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }
}

/// All tiles of a tree of `size` entries, partial ones included, level by level. As lazy as it has to be: the tree of
/// a hostile checkpoint may have 2^56 of them.
pub fn tiles(size: u64) -> impl Iterator<Item = Tile> {
    (0..=LEVEL_MAX)
        .take_while(move |level| hashes_at(*level, size) > 0)
        .flat_map(move |level| tiles_at(level, size))
}

/// The tiles of one level of a tree of `size` entries.
pub(super) fn tiles_at(level: u8, size: u64) -> impl Iterator<Item = Tile> {
    (0..).map_while(move |index| Tile::in_tree(level, index, size))
}

/// Hashes that a tree of `size` entries has at tile level `level`: `floor(size / 256^level)`.
pub(super) fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(TILE_HEIGHT * u32::from(level)).unwrap_or(0)
}

/// A tile's bytes, as stored and served.
#[must_use]
pub fn encode_hashes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes in a tile's bytes.
pub fn decode_hashes(bytes: &[u8]) -> Result<Vec<Hash>, BadTile> {
    let (hashes, rest) = bytes.as_chunks();
    if !rest.is_empty() || hashes.is_empty() || hashes.len() > TILE_WIDTH.into() {
        return Err(BadTile::Data(bytes.len()));
    }
    Ok(hashes.iter().copied().map(Hash).collect())
}

/// `<N>[.p/<W>]`: the index in groups of three digits, all but the last marked with an `x`; the width if partial.
pub(super) fn write_place(f: &mut fmt::Formatter<'_>, index: u64, width: u16) -> fmt::Result {
    let digits = index.to_string();
    let padded = format!("{digits:0>width$}", width = digits.len().next_multiple_of(3));
    for (at, digit) in padded.chars().enumerate() {
        if at % 3 == 0 && at > 0 {
            f.write_char('/')?;
        }
        if at % 3 == 0 && at + 3 < padded.len() {
            f.write_char('x')?;
        }
        f.write_char(digit)?;
    }
    if width < TILE_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
}

/// Reads what [`write_place`] wrote; more lenient, so the caller compares spellings.
pub(super) fn read_place(text: &str) -> Option<(u64, u16)> {
    let (index, width) = match text.split_once(".p/") {
        Some((index, width)) => (index, decimal(width)?.try_into().ok().filter(|width| *width < TILE_WIDTH)?),
        None => (text, TILE_WIDTH),
    };
    let digits = index.replace(['/', 'x'], "");
    let trimmed = digits.trim_start_matches('0');
    let index = if trimmed.is_empty() && !digits.is_empty() { 0 } else { decimal(trimmed)? };
    Some((index, width))
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_place(f, self.index, self.width)
    }
}

impl FromStr for Tile {
    type Err = BadTile;
    fn from_str(path: &str) -> Result<Self, BadTile> {
        let read = || {
            let (level, place) = path.strip_prefix("tile/")?.split_once('/')?;
            let (index, width) = read_place(place)?;
            let tile = Self::new(decimal(level)?.try_into().ok()?, index, width).ok()?;
            (tile.to_string() == path).then_some(tile)
        };
        read().ok_or_else(|| BadTile::Path(path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_examples() {
        let tile = Tile::new(0, 1_234_067, 256).unwrap();
        assert_eq!(tile.to_string(), "tile/0/x001/x234/067");
        for (path, level, index, width) in [
            ("tile/0/000", 0, 0, 256),
            ("tile/1/000.p/1", 1, 0, 1),
            ("tile/0/273.p/112", 0, 273, 112),
            ("tile/63/x001/x234/067.p/255", 63, 1_234_067, 255),
            ("tile/7/x018/x446/x744/x073/x709/x551/615", 7, u64::MAX, 256),
        ] {
            assert_eq!(path.parse(), Tile::new(level, index, width), "{path}");
        }
    }

    #[test]
    fn no_other_spelling_is_accepted() {
        for path in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/0/x000/000",
            "tile/0/001/067",
            "tile/0/x001/x067",
            "tile/0/X001/067",
            "tile/0/x001//067",
            "tile/0/x001067",
            "tile/0/1x/067",
            "tile/00/000",
            "tile/64/000",
            "tile/256/000",
            "tile/-1/000",
            "tile/0/-01",
            "tile/0/000.p/0",
            "tile/0/000.p/01",
            "tile/0/000.p/256",
            "tile/0/000.p/",
            "tile/0/000.p",
            "tile/0/000.p/1/",
            "tile/0/000/",
            "/tile/0/000",
            "tile/0/../000",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
            "tile/entries/000",
        ] {
            assert_eq!(path.parse::<Tile>(), Err(BadTile::Path(path.to_owned())));
        }
    }

    #[test]
    fn the_specifications_layout_of_70000_entries() {
        let all: Vec<Tile> = tiles(70_000).collect();
        let at = |level| all.iter().filter(move |tile| tile.level() == level);
        assert_eq!(at(0).filter(|tile| tile.is_full()).count(), 273);
        assert_eq!(at(1).filter(|tile| tile.is_full()).count(), 1);
        let partial: Vec<String> = all.iter().filter(|tile| !tile.is_full()).map(Tile::to_string).collect();
        assert_eq!(partial, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
        assert_eq!(all.len(), 273 + 1 + 3);
    }

    #[test]
    fn small_and_huge_trees() {
        assert_eq!(tiles(0).count(), 0);
        let names: Vec<String> = tiles(256).map(|tile| tile.to_string()).collect();
        assert_eq!(names, ["tile/0/000", "tile/1/000.p/1"]);
        assert_eq!(tiles(u64::MAX).take(1000).count(), 1000);
        assert_eq!(Tile::in_tree(7, 0, u64::MAX), Tile::new(7, 0, 255).ok());
        assert_eq!(Tile::in_tree(8, 0, u64::MAX), None);
        assert_eq!(Tile::in_tree(0, u64::MAX, u64::MAX), None);
        assert_eq!(Tile::in_tree(255, 0, u64::MAX), None);
    }

    #[test]
    fn tile_data_is_whole_hashes() {
        let hashes = [Hash([1; 32]), Hash([2; 32])];
        assert_eq!(decode_hashes(&encode_hashes(&hashes)).unwrap(), hashes);
        for length in [0, 31, 33, 257 * 32] {
            assert_eq!(decode_hashes(&vec![0; length]), Err(BadTile::Data(length)));
        }
    }
}
