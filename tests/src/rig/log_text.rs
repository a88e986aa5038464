//! A log as a clinic's programs write it: 180 bytes a line or so, the same for every run.

use std::fmt::Write as _;

/// What a line that matters holds.
pub const PATTERN: &str = "ERROR";
/// The same, and what would matter besides but does not occur.
pub const PATTERNS: &[&str] = &[PATTERN, "FATAL", "panicked at"];

/// What lines are made of; `{n}` is a small number, `{id}` a long one.
const USUAL: [&str; 8] = [
    "INFO  dicom.store [worker-{n}] association accepted, transfer syntax explicit little endian, {n} images received in {n} ms, written to cache, queue depth {n}",
    "INFO  hl7.router [listener-{n}] message ADT^A08 received and acknowledged in {n} ms, {n} segments, queue depth {n}, message control id {id}",
    "DEBUG http.access GET /api/v1/studies/{id}/series 200 {n} bytes in {n} ms, user agent viewer, cache hit, session kept alive, connection reused",
    "INFO  scheduler job nightly-export finished in {n} s, {n} rows read, {n} rows written, {n} files, checksum verified, next run in {n} minutes",
    "INFO  portal.session patient Karen Whitfield, MRN {id}, opened document {n} of {n}, page rendered in {n} ms, consent on file, no warnings were shown",
    "DEBUG db.pool connection {n} of {n} handed out after {n} ms, statement select from appointment where clinic equals main, {n} rows, plan index scan, buffers hit {n}",
    "INFO  worklist.sync modality CT answered query in {n} ms with {n} entries, {n} new, {n} changed, none removed, station is in sync with the schedule of the day",
    "WARN  printer.queue page {n} of {n} waits for paper in tray {n}, will look again in {n} seconds, other queues are not affected, the operator was told so",
];
const MATTERS: &str = "ERROR dicom.store [worker-{n}] study {id} of patient Karen Whitfield, born 04/12/1961, could not be written: no space left on device, attempt {n} of {n}";

/// `count` lines; of 100 one matters.
#[must_use]
pub fn lines(count: usize) -> String {
    let mut text = String::with_capacity(count * 190);
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for number in 0..count {
        let (second, milli) = (number / 40 % 86_400, chance.below(1000));
        let _ = write!(
            text,
            "2026-11-29T{:02}:{:02}:{:02}.{milli:03}Z ",
            second / 3600,
            second / 60 % 60,
            second % 60
        );
        let template = if number % 100 == 57 { MATTERS } else { USUAL[chance.below(USUAL.len())] };
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let (name, after) = after.split_once('}').expect("a template is whole");
            let _ = match name {
                "id" => write!(text, "{}", 10_000_000 + chance.below(89_999_999)),
                _ => write!(text, "{}", chance.below(500)),
            };
            rest = after;
        }
        text.push_str(rest);
        text.push('\n');
    }
    text
}

/// How many of them matter.
#[must_use]
pub fn matching(count: usize) -> usize {
    (count + 42) / 100
}

/// Numbers that look like chance and are the same every time (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_length_and_the_share_of_matches_that_is_said() {
        let text = lines(5000);
        assert_eq!(text.lines().count(), 5000);
        assert_eq!(text.lines().filter(|line| line.contains(PATTERN)).count(), matching(5000));
        assert!((170..200).contains(&(text.len() / 5000)), "{}", text.len() / 5000);
    }
}
