//! Directories and backups: the agent has no right to look into them, so it asks the executor for a reading.
//!
//! A backup's reading opens its repository, which costs; and ages by the minute. So it is taken seldom, and at once
//! when the executor has done something.

use std::{collections::BTreeMap, time::Duration};

use proto::{evidence::Readings, ids::WatchId, time::Millis};
use runbooks::{Fault, WatchKind};

use super::{Observation, Produced};
use crate::{
    agent::executor::{self, AskError},
    config::WatchEntry,
    world::Executor,
};

/// How many samples a backup's reading lasts.
const BACKUP_SAMPLES: u32 = 20;

/// The source, for every entry that the executor measures.
#[derive(Debug)]
pub struct Measured {
    watched: Vec<(WatchId, WatchKind)>,
    backups_every: Duration,
    last: BTreeMap<WatchId, Millis>,
}

impl Measured {
    /// Measures what of `entries` only the executor may look at; `sample` is the time between two samples.
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a WatchEntry>, sample: Duration) -> Self {
        let watched = entries
            .into_iter()
            .map(|entry| (entry.id().clone(), entry.kind()))
            .filter(|(_, kind)| matches!(kind, WatchKind::Directory | WatchKind::Backup))
            .collect();
        Self { watched, backups_every: sample * BACKUP_SAMPLES, last: BTreeMap::new() }
    }

    /// Measures everything at the next look.
    pub fn nudge(&mut self) {
        self.last.clear();
    }

    /// Measures what is due at `now`; each entry by itself, so that one that fails hides no other.
    pub fn poll(&mut self, executor: &mut dyn Executor, now: Millis) -> (Produced, Vec<AskError>) {
        let (mut produced, mut problems) = (Produced::default(), Vec::new());
        for (watch, kind) in &self.watched {
            if *kind == WatchKind::Backup && self.last.get(watch).is_some_and(|last| fresh(*last, now, self.backups_every))
            {
                continue;
            }
            match executor::measure(executor, watch) {
                Ok(readings) => {
                    self.last.insert(watch.clone(), now);
                    produced.observations.extend(observations(watch, *kind, &readings));
                }
                Err(problem) => problems.push(problem),
            }
        }
        (produced, problems)
    }
}

/// A wall clock that was set back makes nothing fresh.
fn fresh(last: Millis, now: Millis, every: Duration) -> bool {
    last <= now && now.since(last) < every
}

fn observations(watch: &WatchId, kind: WatchKind, readings: &Readings) -> Vec<Observation> {
    Fault::ALL
        .iter()
        .filter(|fault| fault.kind() == kind)
        .map(|fault| Observation {
            watch: watch.clone(),
            fault: *fault,
            readings: readings.clone(),
            note: String::new(),
        })
        .collect()
}
