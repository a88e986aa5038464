//! The agent's fence, put up around a thread of this test: what the kernel then lets it do, whoever it runs as.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::Command,
    sync::mpsc::channel,
    thread,
};

use appliance::{
    agent::confine::{Fence, Held, around_agent},
    config::Config,
};

struct Place {
    folder: tempfile::TempDir,
    config: Config,
}

impl Place {
    fn new(watch: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["state/agent", "state/executor", "logs", "etc"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for name in ["state/agent/own", "state/executor/key", "logs/app.log", "etc/ca.pem", "secret"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let path = folder.path().display();
        let text = format!(
            "control_plane.address = \"https://127.0.0.1:1\"\ntrust.ca = \"{path}/etc/ca.pem\"\n\
             trust.organization_keys = \"{path}/etc/keys.json\"\npaths.state = \"{path}/state\"\n{watch}\n\
             [[watch.log]]\nid = \"app\"\npath = \"{path}/logs/app.log\"\nraise = [\"ERROR\"]\n"
        );
        let config = Config::parse(&text, &folder.path().join("etc/appliance.toml")).unwrap();
        Self { folder, config }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Does something behind the fence; `None`: this kernel has none. In CI that is a failure, not an excuse.
    fn behind<T: Send>(&self, work: impl FnOnce(&Fence) -> T + Send) -> Option<T> {
        thread::scope(|scope| {
            let work = || {
                let fence = around_agent(&self.config).unwrap();
                let held = fence.held != Held::NotAtAll;
                assert!(
                    held || std::env::var_os("CI").is_none(),
                    "in CI nothing is skipped, but there is no Landlock"
                );
                held.then(|| work(&fence))
            };
            scope.spawn(work).join().unwrap()
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ErrorKind> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(|e| e.kind())?;
    Ok(bytes)
}

#[test]
fn nothing_but_its_own_can_be_opened() {
    let place = Place::new("");
    let said = place.behind(|_| {
        for open in ["state/agent/own", "logs/app.log", "etc/ca.pem"] {
            assert_eq!(read(&place.path(open)).unwrap(), b"x", "{open}");
        }
        for shut in ["state/executor/key", "secret"] {
            assert_eq!(read(&place.path(shut)), Err(ErrorKind::PermissionDenied), "{shut}");
        }
        // Root's own rights do not help.
        assert_eq!(read(Path::new("/etc/shadow")), Err(ErrorKind::PermissionDenied));
        assert_eq!(fs::read_dir("/root").unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert!(read(Path::new("/proc/self/status")).is_ok());
        fs::write(place.path("state/agent/new"), "y").unwrap();
        fs::rename(place.path("state/agent/new"), place.path("state/agent/newer")).unwrap();
        for shut in ["logs/app.log", "etc/ca.pem", "secret"] {
            let opened = OpenOptions::new().append(true).open(place.path(shut));
            let wrote = opened.and_then(|mut file| file.write_all(b"z")).map_err(|e| e.kind());
            assert_eq!(wrote, Err(ErrorKind::PermissionDenied), "{shut}");
        }
        let listening = TcpListener::bind("127.0.0.1:0").map_err(|e| e.kind());
        assert_eq!(listening.unwrap_err(), ErrorKind::PermissionDenied);
        assert_eq!(Command::new("true").status().unwrap_err().kind(), ErrorKind::PermissionDenied);
    });
    if said.is_none() {
        println!("skipped: this kernel has no Landlock");
    }
    assert_eq!(read(&place.path("secret")).unwrap(), b"x", "the fence is around that thread alone");
}

#[test]
fn whoever_watches_the_journal_may_run_journalctl_behind_the_same_fence() {
    let place = Place::new("[[watch.journal]]\nid = \"it\"\npriority = 3");
    place.behind(|_| {
        assert!(Command::new("true").status().unwrap().success());
        let cat = Command::new("cat").arg(place.path("secret")).output().unwrap();
        assert!(!cat.status.success() && cat.stdout.is_empty());
        let cat = Command::new("cat").arg(place.path("logs/app.log")).output().unwrap();
        assert_eq!(cat.stdout, b"x");
    });
}

#[test]
fn a_part_that_is_replaced_is_noticed() {
    let place = Place::new("");
    let (ready, is_ready) = channel();
    let (replaced, is_replaced) = channel();
    thread::scope(|scope| {
        let place = &place;
        let inside = scope.spawn(move || {
            let fence = around_agent(&place.config).unwrap();
            fs::write(place.path("state/agent/other"), "y").unwrap();
            ready.send(fence.is_outdated()).unwrap();
            is_replaced.recv().unwrap();
            fence.held == Held::NotAtAll || fence.is_outdated()
        });
        assert!(!is_ready.recv().unwrap(), "what changes within a folder is no matter");
        fs::rename(place.path("logs"), place.path("logs.old")).unwrap();
        fs::create_dir(place.path("logs")).unwrap();
        replaced.send(()).unwrap();
        assert!(inside.join().unwrap());
    });
}
