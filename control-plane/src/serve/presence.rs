//! Who is on a connection, and whether anything happens on it.
//!
//! The rule: a connection takes room that all share. One that is known takes a place of its own key's few for as long as it
//! lasts, and one on which nobody asks anything ends.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use proto::digest::Digest;
use tokio::{sync::watch, time::timeout};

use super::crowd::Place;

/// Whether a connection's peer is known. The service says so, once.
#[derive(Debug, Clone)]
pub struct Admission {
    known: watch::Sender<bool>,
    /// What the connection takes of the room for its likes, for as long as it lasts.
    place: Arc<OnceLock<Place<Digest>>>,
}

impl Admission {
    /// Of somebody who is `known` already, or not.
    #[must_use]
    pub fn new(known: bool) -> Self {
        Self { known: watch::Sender::new(known), place: Arc::default() }
    }

    /// A request was admitted of somebody who may stay.
    pub fn give(&self) {
        self.known.send_replace(true);
    }

    /// Whether the connection has a place of its own already; takes the one that `enter` gives when it has not. `false`:
    /// there is none.
    pub fn keeps(&self, enter: impl FnOnce() -> Option<Place<Digest>>) -> bool {
        // Of two that come at once, one is let go again.
        self.place.get().is_some() || enter().map(|place| self.place.set(place)).is_some()
    }

    /// Completes once it is given.
    pub async fn given(&self) {
        // It cannot be dropped meanwhile: this is one of its senders.
        let _ = self.known.subscribe().wait_for(|known| *known).await;
    }
}

/// A request under way, counted until it is answered.
pub(super) struct UnderWay(watch::Sender<usize>);

impl UnderWay {
    pub(super) fn begin(asking: &watch::Sender<usize>) -> Self {
        asking.send_modify(|count| *count += 1);
        Self(asking.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Completes when there was no request for `limit`.
pub(super) async fn idle(asked: &mut watch::Receiver<usize>, limit: Option<Duration>) {
    let Some(limit) = limit else { return std::future::pending().await };
    loop {
        // Its sender is with the connection, which outlives this.
        let _ = asked.wait_for(|count| *count == 0).await;
        if timeout(limit, asked.changed()).await.is_err() {
            return;
        }
    }
}
