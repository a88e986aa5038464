//! Lines made ready to travel: redacted at once, gathered, packed.
//!
//! The rule: what was not redacted is not kept. Lines are redacted straight out of the block that was read, in memory,
//! and only the result goes on.

use proto::{
    ids::WatchId,
    sync::{LINES_TEXT_MAX, Lines, LinesPlace},
    time::Millis,
};

use super::{LOOK, file::Reader};
use crate::redact::redact_into;

/// From how many bytes of redacted text on a record is closed.
const ENOUGH: usize = 128 << 10;
/// How much raw text is redacted at once.
const PIECE: usize = 32 << 10;
/// The most bytes of redacted text in a record: a mark is at most nine times as long as what it stands for.
const _: () = assert!(ENOUGH + 9 * PIECE < LINES_TEXT_MAX);

/// Gathers lines until there is no room for more.
pub(super) struct Chunks<'a> {
    watch: &'a WatchId,
    now: Millis,
    /// Bytes that the packed lines may have; the last record may go beyond it.
    room: usize,
    made: Vec<Lines>,
    open: Option<Open>,
    text: Vec<u8>,
}

struct Open {
    place: LinesPlace,
    count: u32,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(watch: &'a WatchId, now: Millis, room: usize) -> Self {
        Self { watch, now, room, made: Vec::new(), open: None, text: Vec::new() }
    }

    /// Whether no more lines are wanted.
    pub(super) fn is_full(&self) -> bool {
        self.room == 0
    }

    /// Adds `count` whole lines of a file, together no longer than [`PIECE`], or one of any length.
    pub(super) fn add(&mut self, file: u64, offset: u64, lines: &[u8], count: u32) {
        // SQLite knows signed numbers only; that it is another file shows all the same.
        let file = file & i64::MAX as u64;
        if self.open.as_ref().is_some_and(|open| open.place.file != file) {
            self.close();
        }
        redact_into(if count == 1 { cut(lines) } else { lines }, &mut self.text);
        if self.text.last() != Some(&b'\n') {
            self.text.push(b'\n');
        }
        let open = self.open.get_or_insert(Open { place: LinesPlace { file, offset, length: 0 }, count: 0 });
        open.place.length = offset + lines.len() as u64 - open.place.offset;
        open.count += count;
        if self.text.len() >= ENOUGH {
            self.close();
        }
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let text = String::from_utf8_lossy(&self.text);
        let lines = Lines::pack(self.watch.clone(), self.now, open.place, open.count, &text);
        self.text.clear();
        self.room = self.room.saturating_sub(lines.packed().len());
        self.made.push(lines);
    }

    /// What came together.
    pub(super) fn finish(mut self) -> Vec<Lines> {
        self.close();
        self.made
    }
}

/// Every line goes on.
impl Reader for Chunks<'_> {
    fn take(&mut self, file: u64, offset: u64, lines: &[u8]) -> usize {
        let mut taken = 0;
        while taken < lines.len() && !self.is_full() {
            let (length, count) = piece(&lines[taken..]);
            self.add(file, offset + taken as u64, &lines[taken..taken + length], count);
            taken += length;
        }
        taken
    }
}

/// How many of the first bytes are whole lines that can be redacted at once, and how many lines.
fn piece(lines: &[u8]) -> (usize, u32) {
    let (mut end, mut count) = (0, 0);
    for feed in memchr::memchr_iter(b'\n', lines) {
        let next = feed + 1;
        if count > 0 && (next > PIECE || next - end > LOOK) {
            return (end, count);
        }
        (end, count) = (next, count + 1);
        if next > LOOK && count == 1 {
            return (end, count);
        }
    }
    // The last may have no line feed.
    if count == 0 { (lines.len(), 1) } else { (end, count) }
}

/// As much of a line as is looked at, cut between two words where there are any: half a number is still half of one.
fn cut(line: &[u8]) -> &[u8] {
    if line.len() <= LOOK {
        return line;
    }
    let line = &line[..LOOK];
    let word = line.iter().rev().take(LOOK / 8).position(|b| *b == b' ' || *b == b'\t');
    &line[..line.len() - word.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_lines_and_a_long_one_stands_alone() {
        assert_eq!(piece(b"one\ntwo\n"), (8, 2));
        assert_eq!(piece(b"no line feed"), (12, 1));
        let long = ["one\n".to_owned(), "x".repeat(LOOK) + "\n", "two\n".to_owned()].concat();
        assert_eq!(piece(long.as_bytes()), (4, 1));
        assert_eq!(piece(&long.as_bytes()[4..]), (LOOK + 1, 1));
        let many = "0123456\n".repeat(PIECE / 8 + 1);
        assert_eq!(piece(many.as_bytes()), (PIECE, PIECE as u32 / 8));
    }

    #[test]
    fn a_long_line_is_cut_between_words() {
        let line = format!("{}123456789", "word ".repeat(LOOK / 5 - 1));
        assert!(line.len() > LOOK && cut(line.as_bytes()).ends_with(b"word "));
        assert_eq!(cut(&[b'x'; 3 * LOOK]).len(), LOOK);
    }
}
