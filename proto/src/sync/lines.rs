//! Lines of a log file as they travel: redacted, packed, with where they stood.
//!
//! The rule: whoever takes them unpacks no more than was announced, and nothing that is not whole lines of text.

use super::number;
use crate::{field::BadField, ids::WatchId, pb, time::Millis};

/// The most bytes that the text of one record has.
pub const LINES_TEXT_MAX: usize = 512 << 10;

/// Some lines of one file, in order. What stood between two of them need not be here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// Of which log.
    pub watch: WatchId,
    /// When they were read.
    pub at: Millis,
    /// Where they stood.
    pub place: LinesPlace,
    /// How many lines.
    pub count: u32,
    size: u32,
    packed: Vec<u8>,
}

/// Where lines stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinesPlace {
    /// Which file: one that was rotated away has another number than its successor.
    pub file: u64,
    /// Where the first of them begins.
    pub offset: u64,
    /// From there to the end of the last.
    pub length: u64,
}

impl Lines {
    /// Packs `text`: at most [`LINES_TEXT_MAX`] bytes in `count` lines, each with its line feed.
    #[must_use]
    pub fn pack(watch: WatchId, at: Millis, place: LinesPlace, count: u32, text: &str) -> Self {
        let packed = lz4_flex::block::compress(text.as_bytes());
        Self { watch, at, place, count, size: u32::try_from(text.len()).unwrap_or(u32::MAX), packed }
    }

    /// The lines, each with its line feed.
    pub fn text(&self) -> Result<String, BadField> {
        unpack(self.size, &self.packed)
    }

    /// The text as it travels, and as it is kept.
    #[must_use]
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// How many bytes the text has.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }
}

/// The text of `size` bytes that was packed.
pub fn unpack(size: u32, packed: &[u8]) -> Result<String, BadField> {
    let size = size as usize;
    if !(1..=LINES_TEXT_MAX).contains(&size) {
        return Err(BadField::new("size", format!("must be 1 to {LINES_TEXT_MAX}, is {size}")));
    }
    let text = lz4_flex::block::decompress(packed, size)
        .map_err(|e| BadField::new("packed", format!("must be one LZ4 block: {e}")))?;
    if text.len() != size {
        let is = format!("must unpack to {size} bytes as announced, has {}", text.len());
        return Err(BadField::new("packed", is));
    }
    String::from_utf8(text).map_err(|_| BadField::new("packed", "must be UTF-8"))
}

impl TryFrom<pb::Lines> for Lines {
    type Error = BadField;
    fn try_from(m: pb::Lines) -> Result<Self, BadField> {
        let place = LinesPlace {
            file: number("file", m.file)?,
            offset: number("offset", m.offset)?,
            length: number("length", m.length)?,
        };
        number("offset + length", place.offset.saturating_add(place.length))?;
        let lines = Self {
            watch: m.watch.parse()?,
            at: Millis(m.at_ms),
            place,
            count: m.count,
            size: m.size,
            packed: m.packed,
        };
        let text = lines.text()?;
        let count = text.bytes().filter(|b| *b == b'\n').count();
        if count != lines.count as usize || !text.ends_with('\n') {
            let is = format!("must be the number of lines, each with its line feed: {count}, is {}", m.count);
            return Err(BadField::new("count", is));
        }
        if text.bytes().any(|b| b.is_ascii_control() && !matches!(b, b'\n' | b'\r' | b'\t')) {
            return Err(BadField::new("packed", "must not contain control characters"));
        }
        Ok(lines)
    }
}

impl From<Lines> for pb::Lines {
    fn from(l: Lines) -> Self {
        Self {
            watch: l.watch.to_string(),
            at_ms: l.at.0,
            file: l.place.file,
            offset: l.place.offset,
            length: l.place.length,
            count: l.count,
            size: l.size,
            packed: l.packed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> pb::Lines {
        let place = LinesPlace { file: 7, offset: 100, length: 40 };
        let count = text.matches('\n').count();
        Lines::pack("app".parse().unwrap(), Millis(5), place, u32::try_from(count).unwrap(), text).into()
    }

    #[test]
    fn lines_come_back_as_they_were_sent() {
        let text = "one <name>\ntwo\n".repeat(2000);
        let sent = lines(&text);
        assert!(sent.packed.len() * 10 < text.len());
        let back = Lines::try_from(sent.clone()).unwrap();
        assert_eq!((back.text().unwrap(), back.count), (text, 4000));
        assert_eq!(pb::Lines::from(back), sent);
    }

    #[test]
    fn what_is_not_as_announced_is_refused_by_its_name() {
        let good = lines("one\ntwo\n");
        let cases: [(&str, pb::Lines); 9] = [
            ("watch", pb::Lines { watch: "../etc".into(), ..good.clone() }),
            ("file", pb::Lines { file: u64::MAX, ..good.clone() }),
            ("offset + length", pb::Lines { length: i64::MAX as u64, ..good.clone() }),
            ("count", pb::Lines { count: 3, ..good.clone() }),
            ("count", lines("one\ntwo")),
            ("size", pb::Lines { size: 0, ..good.clone() }),
            ("size", pb::Lines { size: 1 << 30, ..good.clone() }),
            ("packed", pb::Lines { size: 9, ..good.clone() }),
            ("packed", lines("\u{1b}[2J\n")),
        ];
        for (field, bad) in cases {
            assert_eq!(Lines::try_from(bad.clone()).unwrap_err().field, field, "{bad:?}");
        }
        let bomb = lz4_flex::block::compress(&vec![b'\n'; LINES_TEXT_MAX * 4]);
        let refused = Lines::try_from(pb::Lines { packed: bomb, ..good }).unwrap_err();
        assert_eq!(refused.field, "packed", "{refused}");
    }
}
