//! `store.rebuild`: a damaged outbox is set aside, and the agent begins a new one.
//!
//! The rule: nothing of a damaged database is read here, where there are rights to lose by it; the agent itself takes over
//! what it can read ([`outbox`](crate::agent::outbox)). Evidence is not in danger: until it is proven it stays in the
//! executor's own database, which no step touches.

use std::path::Path;

use nix::{
    errno::Errno,
    fcntl::renameat,
    unistd::{UnlinkatFlags, fsync, unlinkat},
};
use proto::evidence::StepResult;

use super::{Limit, Programs, beneath, failed, unit};
use crate::{
    agent::outbox::{BESIDE, DAMAGED},
    config::Store,
    world::StepOutcome,
};

/// Its file in the agent's folder.
pub(super) const OUTBOX: &str = "outbox.db";

/// Stops the agent, moves its outbox aside, starts it again, whatever came of the move.
pub(super) fn rebuild(programs: &Programs, agent: &Path, entry: &Store, limit: &Limit<'_>) -> StepOutcome {
    let stopped = unit::run(&programs.systemctl, &["stop", "--", &entry.unit], limit);
    if stopped.result != StepResult::Done {
        return stopped;
    }
    let moved = set_aside(agent);
    // An agent that could not open its outbox has failed often enough for systemd to have given up.
    let mut outcome = unit::restart(&programs.systemctl, &entry.unit, limit);
    match moved {
        Ok(files) => {
            outcome.counts.insert("files_set_aside".to_owned(), files);
            outcome
        }
        Err(errno) => {
            tracing::error!("the damaged outbox cannot be moved aside: {errno}");
            failed(-1)
        }
    }
}

/// By the folder's descriptor: the agent owns it, and might put something else in its place.
fn set_aside(agent: &Path) -> Result<i64, Errno> {
    let folder = beneath::root(agent)?;
    let mut moved = 0;
    for suffix in [""].into_iter().chain(BESIDE) {
        let (from, to) = (format!("{OUTBOX}{suffix}"), format!("{OUTBOX}{DAMAGED}{suffix}"));
        // One that was left there before belongs to other files.
        match unlinkat(&folder, to.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        match renameat(&folder, from.as_str(), &folder, to.as_str()) {
            Ok(()) => moved += 1,
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    fsync(&folder)?;
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn all_that_belongs_to_it_is_moved_and_nothing_is_mixed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, text) in [("outbox.db", "new"), ("outbox.db-wal", "its log"), ("tls.key", "secret")] {
            fs::write(path(name), text).unwrap();
        }
        fs::write(path("outbox.db.damaged"), "older").unwrap();
        fs::write(path("outbox.db.damaged-shm"), "older").unwrap();
        assert_eq!(set_aside(folder.path()), Ok(2));
        let mut names: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["outbox.db.damaged", "outbox.db.damaged-wal", "tls.key"]);
        assert_eq!(fs::read_to_string(path("outbox.db.damaged")).unwrap(), "new");
        assert_eq!(set_aside(folder.path()), Ok(0));
        assert_eq!(set_aside(&path("nowhere")), Err(Errno::ENOENT));
        std::os::unix::fs::symlink(folder.path(), path("link")).unwrap();
        assert_eq!(set_aside(&path("link")), Err(Errno::ELOOP));
    }
}
