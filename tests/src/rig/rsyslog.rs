//! Debian's rsyslog, unpacked and not installed: a log file in, lines over TCP out, what was read on disk in between.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::process::Process;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/comparisons/root");
const LIMIT: Duration = Duration::from_secs(60);

/// A folder of programs that others made, as `.ci/setup bench` unpacks it.
#[must_use]
pub fn unpacked(path: &str) -> Option<PathBuf> {
    Some(Path::new(ROOT).join(path)).filter(|path| path.exists())
}

/// Where their libraries lie, for `LD_LIBRARY_PATH`.
#[must_use]
pub fn libraries() -> String {
    let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
    format!("{ROOT}/usr/lib/{machine}:{ROOT}/usr/lib")
}

/// An rsyslogd of its own.
pub struct Rsyslog {
    folder: PathBuf,
    daemon: Option<Process>,
}

impl Rsyslog {
    /// Writes the configuration; `None`: there is no rsyslog here. `pattern`: only lines that hold it are sent.
    pub fn new(folder: &Path, log: &Path, port: u16, pattern: Option<&str>) -> Result<Option<Self>> {
        if unpacked("usr/sbin/rsyslogd").is_none() {
            return Ok(None);
        }
        fs::create_dir_all(folder.join("spool"))?;
        let (spool, log) = (folder.join("spool").display().to_string(), log.display().to_string());
        let send = format!(
            "action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" protocol=\"tcp\" template=\"raw\"\n  \
             action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\")"
        );
        let send = match pattern {
            Some(pattern) => format!("if $msg contains \"{pattern}\" then {{ {send} }}"),
            None => send,
        };
        // The queue that its input fills lies on disk, so that a line that was read is kept, as with us.
        let text = format!(
            "global(workDirectory=\"{spool}\" maxMessageSize=\"8k\")\nmodule(load=\"imfile\")\n\
             template(name=\"raw\" type=\"string\" string=\"%msg%\\n\")\n\
             ruleset(name=\"all\" queue.type=\"Disk\" queue.filename=\"all\" queue.size=\"5000000\"\n  \
             queue.maxDiskSpace=\"4g\" queue.saveOnShutdown=\"on\") {{\n{send}\n}}\n\
             input(type=\"imfile\" File=\"{log}\" Tag=\"app:\" ruleset=\"all\" PersistStateInterval=\"1000\")\n"
        );
        fs::write(folder.join("rsyslog.conf"), text)?;
        Ok(Some(Self { folder: folder.to_owned(), daemon: None }))
    }

    /// Starts it.
    pub fn start(&mut self) -> Result<()> {
        let program = unpacked("usr/sbin/rsyslogd").context("there is an rsyslog")?;
        let modules = format!("{}/rsyslog", libraries().split(':').next().unwrap_or_default());
        let pid = self.folder.join("pid");
        let _ = fs::remove_file(&pid); // of one that was killed
        let mut command = Command::new(program);
        command.arg("-n").arg("-f").arg(self.folder.join("rsyslog.conf"));
        command.arg("-i").arg(pid).args(["-M", &modules]).env("LD_LIBRARY_PATH", libraries());
        self.daemon = Some(Process::start("rsyslogd", command, &self.folder.join("log"), None)?);
        Ok(())
    }

    /// Its process ID.
    pub fn id(&self) -> Result<u32> {
        Ok(self.daemon.as_ref().context("rsyslogd is not running")?.id())
    }

    /// Fails when it has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        self.daemon.as_mut().map_or(Ok(()), Process::check)
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.take().context("rsyslogd is not running")?.kill()
    }

    /// Asks it to end.
    pub fn stop(&mut self) -> Result<()> {
        self.daemon.take().context("rsyslogd is not running")?.stop(LIMIT)
    }
}
