//! An appliance of its own: configuration, executor and agent, in a folder of its own.
//!
//! As root the agent runs as another user than the executor; else both are whoever started the rig.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::unistd::Uid;
use serde_json::Value;

use super::{
    process::{Process, binary, run},
    restic::Repository,
    wait,
};

/// `nobody` on every Debian.
const AGENT_UID: u32 = 65534;
const LIMIT: Duration = Duration::from_secs(120);

/// An entry of the watch list.
pub enum Watch<'a> {
    /// A directory with a limit in bytes.
    Directory(&'a Path, u64),
    /// A repository.
    Backup(&'a Repository),
    /// A log file, and what a line must hold to be a match.
    Log(&'a Path, &'a [&'a str]),
    /// The same, and all of it travels.
    WholeLog(&'a Path, &'a [&'a str]),
}

/// An appliance.
pub struct Clinic {
    /// Its folder.
    pub dir: PathBuf,
    /// The other user that the agent runs as, if it does.
    pub agent_uid: Option<u32>,
    /// What its programs are started with.
    pub environment: Vec<(String, String)>,
    program: PathBuf,
    executor: Option<Process>,
    agent: Option<Process>,
}

impl Clinic {
    /// Writes the configuration.
    pub fn create(
        dir: &Path,
        address: &str,
        heartbeat_seconds: u32,
        watch: &[(&str, Watch<'_>)],
    ) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let program = binary("appliance")?;
        let agent_uid =
            (Uid::effective().is_root() && others_may_enter(&dir.join("config.toml"))).then_some(AGENT_UID);
        // The agent's user may not get to where it was built: in a clone in root's home, for one.
        let program = if agent_uid.is_some() && !others_may_enter(&program) {
            let copy = dir.join("appliance");
            fs::copy(&program, &copy)?;
            copy
        } else {
            program
        };
        let text = config(dir, address, heartbeat_seconds, agent_uid, watch)?;
        fs::write(dir.join("config.toml"), text)?;
        let made = Self {
            dir: dir.to_owned(),
            agent_uid,
            environment: Vec::new(),
            program,
            executor: None,
            agent: None,
        };
        run(&mut made.command(&["check-config"]), &[0])?;
        Ok(made)
    }

    /// Another box with this one's identity, in `dir`: all of its folder as it is, keys and databases included. Stop it
    /// first; what it watches is the same, unless that lies in the folder.
    pub fn copy(&self, dir: &Path) -> Result<Self> {
        run(Command::new("cp").arg("-a").arg(&self.dir).arg(dir), &[0])?;
        let text = |path: &Path| path.to_str().map(ToOwned::to_owned).context("a path in UTF-8");
        let config = dir.join("config.toml");
        let rewritten = fs::read_to_string(&config)?.replace(&text(&self.dir)?, &text(dir)?);
        fs::write(&config, rewritten)?;
        let made = Self {
            dir: dir.to_owned(),
            agent_uid: self.agent_uid,
            environment: self.environment.clone(),
            program: self.program.clone(),
            executor: None,
            agent: None,
        };
        run(&mut made.command(&["check-config"]), &[0])?;
        Ok(made)
    }

    /// Starts the executor and waits for its socket.
    pub fn start_executor(&mut self) -> Result<()> {
        self.spawn_executor()?;
        wait::until("the executor answers", LIMIT, || {
            self.check()?;
            Ok(appliance::ipc::Connection::open(&self.socket()).is_ok().then_some(()))
        })
    }

    /// Starts the executor and waits for nothing.
    pub fn spawn_executor(&mut self) -> Result<()> {
        let log = self.dir.join("executor.log");
        self.executor = Some(Process::start("executor", self.command(&["executor"]), &log, None)?);
        Ok(())
    }

    /// Enrols with a ticket.
    pub fn enroll(&self, ticket: &Path) -> Result<()> {
        let ticket = ticket.to_str().context("a path in UTF-8")?;
        run(&mut self.command(&["enroll", "--token-file", ticket]), &[0]).map(drop)
    }

    /// Starts the agent.
    pub fn start_agent(&mut self) -> Result<()> {
        let log = self.dir.join("agent.log");
        self.agent = Some(Process::start("agent", self.command(&["agent"]), &log, self.agent_uid)?);
        Ok(())
    }

    /// Ends the agent as a power cut would.
    pub fn kill_agent(&mut self) -> Result<()> {
        self.agent.take().context("the agent is not running")?.kill()
    }

    /// Ends the executor as a power cut would.
    pub fn kill_executor(&mut self) -> Result<()> {
        self.executor.take().context("the executor is not running")?.kill()
    }

    /// Ends what still runs and forgets what has ended by itself.
    pub fn forget(&mut self) {
        self.agent = None;
        self.executor = None;
    }

    /// Asks both to end.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(agent) = self.agent.take() {
            agent.stop(LIMIT)?;
        }
        self.executor.take().map_or(Ok(()), |executor| executor.stop(LIMIT))
    }

    /// Fails when one of them has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        self.executor.as_mut().map_or(Ok(()), Process::check)?;
        self.agent.as_mut().map_or(Ok(()), Process::check)
    }

    /// The agent's process ID.
    pub fn agent_id(&self) -> Result<u32> {
        Ok(self.agent.as_ref().context("the agent is not running")?.id())
    }

    /// The executor's process ID.
    pub fn executor_id(&self) -> Result<u32> {
        Ok(self.executor.as_ref().context("the executor is not running")?.id())
    }

    /// The log that one of both writes: `agent` or `executor`.
    pub fn log(&self, program: &str) -> Result<String> {
        let path = self.dir.join(program).with_extension("log");
        fs::read_to_string(&path).with_context(|| format!("log {}", path.display()))
    }

    /// What `appliance status` says.
    pub fn status(&self) -> Result<Value> {
        let output = run(&mut self.command(&["status", "--json"]), &[0])?;
        serde_json::from_slice(&output.stdout).context("status did not print JSON")
    }

    /// Where the executor listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("executor.sock")
    }

    /// The evidence key's file.
    #[must_use]
    pub fn evidence_key(&self) -> PathBuf {
        self.dir.join("state/executor/evidence.key")
    }

    /// The agent's own key's file.
    #[must_use]
    pub fn tls_key(&self) -> PathBuf {
        self.dir.join("state/agent/tls.key")
    }

    /// Whether the agent's user can read a file; tried by that user.
    pub fn agent_can_read(&self, file: &Path) -> Result<bool> {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new("cat");
        command.arg(file);
        if let Some(uid) = self.agent_uid {
            command.uid(uid).gid(uid);
        }
        Ok(run(&mut command, &[0, 1])?.status.success())
    }

    /// A command line of this box.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.dir.join("config.toml")).args(args);
        command.env("RUST_LOG", "info").envs(self.environment.iter().cloned());
        // As its units have it.
        command.env("MALLOC_ARENA_MAX", "1").env("MALLOC_MMAP_THRESHOLD_", "131072");
        command.env("MALLOC_TRIM_THRESHOLD_", "131072");
        command
    }
}

/// Whether another user gets through all folders above `path`, the last of which must exist.
pub fn others_may_enter(path: &Path) -> bool {
    let Some(Ok(folder)) = path.parent().map(fs::canonicalize) else { return false };
    folder.ancestors().all(|folder| fs::metadata(folder).is_ok_and(|m| m.permissions().mode() & 0o001 != 0))
}

fn config(
    dir: &Path,
    address: &str,
    heartbeat: u32,
    agent: Option<u32>,
    watch: &[(&str, Watch<'_>)],
) -> Result<String> {
    let state = dir.join("state");
    fs::create_dir_all(&state)?;
    let mut text = format!(
        "[control_plane]\naddress = \"{address}\"\n\n\
         [trust]\norganization_keys = {}\nca = {}\n\n\
         [paths]\nstate = {}\nsocket = {}\nhold = {}\n\n",
        quoted(&dir.join("organization.keys.json")),
        quoted(&dir.join("ca.pem")),
        quoted(&state),
        quoted(&dir.join("executor.sock")),
        quoted(&dir.join("hold")),
    );
    text.push_str("[agent]\nsample_seconds = 0.5\n");
    if let Some(uid) = agent {
        let _ = writeln!(text, "user = {uid}");
        // The agent's own folder; the executor's is made by the executor.
        let folder = state.join("agent");
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        chown(&folder, Some(uid), Some(uid))?;
    }
    let _ = write!(text, "\n[executor]\nheartbeat_seconds = {heartbeat}\n");
    if let Some(uid) = agent {
        let _ = writeln!(text, "agent_user = {uid}");
    }
    for (id, entry) in watch {
        match entry {
            Watch::Directory(path, limit) => {
                let _ = write!(
                    text,
                    "\n[[watch.directory]]\nid = \"{id}\"\npath = {}\nlimit_bytes = {limit}\nkeep_newer_than_seconds = 0\n",
                    quoted(path)
                );
            }
            Watch::Backup(repository) => {
                let _ = write!(
                    text,
                    "\n[[watch.backup]]\nid = \"{id}\"\nrepository = {}\npassword_file = {}\nsources = [{}]\nmax_age_seconds = 86400\n",
                    quoted(&repository.path),
                    quoted(&repository.password),
                    quoted(&repository.source)
                );
            }
            Watch::Log(path, raise) | Watch::WholeLog(path, raise) => {
                let raise: Vec<String> = raise.iter().map(|text| format!("{text:?}")).collect();
                let (path, raise) = (quoted(path), raise.join(", "));
                let _ = write!(text, "\n[[watch.log]]\nid = \"{id}\"\npath = {path}\nraise = [{raise}]\n");
                if matches!(entry, Watch::WholeLog(..)) {
                    text.push_str("forward = \"all\"\n");
                }
            }
        }
    }
    Ok(text)
}

fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy().as_ref()).to_string()
}
