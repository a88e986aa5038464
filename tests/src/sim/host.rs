//! The machine that an executor measures and works on: directories with bytes, repositories with ages, and moods.
//!
//! It counts every step that really ran. Repairs fail, do nothing, take long, or are cut off by a kill before or after
//! they took effect.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use appliance::{
    config::WatchEntry,
    world::{Host, HostFacts, StepOutcome},
};
use proto::{
    evidence::{Readings, StepResult},
    ids::WatchId,
};
use runbooks::{Action, Step};

use super::{
    chance::Chance,
    clock::{MachineClock, Time},
    life::Life,
};

const SECOND: Duration = Duration::from_secs(1);

/// Something that is watched.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Thing {
    /// A directory holds so many bytes.
    Directory(u64),
    /// A repository's newest snapshot is of that true time, in seconds since the beginning; it may lie before it.
    Repository(i64),
}

/// How likely a repair is to go wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mood {
    /// A step fails.
    pub(super) fails: f64,
    /// A step says it was done, and nothing changed.
    pub(super) in_vain: f64,
    /// A step takes minutes, perhaps more than it may.
    pub(super) slow: f64,
}

impl Mood {
    pub(super) const GOOD: Self = Self { fails: 0.0, in_vain: 0.0, slow: 0.0 };
}

struct State {
    things: BTreeMap<WatchId, Thing>,
    mood: Mood,
    /// Entries that no repair mends.
    broken: Vec<WatchId>,
    held: bool,
    chance: Chance,
    life: Arc<Life>,
    ran: Vec<String>,
    /// How things were before the work that is not concluded.
    before: Option<BTreeMap<WatchId, Thing>>,
}

/// The machine.
pub(super) struct SimulatedHost {
    state: Mutex<State>,
    clock: Arc<MachineClock>,
    time: Time,
}

impl SimulatedHost {
    pub(super) fn new(
        things: BTreeMap<WatchId, Thing>,
        chance: Chance,
        clock: &Arc<MachineClock>,
        time: &Time,
    ) -> Arc<Self> {
        let state = State {
            things,
            mood: Mood::GOOD,
            broken: Vec::new(),
            held: false,
            chance,
            life: Life::new(),
            ran: Vec::new(),
            before: None,
        };
        Arc::new(Self { state: Mutex::new(state), clock: clock.clone(), time: time.clone() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on another process works here.
    pub(super) fn serves(&self, life: &Arc<Life>) {
        self.state().life = life.clone();
    }

    /// The steps that ran since this was asked last: `files.prune uploads`.
    pub(super) fn take_ran(&self) -> Vec<String> {
        std::mem::take(&mut self.state().ran)
    }

    /// The work is over, with all its effects.
    pub(super) fn work_is_over(&self) {
        self.state().before = None;
    }

    /// The work was cut off by a kill; half the time before it had any effect.
    pub(super) fn work_was_cut_off(&self) {
        let mut state = self.state();
        if let Some(before) = state.before.take()
            && state.chance.happens(0.5)
        {
            state.things = before;
        }
    }

    pub(super) fn set(&self, id: &WatchId, thing: Thing) {
        self.state().things.insert(id.clone(), thing);
    }

    pub(super) fn set_mood(&self, mood: Mood) {
        self.state().mood = mood;
    }

    pub(super) fn set_held(&self, held: bool) {
        self.state().held = held;
    }

    /// No repair of it works any more.
    pub(super) fn break_for_good(&self, id: &WatchId) {
        self.state().broken.push(id.clone());
    }
}

impl Host for SimulatedHost {
    fn held(&self) -> Option<String> {
        self.state().held.then(|| "file".to_owned())
    }

    fn measure(&self, entry: &WatchEntry, facts: &HostFacts) -> Readings {
        let now = seconds(self.time.now());
        let thing = self.state().things.get(entry.id()).cloned();
        let span = |span: Option<Duration>| span.map_or(-1, seconds);
        let count = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let readings = match (entry, thing) {
            (WatchEntry::Directory(entry), Some(Thing::Directory(bytes))) => {
                vec![
                    ("bytes", count(bytes)),
                    ("files", count(bytes / 100)),
                    ("limit_bytes", count(entry.limit_bytes)),
                ]
            }
            (WatchEntry::Backup(entry), Some(Thing::Repository(snapshot))) => vec![
                ("age_seconds", now - snapshot),
                ("max_age_seconds", seconds(entry.max_age)),
                ("restore_age_seconds", span(facts.restore_proven)),
                ("restore_every_seconds", span(entry.restore_every())),
            ],
            _ => Vec::new(),
        };
        readings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn perform(&self, step: &Step, entry: &WatchEntry, _: &HostFacts, within: Duration) -> StepOutcome {
        let now = seconds(self.time.now());
        let mut state = self.state();
        let not_done = |result| StepOutcome { result, counts: Readings::new(), output: Vec::new() };
        if !state.life.act() {
            return not_done(StepResult::Failed); // nobody is there to hear it
        }
        state.ran.push(format!("{} {}", step.action, entry.id()));
        if state.before.is_none() {
            state.before = Some(state.things.clone());
        }
        let mood = state.mood;
        let takes = match state.chance.happens(mood.slow) {
            true => state.chance.span(60 * SECOND, 900 * SECOND),
            false => state.chance.span(SECOND / 100, 20 * SECOND),
        };
        self.clock.pass(takes.min(within));
        if takes > within {
            return not_done(StepResult::TimedOut);
        }
        if state.broken.contains(entry.id()) || state.chance.happens(mood.fails) {
            return not_done(StepResult::Failed);
        }
        let in_vain = state.chance.happens(mood.in_vain);
        match step.action {
            _ if in_vain => {}
            Action::FilesPrune => {
                if let WatchEntry::Directory(entry) = entry {
                    state.things.insert(entry.id.clone(), Thing::Directory(entry.limit_bytes / 2));
                }
            }
            Action::ResticBackup => {
                state.things.insert(entry.id().clone(), Thing::Repository(now));
            }
            _ => {}
        }
        state.life.act();
        let output = step.action.as_str().as_bytes().to_vec();
        StepOutcome { result: StepResult::Done, counts: Readings::from([("files".to_owned(), 1)]), output }
    }
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}
