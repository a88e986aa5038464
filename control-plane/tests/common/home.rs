//! An installation of its own, its server, and the command line beside it.

use std::{net::SocketAddr, path::Path};

use control_plane::{
    clock,
    config::Config,
    directory::Directory,
    init::{Options, init},
    serve::{doors::Doors, run::run as serve},
};
use serde_json::Value;
use tokio::{runtime::Runtime, sync::oneshot, task::JoinHandle};

use crate::program::{Said, run};

/// An installation in a folder of its own.
pub struct Home {
    folder: tempfile::TempDir,
}

/// Its server, while it runs.
pub struct Server {
    runtime: Runtime,
    pub people: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            organization: "msp.example".into(),
            address: "https://127.0.0.1:8443".into(),
            appliances: "127.0.0.1:0".into(),
            people: "127.0.0.1:0".into(),
            webhook: None,
            owner: "owner".into(),
        };
        init(&Directory::new(folder.path().join("orderly")), &options, clock::now(), &mut clock::random)
            .unwrap();
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn directory(&self) -> Directory {
        Directory::new(self.path().join("orderly"))
    }

    pub fn start(&self) -> Server {
        let directory = self.directory();
        let config = Config::load(&directory.config()).unwrap();
        let runtime = Runtime::new().unwrap();
        let doors = runtime.block_on(Doors::bind(&config)).unwrap();
        let people = doors.people.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let socket = directory.admin_socket();
        let served = runtime
            .spawn(async move { serve(&directory, config, doors, async { drop(stopped.await) }).await });
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(!served.is_finished(), "the server ended: {:?}", runtime.block_on(served));
            std::thread::yield_now();
        }
        Server { runtime, people, stop, served }
    }

    /// Runs a command over the admin socket.
    pub fn run(&self, arguments: &[&str]) -> Said {
        run(self.path(), &[&["--dir", "orderly"], arguments].concat())
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[&["--json"], arguments].concat()).json()
    }

    pub fn offline(&self, name: &str) -> String {
        self.directory().offline().join(format!("{name}.key")).display().to_string()
    }
}

impl Server {
    pub fn end(self) {
        self.stop.send(()).unwrap();
        self.runtime.block_on(self.served).unwrap().unwrap();
    }
}
