//! A control plane of its own, in a folder of its own.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::{
    process::{Process, binary, run},
    wait,
};

/// Long enough for a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A control plane: its folder, and its server while it runs.
pub struct Provider {
    /// The folder of the installation.
    pub dir: PathBuf,
    program: PathBuf,
    server: Option<Process>,
}

impl Provider {
    /// Makes an installation in `dir` that listens on free ports of the loopback.
    pub fn init(dir: &Path, organization: &str, webhook: Option<&str>) -> Result<Self> {
        let program = binary("control-plane")?;
        let (appliances, people) = (free_port()?, free_port()?);
        let mut command = Command::new(&program);
        command.args(["init", "--organization", organization, "--dir"]).arg(dir);
        command.args(["--public-address", &format!("https://127.0.0.1:{appliances}")]);
        command.args([
            "--appliances",
            &format!("127.0.0.1:{appliances}"),
            "--people",
            &format!("127.0.0.1:{people}"),
        ]);
        if let Some(url) = webhook {
            command.args(["--webhook", url]);
        }
        run(&mut command, &[0])?;
        Ok(Self { dir: dir.to_owned(), program, server: None })
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
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--dir").arg(&self.dir).env("RUST_LOG", "info");
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

    /// Fails when the server has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        self.server.as_mut().map_or(Ok(()), Process::check)
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
        let what = format!("the incident on {watch} is {}", states.join(" or "));
        wait::until(&what, limit, || {
            self.check()?;
            let all = self.ask(&["incident", "list"])?;
            let newest =
                all["incidents"].as_array().and_then(|list| list.iter().find(|i| i["watch"] == watch));
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

/// A port of the loopback that was free just now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
