//! `files.prune` on real files: the oldest go, nothing outside is touched, however the tree is rigged.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::{
    ffi::OsStr,
    fs::{self, File, FileTimes},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc::channel,
    },
    thread,
    time::{Duration, SystemTime},
};

use appliance::{
    clock::{SystemClock, SystemEntropy},
    config::{Config, WatchEntry},
    executor::steps::{Programs, Stop, SystemHost},
    world::{Clock, Host as _, HostFacts, StepOutcome, World},
};
use nix::{sys::stat::Mode, unistd::mkfifo};
use proto::{
    evidence::{Readings, StepResult},
    time::Millis,
};
use runbooks::Action;

/// The machine's clock, hours later: what was made a moment ago is old.
struct Later(u64);

impl Clock for Later {
    fn wall(&self) -> Millis {
        SystemClock.wall().plus(Duration::from_secs(self.0 * 3600))
    }
    fn boot(&self) -> Duration {
        SystemClock.boot()
    }
}

struct Scene {
    folder: tempfile::TempDir,
    stop: Stop,
    hours_later: u64,
    limit: u64,
    keep_seconds: u64,
    watched: &'static str,
}

impl Scene {
    /// `watched`, with that limit, and `outside` beside it, with files that must stay.
    fn new(limit: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("watched")).unwrap();
        fs::create_dir(folder.path().join("outside")).unwrap();
        let scene = Self {
            folder,
            stop: Stop::default(),
            hours_later: 2,
            limit,
            keep_seconds: 3600,
            watched: "watched",
        };
        for name in ["a", "b", "precious"] {
            scene.file(&format!("outside/{name}"), 1000, 900_000);
        }
        scene
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// A file of that size, last changed so many seconds ago.
    fn file(&self, relative: &str, size: usize, age_seconds: u64) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, vec![b'x'; size]).unwrap();
        set_age(&path, age_seconds);
    }

    fn entry(&self) -> WatchEntry {
        let text = format!(
            "control_plane.address = \"https://127.0.0.1:1\"\n[[watch.directory]]\nid = \"it\"\npath = {:?}\nlimit_bytes = {}\nkeep_newer_than_seconds = {}\n",
            self.path(self.watched),
            self.limit,
            self.keep_seconds
        );
        let config = Config::parse(&text, Path::new("appliance.toml")).unwrap();
        config.watch.into_values().next().unwrap()
    }

    fn host(&self) -> (SystemHost, HostFacts) {
        let clock = Arc::new(Later(self.hours_later));
        let facts = HostFacts { now: clock.wall(), restore_proven: None };
        let world = World { clock, entropy: Arc::new(SystemEntropy) };
        let state = self.path("state");
        (
            SystemHost::new(world, Programs::default(), state.clone(), state.join("hold"), self.stop.clone()),
            facts,
        )
    }

    fn prune_within(&self, within: Duration) -> StepOutcome {
        let (host, facts) = self.host();
        host.perform(&Action::FilesPrune.on("it"), &self.entry(), &facts, within)
    }

    fn prune(&self) -> StepOutcome {
        self.prune_within(Duration::from_secs(60))
    }

    fn measure(&self) -> Readings {
        let (host, facts) = self.host();
        host.measure(&self.entry(), &facts)
    }

    fn outside_is_whole(&self) {
        for name in ["a", "b", "precious"] {
            assert_eq!(fs::read(self.path("outside").join(name)).unwrap().len(), 1000, "{name}");
        }
    }

    /// Everything beneath `watched`, by relative path.
    fn left(&self) -> Vec<String> {
        fn walk(folder: &Path, base: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    walk(&entry.path(), base, found);
                } else {
                    found.push(entry.path().strip_prefix(base).unwrap().to_string_lossy().into_owned());
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.path("watched"), &self.path("watched"), &mut found);
        found.sort();
        found
    }
}

fn set_age(path: &Path, seconds: u64) {
    let modified = SystemTime::UNIX_EPOCH
        + Duration::from_millis(u64::try_from(SystemClock.wall().0).unwrap())
        - Duration::from_secs(seconds);
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(modified)).unwrap();
}

fn counts(outcome: &StepOutcome) -> (StepResult, i64, i64) {
    (outcome.result, outcome.counts["files_removed"], outcome.counts["bytes_removed"])
}

