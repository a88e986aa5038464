//! Lines that hold a pattern: found in a block at once, counted by pattern, and passed on where that is wanted.

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::{memchr, memmem::Finder, memrchr};

use super::{LOOK, chunks::Chunks, file::Reader};

/// What to look for.
#[derive(Debug)]
pub(super) struct Patterns {
    /// All of them; `None`: there are none.
    any: Option<AhoCorasick>,
    each: Vec<(String, Finder<'static>)>,
}

impl Patterns {
    pub(super) fn new(patterns: &[String]) -> Self {
        // The configuration bounds number and length, so the machine is never too large to be built.
        let any = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(patterns).ok();
        let each = patterns.iter().map(|p| (p.clone(), Finder::new(p).into_owned())).collect();
        Self { any: any.filter(|_| !patterns.is_empty()), each }
    }
}

/// What the lines of one look held.
pub(super) struct Matches<'a> {
    patterns: &'a Patterns,
    /// Lines that held a pattern.
    pub(super) lines: u64,
    counts: Vec<u64>,
    /// Where matching lines go; `None`: nowhere.
    pub(super) chunks: Option<Chunks<'a>>,
}

impl<'a> Matches<'a> {
    pub(super) fn new(patterns: &'a Patterns, chunks: Option<Chunks<'a>>) -> Self {
        Self { patterns, lines: 0, counts: vec![0; patterns.each.len()], chunks }
    }

    /// How many lines held each pattern.
    pub(super) fn by_pattern(&self) -> Vec<(String, u64)> {
        self.patterns
            .each
            .iter()
            .zip(&self.counts)
            .map(|((pattern, _), lines)| (pattern.clone(), *lines))
            .collect()
    }

    /// Looks at one line. Says whether it held a pattern.
    fn look(&mut self, line: &[u8]) -> bool {
        let mut any = false;
        for ((_, finder), lines) in self.patterns.each.iter().zip(&mut self.counts) {
            if finder.find(line).is_some() {
                *lines += 1;
                any = true;
            }
        }
        self.lines += u64::from(any);
        any
    }
}

impl Reader for Matches<'_> {
    fn take(&mut self, file: u64, offset: u64, lines: &[u8]) -> usize {
        let Some(any) = &self.patterns.any else { return lines.len() };
        let mut at = 0;
        while let Some(found) = any.find(&lines[at..]) {
            let hit = at + found.start();
            let start = memrchr(b'\n', &lines[at..hit]).map_or(at, |feed| at + feed + 1);
            let end = memchr(b'\n', &lines[hit..]).map_or(lines.len(), |feed| hit + feed + 1);
            if self.chunks.as_ref().is_some_and(Chunks::is_full) {
                return start;
            }
            // What stands further in is not looked at.
            let looked_at = &lines[start..end.min(start + LOOK)];
            if self.look(looked_at)
                && let Some(chunks) = &mut self.chunks
            {
                chunks.add(file, offset + start as u64, &lines[start..end], 1);
            }
            at = end;
        }
        lines.len()
    }
}
