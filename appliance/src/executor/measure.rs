//! Readings of the watch list: what the host is asked, and what was asked a moment ago.
//!
//! The rule: whatever an order is decided on is measured now. The agent's frequent questions may be answered from the
//! last reading, for two hundred times as long as it took, so that watching never costs more than half a percent; and for
//! as long as the entry rests ([`WatchEntry::rest`]), because a program that answers fast is not for free either.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proto::{evidence::Readings, field::BadField, ids::WatchId, local};

use super::{ExecutorCore, ExecutorError, store::StoreError};
use crate::{
    config::{Eyes, WatchEntry},
    world::{Clock, Host, HostFacts},
};

const REUSE: u32 = 200;

/// Readings taken lately, and when something was last done to what they are of (boot-time clock).
#[derive(Default)]
pub(super) struct Recent {
    taken: BTreeMap<WatchId, Kept>,
    changed: Duration,
}

/// A reading, and for how long it may serve again.
struct Kept {
    taken: Taken,
    reuse: Duration,
}

/// A reading, when it was taken (boot-time clock) and how long that took.
#[derive(Debug, Clone)]
pub struct Taken {
    id: WatchId,
    readings: Readings,
    note: String,
    at: Duration,
    took: Duration,
}

/// An entry, and what the host must know to work on it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) entry: WatchEntry,
    pub(super) facts: HostFacts,
}

/// One measurement to be taken.
pub struct Measurement {
    id: WatchId,
    host: Arc<dyn Host>,
    clock: Arc<dyn Clock>,
    target: Target,
    recent: Option<Taken>,
}

impl Measurement {
    /// Takes it; may take its time.
    #[must_use]
    pub fn take(self) -> Taken {
        if let Some(recent) = self.recent {
            return recent;
        }
        let at = self.clock.boot();
        let readings = self.host.measure(&self.target.entry, &self.target.facts);
        let took = self.clock.boot().saturating_sub(at);
        let note = self.host.note(&self.target.entry, &readings);
        Taken { id: self.id, readings, note, at, took }
    }
}

impl Taken {
    pub(super) fn new(id: WatchId, readings: Readings, at: Duration, took: Duration) -> Self {
        Self { id, readings, note: String::new(), at, took }
    }

    /// What was read.
    pub(super) fn readings(&self) -> &Readings {
        &self.readings
    }

    /// For the local protocol.
    #[must_use]
    pub fn answer(&self) -> local::Measured {
        let reading = |(name, value): (&String, &i64)| local::Reading { name: name.clone(), value: *value };
        local::Measured { readings: self.readings.iter().map(reading).collect(), note: self.note.clone() }
    }
}

impl ExecutorCore {
    /// What the host must know of an entry.
    pub(super) fn target(&self, id: &WatchId) -> Result<Option<Target>, StoreError> {
        let Some(entry) = self.settings.watch.get(id) else { return Ok(None) };
        let proven = self.store.view().restore_proven(id)?;
        let facts = HostFacts {
            now: self.time.best(),
            restore_proven: proven.map(|proven| self.time.active().saturating_sub(proven)),
        };
        Ok(Some(Target { entry: entry.clone(), facts }))
    }

    pub(super) fn measurement_of(&self, id: &WatchId) -> Result<Measurement, ExecutorError> {
        let Some(target) = self.target(id)? else {
            return Err(BadField::new("watch", format!("{id} is not on this box's watch list")).into());
        };
        if target.entry.eyes() == Eyes::Agent {
            let kind = target.entry.kind();
            return Err(
                BadField::new("watch", format!("{id} is a {kind}; the agent reads that itself")).into()
            );
        }
        let boot = self.time.boot();
        let fresh = |kept: &&Kept| boot < kept.taken.at + kept.reuse;
        let recent = self.recent.taken.get(id).filter(fresh).map(|kept| kept.taken.clone());
        Ok(Measurement {
            id: id.clone(),
            host: self.host.clone(),
            clock: self.world.clock.clone(),
            target,
            recent,
        })
    }

    /// Remembers a reading for the next question, unless something was done meanwhile.
    pub fn remember(&mut self, taken: &Taken) {
        if taken.at < self.recent.changed {
            return;
        }
        let before = self.recent.taken.get(&taken.id).map(|kept| &kept.taken);
        if before.is_some_and(|before| before.at == taken.at) {
            return;
        }
        // One slow look may be the one that found something new; only what is slow twice in a row is slow.
        let usual = before.map_or(Duration::ZERO, |before| before.took.min(taken.took));
        let rest = self.settings.watch.get(&taken.id).map(|entry| entry.rest(self.settings.sample));
        let reuse = (usual * REUSE).max(rest.unwrap_or_default());
        let kept = Kept { taken: taken.clone(), reuse };
        self.recent.taken.insert(taken.id.clone(), kept);
    }

    /// Remembers a scan for that long, whatever was done meanwhile: the next one is on its way.
    pub(super) fn remember_for(&mut self, taken: Taken, reuse: Duration) {
        self.recent.taken.insert(taken.id.clone(), Kept { taken, reuse });
    }

    /// Forgets readings: something was done to what they were taken of.
    pub(super) fn forget_readings(&mut self) {
        self.recent = Recent { taken: BTreeMap::new(), changed: self.time.boot() };
    }
}