#[test]
fn the_oldest_go_first_and_no_more_than_needed() {
    let scene = Scene::new(250);
    for (name, age) in
        [("new", 10), ("deep/er/older", 500), ("middle", 300), ("oldest", 90_000), ("deep/old", 400)]
    {
        scene.file(&format!("watched/{name}"), 100, age);
    }
    assert_eq!(scene.measure()["bytes"], 500);
    let outcome = scene.prune();
    assert_eq!(counts(&outcome), (StepResult::Done, 3, 300));
    assert_eq!(scene.left(), ["middle", "new"]);
    assert_eq!(
        (scene.measure()["bytes"], scene.measure()["files"], scene.measure()["limit_bytes"]),
        (200, 2, 250)
    );
    assert_eq!(counts(&scene.prune()), (StepResult::Done, 0, 0));
}

#[test]
fn what_is_new_stays_even_over_the_limit() {
    let mut scene = Scene::new(10);
    scene.file("watched/a", 100, 5000);
    scene.file("watched/b", 100, 5000);
    scene.keep_seconds = 3 * 3600;
    // Last changed long ago, but it arrived two hours ago by this clock.
    assert_eq!(counts(&scene.prune()), (StepResult::Done, 0, 0));
    scene.hours_later = 4;
    assert_eq!(counts(&scene.prune()), (StepResult::Done, 2, 200));
}

#[test]
fn a_date_in_the_future_protects_nobody() {
    let mut scene = Scene::new(100);
    scene.file("watched/mine", 100, 0);
    scene.file("watched/yours", 100, 0);
    let ahead = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    File::open(scene.path("watched/mine")).unwrap().set_times(FileTimes::new().set_modified(ahead)).unwrap();
    fs::write(scene.path("watched/yours"), [b'y'; 100]).unwrap();
    assert_eq!(counts(&scene.prune()), (StepResult::Done, 1, 100));
    assert_eq!(scene.left(), ["yours"], "mine was changed before");
    // New is new, whatever it says.
    scene.file("watched/mine", 100, 90_000);
    scene.hours_later = 0;
    assert_eq!(counts(&scene.prune()), (StepResult::Done, 0, 0));
}

#[test]
fn a_file_counts_with_what_it_takes() {
    let scene = Scene::new(1000);
    for name in ["a", "b"] {
        scene.file(&format!("watched/{name}"), 400, 1000);
    }
    File::create(scene.path("watched/sparse")).unwrap().set_len(1 << 40).unwrap();
    assert_eq!((scene.measure()["bytes"], scene.measure()["files"]), (800, 3));
    assert_eq!(counts(&scene.prune()), (StepResult::Done, 0, 0));
    // A hundred names make it no larger.
    for n in 0..100 {
        fs::hard_link(scene.path("watched/a"), scene.path(&format!("watched/a{n}"))).unwrap();
    }
    assert_eq!((scene.measure()["bytes"], scene.measure()["files"]), (800, 103));
    assert_eq!(counts(&scene.prune()), (StepResult::Done, 0, 0));
}

#[test]
fn folders_deeper_than_a_path_can_say_are_skipped_and_counted() {
    use nix::{
        fcntl::{AT_FDCWD, OFlag, openat},
        sys::stat::mkdirat,
    };
    let scene = Scene::new(1);
    scene.file("watched/a", 100, 1000);
    let folder = OFlag::O_DIRECTORY | OFlag::O_RDONLY;
    let mut deep = openat(AT_FDCWD, &scene.path("watched"), folder, Mode::empty()).unwrap();
    let name = "d".repeat(250);
    for _ in 0..20 {
        mkdirat(&deep, name.as_str(), Mode::S_IRWXU).unwrap();
        deep = openat(&deep, name.as_str(), folder, Mode::empty()).unwrap();
    }
    let readings = scene.measure();
    assert_eq!((readings["bytes"], readings["files"], readings["folders_skipped"]), (100, 1, 1));
    assert_eq!(counts(&scene.prune()), (StepResult::Done, 1, 100));
}

