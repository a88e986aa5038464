//! The real binary: its files, its signals, and what it does when its state is broken.

use std::{
    fs,
    io::Read as _,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt as _, net::UnixListener},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use appliance::ipc::Connection;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use proto::local::{self, request::Call, response::Answer};

use crate::program::{ask, describe};

/// The real binary, ended with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn config(folder: &Path) -> PathBuf {
    let text = format!(
        "control_plane.address = \"https://127.0.0.1:1\"\n[trust]\norganization_keys = {:?}\nca = {:?}\n[paths]\nstate = {:?}\nsocket = {:?}\nhold = {:?}\n",
        folder.join("keys.json"),
        folder.join("ca.pem"),
        folder.join("state"),
        folder.join("run/executor.sock"),
        folder.join("hold")
    );
    let path = folder.join("appliance.toml");
    fs::write(&path, text).unwrap();
    path
}

/// Starts it with a listening socket as standard input, as systemd does.
fn start(folder: &Path) -> (Program, Connection) {
    let socket = folder.join("handed-over.sock");
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_appliance"))
        .arg("--config")
        .arg(config(folder))
        .arg("executor")
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    (Program(child), Connection::open(&socket).unwrap())
}

fn end(mut program: Program) -> (Option<i32>, String) {
    kill(Pid::from_raw(program.0.id().cast_signed()), Signal::SIGTERM).unwrap();
    let mut said = String::new();
    program.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (program.0.wait().unwrap().code(), said)
}

#[test]
fn the_binary_keeps_its_incarnation_its_files_to_itself_and_ends_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let (program, mut connection) = start(folder.path());
    let first = describe(&mut connection);
    assert!(first.identity.is_none() && first.evidence_key.starts_with("ed25519:"));
    assert_eq!(end(program).0, Some(0));
    let state = folder.path().join("state/executor");
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    for file in fs::read_dir(&state).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.file_name());
    }
    assert!(!folder.path().join("run").exists(), "the socket was handed over");

    let (program, mut connection) = start(folder.path());
    let second = describe(&mut connection);
    assert_eq!(
        (second.incarnation, second.evidence_key),
        (first.incarnation.clone(), first.evidence_key.clone())
    );
    // Killed at once, it goes on as well.
    drop(program);
    // What the power cut left of a test restore is somebody's records.
    fs::create_dir_all(state.join("scratch/srv")).unwrap();
    fs::write(state.join("scratch/srv/record"), b"x").unwrap();
    fs::create_dir_all(state.join("drill/scratch/srv")).unwrap();
    let (_program, mut connection) = start(folder.path());
    assert_eq!(describe(&mut connection).incarnation, first.incarnation);
    assert!(!state.join("scratch").exists() && !state.join("drill").exists());
}

#[test]
fn the_binary_with_a_broken_database_or_a_lost_key_runs_nothing_and_makes_nothing_anew() {
    for broken in ["executor.db", "evidence.key"] {
        let folder = tempfile::tempdir().unwrap();
        let (program, mut connection) = start(folder.path());
        describe(&mut connection);
        end(program);
        let state = folder.path().join("state/executor");
        if broken == "evidence.key" {
            fs::remove_file(state.join(broken)).unwrap();
        } else {
            fs::write(state.join(broken), b"this is no database, but it is long enough to be looked at")
                .unwrap();
        }
        let (program, mut connection) = start(folder.path());
        let Answer::Failure(failure) = ask(&mut connection, Call::Describe(local::Describe {})) else {
            panic!()
        };
        assert!(
            failure.problem.contains(broken) || failure.problem.contains("evidence key"),
            "{}",
            failure.problem
        );
        let (code, said) = end(program);
        assert_eq!(code, Some(0));
        assert!(said.contains("no order runs"), "{said}");
        assert_eq!(state.join("evidence.key").exists(), broken != "evidence.key");
    }
}

/// Power cuts while the first files are made: the key is written beside its place, put there, and then the database.
#[test]
fn the_binary_begins_after_a_power_cut_at_any_of_its_first_files() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state/executor");
    fs::create_dir_all(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    // Half a key, beside its place.
    fs::write(state.join("evidence.key.new"), "ed25519").unwrap();
    let (program, mut connection) = start(folder.path());
    let first = describe(&mut connection);
    assert!(first.evidence_key.starts_with("ed25519:"));
    drop(program);
    assert!(!state.join("evidence.key.new").exists(), "half a key lies about");
    // The key and no database; the key and a database in which nothing is.
    for empty in [false, true] {
        for file in ["executor.db", "executor.db-wal", "executor.db-shm"] {
            let _ = fs::remove_file(state.join(file));
        }
        if empty {
            fs::write(state.join("executor.db"), "").unwrap();
            fs::set_permissions(state.join("executor.db"), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let (program, mut connection) = start(folder.path());
        let again = describe(&mut connection);
        assert_eq!(again.evidence_key, first.evidence_key, "another key, database there: {empty}");
        assert_ne!(again.incarnation, first.incarnation, "it never had this state before");
        drop(program);
    }
}

#[test]
fn two_executors_do_not_share_a_state() {
    let folder = tempfile::tempdir().unwrap();
    let (_program, mut connection) = start(folder.path());
    describe(&mut connection);
    let output = Command::new(env!("CARGO_BIN_EXE_appliance"))
        .arg("--config")
        .arg(config(folder.path()))
        .arg("executor")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another process has it"));
}
