//! A child process that does not outlive its owner.

use std::{
    fs::File,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::wait;

/// The program `name` as it was built beside this one.
pub fn binary(name: &str) -> Result<PathBuf> {
    let me = std::env::current_exe().context("where am I?")?;
    let mut folder = me.parent().context("a program lies in a folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("deps lies in a folder")?;
    }
    let path = folder.join(name);
    if !path.exists() {
        bail!("{} is not built; run `cargo build --workspace` (or `make build`) first", path.display());
    }
    Ok(path)
}

/// A running program whose output goes to a file.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `command` under `name`, as user `uid` when one is given; its output is appended to `log`.
    pub fn start(name: &str, mut command: Command, log: &Path, uid: Option<u32>) -> Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("log {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name: name.to_owned(), log: log.to_owned() })
    }

    /// Its process ID.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end and waits; it must do so with exit code 0.
    pub fn stop(mut self, limit: Duration) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, Signal::SIGTERM)?;
        let status = wait::until(&format!("{} ends", self.name), limit, || Ok(self.child.try_wait()?))?;
        if !status.success() {
            bail!("{} ended with {status}; see {}", self.name, self.log.display());
        }
        Ok(())
    }

    /// Fails when it has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself with {status}; see {}", self.name, self.log.display()),
        }
    }

    /// Its exit, once it has one.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end and gives its output; anything but one of `codes` is an error with what it said.
pub fn run(command: &mut Command, codes: &[i32]) -> Result<std::process::Output> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.code().is_some_and(|code| codes.contains(&code)) {
        bail!(
            "{command:?} ended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output)
}