#[test]
fn the_clock_that_is_behind_counts() {
    let mut scene = Scene::new(10);
    scene.file("watched/a", 100, 0);
    scene.hours_later = 9;
    let (host, facts) = scene.host();
    let behind = HostFacts { now: SystemClock.wall(), ..facts };
    let step = Action::FilesPrune.on("it");
    let outcome = host.perform(&step, &scene.entry(), &behind, Duration::from_secs(60));
    assert_eq!(counts(&outcome), (StepResult::Done, 0, 0));
}

#[test]
fn symlinks_lead_nowhere() {
    let scene = Scene::new(10);
    scene.file("watched/inside", 100, 1000);
    let outside = scene.path("outside");
    symlink(outside.join("precious"), scene.path("watched/absolute-file")).unwrap();
    symlink("../outside/precious", scene.path("watched/relative-file")).unwrap();
    symlink(&outside, scene.path("watched/absolute-folder")).unwrap();
    fs::create_dir_all(scene.path("watched/nested/deeper")).unwrap();
    symlink("../../../outside", scene.path("watched/nested/deeper/relative-folder")).unwrap();
    symlink("/", scene.path("watched/nested/everything")).unwrap();
    symlink(".", scene.path("watched/loop")).unwrap();
    symlink("/nonexistent", scene.path("watched/dangling")).unwrap();
    assert_eq!((scene.measure()["bytes"], scene.measure()["files"]), (100, 1));
    assert_eq!(counts(&scene.prune()), (StepResult::Done, 1, 100));
    scene.outside_is_whole();
    assert_eq!(scene.left().len(), 7, "the symlinks themselves stay: {:?}", scene.left());
}

#[test]
fn a_watched_path_that_leads_through_a_symlink_is_not_read() {
    let scene = Scene::new(10);
    fs::remove_dir(scene.path("watched")).unwrap();
    assert_eq!(scene.measure()["bytes"], -1, "not there");
    symlink("outside", scene.path("watched")).unwrap();
    assert_eq!((scene.measure()["bytes"], scene.measure()["files"]), (-1, -1));
    assert_eq!(counts(&scene.prune()), (StepResult::Failed, 0, 0));
    scene.outside_is_whole();
    let mut through = Scene::new(10);
    through.file("real/files/file", 100, 1000);
    symlink("real", through.path("way")).unwrap();
    through.watched = "real/files";
    assert_eq!(through.measure()["bytes"], 100);
    through.watched = "way/files";
    assert_eq!(through.measure()["bytes"], -1);
    assert_eq!(counts(&through.prune()), (StepResult::Failed, 0, 0));
}

#[test]
fn a_name_of_a_hard_link_goes_and_the_file_stays_where_it_has_another() {
    let scene = Scene::new(10);
    fs::hard_link(scene.path("outside/precious"), scene.path("watched/second-name")).unwrap();
    scene.file("watched/twice", 100, 1000);
    fs::hard_link(scene.path("watched/twice"), scene.path("watched/thrice")).unwrap();
    scene.file("watched/last", 10, 1);
    assert_eq!(scene.measure()["bytes"], 1110);
    assert_eq!(counts(&scene.prune()), (StepResult::Done, 3, 1100));
    assert_eq!(fs::metadata(scene.path("outside/precious")).unwrap().nlink(), 1);
    scene.outside_is_whole();
    assert_eq!(scene.left(), ["last"]);
}

