//! Redaction: raw log text in, text out in which no identifier of 45 CFR 164.514(b)(2)(i) remains.
//!
//! The rule: **what is not known to be harmless goes.** A token stays when it is a word of the dictionary or of our
//! jargon, a small number, a unit, a code of a protocol; a capitalised word, a number or a mix that is none of these is
//! replaced by a mark such as `<name>`. Cues ("MRN", `patient=`) and shapes (dates, addresses) only widen what
//! goes, and choose the mark.
//!
//! ```text
//!  line ─> segment? DICOM element? ─> token ─> shape ─> cue ─> lexicon ─> keep, or a mark
//! ```
//!
//! Each line is judged alone, in one pass, and again if a mark touches what stayed; so text may be cut between lines
//! anywhere. The result is UTF-8 whatever went in: a byte past ASCII that is not a known sign belongs to an unknown word.
//! Redacting twice is redacting once. A mark is at most nine times what it replaces, for a single digit after a
//! cue; over a log the text shrinks.
//!
//! What stays although it may look like a date: a year alone, a time of day alone. The logger's own timestamps go: they
//! are the dates of what the line tells, and the record that carries the line has the time it was read.

mod amount;
mod bytes;
mod class;
mod compound;
mod cues;
mod dates;
mod lexicon;
mod names;
mod numbers;
mod records;
mod sink;
mod value;
mod walk;

pub use class::Class;

/// An identifier that was found: where it stood in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// its first byte
    pub start: usize,
    /// the byte after its last
    pub end: usize,
    /// what it was taken for
    pub class: Class,
}

/// The text without identifiers.
#[must_use]
pub fn redact(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len() + text.len() / 8);
    redact_into(text, &mut out);
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// Appends the text without identifiers to `out`. Cut long text between lines, never within one.
pub fn redact_into(text: &[u8], out: &mut Vec<u8>) {
    let mut scratch = Vec::new();
    for (at, line) in walk::lines(text) {
        if at > 0 {
            out.push(text[at - 1]);
        }
        let start = out.len();
        let mut writer = sink::Writer::new(line, out);
        walk::line(line, 0, &mut writer);
        if writer.end() {
            settle(start, out, &mut scratch);
        }
    }
}

/// Judges the line that starts at `start` again until nothing more goes, for a token may be cut off from what explained
/// it: in `10.0.0.5#12345` the number is a process beside a digit, and a code beside `<ip>`.
fn settle(start: usize, out: &mut Vec<u8>, line: &mut Vec<u8>) {
    for _ in 0..ROUNDS {
        line.clear();
        line.extend_from_slice(&out[start..]);
        out.truncate(start);
        let mut writer = sink::Writer::new(line, out);
        walk::line(line, 0, &mut writer);
        writer.end();
        if out[start..] == line[..] {
            return;
        }
    }
}

/// The most times that a line is judged again. Each but the last removes something, and two are rare.
const ROUNDS: usize = 8;

/// What [`redact`] removes in its first pass, in order: all but what only marks make suspect.
#[must_use]
pub fn find(text: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    for (at, line) in walk::lines(text) {
        walk::line(line, at, &mut found);
    }
    found
}
