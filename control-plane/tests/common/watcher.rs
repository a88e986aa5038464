//! A running `control-plane witness serve`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use proto::log::WitnessKey;

use crate::{
    program::{Said, run},
    serving::Serving,
};

/// A witness: its folder, and its program while it runs.
pub struct Watcher {
    pub folder: PathBuf,
    serving: Option<Serving>,
    pub address: SocketAddr,
    pub key: WitnessKey,
}

impl Watcher {
    /// Makes one in `folder`, called `name`. It does not run yet.
    pub fn init(folder: &Path, name: &str) -> Self {
        let said = run(folder, &["--json", "--dir", "witness", "witness", "init", "--name", name]).json();
        Self {
            folder: folder.to_owned(),
            serving: None,
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
        let listen = self.address.to_string();
        let arguments = [&["--dir", "witness", "witness", "serve", "--listen", &listen], more].concat();
        let (serving, address) = Serving::start(&self.folder, &arguments, "address");
        self.serving = Some(serving);
        self.address = address;
    }

    /// SIGKILL: what a power cut does to a program.
    pub fn kill(&mut self) {
        self.serving.take().expect("it runs");
    }

    /// SIGTERM. Its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let mut serving = self.serving.take().expect("it runs");
        serving.terminate();
        serving.ended().code()
    }
}
