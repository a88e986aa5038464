//! Boxes for which there was nothing: whoever asks the same again soon after, with nothing rung for it since, is told the same.
//!
//! The rule: it is told no less than if it had held its first call open. What ends such a call ends this too: the box is rung
//! for, an operator changes anything, its chain of evidence grows, or as much time is over as an answer may be held back.
//! A batch is taken in before, as ever, and no order leaves on this way; the time it carries is signed anew.

use std::{collections::BTreeMap, mem, time::Duration};

use proto::{
    digest::Digest,
    ids::ApplianceId,
    pb,
    sync::{Exchange, HOLD_MAX_MS},
    time::{Millis, TimeToken},
};

use super::{Answer, Core, CoreError};

const QUIET_FOR: Duration = Duration::from_millis(HOLD_MAX_MS as u64);

/// A box that was looked at as a whole, and what it had asked then.
#[derive(Debug)]
struct Looked {
    appliance: ApplianceId,
    asked: Exchange,
    evidence_next: u64,
    at: Millis,
    /// What [`Quiet::ended`] was then.
    ended: u64,
    /// Newest exchange since, where the database does not know of it.
    heard: Option<Millis>,
}

/// All of them, by the key that they show.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    looked: BTreeMap<Digest, Looked>,
    keys: BTreeMap<ApplianceId, Digest>,
    /// How often it ended for all.
    ended: u64,
}

impl Quiet {
    /// There may be something for this box.
    pub(super) fn ends_for(&mut self, appliance: ApplianceId) {
        if let Some(looked) = self.keys.get(&appliance).and_then(|key| self.looked.get_mut(key)) {
            looked.at = Millis(i64::MIN);
        }
    }

    /// There may be something for any.
    pub(super) fn ends(&mut self) {
        self.ended += 1;
    }
}

impl Core {
    /// The answer to an exchange that needs no look, if it is one.
    pub(super) fn nothing_new(&mut self, spki: Digest, exchange: &Exchange, now: Millis) -> Option<Answer> {
        let looked = self.quiet.looked.get_mut(&spki)?;
        let is_over = looked.ended != self.quiet.ended
            || now < looked.at
            || now >= looked.at.plus(QUIET_FOR)
            || self.wake.contains(&looked.appliance);
        if is_over || asks(&looked.asked) != asks(exchange) {
            // The look that follows stores it, and what it stores is newer.
            looked.heard = None;
            return None;
        }
        looked.heard = Some(now);
        let (appliance, evidence_next) = (looked.appliance, looked.evidence_next);
        let token = TimeToken { incarnation: exchange.incarnation, nonce: exchange.nonce, at: now };
        let (time_token, time) = self.time_for(token).ok()?;
        let response = pb::SyncResponse { evidence_next, time_token, ..Default::default() };
        Some(Answer { appliance, response, idle: true, time })
    }

    /// Keeps in mind that a look found nothing, if that is all that it found.
    pub(super) fn note_nothing(&mut self, spki: Digest, exchange: &Exchange, answer: &Answer, now: Millis) {
        let response = &answer.response;
        let told = pb::SyncResponse {
            ack: None,
            // The newest checkpoint always comes along; without a proof it is the one that the caller goes by.
            checkpoint: Vec::new(),
            time_token: Vec::new(),
            evidence_next: 0,
            ..response.clone()
        };
        // Whoever is told no time speaks for another incarnation than was enrolled; whoever waits for proofs, for the vault.
        let is_timed = answer.time.is_some() || !response.time_token.is_empty();
        let is_nothing = is_timed && told == pb::SyncResponse::default();
        if !is_nothing || !exchange.unproven.is_empty() {
            return;
        }
        let looked = Looked {
            appliance: answer.appliance,
            asked: Exchange {
                batch: None,
                unproven: Vec::new(),
                version: exchange.version.clone(),
                ..*exchange
            },
            evidence_next: response.evidence_next,
            at: now,
            ended: self.quiet.ended,
            heard: None,
        };
        self.quiet.looked.insert(spki, looked);
        self.quiet.keys.insert(answer.appliance, spki);
    }

    /// Stores when boxes were last heard that needed no look.
    pub(super) fn keep_heard(&mut self) -> Result<(), CoreError> {
        for looked in self.quiet.looked.values_mut() {
            if let Some(heard) = mem::take(&mut looked.heard) {
                let Exchange { version, order_high, .. } = &looked.asked;
                self.store.saw_appliance(looked.appliance, heard, version, *order_high)?;
            }
        }
        Ok(())
    }
}

/// What an exchange asks, whatever it brings: all but the question for the time, and how long that may take.
fn asks(exchange: &Exchange) -> impl PartialEq {
    let Exchange {
        batch: _,
        incarnation,
        nonce: _,
        checkpoint_size,
        unproven,
        order_high,
        charter_serial,
        catalogue_version,
        policy_serial,
        standing,
        stop_serial,
        documents,
        log,
        hold_ms: _,
        version,
    } = exchange;
    let papers = (charter_serial, catalogue_version, policy_serial, standing, stop_serial, documents);
    (incarnation, (log, checkpoint_size, unproven), order_high, papers, version)
}
