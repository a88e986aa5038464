//! `restic.backup` and `restic.test-restore` against the real restic; units against a stand-in for systemctl.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::{
    fs::{self, File, FileTimes, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use appliance::{
    clock::{SystemClock, SystemEntropy},
    config::{Config, WatchEntry},
    executor::steps::{Programs, Stop, SystemHost},
    world::{Clock as _, Host as _, HostFacts, StepOutcome, World},
};
use proto::{
    evidence::{Readings, StepResult},
    time::Millis,
};
use runbooks::Action;

const PASSWORD: &str = "correct horse battery staple";
const LONG: Duration = Duration::from_secs(300);

struct Scene {
    folder: tempfile::TempDir,
    unit: bool,
    stop: Stop,
}

impl Scene {
    /// Records to back up, a password, and no repository yet.
    fn new() -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap(), unit: false, stop: Stop::default() };
        fs::create_dir_all(scene.path("records/2026")).unwrap();
        for (name, content) in
            [("one", "first record"), ("2026/two", "second record"), ("2026/odd [*]?\\ name", "third")]
        {
            fs::write(scene.path("records").join(name), content).unwrap();
        }
        fs::write(scene.path("password"), PASSWORD).unwrap();
        // Says what it was called with, then is restic.
        scene.script("restic", "exec restic \"$@\"");
        scene.script("systemctl", "exit 0");
        scene
    }

    /// The same with a repository.
    fn with_repository() -> Self {
        let scene = Self::new();
        let made = Command::new("restic")
            .args(["init", "--quiet", "--repo"])
            .arg(scene.path("repository"))
            .arg("--password-file")
            .arg(scene.path("password"))
            .env("RESTIC_CACHE_DIR", scene.path("other-cache"))
            .status()
            .expect("restic is installed: apt-get install restic");
        assert!(made.success());
        scene
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Written by another process: a descriptor of ours, open for writing in a child that another test is just forking,
    /// would make the script "busy".
    fn script(&self, name: &str, body: &str) {
        let text = format!("#!/bin/sh\n{{ echo \"$@\"; env; }} >> {:?}\n{body}\n", self.path("calls"));
        let write = "printf %s \"$1\" > \"$0.new\" && chmod 755 \"$0.new\" && mv \"$0.new\" \"$0\"";
        let written = Command::new("/bin/sh").args(["-c", write]).arg(self.path(name)).arg(text).status();
        assert!(written.unwrap().success());
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    fn entry(&self) -> WatchEntry {
        let unit = if self.unit { "unit = \"backup.service\"\n" } else { "" };
        let repository =
            if self.unit { "rest:https://backup.example/".into() } else { self.path("repository") };
        let every = if self.unit { "" } else { "restore_every_seconds = 600\n" };
        let text = format!(
            "control_plane.address = \"https://127.0.0.1:1\"\n[[watch.backup]]\nid = \"it\"\nrepository = {repository:?}\npassword_file = {:?}\nsources = [{:?}]\nmax_age_seconds = 3600\n{every}{unit}",
            self.path("password"),
            self.path("records")
        );
        Config::parse(&text, Path::new("appliance.toml")).unwrap().watch.into_values().next().unwrap()
    }

    fn host(&self) -> SystemHost {
        let world = World { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) };
        let programs = Programs {
            restic: self.path("restic"),
            systemctl: self.path("systemctl"),
            ..Programs::default()
        };
        SystemHost::new(world, programs, self.path("state"), self.path("hold"), self.stop.clone())
    }

    fn backup(&self, host: &SystemHost, now: Millis, within: Duration) -> StepOutcome {
        let facts = HostFacts { now, restore_proven: None };
        host.perform(&Action::ResticBackup.on("it"), &self.entry(), &facts, within)
    }

    fn test_restore(&self, host: &SystemHost) -> StepOutcome {
        let step = Action::ResticTestRestore.on("it");
        host.perform(&step, &self.entry(), &facts(), LONG)
    }

    fn measure(&self, host: &SystemHost, now: Millis) -> Readings {
        host.measure(&self.entry(), &HostFacts { now, restore_proven: Some(Duration::from_secs(7)) })
    }
}

fn facts() -> HostFacts {
    HostFacts { now: SystemClock.wall(), restore_proven: None }
}

fn count(outcome: &StepOutcome, name: &str) -> i64 {
    outcome.counts[name]
}

