//! The executor's evidence as one more source: the cursor is the next index of the incarnation's chain.
//!
//! The envelopes are opaque here. The executor keeps each until it has itself verified that the log includes it, so a
//! cursor that was lost or moved back costs a repetition and nothing else.

use proto::{ids::Incarnation, local};

use crate::agent::outbox::{ATTACHMENT_MAX, Item};

/// Name of the cursor.
pub const SOURCE: &str = "evidence";
/// How much is asked for at once, in bytes.
pub const AT_ONCE: u32 = 1 << 20;

/// Where the next look begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whose chain.
    pub incarnation: Incarnation,
    /// Index of the next record.
    pub next: u64,
}

impl Place {
    /// The place in the chain of `incarnation` that `cursor` stands for. Another incarnation's begins anew.
    #[must_use]
    pub fn read(cursor: Option<&[u8]>, incarnation: Incarnation) -> Self {
        let next = cursor
            .and_then(|bytes| bytes.split_first_chunk::<16>())
            .filter(|(whose, _)| **whose == incarnation.0)
            .and_then(|(_, next)| next.try_into().ok())
            .map_or(0, u64::from_be_bytes);
        Self { incarnation, next }
    }

    /// The cursor: 16 bytes of incarnation, 8 of index, big-endian.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        [&self.incarnation.0[..], &self.next.to_be_bytes()].concat()
    }
}

/// What the executor handed out, as it goes into the outbox, each with the index after it. Items below `from` are
/// skipped. An attachment that no batch could carry is left out: the record names it by digest, so its absence shows.
#[must_use]
pub fn items(collected: Vec<local::Item>, from: u64) -> Vec<(u64, Item)> {
    collected
        .into_iter()
        .filter(|item| item.index >= from)
        .map(|item| {
            let mut attachments = item.attachments;
            attachments.retain(|content| {
                let fits = content.len() <= ATTACHMENT_MAX;
                if !fits {
                    tracing::error!(
                        evidence.index = item.index,
                        "attachment of {} bytes left behind: at most {ATTACHMENT_MAX} can be sent",
                        content.len()
                    );
                }
                fits
            });
            (item.index + 1, Item::Evidence { envelope: item.envelope, attachments })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: Incarnation = Incarnation([7; 16]);

    #[test]
    fn a_place_reads_back_for_its_own_incarnation_only() {
        let place = Place { incarnation: MINE, next: 1 << 40 };
        assert_eq!(Place::read(Some(&place.write()), MINE), place);
        let other = Incarnation([8; 16]);
        assert_eq!(Place::read(Some(&place.write()), other), Place { incarnation: other, next: 0 });
        for broken in [None, Some(&b"short"[..]), Some(&[7; 23])] {
            assert_eq!(Place::read(broken, MINE).next, 0);
        }
    }

    #[test]
    fn what_cannot_be_sent_is_left_behind_and_what_was_taken_is_skipped() {
        let item = |index, attachments| local::Item { index, envelope: vec![b'{'], attachments };
        let taken = items(vec![item(3, vec![]), item(4, vec![vec![0; ATTACHMENT_MAX + 1], vec![1]])], 4);
        assert_eq!(taken, [(5, Item::Evidence { envelope: vec![b'{'], attachments: vec![vec![1]] })]);
    }
}
