//! The fence around one step: while it is done, the kernel lets it reach what its action needs on its entry of the watch
//! list, and nothing else, whoever it runs as (Landlock, Documentation/userspace-api/landlock.rst).
//!
//! The rule: what a step may reach follows from the action and the entry alone. The step is done on a thread of its own,
//! which shuts itself in first; programs that it starts inherit that. What is measured before and after is not fenced: it
//! only reads.

use std::{
    collections::BTreeMap,
    fs,
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus,
};
use runbooks::Action;

use super::{Programs, SystemHost, failed};
use crate::{
    config::{Repository, WatchEntry},
    world::StepOutcome,
};

/// The newest rights that are asked for; an older kernel gives what it has.
const RIGHTS: ABI = ABI::V5;
/// What a program needs to run at all, and to find its way to systemd.
const RUNNING: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/nix/store",
    "/run",
    "/proc",
    "/sys",
    "/dev/urandom",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/machine-id",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/group",
    "/etc/static",
    "/etc/systemd",
];
/// The executor's own, empty one (`PrivateTmp=`).
const SCRATCH: &str = "/tmp";

/// What a step may reach.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reach(BTreeMap<PathBuf, BitFlags<AccessFs>>);

impl Reach {
    fn allow(mut self, path: impl AsRef<Path>, right: impl Into<BitFlags<AccessFs>>) -> Self {
        *self.0.entry(path.as_ref().to_owned()).or_default() |= right.into();
        self
    }

    fn read(self, path: impl AsRef<Path>) -> Self {
        self.allow(path, AccessFs::ReadFile | AccessFs::ReadDir)
    }

    fn write(self, path: impl AsRef<Path>) -> Self {
        self.allow(path, AccessFs::from_all(RIGHTS) & !BitFlags::from(AccessFs::Execute))
    }

    /// What `program` needs, wherever it is.
    fn run(self, program: &Path) -> Self {
        let run = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute;
        let reach = RUNNING.iter().fold(self, |reach, path| reach.allow(path, run)).write(SCRATCH);
        let reach = reach.allow("/dev/null", AccessFs::ReadFile | AccessFs::WriteFile);
        if program.is_absolute() { reach.allow(program, run) } else { reach }
    }

    /// Removing files in a folder, and no more than that.
    fn prune(self, folder: &Path) -> Self {
        self.allow(folder, AccessFs::ReadDir | AccessFs::RemoveFile)
    }
}

impl SystemHost {
    /// What a step may reach; `None`: what it may touch is a closed table of its own, which lies everywhere.
    pub(super) fn reach(&self, action: Action, entry: &WatchEntry) -> Option<Reach> {
        let Programs { systemctl, journalctl, chronyc, restic, nix_collect_garbage, .. } = &self.programs;
        let none = Reach::default();
        Some(match (action, entry) {
            (Action::FilesPrune, WatchEntry::Directory(entry)) => none.prune(&entry.path),
            (Action::CachesEmpty, WatchEntry::Filesystem(entry)) => {
                entry.caches.iter().fold(none, |reach, cache| reach.prune(cache))
            }
            (Action::JournalVacuum, _) => {
                none.run(journalctl).write("/var/log/journal").write("/run/log/journal")
            }
            (Action::NixCollectGarbage, _) => none.run(nix_collect_garbage).write("/nix"),
            (Action::ResticBackup | Action::ResticTestRestore, WatchEntry::Backup(entry)) => {
                let (Repository::Local(repository), Some(password)) =
                    (&entry.repository, &entry.password_file)
                else {
                    return Some(none.run(systemctl));
                };
                if action == Action::ResticBackup && entry.unit.is_some() {
                    return Some(none.run(systemctl));
                }
                let reach = none.run(restic).read(password).write(self.restic_cache());
                let reach = entry.sources.iter().fold(reach, |reach, source| reach.read(source));
                match action {
                    Action::ResticBackup => reach.write(repository),
                    // What it compares with are the live files of whatever lies in the repository.
                    _ if entry.sources.is_empty() => reach.read("/").read(repository).write(self.drill()),
                    _ => reach.read(repository).write(self.drill()),
                }
            }
            (Action::StoreRebuild, _) => none.run(systemctl).allow(
                self.agent(),
                AccessFs::ReadDir | AccessFs::RemoveFile | AccessFs::MakeReg | AccessFs::Refer,
            ),
            // It binds a socket of its own there.
            (Action::ClockStep, _) => none.run(chronyc).run(systemctl).write("/run/chrony"),
            (
                Action::UnitRestart
                | Action::CertificateRenew
                | Action::ProcessorRelieve
                | Action::MemoryRelieve
                | Action::UplinkRestart,
                _,
            ) => none.run(systemctl),
            (Action::BaselineReapply, _) => return None,
            // Guardrail 7 has seen that kind of step and kind of entry belong together.
            _ => none,
        })
    }