#[test]
fn a_backup_is_made_seen_and_measured_without_running_restic_again() {
    let scene = Scene::with_repository();
    let host = scene.host();
    // An hour off from the wall clock: the snapshot gets the time that is trusted.
    let now = SystemClock.wall().minus(Duration::from_secs(3600));
    let before = scene.measure(&host, now);
    assert_eq!((before["age_seconds"], before["max_age_seconds"]), (-1, 3600));
    assert_eq!((before["restore_age_seconds"], before["restore_every_seconds"]), (7, 600));
    let outcome = scene.backup(&host, now, LONG);
    assert_eq!(outcome.result, StepResult::Done, "{}", String::from_utf8_lossy(&outcome.output));
    assert_eq!((count(&outcome, "files_new"), count(&outcome, "exit_code")), (3, 0));
    assert!(count(&outcome, "bytes_added") > 0 && !outcome.output.is_empty());
    assert!((0..2).contains(&scene.measure(&host, now)["age_seconds"]));
    let calls = scene.calls().len();
    assert_eq!(scene.measure(&host, now.plus(Duration::from_secs(60)))["age_seconds"], 60);
    assert_eq!(scene.calls().len(), calls, "nothing changed, so nothing was asked");
    // Another process with another view sees the same.
    assert!(
        (60..62).contains(&scene.measure(&scene.host(), now.plus(Duration::from_secs(60)))["age_seconds"])
    );

    let calls = scene.calls();
    assert!(calls.contains("unlock") && calls.contains("--password-file"));
    assert!(!calls.contains(PASSWORD), "the password is in an argument or in the environment");
    assert!(!calls.contains("CARGO") && !calls.contains("HOME="), "our environment is nobody's business");
    assert!(calls.contains("RESTIC_CACHE_DIR=") && scene.path("state/restic-cache").is_dir());
}

#[test]
fn a_repository_that_is_not_there_or_broken_cannot_be_read_nor_backed_up_to() {
    let scene = Scene::new();
    let host = scene.host();
    let outcome = scene.backup(&host, SystemClock.wall(), LONG);
    assert_eq!((outcome.result, count(&outcome, "exit_code")), (StepResult::Failed, 1));
    assert_eq!(scene.measure(&host, SystemClock.wall())["age_seconds"], -1);
    assert_eq!(scene.test_restore(&host).result, StepResult::Failed);

    let scene = Scene::with_repository();
    let host = scene.host();
    assert_eq!(scene.backup(&host, SystemClock.wall(), LONG).result, StepResult::Done);
    assert!(scene.measure(&host, SystemClock.wall())["age_seconds"] >= 0);
    fs::remove_file(scene.path("repository/config")).unwrap();
    assert_eq!(scene.measure(&host, SystemClock.wall())["age_seconds"], -1, "broken since it was last asked");
    assert_eq!(scene.backup(&host, SystemClock.wall(), LONG).result, StepResult::Failed);
    fs::remove_file(scene.path("restic")).unwrap();
    assert_eq!(scene.backup(&host, SystemClock.wall(), LONG).result, StepResult::Failed, "no restic at all");
}

#[test]
fn a_backup_that_could_not_read_everything_is_not_done() {
    let scene = Scene::with_repository();
    fs::remove_dir_all(scene.path("records")).unwrap();
    let outcome = scene.backup(&scene.host(), SystemClock.wall(), LONG);
    assert_eq!(outcome.result, StepResult::Failed);
}

#[test]
fn a_restore_is_proven_by_what_comes_back() {
    let scene = Scene::with_repository();
    let host = scene.host();
    assert_eq!(scene.test_restore(&host).result, StepResult::Failed, "nothing to restore, nothing proven");
    assert_eq!(scene.backup(&host, SystemClock.wall(), LONG).result, StepResult::Done);
    let numbers = |outcome: &StepOutcome| {
        ["files_restored", "files_compared", "files_different", "files_changed_since"]
            .map(|name| count(outcome, name))
    };
    let outcome = scene.test_restore(&host);
    assert_eq!(outcome.result, StepResult::Done, "{}", String::from_utf8_lossy(&outcome.output));
    assert_eq!(numbers(&outcome), [3, 3, 0, 0]);
    assert!(!scene.path("state/drill/scratch").exists(), "somebody's records lie about");

    // Changed since, as files are: says nothing against the backup.
    fs::write(scene.path("records/one"), "first record, continued").unwrap();
    let outcome = scene.test_restore(&host);
    assert_eq!((outcome.result, numbers(&outcome)), (StepResult::Done, [3, 2, 0, 1]));

    // Another content under the same size and time: what was backed up is not what is here.
    let two = scene.path("records/2026/two");
    let modified = fs::metadata(&two).unwrap().modified().unwrap();
    fs::write(&two, "SECOND RECORD").unwrap();
    File::options()
        .write(true)
        .open(&two)
        .unwrap()
        .set_times(FileTimes::new().set_modified(modified))
        .unwrap();
    let outcome = scene.test_restore(&host);
    assert_eq!((outcome.result, numbers(&outcome)), (StepResult::Failed, [3, 2, 1, 1]));

    // A symlink in the place of a source is not followed.
    fs::remove_file(&two).unwrap();
    std::os::unix::fs::symlink(scene.path("password"), &two).unwrap();
    assert_eq!(numbers(&scene.test_restore(&host)), [3, 1, 0, 2]);

    // Damaged packs: the listing may still be there, the content is not.
    for pack in walk(&scene.path("repository/data")) {
        fs::set_permissions(&pack, Permissions::from_mode(0o600)).unwrap();
        let size = fs::metadata(&pack).unwrap().len();
        fs::write(&pack, vec![0; usize::try_from(size).unwrap()]).unwrap();
    }
    fs::remove_dir_all(scene.path("state/restic-cache")).unwrap();
    let outcome = scene.test_restore(&host);
    assert_eq!(outcome.result, StepResult::Failed);
    assert!(!scene.path("state/drill/scratch").exists());
}

