//! A batch that is read before the writer takes it: hashed, taken apart, its evidence opened, on all cores. One signature
//! costs as much as all that follows.
//!
//! The rule: a record is opened here by an enrolled key, or not at all; whether that is the key of the incarnation that it
//! names, the writer asks again. Why one cannot be opened is for whoever takes it in to say.

use std::{num::NonZero, panic::resume_unwind, sync::LazyLock, thread};

use proto::{
    digest::Digest,
    dsse::Verified,
    evidence::{self, Claim},
    field::BadField,
    ids::Incarnation,
    keys::PublicKey,
    sync::{Batch, Record, unpack},
};

/// Signatures that are worth a thread.
const WORTH: usize = 8;
/// Asked once: the answer costs the operating system more than a signature costs us.
static CORES: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));

/// A batch, and what was found out about it.
#[derive(Debug)]
pub struct Ahead {
    pub(super) batch: Batch,
    /// Of its bytes.
    pub(super) digest: Digest,
    /// Its records, and of each piece of evidence among them what was found, in order.
    pub(super) records: Result<(Vec<Record>, Vec<Opened>), BadField>,
}

/// What was found out about an envelope.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) sha256: Digest,
    /// The record in it, where a key was known that it is signed by.
    pub(super) record: Option<Verified<evidence::Record>>,
}

/// An envelope, and what was found out about it before.
pub(super) struct Arrived<'e> {
    pub(super) envelope: &'e [u8],
    pub(super) opened: Opened,
}

impl Ahead {
    /// Reads a batch that `incarnation` sends. `key` signs its evidence, where that is known.
    #[must_use]
    pub fn of(batch: Batch, incarnation: Incarnation, key: Option<&PublicKey>) -> Self {
        let digest = Digest::of(&batch.records);
        let records = unpack(&batch.records).map(|records| {
            let envelopes: Vec<&[u8]> = records.iter().filter_map(envelope).collect();
            let threads = (*CORES).min(envelopes.len() / WORTH).max(1);
            let opened = on_threads(threads, &envelopes, |bytes| Opened::of(bytes, incarnation, key));
            (records, opened)
        });
        Self { batch, digest, records }
    }
}

impl Opened {
    fn of(envelope: &[u8], incarnation: Incarnation, key: Option<&PublicKey>) -> Self {
        let claim = key.and_then(|key| Some((Claim::read(envelope).ok()?, key)));
        let claim = claim.filter(|(claim, _)| claim.incarnation() == incarnation);
        let record = claim.and_then(|(claim, key)| claim.verify(key).ok());
        Self { record, ..Self::nothing(envelope) }
    }

    /// Of an envelope that comes from elsewhere.
    pub(super) fn nothing(envelope: &[u8]) -> Self {
        Self { sha256: Digest::of(envelope), record: None }
    }
}

fn envelope(record: &Record) -> Option<&[u8]> {
    match record {
        Record::Evidence(envelope) => Some(envelope),
        _ => None,
    }
}

/// Does `work` for all, on so many threads of which this is one; the results are in the order of `all`.
fn on_threads<T: Sync, R: Send>(threads: usize, all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let mut parts = all.chunks(all.len().div_ceil(threads).max(1));
    let mine = parts.next().unwrap_or_default();
    thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> =
            parts.map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<_>>())).collect();
        let mut done: Vec<R> = mine.iter().map(work).collect();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_however_many_threads_there_are() {
        for (threads, count) in [(1, 0), (1, 5), (2, 16), (3, 17), (4, 4), (4, 5), (8, 3)] {
            let all: Vec<usize> = (0..count).collect();
            assert_eq!(on_threads(threads, &all, |n| n * 2), all.iter().map(|n| n * 2).collect::<Vec<_>>());
        }
    }
}
