//! Looks at the network beside everything else: a server that does not answer holds nobody up.
//!
//! The rule: at most four looks at a time, no entry twice at once, and none again before its rest is over.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use proto::{evidence::Readings, ids::WatchId};

use crate::{
    config::{Eyes, WatchEntry},
    probe,
    world::World,
};

/// The most looks at a time.
const AT_ONCE: usize = 4;

/// Looks at entries that lie on the network, each on a thread of its own.
pub struct Probes {
    world: World,
    watched: Vec<(WatchEntry, Duration)>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    under_way: BTreeSet<WatchId>,
    /// When a look was last begun (boot-time clock).
    begun: BTreeMap<WatchId, Duration>,
    found: BTreeMap<WatchId, Readings>,
}

impl Probes {
    /// Looks at what of `entries` lies on the network. `sample`: how often it will be asked for what was found.
    pub fn new<'a>(
        entries: impl IntoIterator<Item = &'a WatchEntry>,
        sample: Duration,
        world: World,
    ) -> Self {
        let on_network = |entry: &&WatchEntry| match entry {
            WatchEntry::Service(_) => true,
            WatchEntry::Certificate(_) => entry.eyes() == Eyes::Agent,
            _ => false,
        };
        let watched =
            entries.into_iter().filter(on_network).map(|entry| (entry.clone(), entry.rest(sample))).collect();
        Self { world, watched, state: Arc::default() }
    }

    /// What was found since the last time; begins the looks that are due. Does not wait for them.
    pub fn poll(&self) -> Vec<(WatchEntry, Readings)> {
        let now = self.world.clock.boot();
        let found = std::mem::take(&mut lock(&self.state).found);
        // Those that have waited longest first, so that none starves when many are slow.
        let mut due: Vec<(Duration, &WatchEntry)> = Vec::new();
        {
            let state = lock(&self.state);
            for (entry, rest) in &self.watched {
                let begun = state.begun.get(entry.id()).copied();
                if !state.under_way.contains(entry.id()) && begun.is_none_or(|begun| now >= begun + *rest) {
                    due.push((begun.unwrap_or_default(), entry));
                }
            }
        }
        due.sort_by_key(|(begun, _)| *begun);
        for (_, entry) in due {
            if !self.begin(entry, now) {
                break;
            }
        }
        let entry = |id: &WatchId| self.watched.iter().map(|(entry, _)| entry).find(|entry| entry.id() == id);
        found.into_iter().filter_map(|(id, readings)| Some((entry(&id)?.clone(), readings))).collect()
    }

    /// Whether there was room for another look.
    fn begin(&self, entry: &WatchEntry, now: Duration) -> bool {
        {
            let mut state = lock(&self.state);
            if state.under_way.len() >= AT_ONCE {
                return false;
            }
            state.under_way.insert(entry.id().clone());
            state.begun.insert(entry.id().clone(), now);
        }
        let (entry, world, state) = (entry.clone(), self.world.clone(), self.state.clone());
        let id = entry.id().clone();
        let begun = thread::Builder::new().name("probe".to_owned()).spawn(move || {
            // Also when the look panics: an entry must not stay under way for ever.
            let done = Done { id: entry.id().clone(), state };
            let readings = probe::look(&entry, &world, world.clock.wall());
            if let Some(readings) = readings {
                lock(&done.state).found.insert(done.id.clone(), readings);
            }
        });
        if begun.is_err() {
            lock(&self.state).under_way.remove(&id);
        }
        begun.is_ok()
    }
}

struct Done {
    id: WatchId,
    state: Arc<Mutex<State>>,
}

impl Drop for Done {
    fn drop(&mut self) {
        lock(&self.state).under_way.remove(&self.id);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