/// restic says that all is well, and one of the files is not there.
#[test]
fn a_restore_of_which_a_file_is_missing_proves_nothing() {
    let scene = Scene::with_repository();
    let host = scene.host();
    assert_eq!(scene.backup(&host, SystemClock.wall(), LONG).result, StepResult::Done);
    let lose = format!("find {:?} -name one -type f -delete", scene.path("state/drill/scratch"));
    let restic = format!("restic \"$@\" || exit; case \"$*\" in *' restore '*) {lose};; esac");
    scene.script("restic", &restic);
    let outcome = scene.test_restore(&host);
    assert_eq!((outcome.result, count(&outcome, "files_restored")), (StepResult::Failed, 2));
    assert_eq!(count(&outcome, "files_different"), 0);
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_program_that_hangs_is_killed_at_the_deadline_or_by_a_stop() {
    let scene = Scene::with_repository();
    scene.script("restic", "case \"$*\" in *backup*) echo $$ > \"${0%restic}pid\"; sleep 600;; esac; exit 0");
    let host = scene.host();
    let outcome = scene.backup(&host, SystemClock.wall(), Duration::from_millis(500));
    assert_eq!((outcome.result, count(&outcome, "exit_code")), (StepResult::TimedOut, -1));
    let pid = fs::read_to_string(scene.path("pid")).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "it lives on");
    scene.stop.stop();
    assert_eq!(scene.backup(&host, SystemClock.wall(), LONG).result, StepResult::Interrupted);
}

#[test]
fn a_program_that_says_done_and_made_nothing_is_not_believed() {
    let scene = Scene::with_repository();
    let summary = r#"{"message_type":"summary","files_new":1,"files_changed":0,"data_added":1,"total_bytes_processed":1,"snapshot_id":"deadbeef"}"#;
    scene.script(
        "restic",
        &format!("case \"$*\" in *backup*) echo '{summary}'; exit 0;; esac; exec restic \"$@\""),
    );
    assert_eq!(scene.backup(&scene.host(), SystemClock.wall(), LONG).result, StepResult::Failed);
}

#[test]
fn work_for_the_network_is_a_unit() {
    let mut scene = Scene::new();
    scene.unit = true;
    let host = scene.host();
    let outcome = scene.backup(&host, SystemClock.wall(), LONG);
    assert_eq!((outcome.result, count(&outcome, "exit_code")), (StepResult::Done, 0));
    assert!(scene.calls().contains("start --wait -- backup.service"), "{}", scene.calls());
    scene.script("systemctl", "exit 1");
    assert_eq!(scene.backup(&host, SystemClock.wall(), LONG).result, StepResult::Failed);
    scene.script("systemctl", "case \"$1\" in start) sleep 600;; esac");
    assert_eq!(
        scene.backup(&host, SystemClock.wall(), Duration::from_millis(300)).result,
        StepResult::TimedOut
    );
    assert!(scene.calls().contains("stop --no-block -- backup.service"), "{}", scene.calls());

    let ended = SystemClock.wall().0 / 1000 - 100;
    for (result, status, stamp, expected) in [
        ("success", "0", format!("@{ended}"), 100..110),
        ("exit-code", "1", format!("@{ended}"), -1..0),
        ("success", "0", String::new(), -1..0),
    ] {
        let show =
            format!("echo Result={result}; echo ExecMainStatus={status}; echo ExecMainExitTimestamp={stamp}");
        scene.script("systemctl", &show);
        let readings = scene.measure(&host, SystemClock.wall());
        assert!(expected.contains(&readings["age_seconds"]), "{result}: {readings:?}");
        assert!(!readings.contains_key("restore_age_seconds"));
    }
    assert_eq!(scene.test_restore(&host).result, StepResult::Failed);
}