    /// Folders that a step writes to are there before it is shut in.
    pub(super) fn prepare(&self, action: Action) {
        let folders = match action {
            Action::ResticBackup => vec![self.restic_cache()],
            Action::ResticTestRestore => vec![self.restic_cache(), self.drill()],
            _ => Vec::new(),
        };
        for folder in folders {
            if let Err(error) = crate::files::private_folder(&folder) {
                tracing::warn!("a folder for a step cannot be made: {error}");
            }
        }
    }
}

/// Does a step within its fence.
pub(super) fn within(reach: Option<&Reach>, step: impl FnOnce() -> StepOutcome + Send) -> StepOutcome {
    let Some(reach) = reach else { return step() };
    let fenced = || match shut_in(reach) {
        Ok(RulesetStatus::NotEnforced) => {
            tracing::warn!("a step is not shut in: this kernel has no Landlock");
            step()
        }
        Ok(_) => step(),
        Err(error) => {
            tracing::error!("a step is not done, because it cannot be shut in: {error}");
            failed(-1)
        }
    };
    thread::scope(|scope| {
        let spawned = thread::Builder::new().name("step".into()).spawn_scoped(scope, fenced);
        match spawned {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(error) => {
                tracing::error!("a step is not done, because there is no thread for it: {error}");
                failed(-1)
            }
        }
    })
}

/// Shuts this thread in.
fn shut_in(reach: &Reach) -> Result<RulesetStatus, RulesetError> {
    let mut rules = Ruleset::default().handle_access(AccessFs::from_all(RIGHTS))?.create()?;
    for (path, right) in &reach.0 {
        // What is not there cannot be opened.
        let (Ok(found), Ok(opened)) = (fs::metadata(path), PathFd::new(path)) else { continue };
        let right = if found.is_dir() { *right } else { *right & AccessFs::from_file(RIGHTS) };
        if !right.is_empty() {
            rules = rules.add_rule(PathBeneath::new(opened, right))?;
        }
    }
    Ok(rules.restrict_self()?.ruleset)
}

#[cfg(test)]
mod tests {
    use std::{io, process::Command};

    use proto::evidence::StepResult;

    use super::*;

    fn done(counts: &[(&str, bool)]) -> StepOutcome {
        StepOutcome {
            result: StepResult::Done,
            counts: counts.iter().map(|(name, it)| ((*name).to_owned(), i64::from(*it))).collect(),
            output: Vec::new(),
        }
    }

    /// Whether this kernel shuts anything in.
    fn holds() -> bool {
        thread::spawn(|| shut_in(&Reach::default()).unwrap() != RulesetStatus::NotEnforced).join().unwrap()
    }

    fn denied<T>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    #[test]
    fn a_step_that_tries_outside_is_refused_by_the_kernel_and_so_is_what_it_starts() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (ours, others) = (inside.path().join("old"), outside.path().join("secret"));
        for file in [&ours, &others] {
            fs::write(file, b"x").unwrap();
        }
        assert!(holds(), "this kernel has no Landlock; every supported one has");
        let pruning = Reach::default().prune(inside.path());
        let outcome = within(Some(&pruning), || {
            let sh = |text: &str| Command::new("/bin/sh").args(["-c", text]).status();
            done(&[
                ("reads outside", !denied(fs::read(&others))),
                ("removes outside", !denied(fs::remove_file(&others))),
                ("reads inside", !denied(fs::read(&ours))),
                ("writes inside", !denied(fs::write(inside.path().join("new"), b"x"))),
                ("starts a program", !denied(sh("exit 0"))),
                ("removes inside", fs::remove_file(&ours).is_ok()),
            ])
        });
        let did: Vec<&String> =
            outcome.counts.iter().filter(|(_, it)| **it == 1).map(|(what, _)| what).collect();
        assert_eq!(did, ["removes inside"], "{:?}", outcome.counts);

