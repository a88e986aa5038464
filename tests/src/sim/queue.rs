//! What happens next: events by time, and at one time in the order in which they were put.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// Events to come.
pub(super) struct Queue<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    put: u64,
}

struct Entry<E> {
    at: Duration,
    number: u64,
    event: E,
}

impl<E> Queue<E> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), put: 0 }
    }

    pub(super) fn put(&mut self, at: Duration, event: E) {
        self.heap.push(Reverse(Entry { at, number: self.put, event }));
        self.put += 1;
    }

    /// The next event and its time.
    pub(super) fn take(&mut self) -> Option<(Duration, E)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }

    /// Forgets events that will not happen after all.
    pub(super) fn retain(&mut self, keep: impl Fn(&E) -> bool) {
        self.heap.retain(|Reverse(entry)| keep(&entry.event));
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

impl<E> Entry<E> {
    fn key(&self) -> (Duration, u64) {
        (self.at, self.number)
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_time_and_then_by_turn() {
        let mut queue = Queue::new();
        for (at, event) in [(2, 'c'), (1, 'a'), (2, 'd'), (1, 'x'), (1, 'b')] {
            queue.put(Duration::from_secs(at), event);
        }
        queue.retain(|event| *event != 'x');
        let taken: String = std::iter::from_fn(|| queue.take()).map(|(_, event)| event).collect();
        assert_eq!(taken, "abcd");
    }
}