/// Measures at that time until the check that begins then has ended, and what it found is kept.
fn checked(scene: &Scene, host: &SystemHost, now: Millis) -> i64 {
    let deadline = SystemClock.boot() + LONG;
    let is_kept = || {
        let kept = fs::read_to_string(scene.path("state/checks/it")).unwrap_or_default();
        kept.starts_with(&format!("{} ", now.0))
    };
    loop {
        scene.measure(host, now);
        if is_kept() {
            return scene.measure(host, now)["damaged"];
        }
        assert!(SystemClock.boot() < deadline, "no check ends");
        std::thread::yield_now();
    }
}

/// Flipped bits keep size and name: only who reads a pack sees them. All packs are read within eight turns.
#[test]
fn a_damaged_pack_is_found_whatever_part_it_is_in_and_nothing_is_asked_twice() {
    let scene = Scene::with_repository();
    let host = scene.host();
    let (start, week) = (SystemClock.wall(), Duration::from_secs(7 * 86_400));
    assert!(!scene.measure(&scene.host(), start).contains_key("damaged"));
    assert_eq!(scene.backup(&host, start, LONG).result, StepResult::Done);
    let readings = scene.measure(&host, start);
    let size: u64 =
        walk(&scene.path("repository")).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(readings["size_bytes"], i64::try_from(size).unwrap());
    let later = |weeks: u32| start.plus(week * weeks);
    for turn in 1..=8 {
        assert_eq!(checked(&scene, &host, later(turn)), 0, "turn {turn}");
    }
    let calls = scene.calls().matches(" check ").count();
    assert_eq!(scene.measure(&scene.host(), later(8))["damaged"], 0, "begun anew, it is known");
    assert_eq!(scene.calls().matches(" check ").count(), calls);
    let data = |node: &Path| fs::metadata(node).unwrap().len();
    let packs = walk(&scene.path("repository/data"));
    let pack = packs.iter().max_by_key(|pack| data(pack)).unwrap();
    fs::set_permissions(pack, Permissions::from_mode(0o600)).unwrap();
    let mut bytes = fs::read(pack).unwrap();
    bytes[10] ^= 1;
    fs::write(pack, &bytes).unwrap();
    let found = (9..=16).find(|turn| checked(&scene, &host, later(*turn)) == 1).expect("within eight turns");
    // The same part is read again within the hour, for somebody may have mended it; nobody has.
    let soon = later(found).plus(Duration::from_secs(3600));
    assert_eq!(checked(&scene, &host, soon), 1);
    bytes[10] ^= 1;
    fs::write(pack, &bytes).unwrap();
    assert_eq!(checked(&scene, &host, soon.plus(Duration::from_secs(3600))), 0);
    // A pack that is gone is seen whatever part is read.
    fs::remove_file(pack).unwrap();
    assert_eq!(checked(&scene, &host, later(found + 2)), 1);
}

#[test]
fn a_repository_on_this_machine_is_to_be_restored_from_every_week_unless_said_otherwise() {
    let scene = Scene::with_repository();
    let host = scene.host();
    let text = format!(
        "control_plane.address = \"https://127.0.0.1:1\"\n[[watch.backup]]\nid = \"it\"\nrepository = {:?}\n\
         password_file = {:?}\nsources = [{:?}]\nmax_age_seconds = 3600\n",
        scene.path("repository"),
        scene.path("password"),
        scene.path("records")
    );
    let entry = Config::parse(&text, Path::new("it.toml")).unwrap().watch.into_values().next().unwrap();
    let due = |host: &SystemHost| runbooks::Fault::RestoreDue.holds(&host.measure(&entry, &facts()));
    assert_eq!(due(&host), None, "where nothing is, nothing can be restored");
    assert_eq!(scene.backup(&host, SystemClock.wall(), LONG).result, StepResult::Done);
    assert_eq!(due(&host), Some(true), "never proven");
    let proven = |days: u64| {
        let since = Some(Duration::from_secs(days * 86_400));
        host.measure(&entry, &HostFacts { now: SystemClock.wall(), restore_proven: since })
    };
    assert_eq!(runbooks::Fault::RestoreDue.holds(&proven(6)), Some(false));
    assert_eq!(runbooks::Fault::RestoreDue.holds(&proven(7)), Some(true));
}
