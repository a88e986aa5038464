//! Many files at once, on all cores.
//!
//! The rule: results are taken in the order of the files, whoever was faster, so that a report does not depend on the
//! machine; and nobody works more than a few files ahead, so that memory does not grow with the bundle.

use std::{sync::mpsc::sync_channel, thread};

/// Results that a core may have waiting.
const AHEAD: usize = 2;
/// Files that are worth a core of their own.
const WORTH: usize = 24;

/// Does `work` for 0 to `count`, and hands its results to `take` in that order, on this thread.
pub(super) fn in_order<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync, mut take: impl FnMut(T)) {
    let cores = thread::available_parallelism().map_or(1, usize::from).min(count / WORTH);
    if cores < 2 {
        return (0..count).for_each(|n| take(work(n)));
    }
    thread::scope(|scope| {
        let work = &work;
        // Each core takes every so-manieth file; where its result is due is known without asking.
        let lanes: Vec<_> = (0..cores)
            .map(|first| {
                let (done, due) = sync_channel(AHEAD);
                scope.spawn(move || {
                    let mut mine = (first..count).step_by(cores);
                    while mine.next().is_some_and(|n| done.send(work(n)).is_ok()) {}
                });
                due
            })
            .collect();
        for lane in lanes.iter().cycle().take(count) {
            // One that panicked sends no more; the scope passes its panic on.
            let Ok(result) = lane.recv() else { return };
            take(result);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_all_of_them() {
        for count in [0, 1, WORTH, 10 * WORTH + 7] {
            let mut taken = Vec::new();
            // Later ones are done sooner.
            let work = |n: usize| (n, (0..(count - n) * 50).fold(0_u64, |sum, k| sum.wrapping_add(k as u64)));
            in_order(count, work, |(n, _)| taken.push(n));
            assert_eq!(taken, (0..count).collect::<Vec<_>>());
        }
    }
}
