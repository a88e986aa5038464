//! A control plane of its own, in a folder of its own.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result};
use control_plane::config::S3;
use proto::time::Millis;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tokio::net::TcpSocket;

use super::{
    network::{Network, OUTSIDE},
    process::{Process, binary, run},
    wait,
};
use crate::clock;

/// Long enough for a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A control plane: its folder, and its server while it runs.
pub struct Provider {
    /// The folder of the installation.
    pub dir: PathBuf,
    /// Where people reach it.
    pub people: SocketAddr,
    /// Where appliances reach it.
    pub appliances: SocketAddr,
    /// What its programs are started with.
    pub environment: Vec<(String, String)>,
    program: PathBuf,
    server: Option<Process>,
    _held: Vec<Port>,
    /// Whose network the server is in; `None`: this host's.
    network: Option<u32>,
    /// A library that moves the server's clock, and by how much.
    clock: Option<(PathBuf, String)>,
}

impl Provider {
    /// Makes an installation in `dir` that listens on free ports of the loopback.
    pub fn init(dir: &Path, organization: &str, webhook: Option<&str>) -> Result<Self> {
        let (appliances, people) = (Port::hold()?, Port::hold()?);
        let public = appliances.address.to_string();
        let places = [appliances.address, people.address];
        let made = Self::make(dir, organization, webhook, &public, places)?;
        Ok(Self { _held: vec![appliances, people], ..made })
    }

    /// Makes one whose server is in `network`, outside of the clinic, under `public` (`host:port`).
    pub fn init_outside(dir: &Path, organization: &str, network: &Network, public: &str) -> Result<Self> {
        let (_, port) = public.rsplit_once(':').context("a public address has a port")?;
        let places = [format!("{OUTSIDE}:{port}").parse()?, "127.0.0.1:9443".parse()?];
        let made = Self::make(dir, organization, None, public, places)?;
        Ok(Self { network: Some(network.id()), ..made })
    }

    /// Makes one that is known as `public` and listens for appliances on `appliances`: something stands between.
    pub fn init_behind(
        dir: &Path,
        organization: &str,
        webhook: Option<&str>,
        public: &str,
        appliances: &str,
    ) -> Result<Self> {
        let people = Port::hold()?;
        let places = [appliances.parse()?, people.address];
        let made = Self::make(dir, organization, webhook, public, places)?;
        Ok(Self { _held: vec![people], ..made })
    }

    fn make(
        dir: &Path,
        organization: &str,
        webhook: Option<&str>,
        public: &str,
        [appliances, people]: [SocketAddr; 2],
    ) -> Result<Self> {
        let program = binary("control-plane")?;
        let mut command = Command::new(&program);
        command.args(["init", "--organization", organization, "--dir"]).arg(dir);
        command.args(["--public-address", &format!("https://{public}")]);
        command.args(["--appliances", &appliances.to_string(), "--people", &people.to_string()]);
        if let Some(url) = webhook {
            command.args(["--webhook", url]);
        }
        run(&mut command, &[0])?;
        Ok(Self {
            dir: dir.to_owned(),
            program,
            people,
            appliances,
            environment: Vec::new(),
            server: None,
            _held: Vec::new(),
            network: None,
            clock: None,
        })
    }

    /// Has the server's clock be `by` off from its next start on (libfaketime: `+8d`); `None`: right again.
    pub fn set_clock(&mut self, library: &Path, by: Option<&str>) {
        self.clock = by.map(|by| (library.to_owned(), by.to_owned()));
    }

    /// Starts the server and waits until it answers.
    pub fn start(&mut self) -> Result<()> {
        self.spawn()?;
        wait::until("the control plane answers", LIMIT, || {
            self.check()?;
            Ok(self.command(&["tenant", "list"]).output()?.status.success().then_some(()))
        })
    }

