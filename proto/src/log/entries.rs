//! Entry bundles: the entries themselves, 256 to a file (C2SP tlog-tiles, "Log entries").
//!
//! The rule: a bundle reads back as exactly the entries that its name promises, or not at all.

use std::{fmt, str::FromStr};

use super::{
    BadTile, TILE_WIDTH, Tile,
    tile::{read_place, tiles_at, write_place},
};

/// Largest entry in bytes: its length is written in 16 bits.
pub const ENTRY_MAX: usize = u16::MAX as usize;

/// One bundle: entries `index * 256 ..`, the first `width` of them. Prints as its path, `tile/entries/273.p/112`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bundle {
    index: u64,
    width: u16,
}

/// Entries that make no bundle, or bytes that are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBundle {
    /// The format's 16-bit length has no room for it.
    #[error("entry {position} of the bundle must be at most {ENTRY_MAX} bytes, has {length}")]
    TooLong {
        /// Place within the bundle, from 0.
        position: usize,
        /// Its length in bytes.
        length: usize,
    },
    /// Cut off within an entry or before it.
    #[error("bundle ends within entry {position} of {want}")]
    Truncated {
        /// Place within the bundle, from 0.
        position: usize,
        /// Entries that the bundle's name promises.
        want: u16,
    },
    /// More bytes than entries.
    #[error("bundle has {bytes} bytes after its {want} entries")]
    Trailing {
        /// Bytes left over.
        bytes: usize,
        /// Entries that the bundle's name promises.
        want: u16,
    },
    /// The number of entries is in the bundle's name.
    #[error("bundle must have {want} entries, has {have}")]
    Count {
        /// Entries given.
        have: usize,
        /// Entries that the bundle's name promises.
        want: u16,
    },
}

impl Bundle {
    /// The bundle at `index`, its first `width` entries (1 to 256).
    pub fn new(index: u64, width: u16) -> Result<Self, BadTile> {
        Tile::new(0, index, width).map(Self::from)
    }

    /// Place in the log, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Number of entries, 1 to 256.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Index of its first entry in the log; `None` beyond the largest log there can be.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.index.checked_mul(TILE_WIDTH.into())
    }

    /// The bundle's bytes: each entry after its length, 16 bits, big-endian.
    pub fn encode<E: AsRef<[u8]>>(&self, entries: &[E]) -> Result<Vec<u8>, BadBundle> {
        if entries.len() != usize::from(self.width) {
            return Err(BadBundle::Count { have: entries.len(), want: self.width });
        }
        pack(entries)
    }

    /// The entries in a bundle's bytes, as many as its name promises.
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, BadBundle> {
        let want = self.width;
        let mut rest = bytes;
        let mut entries = Vec::with_capacity(want.into());
        for position in 0..usize::from(want) {
            entries.push(next(&mut rest).ok_or(BadBundle::Truncated { position, want })?);
        }
        if !rest.is_empty() {
            return Err(BadBundle::Trailing { bytes: rest.len(), want });
        }
        Ok(entries)
    }
}

/// Entries one after the other, each after its length, 16 bits, big-endian: a bundle's bytes, or as many as there are.
pub fn pack<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, BadBundle> {
    let mut bytes = Vec::new();
    for (position, entry) in entries.iter().map(AsRef::as_ref).enumerate() {
        let length = entry.len();
        let prefix = u16::try_from(length).map_err(|_| BadBundle::TooLong { position, length })?;
        bytes.extend_from_slice(&prefix.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(bytes)
}

/// The entries that were packed. `None`: the last one is cut off.
#[must_use]
pub fn unpack(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = bytes;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        entries.push(next(&mut rest)?);
    }
    Some(entries)
}

fn next<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let (entry, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
    *rest = after;
    Some(entry)
}

/// All bundles of a log of `size` entries, a partial last one included; lazy.
pub fn bundles(size: u64) -> impl Iterator<Item = Bundle> {
    tiles_at(0, size).map(Bundle::from)
}

/// A bundle lies beside each tile of leaf hashes.
impl From<Tile> for Bundle {
    fn from(tile: Tile) -> Self {
        Self { index: tile.index(), width: tile.width() }
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_place(f, self.index, self.width)
    }
}

impl FromStr for Bundle {
    type Err = BadTile;
    fn from_str(path: &str) -> Result<Self, BadTile> {
        let read = || {
            let (index, width) = read_place(path.strip_prefix("tile/entries/")?)?;
            let bundle = Self::new(index, width).ok()?;
            (bundle.to_string() == path).then_some(bundle)
        };
        read().ok_or_else(|| BadTile::Path(path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_lengths_and_entries() {
        let bundle = Bundle::new(0, 3).unwrap();
        let bytes = bundle.encode(&["ab", "", "c"]).unwrap();
        assert_eq!(bytes, b"\x00\x02ab\x00\x00\x00\x01c");
        assert_eq!(bundle.decode(&bytes).unwrap(), [&b"ab"[..], b"", b"c"]);
    }

    #[test]
    fn the_largest_entry_fits_and_one_byte_more_does_not() {
        let bundle = Bundle::new(0, 1).unwrap();
        let largest = vec![7; ENTRY_MAX];
        assert_eq!(bundle.decode(&bundle.encode(&[&largest]).unwrap()).unwrap(), [&largest]);
        let larger = vec![7; ENTRY_MAX + 1];
        assert_eq!(bundle.encode(&[larger]), Err(BadBundle::TooLong { position: 0, length: 65_536 }));
    }

    #[test]
    fn a_bundle_with_more_or_less_than_its_name_says_is_none() {
        let two = Bundle::new(0, 2).unwrap();
        assert_eq!(two.encode(&["a"]), Err(BadBundle::Count { have: 1, want: 2 }));
        for cut in [b"".as_slice(), b"\0", b"\0\x02", b"\0\x02a"] {
            assert_eq!(two.decode(cut), Err(BadBundle::Truncated { position: 0, want: 2 }), "{cut:?}");
        }
        assert_eq!(two.decode(b"\0\x01a\0\x02b"), Err(BadBundle::Truncated { position: 1, want: 2 }));
        assert_eq!(two.decode(b"\0\x01a\0\x01b\0"), Err(BadBundle::Trailing { bytes: 1, want: 2 }));
    }

    #[test]
    fn paths() {
        for (path, index, width) in
            [("tile/entries/000", 0, 256), ("tile/entries/x001/x234/067.p/9", 1_234_067, 9)]
        {
            let bundle = Bundle::new(index, width).unwrap();
            assert_eq!(bundle.to_string(), path);
            assert_eq!(path.parse(), Ok(bundle));
        }
        for path in
            ["tile/entries/", "tile/entries/0", "tile/entries/000.p/256", "tile/0/000", "tile/data/000"]
        {
            assert_eq!(path.parse::<Bundle>(), Err(BadTile::Path(path.to_owned())));
        }
        let names: Vec<String> = bundles(513).map(|bundle| bundle.to_string()).collect();
        assert_eq!(names, ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/1"]);
        assert_eq!(Bundle::new(2, 1).unwrap().first(), Some(512));
        assert_eq!(Bundle::new(u64::MAX, 1).unwrap().first(), None);
    }
}