        let running = Reach::default().run(Path::new("systemctl")).write(inside.path());
        let elsewhere = tempfile::tempdir_in("/var/tmp").unwrap();
        let (to, key) = (elsewhere.path().join("it"), elsewhere.path().join("key"));
        fs::write(&key, b"secret").unwrap();
        within(Some(&running), || {
            let script =
                format!("echo x > {to:?}; cat {key:?} > {0:?}/key; echo x > {0:?}/here", inside.path());
            Command::new("/bin/sh").args(["-c", &script]).status().unwrap();
            done(&[])
        });
        assert!(!to.exists(), "it wrote outside");
        assert_eq!(fs::read(inside.path().join("key")).unwrap(), b"", "it read outside");
        assert!(inside.path().join("here").exists());
        // Afterwards this thread is as free as before.
        fs::write(&to, b"x").unwrap();
    }

    #[test]
    fn what_is_not_fenced_runs_here_and_a_panic_comes_through() {
        assert_eq!(within(None, || done(&[("it", true)])).counts["it"], 1);
        let reach = Reach::default();
        let panicked = std::panic::catch_unwind(|| within(Some(&reach), || panic!("it breaks")));
        assert!(panicked.is_err());
    }

    /// Beside what belongs to running a program at all.
    #[test]
    fn each_step_may_change_what_its_entry_names_and_nothing_else() {
        let (world, stop) = (crate::clock::system(), super::super::Stop::default());
        let state = "/var/lib/orderly/executor".into();
        let host = SystemHost::new(world, Programs::default(), state, "/hold".into(), stop);
        let text = "control_plane.address = \"https://127.0.0.1:1\"\n\
                    [[watch.directory]]\nid = \"uploads\"\npath = \"/srv/uploads\"\nlimit_bytes = 1000\n\
                    [[watch.filesystem]]\nid = \"small\"\npath = \"/srv/small\"\ncaches = [\"/srv/small/cache\"]\n\
                    [[watch.backup]]\nid = \"records\"\nrepository = \"/srv/repository\"\nmax_age_seconds = 60\n\
                    password_file = \"/etc/password\"\nsources = [\"/srv/records\"]\n\
                    [[watch.store]]\nid = \"own\"\n[[watch.unit]]\nid = \"unit\"\nunit = \"it.service\"\n";
        let config = crate::config::Config::parse(text, Path::new("it.toml")).unwrap();
        let changes = |action, id: &str| -> Vec<String> {
            let reach =
                host.reach(action, &config.watch[&id.parse::<proto::ids::WatchId>().unwrap()]).unwrap();
            let may_change = |(path, right): &(&PathBuf, &BitFlags<AccessFs>)| {
                right.intersects(AccessFs::from_write(RIGHTS))
                    && ![Path::new(SCRATCH), Path::new("/dev/null")].contains(&path.as_path())
            };
            reach.0.iter().filter(may_change).map(|(path, _)| path.display().to_string()).collect()
        };
        let (drill, cache) = ("/var/lib/orderly/executor/drill", "/var/lib/orderly/executor/restic-cache");
        for (action, id, expected) in [
            (Action::FilesPrune, "uploads", &["/srv/uploads"][..]),
            (Action::CachesEmpty, "small", &["/srv/small/cache"]),
            (Action::JournalVacuum, "small", &["/run/log/journal", "/var/log/journal"]),
            (Action::NixCollectGarbage, "small", &["/nix"]),
            (Action::ResticBackup, "records", &["/srv/repository", cache]),
            (Action::ResticTestRestore, "records", &[drill, cache]),
            (Action::StoreRebuild, "own", &["/var/lib/orderly/agent"]),
            (Action::UnitRestart, "unit", &[]),
        ] {
            assert_eq!(changes(action, id), expected, "{action}");
        }
    }
}
