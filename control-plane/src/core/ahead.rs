//! Signatures of a batch, checked on all cores before the writer goes through it: one costs as much as all that follows.
//!
//! The rule: a record is opened here by the enrolled key of the incarnation that it names, or not at all. Why one cannot be
//! is for whoever takes it in to say.

use std::{num::NonZero, panic::resume_unwind, sync::LazyLock, thread};

use proto::{
    dsse::Verified,
    evidence::{self, Claim},
    ids::Incarnation,
    keys::PublicKey,
    sync::Record,
};

use super::{Core, CoreError};

/// Signatures that are worth a thread.
const WORTH: usize = 8;
/// Asked once: the answer costs the operating system more than a signature costs us.
static CORES: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));

/// An envelope, and the record in it where that was opened before.
pub(super) struct Arrived<'e> {
    pub(super) envelope: &'e [u8],
    pub(super) record: Option<Verified<evidence::Record>>,
}

impl Core {
    /// Opens the evidence among `records` that the incarnation has signed: one answer for each piece of it, in order.
    pub(super) fn open_ahead(
        &self,
        incarnation: Incarnation,
        records: &[Record],
    ) -> Result<Vec<Option<Verified<evidence::Record>>>, CoreError> {
        let envelopes: Vec<&[u8]> = records.iter().filter_map(envelope).collect();
        let threads = (*CORES).min(envelopes.len() / WORTH);
        if threads < 2 {
            return Ok(Vec::new());
        }
        let Some(signer) = self.store.incarnation(incarnation)? else { return Ok(Vec::new()) };
        Ok(on_threads(threads, &envelopes, |envelope| open(envelope, incarnation, &signer.evidence_key)))
    }
}

fn envelope(record: &Record) -> Option<&[u8]> {
    match record {
        Record::Evidence(envelope) => Some(envelope),
        _ => None,
    }
}

fn open(envelope: &[u8], incarnation: Incarnation, key: &PublicKey) -> Option<Verified<evidence::Record>> {
    let claim = Claim::read(envelope).ok().filter(|claim| claim.incarnation() == incarnation)?;
    claim.verify(key).ok()
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