    /// Starts the server and waits for nothing.
    pub fn spawn(&mut self) -> Result<()> {
        let mut command = match self.network {
            None => Command::new(&self.program),
            Some(network) => {
                let mut command = Command::new("nsenter");
                command.args(["--target", &network.to_string(), "--net", "--"]).arg(&self.program);
                command
            }
        };
        if let Some((library, by)) = &self.clock {
            command.env("LD_PRELOAD", library).env("FAKETIME", by).env("DONT_FAKE_MONOTONIC", "1");
        }
        command.arg("serve").arg("--dir").arg(&self.dir).env("RUST_LOG", "info");
        command.envs(self.environment.iter().cloned());
        self.server = Some(Process::start("control plane", command, &self.dir.join("server.log"), None)?);
        Ok(())
    }

    /// Asks the server to end.
    pub fn stop(&mut self) -> Result<()> {
        self.server.take().context("the control plane is not running")?.stop(LIMIT)
    }

    /// Ends the server as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        self.server.take().context("the control plane is not running")?.kill()
    }

    /// The server's process ID.
    pub fn id(&self) -> Result<u32> {
        Ok(self.server.as_ref().context("the control plane is not running")?.id())
    }

    /// Fails when the server has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        self.server.as_mut().map_or(Ok(()), Process::check)
    }

    /// Has evidence kept in a bucket from the next start on.
    pub fn keep_in(&self, bucket: &S3) -> Result<()> {
        let path = self.dir.join("config.toml");
        let text = fs::read_to_string(&path)?;
        let S3 { scheme, host, region, bucket: name, prefix, path_style, credentials, .. } = bucket;
        let credentials = credentials.as_ref().context("credentials in a file")?;
        let s3 = format!(
            "kind = \"s3\"\nendpoint = \"{scheme}://{host}\"\nregion = \"{region}\"\nbucket = \"{name}\"\n\
             prefix = \"{prefix}\"\npath_style = {path_style}\ncredentials = \"{credentials}\"\n"
        );
        let (before, _) = text.split_once("[vault]").context("there is a vault")?;
        Ok(fs::write(&path, format!("{before}[vault]\n{s3}"))?)
    }

    /// Has a model asked from the next start on; `key`: what its endpoint wants to be shown.
    pub fn ask_model(&self, url: &str, name: &str, key: &str) -> Result<()> {
        let (path, file) = (self.dir.join("config.toml"), self.dir.join("planner.key"));
        fs::write(&file, format!("{key}\n"))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        let file = file.display();
        let more = format!("[planner]\nurl = {url:?}\nmodel = {name:?}\napi_key_file = \"{file}\"\n");
        Ok(fs::write(&path, format!("{}\n{more}", fs::read_to_string(&path)?))?)
    }

    /// Publishes the next catalogue: the runbooks that ship, and these (name of the file, YAML), signed as an organization
    /// signs it, by two of its offline release keys.
    pub fn publish(&self, version: u64, more: &[(&str, &str)]) -> Result<()> {
        let (folder, out) = (self.dir.join("runbooks"), self.dir.join(format!("catalogue-{version}.json")));
        fs::create_dir_all(&folder)?;
        for (name, text) in runbooks::sources().iter().copied().chain(more.iter().copied()) {
            fs::write(folder.join(Path::new(name).file_name().context("a file's name")?), text)?;
        }
        let text = |path: &Path| path.to_str().map(ToOwned::to_owned).context("a path in UTF-8");
        let (folder, out) = (text(&folder)?, text(&out)?);
        let expires = Millis(clock::now().0 + 30 * 86_400_000).to_string();
        let build = ["catalogue", "build", &folder, "--version", &version.to_string(), "--out", &out];
        self.run(&[&build[..], &["--expires", &expires[..10]]].concat(), &[0])?;
        for number in [1, 2] {
            let key = text(&self.dir.join(format!("offline/release-{number}.key")))?;
            self.run(&["catalogue", "sign", "--key", &key, &out], &[0])?;
        }
        self.run(&["catalogue", "publish", &out], &[0]).map(drop)
    }

    /// The server's database, to be looked at only.
    pub fn database(&self) -> Result<Connection> {
        let path = self.dir.join("control-plane.db");
        let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .with_context(|| format!("database {}", path.display()))?;
        db.busy_timeout(LIMIT)?;
        Ok(db)
    }

    /// A command line of this installation.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).arg("--dir").arg(&self.dir).env("RUST_LOG", "warn");
        command.envs(self.environment.iter().cloned());
        command
    }

    /// Runs a command line that must succeed, for its JSON.
    pub fn ask(&self, args: &[&str]) -> Result<Value> {
        let output = run(self.command(args).arg("--json"), &[0])?;
        serde_json::from_slice(&output.stdout).with_context(|| format!("{args:?} did not print JSON"))
    }

    /// Runs a command line that must end with one of `codes`.
    pub fn run(&self, args: &[&str], codes: &[i32]) -> Result<Output> {
        run(&mut self.command(args), codes)
    }

    /// The newest incident on a watch entry in one of `states`, waited for.
    pub fn incident(&mut self, watch: &str, states: &[&str], limit: Duration) -> Result<Value> {
        self.newest(watch, &|_| true, states, limit)
    }

    /// The same of one kind: an entry can have several faults.
    pub fn incident_of(
        &mut self,
        (watch, kind): (&str, &str),
        states: &[&str],
        limit: Duration,
    ) -> Result<Value> {
        self.newest(watch, &|incident| incident["kind"] == kind, states, limit)
    }

    fn newest(
        &mut self,
        watch: &str,
        is_meant: &dyn Fn(&Value) -> bool,
        states: &[&str],
        limit: Duration,
    ) -> Result<Value> {
        let what = format!("the incident on {watch} is {}", states.join(" or "));
        wait::until(&what, limit, || {
            self.check()?;
            let all = self.ask(&["incident", "list"])?;
            let is_newest = |i: &&Value| i["watch"] == watch && is_meant(i);
            let newest = all["incidents"].as_array().and_then(|list| list.iter().find(is_newest));
            Ok(newest.filter(|i| states.iter().any(|state| i["state"] == *state)).cloned())
        })
    }

    /// What an incident's history says.
    pub fn timeline(&self, incident: &Value) -> Result<Vec<Value>> {
        let shown =
            self.ask(&["incident", "show", incident["id"].as_str().context("an incident has an ID")?])?;
        Ok(shown["timeline"].as_array().cloned().unwrap_or_default())
    }

    /// All evidence of a tenant.
    pub fn evidence(&self, tenant: &str) -> Result<Vec<Value>> {
        let list = self.ask(&["evidence", "list", "--tenant", tenant, "--limit", "1000"])?;
        Ok(list["evidence"].as_array().cloned().unwrap_or_default())
    }
}

/// A port of the loopback that nobody else is given while this lives.
///
/// It is bound and does not listen. Linux gives such a port to nobody who asks for any, and lets a server that asks for
/// this one (with `SO_REUSEADDR`, as all servers do) bind it too, as often as it starts again.
pub struct Port {
    /// Loopback and port.
    pub address: SocketAddr,
    _socket: TcpSocket,
}

impl Port {
    /// Takes one.
    pub fn hold() -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self { address: socket.local_addr()?, _socket: socket })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_port_can_be_listened_on_again_and_again_and_is_given_to_nobody() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let held = Port::hold().unwrap();
        for _ in 0..2 {
            // As a server does: tokio and mio set SO_REUSEADDR.
            let server = runtime.block_on(tokio::net::TcpListener::bind(held.address)).unwrap();
            let taken = runtime.block_on(tokio::net::TcpListener::bind(held.address));
            assert_eq!(taken.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
            drop(server);
        }
        let others: Vec<_> = (0..200).map(|_| Port::hold().unwrap()).collect();
        assert!(others.iter().all(|other| other.address != held.address));
    }
}
