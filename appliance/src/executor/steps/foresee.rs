//! What a step would do now: the same choices as [`act`](super::act), and nothing done.

use proto::{evidence::Readings, time::Millis};
use runbooks::{Action, Step};

use super::{
    Backup, HostFacts, SystemHost, WatchEntry, prune,
    relieve::{self, Choice},
    repository, tidy,
};
use crate::{
    config::{Filesystem, Pressure},
    world::Foreseen,
};

/// How many are named.
const NAMED: usize = 100;

fn only(what: impl Into<String>) -> Foreseen {
    Foreseen { chosen: vec![what.into()], counts: Readings::new() }
}

const NOT_ALLOWED: &str = "nothing: it is not allowed in the watch list";

impl SystemHost {
    pub(super) fn foresee_step(&self, step: &Step, entry: &WatchEntry, facts: &HostFacts) -> Foreseen {
        let limit = self.limit(repository::PATIENCE);
        let now: Millis = facts.now.min(self.world.clock.wall());
        match (step.action, entry) {
            (Action::FilesPrune, WatchEntry::Directory(directory)) => {
                prune::foresee(directory, now, &limit, NAMED)
            }
            (Action::CachesEmpty, WatchEntry::Filesystem(entry)) => self.caches(entry, now),
            (Action::JournalVacuum, WatchEntry::Filesystem(entry)) => {
                only(entry.keep_journal_mb.map_or_else(
                    || NOT_ALLOWED.to_owned(),
                    |keep| format!("the journal's archived files beyond {keep} MiB"),
                ))
            }
            (Action::NixCollectGarbage, WatchEntry::Filesystem(entry)) => only(match entry.nix_garbage {
                true => "generations of Nix older than 30 days, and what nothing refers to then",
                false => NOT_ALLOWED,
            }),
            (Action::ResticBackup, WatchEntry::Backup(entry)) => backed_up(entry),
            (Action::ResticTestRestore, WatchEntry::Backup(entry)) => only(entry.repository.to_string()),
            (Action::UnitRestart, WatchEntry::Unit(entry)) => only(&entry.unit),
            (Action::CertificateRenew, WatchEntry::Certificate(entry)) => {
                only(entry.unit.as_deref().unwrap_or(NOT_ALLOWED))
            }
            (Action::ProcessorRelieve, WatchEntry::Processor(entry)) => {
                let (choice, culprit) =
                    relieve::choose_by_processor(&self.programs, &self.root, entry, &limit);
                chosen(entry, choice, culprit, "used_us")
            }
            (Action::MemoryRelieve, WatchEntry::Memory(entry)) => {
                let (choice, culprit) = relieve::choose_by_memory(&self.programs, &self.root, entry, &limit);
                chosen(entry, choice, culprit, "resident_kb")
            }
            (Action::ClockStep, WatchEntry::Clock(entry)) => {
                only(format!("the clock; {} where chrony does not answer", entry.unit))
            }
            (Action::UplinkRestart, WatchEntry::Uplink(entry)) => only(&entry.unit),
            (Action::StoreRebuild, WatchEntry::Store(entry)) => Foreseen {
                chosen: vec![
                    entry.unit.clone(),
                    self.agent().join(super::rebuild::OUTBOX).display().to_string(),
                ],
                counts: Readings::new(),
            },
            (Action::BaselineReapply, WatchEntry::Baseline(_)) => {
                let scan = self.scan_baseline(facts.now);
                let drifted =
                    scan.findings.iter().filter(|found| found.verdict == baseline::Verdict::Drifted);
                Foreseen {
                    chosen: drifted.map(|found| found.control.to_string()).collect(),
                    counts: scan.readings,
                }
            }
            _ => Foreseen::default(),
        }
    }

    fn caches(&self, entry: &Filesystem, now: Millis) -> Foreseen {
        let limit = self.limit(repository::PATIENCE);
        let mut all = Foreseen::default();
        for cache in tidy::caches(entry) {
            let one = prune::foresee(&cache, now, &limit, NAMED.saturating_sub(all.chosen.len()));
            all.chosen.extend(one.chosen);
            for (name, count) in one.counts {
                *all.counts.entry(name).or_insert(0) += count;
            }
        }
        if entry.caches.is_empty() { only(NOT_ALLOWED) } else { all }
    }
}

fn backed_up(entry: &Backup) -> Foreseen {
    match &entry.unit {
        Some(unit) => only(unit),
        None => Foreseen {
            chosen: entry.sources.iter().map(|source| source.display().to_string()).collect(),
            counts: Readings::new(),
        },
    }
}

fn chosen(entry: &Pressure, choice: Choice, culprit: Option<(String, u64)>, what: &str) -> Foreseen {
    let (text, amount) = match choice {
        Choice::Throttle(at, amount) => {
            let percent = entry.throttle_percent;
            (format!("{} is held back to {percent} % of one core", entry.may_throttle[at]), amount)
        }
        Choice::Restart(at, amount) => (format!("{} is restarted", entry.may_restart[at]), amount),
        Choice::Nobody => (NOT_ALLOWED.to_owned(), 0),
    };
    let most = culprit.map(|(group, amount)| format!("most is taken by {group}: {what} {amount}"));
    Foreseen {
        chosen: [text].into_iter().chain(most).collect(),
        counts: [(what.to_owned(), i64::try_from(amount).unwrap_or(i64::MAX))].into(),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, sync::Arc, time::Duration};

    use super::*;
    use crate::{
        clock::{SystemClock, SystemEntropy},
        config::Config,
        executor::steps::{Programs, Stop},
        world::{Clock as _, Host as _, World},
    };

    #[test]
    fn what_would_be_removed_is_what_is_removed_and_saying_it_removes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let watched = folder.path().join("watched");
        fs::create_dir_all(watched.join("b")).unwrap();
        for name in ["a", "b/c", "b/d", "e", "f", "g"] {
            fs::write(watched.join(name), [b'x'; 100]).unwrap();
        }
        // A second name of one that may go first: with one of the two alone nothing is gained.
        fs::hard_link(watched.join("a"), watched.join("z")).unwrap();
        let text = format!(
            "control_plane.address = \"https://127.0.0.1:1\"\n[[watch.directory]]\nid = \"it\"\npath = {watched:?}\n\
             limit_bytes = 250\nkeep_newer_than_seconds = 0\n"
        );
        let entry = Config::parse(&text, Path::new("it.toml")).unwrap().watch.into_values().next().unwrap();
        let world = World { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) };
        let (state, hold) = (folder.path().join("state"), folder.path().join("hold"));
        let host = SystemHost::new(world, Programs::default(), state, hold, Stop::default());
        let facts = HostFacts { now: SystemClock.wall(), restore_proven: None };
        let there = |name: &&String| Path::new(name.as_str()).exists();
        let step = Action::FilesPrune.on("it");
        let foreseen = host.foresee(&step, &entry, &facts);
        assert!(
            foreseen.chosen.len() >= 4
                && foreseen.chosen.iter().filter(there).count() == foreseen.chosen.len()
        );
        let outcome = host.perform(&step, &entry, &facts, Duration::from_secs(60));
        assert_eq!(foreseen.counts, outcome.counts);
        assert_eq!(foreseen.chosen.iter().filter(there).count(), 0, "{:?}", foreseen.chosen);
        assert_eq!(outcome.counts["files_removed"], i64::try_from(foreseen.chosen.len()).unwrap());
        assert!(host.foresee(&step, &entry, &facts).chosen.is_empty());
    }
}
