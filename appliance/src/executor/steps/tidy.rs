//! Making room on a file system: the journal, caches, Nix's garbage; each only as far as its owner has allowed.

use proto::{evidence::StepResult, time::Millis};

use super::{Limit, Programs, failed, prune, unit};
use crate::{
    config::{Directory, Filesystem},
    world::StepOutcome,
};

/// Shrinks the journal's archived files to what is to be kept.
pub(super) fn vacuum(programs: &Programs, entry: &Filesystem, limit: &Limit<'_>) -> StepOutcome {
    let Some(keep) = entry.keep_journal_mb else { return not_allowed() };
    // Only archived files are removed, so what is being written is archived first.
    unit::run(&programs.journalctl, &["--rotate", &format!("--vacuum-size={keep}M")], limit)
}

/// Removes the files below the cache folders, as a directory over its limit of nothing would be pruned.
pub(super) fn empty_caches(entry: &Filesystem, now: Millis, limit: &Limit<'_>) -> StepOutcome {
    let mut all = StepOutcome { result: StepResult::Done, ..failed(0) };
    all.counts.clear();
    for cache in caches(entry) {
        let one = prune::prune(&cache, now, limit);
        for (name, count) in one.counts {
            *all.counts.entry(name).or_insert(0) += count;
        }
        all.output.extend(one.output);
        if one.result != StepResult::Done {
            all.result = one.result;
        }
    }
    if entry.caches.is_empty() { not_allowed() } else { all }
}

/// Each as a directory that may hold nothing.
pub(super) fn caches(entry: &Filesystem) -> impl Iterator<Item = Directory> {
    entry.caches.iter().map(|path| Directory {
        id: entry.id.clone(),
        path: path.clone(),
        limit_bytes: 0,
        keep_newer_than: std::time::Duration::ZERO,
    })
}

/// Has Nix remove generations older than a month, and what nothing refers to then.
pub(super) fn collect_nix_garbage(programs: &Programs, entry: &Filesystem, limit: &Limit<'_>) -> StepOutcome {
    if !entry.nix_garbage {
        return not_allowed();
    }
    unit::run(&programs.nix_collect_garbage, &["--delete-older-than", "30d"], limit)
}

/// Not a failure: the next step may be allowed, and the verification tells whether it helped.
fn not_allowed() -> StepOutcome {
    StepOutcome {
        result: StepResult::Done,
        counts: [("not_allowed".to_owned(), 1)].into(),
        output: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemClock, executor::steps::Stop, world::Clock as _};

    /// Whoever asked a program would hear that it failed.
    #[test]
    fn what_its_owner_has_not_allowed_is_not_begun() {
        let refuses = std::path::PathBuf::from("/bin/false");
        let programs =
            Programs { journalctl: refuses.clone(), nix_collect_garbage: refuses, ..Programs::default() };
        let (clock, stop) = (SystemClock, Stop::default());
        let limit =
            Limit { clock: &clock, stop: &stop, ends: clock.boot() + std::time::Duration::from_secs(90) };
        let entry = |more: &str| -> Filesystem {
            toml::from_str(&format!("id = \"it\"\npath = \"/srv\"\n{more}")).unwrap()
        };
        let nothing = entry("");
        for outcome in [
            vacuum(&programs, &nothing, &limit),
            empty_caches(&nothing, clock.wall(), &limit),
            collect_nix_garbage(&programs, &nothing, &limit),
        ] {
            assert_eq!(outcome, not_allowed());
        }
        let allowed = entry("keep_journal_mb = 1\nnix_garbage = true");
        assert_eq!(vacuum(&programs, &allowed, &limit).result, StepResult::Failed);
        assert_eq!(collect_nix_garbage(&programs, &allowed, &limit).result, StepResult::Failed);
    }
}
