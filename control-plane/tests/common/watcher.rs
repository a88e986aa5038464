//! A running `control-plane witness serve`.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use proto::log::WitnessKey;
use serde_json::Value;

use crate::program::{Said, run};

/// A witness: its folder, and its program while it runs. Killed when dropped.
pub struct Watcher {
    pub folder: PathBuf,
    child: Option<Child>,
    pub address: SocketAddr,
    pub key: WitnessKey,
}

impl Watcher {
    /// Makes one in `folder`, called `name`. It does not run yet.
    pub fn init(folder: &Path, name: &str) -> Self {
        let said = run(folder, &["--json", "--dir", "witness", "witness", "init", "--name", name]).json();
        Self {
            folder: folder.to_owned(),
            child: None,
            address: "127.0.0.1:0".parse().unwrap(),
            key: said["vkey"].as_str().unwrap().parse().unwrap(),
        }
    }

    /// One of its commands.
    pub fn run(&self, arguments: &[&str]) -> Said {
        run(&self.folder, &[&["--json", "--dir", "witness", "witness"], arguments].concat())
    }

    /// Starts it, where it was before if it ran before, and waits until it says where it listens.
    pub fn start(&mut self, more: &[&str]) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_control-plane"))
            .args(["--json", "--dir", "witness", "witness", "serve", "--listen", &self.address.to_string()])
            .args(more)
            .current_dir(&self.folder)
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let line: Value = serde_json::from_str(&line).ok()?;
            let said = &line["fields"];
            (said["message"] == "serving").then(|| said["address"].as_str().unwrap().parse().unwrap())
        });
        // Whoever writes to a pipe that nobody reads would wait for ever.
        std::thread::spawn(move || lines.for_each(drop));
        self.child = Some(child);
        self.address = address.expect("it says where it listens");
    }

    /// SIGKILL: what a power cut does to a program.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM. Its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        child.wait().unwrap().code()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
