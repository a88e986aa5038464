//! What is done again and again while the server runs, and left off as soon as it is to stop.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::listener::{self, Stop};

/// Rounds at a rhythm: the first at once; after one that took long, the next comes no sooner.
pub(super) struct Rounds {
    tick: Interval,
    stopped: Stop,
}

impl Rounds {
    pub(super) fn every(period: Duration, stopped: Stop) -> Self {
        let mut tick = interval(period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { tick, stopped }
    }

    /// Waits for the next; `false`: there is none, the server is to stop.
    pub(super) async fn next(&mut self) -> bool {
        tokio::select! {
            () = listener::stopped(&mut self.stopped) => false,
            _ = self.tick.tick() => true,
        }
    }

    /// What comes of `work`; `None`: it was left off, the server is to stop.
    pub(super) async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            () = listener::stopped(&mut self.stopped) => None,
            done = work => Some(done),
        }
    }
}
