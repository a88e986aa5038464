//! Checking a repository, an eighth of its data at a time, beside everything else: reading it may take hours.
//!
//! The rule: what a check found stands until the next one, over restarts too, and a part in which something was found is
//! read again sooner, because somebody may have mended it. A check that was broken off says nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use proto::{evidence::StepResult, ids::WatchId, time::Millis};

use super::{
    Limit, Stop,
    restic::{AHEAD, Restic},
};
use crate::{
    files,
    world::{Clock, World},
};

/// In how many turns all data is read.
const PARTS: u64 = 8;
/// How long one turn may take.
const PATIENCE: Duration = Duration::from_secs(12 * 3600);
/// When a part in which something was found is read again.
const SOONER: Duration = Duration::from_secs(3600);

/// What checks came to, by entry.
pub(super) struct Checks {
    folder: PathBuf,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    last: BTreeMap<WatchId, Last>,
    running: BTreeSet<WatchId>,
}

/// One that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Last {
    at: Millis,
    part: u64,
    damaged: i64,
}

/// What a thread of its own needs of a [`Restic`].
struct Owned {
    program: PathBuf,
    repository: PathBuf,
    password_file: PathBuf,
    cache: PathBuf,
}

impl Checks {
    /// Those that are kept in `folder`.
    pub(super) fn kept_in(folder: PathBuf) -> Self {
        Self { folder, shared: Arc::default() }
    }

    /// What the last check found: 0 nothing, 1 something, −1 it did not come to its end; `None`: there was none yet. When
    /// the next is due, it begins.
    pub(super) fn look(
        &self,
        restic: &Restic<'_>,
        id: &WatchId,
        every: Duration,
        now: Millis,
        world: &World,
        stop: &Stop,
    ) -> Option<i64> {
        let file = self.folder.join(id.as_str());
        let mut shared = lock(&self.shared);
        if !shared.last.contains_key(id)
            && let Some(last) = fs::read_to_string(&file).ok().and_then(|text| Last::read(&text))
        {
            shared.last.insert(id.clone(), last);
        }
        let last = shared.last.get(id).copied();
        if shared.running.contains(id) || !is_due(last, every, now) {
            return last.map(|last| last.damaged);
        }
        let owned = Owned {
            program: restic.program.to_owned(),
            repository: restic.repository.to_owned(),
            password_file: restic.password_file.to_owned(),
            cache: restic.cache.clone(),
        };
        let (all, own, clock, stop) =
            (self.shared.clone(), id.clone(), Arc::clone(&world.clock), stop.clone());
        let part = last.map_or(1, |last| last.next_part());
        let check = move || {
            let damaged = owned.check(part, &*clock, &stop);
            let ended = damaged.map(|damaged| Last { at: now, part, damaged });
            let mut shared = lock(&all);
            shared.running.remove(&own);
            let Some(ended) = ended else { return };
            shared.last.insert(own.clone(), ended);
            drop(shared);
            if let Err(error) = ended.keep(&file) {
                tracing::warn!(watch.id = %own, "what a check of {own} found cannot be kept: {error}");
            }
        };
        match thread::Builder::new().name("check".into()).spawn(check) {
            Ok(_) => {
                shared.running.insert(id.clone());
            }
            Err(error) => tracing::warn!(watch.id = %id, "a check of {id} cannot begin: {error}"),
        }
        last.map(|last| last.damaged)
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether it is time for the next check; one from further ahead than a clock is off was not now.
fn is_due(last: Option<Last>, every: Duration, now: Millis) -> bool {
    last.is_none_or(|last| {
        let wait = if last.damaged == 0 { every } else { every.min(SOONER) };
        now.since(last.at) >= wait || last.at > now.plus(AHEAD)
    })
}

impl Last {
    /// The part after it; the same again where something was found.
    fn next_part(self) -> u64 {
        if self.damaged == 0 { self.part % PARTS + 1 } else { self.part }
    }

    /// Three numbers: when, which part, what was found.
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (at, part, damaged) = (words.next()?, words.next()?, words.next()?);
        let part = part.parse().ok().filter(|part| (1..=PARTS).contains(part))?;
        Some(Self { at: Millis(at.parse().ok()?), part, damaged: damaged.parse().ok()? })
    }

    fn keep(self, file: &std::path::Path) -> io::Result<()> {
        let text = format!("{} {} {}\n", self.at.0, self.part, self.damaged);
        if let Some(folder) = file.parent() {
            files::private_folder(folder).map_err(|error| error.source)?;
        }
        files::replace(file, text.as_bytes()).map_err(|error| error.source)
    }
}

impl Owned {
    fn check(&self, part: u64, clock: &dyn Clock, stop: &Stop) -> Option<i64> {
        let restic = Restic {
            program: &self.program,
            repository: &self.repository,
            password_file: &self.password_file,
            cache: self.cache.clone(),
        };
        let limit = Limit { clock, stop, ends: clock.boot().saturating_add(PATIENCE) };
        match restic.check(part, PARTS, &limit) {
            StepResult::Done => Some(0),
            StepResult::Failed => Some(1),
            StepResult::TimedOut => Some(-1),
            StepResult::Interrupted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_take_turns_and_what_was_found_is_looked_at_again_soon() {
        let every = Duration::from_secs(7 * 86_400);
        let at = Millis(1_000);
        let last = |part, damaged| Last { at, part, damaged };
        let parts: Vec<u64> = (1..=PARTS).map(|part| last(part, 0).next_part()).collect();
        assert_eq!(parts, [2, 3, 4, 5, 6, 7, 8, 1]);
        assert_eq!((last(3, 1).next_part(), last(3, -1).next_part()), (3, 3));
        assert!(is_due(None, every, at));
        assert!(!is_due(Some(last(1, 0)), every, at.plus(every - SOONER)));
        assert!(is_due(Some(last(1, 0)), every, at.plus(every)));
        assert!(is_due(Some(last(1, 1)), every, at.plus(SOONER)));
        assert!(is_due(Some(Last { at: at.plus(AHEAD * 2), ..last(1, 0) }), every, at), "from the future");
    }

    #[test]
    fn what_is_kept_reads_back_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checks/it");
        let last = Last { at: Millis(77), part: 8, damaged: -1 };
        last.keep(&file).unwrap();
        assert_eq!(Last::read(&fs::read_to_string(&file).unwrap()), Some(last));
        for strange in ["", "1 2", "1 0 0", "1 9 0", "x 1 0", "1 1 x"] {
            assert_eq!(Last::read(strange), None, "{strange}");
        }
    }
}
