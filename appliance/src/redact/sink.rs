//! Where what was judged goes: into a redacted text, or into a list of findings.

use super::{Found, bytes::is_alnum};

/// Takes what was judged.
pub(super) trait Sink {
    /// An identifier.
    fn drop(&mut self, found: Found);
    /// A control byte, to be written as a space.
    fn blank(&mut self, at: usize);
}

impl Sink for Vec<Found> {
    fn drop(&mut self, found: Found) {
        self.push(found);
    }

    fn blank(&mut self, _: usize) {}
}

/// Writes one line without its identifiers.
pub(super) struct Writer<'a> {
    line: &'a [u8],
    out: &'a mut Vec<u8>,
    kept: usize,
    touched: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(line: &'a [u8], out: &'a mut Vec<u8>) -> Self {
        Self { line, out, kept: 0, touched: false }
    }

    /// Writes the rest. True if a mark touches what was kept, so that its neighbour may read otherwise now.
    pub(super) fn end(self) -> bool {
        self.out.extend_from_slice(&self.line[self.kept..]);
        self.touched
    }

    fn put(&mut self, start: usize, end: usize, with: &[u8]) {
        self.out.extend_from_slice(&self.line[self.kept..start]);
        self.out.extend_from_slice(with);
        self.kept = end;
    }

    /// Whether the byte at `at` would not end a token, seen from `next`, the one past it.
    fn joins(&self, at: Option<usize>, next: Option<usize>) -> bool {
        let byte = |at: Option<usize>| at.and_then(|at| self.line.get(at)).copied().unwrap_or(b' ');
        match byte(at) {
            b' ' | b'"' | b',' | b';' | b'=' | b'(' | b')' | b']' | b'>' | b'|' | b'<' | b'}' | b'{' => false,
            b'\'' | b':' | b'.' | b'[' => is_alnum(byte(next)),
            _ => true,
        }
    }
}

impl Sink for Writer<'_> {
    fn drop(&mut self, found: Found) {
        let (start, end) = (found.start, found.end);
        self.touched |=
            self.joins(start.checked_sub(1), start.checked_sub(2)) || self.joins(Some(end), Some(end + 1));
        self.put(start, end, found.class.mark().as_bytes());
    }

    fn blank(&mut self, at: usize) {
        self.touched = true;
        self.put(at, at + 1, b" ");
    }
}
