//! Why no order may run at this box: somebody's file, the control plane's stop, a log that contradicts itself, or no room
//! for evidence.

use proto::{
    digest::Digest,
    evidence::{Body, CheckpointSeen, Hold},
};

use super::{
    ExecutorCore, ExecutorError,
    orders::{HOUR, SIGNED_AN_HOUR},
    store::{Allowance, StoreError},
};

/// Room that must be left for each order that is not over: the largest record.
const ROOM_PER_ORDER: u64 = proto::EVIDENCE_MAX as u64;
/// Room that orders never use: for heartbeats, holds and refusals.
const ROOM_FOR_THE_REST: u64 = 256 * 1024;

/// A reason, for guardrail 12 in a word and for people in a sentence.
pub(super) struct Why {
    /// For evidence and the guardrail.
    pub(super) word: String,
    /// For `status`.
    pub(super) sentence: String,
    /// The head that contradicts the kept one, when that is why.
    checkpoint: Option<CheckpointSeen>,
}

impl Why {
    fn new(word: &str, sentence: impl Into<String>) -> Self {
        Self { word: word.to_owned(), sentence: sentence.into(), checkpoint: None }
    }
}

impl ExecutorCore {
    /// Why orders are held at the box itself, whether somebody did it or the log's state demands it.
    fn held_by_somebody(&self) -> Result<Option<Why>, StoreError> {
        // Before any file: it is said once, and must be evidence whatever else holds orders.
        if let Some(fork) = self.store.view().shown(true)?.first() {
            let (size, root) = (fork.head.size, Digest(fork.head.root.0));
            let sentence =
                format!("a signed checkpoint of size {size} contradicts the log that this box has verified");
            let checkpoint = Some(CheckpointSeen { size, root, log: self.trust.log() });
            return Ok(Some(Why { checkpoint, ..Why::new("log-fork", sentence) }));
        }
        if let Some(stop) = self.trust.stop().filter(|stop| stop.stopped) {
            let sentence = format!("the control plane has stopped all orders of this box: {}", stop.reason);
            let word = if stop.is_hold() { runbooks::guardrails::OPERATOR } else { "quarantine" };
            return Ok(Some(Why::new(word, sentence)));
        }
        let by = self.host.held();
        Ok(by.map(|by| Why::new(&by, format!("orders are held at the box by {by}"))))
    }

    /// Why no further order may run.
    pub(super) fn held(&self) -> Result<Option<Why>, StoreError> {
        if let Some(why) = self.held_by_somebody()? {
            return Ok(Some(why));
        }
        if self.unfinished.is_some() {
            return Ok(Some(Why::new(
                "evidence-unwritten",
                "the evidence of the last order could not be written yet",
            )));
        }
        let view = self.store.view();
        let needed = ROOM_FOR_THE_REST + ROOM_PER_ORDER * (view.pending()? + 1);
        if view.evidence_bytes()? + needed > self.settings.evidence_max {
            let sentence = "no room for evidence until the control plane has proven what waits here";
            return Ok(Some(Why::new("evidence-full", sentence)));
        }
        Ok(None)
    }

    /// Whether a record that nobody waits for may still be kept.
    pub(super) fn has_room(&self, share: u64) -> Result<bool, StoreError> {
        Ok(self.store.view().evidence_bytes()? < self.settings.evidence_max / share)
    }

    /// Makes it evidence when orders were held or released at the box since the last time; later, when that has happened
    /// too often within the hour.
    pub(super) fn note_hold(&mut self) -> Result<bool, ExecutorError> {
        let Some(identity) = self.identity.clone() else { return Ok(false) };
        let why = self.held_by_somebody()?;
        let now = why.as_ref().map(|why| why.word.clone());
        let before = self.store.view().state()?.and_then(|state| state.held);
        if now == before || !self.has_room(1)? {
            return Ok(false);
        }
        let active = self.time.active();
        let since = active.checked_sub(HOUR);
        if self.store.view().signed_since(Allowance::Hold, since)? >= SIGNED_AN_HOUR {
            return Ok(false);
        }
        let sealer = self.sealer(identity);
        let by = now.clone().or(before).unwrap_or_default();
        let checkpoint = why.and_then(|why| why.checkpoint);
        self.store.write(|tx| {
            sealer.append(tx, Body::Hold(Hold { held: now.is_some(), by, checkpoint }))?;
            tx.count_signed(Allowance::Hold, active, since)?;
            tx.keep_held(now.as_deref()).map_err(ExecutorError::from)
        })?;
        Ok(true)
    }
}
