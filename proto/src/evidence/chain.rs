//! The chain of one incarnation's evidence, and what an arriving record means to whoever keeps it.

use serde::{Deserialize, Serialize};

use crate::{digest::Digest, ids::Incarnation};

/// Where a record stands in its incarnation's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Whose chain.
    pub incarnation: Incarnation,
    /// From 0.
    pub index: u64,
    /// SHA-256 of the envelope before; all zero for the first.
    pub previous: Digest,
}

/// The end of a chain: what the next record must follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Head {
    /// Index the next record gets.
    pub next: u64,
    /// SHA-256 of the newest envelope; all zero when there is none.
    pub digest: Digest,
}

impl Head {
    /// The link of the next record.
    #[must_use]
    pub fn link(&self, incarnation: Incarnation) -> Link {
        Link { incarnation, index: self.next, previous: self.digest }
    }

    /// The head once `envelope` has been appended.
    #[must_use]
    pub fn after(&self, envelope: Digest) -> Self {
        Self { next: self.next + 1, digest: envelope }
    }
}

/// What a keeper of evidence knows of one chain around an arriving record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainState {
    /// The end of the unbroken beginning.
    pub head: Head,
    /// Digest of the envelope already kept at the arriving record's index.
    pub at_index: Option<Digest>,
}

/// What to do with a record whose signature verified. Genuine evidence is never thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The next one: keep it.
    Next,
    /// Kept before: acknowledge it again.
    Known,
    /// Some before it are missing: keep it, and say that the chain has a hole.
    AfterGap {
        /// First missing index.
        missing_from: u64,
    },
    /// Fills a hole: keep it.
    Fills,
    /// Another record stands at this index, or it follows another past: keep it, stop orders, tell a human.
    Fork,
}

/// The table of evidence arrivals.
#[must_use]
pub fn arrival(state: ChainState, link: &Link, envelope: Digest) -> Arrival {
    match state.at_index {
        Some(kept) if kept == envelope => Arrival::Known,
        Some(_) => Arrival::Fork,
        None if link.index == state.head.next && link.previous == state.head.digest => Arrival::Next,
        None if link.index == state.head.next => Arrival::Fork,
        None if link.index > state.head.next => Arrival::AfterGap { missing_from: state.head.next },
        None => Arrival::Fills,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals() {
        let d = |n: u8| Digest([n; 32]);
        let link = |index, previous| Link { incarnation: Incarnation([0; 16]), index, previous };
        let state = |next, digest, at_index| ChainState { head: Head { next, digest }, at_index };
        for (case, state, link, expected) in [
            ("first", state(0, Digest::ZERO, None), link(0, Digest::ZERO), Arrival::Next),
            ("next", state(5, d(4), None), link(5, d(4)), Arrival::Next),
            ("again", state(5, d(4), Some(d(9))), link(4, d(3)), Arrival::Known),
            ("other at a kept index", state(5, d(4), Some(d(4))), link(4, d(3)), Arrival::Fork),
            ("next of another past", state(5, d(4), None), link(5, d(7)), Arrival::Fork),
            ("hole", state(5, d(4), None), link(7, d(6)), Arrival::AfterGap { missing_from: 5 }),
            ("fills", state(8, d(7), None), link(6, d(5)), Arrival::Fills),
        ] {
            assert_eq!(arrival(state, &link, d(9)), expected, "{case}");
        }
    }
}
