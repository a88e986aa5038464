//! What runs on the box, and how its clock is kept: looked at when a session begins and every few minutes.
//!
//! The rule: other software than before is evidence, once. The record and the note that it was made are one commit, and what
//! cannot be read is no news. A box that is not enrolled has nobody to tell.

use std::time::Duration;

use proto::evidence::{Body, Software, Token, Update};

use super::{ExecutorCore, ExecutorError};
use crate::world::Stands;

/// How often somebody looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(900);

impl ExecutorCore {
    /// Time until the next look.
    pub(super) fn stands_due(&self) -> Duration {
        self.stood.map_or(Duration::ZERO, |at| (at + LOOK_EVERY).saturating_sub(self.time.boot()))
    }

    /// Takes what was seen.
    pub(super) fn end_stands(&mut self, stands: Stands) -> Result<(), ExecutorError> {
        self.stood = Some(self.time.boot());
        self.time.kept(stands.synchronised);
        let Ok(program) = Token::try_from(env!("CARGO_PKG_VERSION").to_owned()) else { return Ok(()) };
        let before = self.store.view().software()?;
        let known = before.as_ref();
        let now = Software {
            program,
            system: stands.system.or_else(|| known?.system.clone()),
            generation: stands.generation.or_else(|| known?.generation),
        };
        if known == Some(&now) {
            return Ok(());
        }
        let changed = before.filter(|before| now.differs_from(before));
        let told = changed.zip(self.identity.clone());
        if told.is_some() && !self.has_room(1)? {
            return Ok(());
        }
        let told = told.map(|(from, identity)| (self.sealer(identity), Update { from, to: now.clone() }));
        self.store.write(|tx| {
            if let Some((sealer, update)) = told {
                sealer.append(tx, Body::Update(update))?;
            }
            tx.keep_software(&now).map_err(ExecutorError::from)
        })
    }
}