#[test]
fn what_is_no_regular_file_stays() {
    let scene = Scene::new(1);
    mkfifo(&scene.path("watched/pipe"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(scene.path("watched/socket")).unwrap();
    fs::create_dir(scene.path("watched/empty")).unwrap();
    assert_eq!((scene.measure()["bytes"], scene.measure()["files"]), (0, 0));
    assert_eq!(counts(&scene.prune()), (StepResult::Done, 0, 0));
    assert_eq!(scene.left(), ["pipe", "socket"]);
    assert!(scene.path("watched/empty").is_dir());
}

#[test]
fn strange_names_and_deep_folders() {
    let scene = Scene::new(1);
    let strange = OsStr::from_bytes(b"new\nline \xff \\ *");
    let deep: PathBuf = std::iter::repeat_n("d", 300).collect();
    fs::create_dir_all(scene.path("watched").join(&deep)).unwrap();
    for folder in [scene.path("watched"), scene.path("watched").join(&deep)] {
        fs::write(folder.join(strange), b"x").unwrap();
    }
    assert_eq!(scene.measure()["files"], 2);
    assert_eq!(counts(&scene.prune()).1, 1);
    assert_eq!(scene.measure()["bytes"], 1);
}

#[test]
fn a_deadline_and_a_stop_end_it_early() {
    let scene = Scene::new(1);
    scene.file("watched/a", 100, 1000);
    assert_eq!(counts(&scene.prune_within(Duration::ZERO)), (StepResult::TimedOut, 0, 0));
    scene.stop.stop();
    assert_eq!(counts(&scene.prune()), (StepResult::Interrupted, 0, 0));
    assert_eq!(scene.left(), ["a"]);
}

/// The attacker's moment: whenever the executor looks at its clock, between listing a folder and using it.
#[test]
fn a_folder_swapped_for_a_symlink_at_any_moment() {
    let mut swapped_while_pruning = 0;
    for moment in 0.. {
        let scene = Scene::new(1);
        fs::create_dir(scene.path("watched/folder")).unwrap();
        // The same files, by other names: so even their inodes are those that were looked at.
        for name in ["a", "b", "precious"] {
            fs::hard_link(scene.path("outside").join(name), scene.path("watched/folder").join(name)).unwrap();
        }
        scene.file("watched/z", 10, 1);
        let (folder, outside, aside) =
            (scene.path("watched/folder"), scene.path("outside"), scene.path("aside"));
        let target = if moment % 2 == 0 { outside } else { "../outside".into() };
        let done = Arc::new(AtomicBool::new(false));
        let swapped = done.clone();
        let clock = Hooked::new(moment / 2, move || {
            fs::rename(&folder, &aside).unwrap();
            symlink(&target, &folder).unwrap();
            swapped.store(true, Ordering::SeqCst);
        });
        let facts = HostFacts { now: clock.wall(), restore_proven: None };
        let world = World { clock: Arc::new(clock), entropy: Arc::new(SystemEntropy) };
        let host = SystemHost::new(
            world,
            Programs::default(),
            scene.path("state"),
            scene.path("hold"),
            Stop::default(),
        );
        let step = Action::FilesPrune.on("it");
        let outcome = host.perform(&step, &scene.entry(), &facts, Duration::from_secs(60));
        assert_eq!(outcome.result, StepResult::Done, "{moment}");
        scene.outside_is_whole();
        if !done.load(Ordering::SeqCst) {
            break;
        }
        swapped_while_pruning += 1;
    }
    assert!(swapped_while_pruning > 8, "{swapped_while_pruning} moments");
}

#[test]
fn a_folder_of_many_names_does_not_hold_up_a_stop() {
    let scene = Scene::new(1);
    for n in 0..5000 {
        File::create(scene.path(&format!("watched/{n}"))).unwrap();
    }
    let stop = scene.stop.clone();
    // The second look: the first is before the folder is opened.
    let world =
        World { clock: Arc::new(Hooked::new(2, move || stop.stop())), entropy: Arc::new(SystemEntropy) };
    let facts = HostFacts { now: Later(2).wall(), restore_proven: None };
    let host = SystemHost::new(
        world,
        Programs::default(),
        scene.path("state"),
        scene.path("hold"),
        scene.stop.clone(),
    );
    let readings = host.measure(&scene.entry(), &facts);
    assert_eq!(readings["files"], -1, "it came to its end");
}

/// A clock that does something when it is looked at for the n-th time.
struct Hooked {
    left: AtomicU32,
    hook: Mutex<Box<dyn FnMut() + Send>>,
}

impl Hooked {
    /// By a hand that is not the executor's: that one is shut in.
    fn new(after: u32, mut hook: impl FnMut() + Send + 'static) -> Self {
        let ((ask, asked), (answer, answered)) = (channel(), channel());
        thread::spawn(move || {
            for () in asked {
                hook();
                answer.send(()).unwrap();
            }
        });
        let hook = move || {
            ask.send(()).unwrap();
            answered.recv().unwrap();
        };
        Self { left: AtomicU32::new(after), hook: Mutex::new(Box::new(hook)) }
    }
}

impl Clock for Hooked {
    fn wall(&self) -> Millis {
        Later(2).wall()
    }
    fn boot(&self) -> Duration {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            (self.hook.lock().unwrap())();
        }
        SystemClock.boot()
    }
}
