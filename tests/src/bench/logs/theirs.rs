//! Theirs: rsyslog with its queue on disk, and a tailer in Python with SQLite.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::contest::{Contender, Spent};
use crate::rig::{Process, Rsyslog, Sink, log_text::PATTERN, sink::Mode, usage};

const TAILER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bench/logs/tailer.py");

/// rsyslog.
pub(super) struct Theirs {
    daemon: Rsyslog,
    sink: Sink,
    log: PathBuf,
}

impl Theirs {
    /// `None`: there is none here.
    pub(super) fn new(work: &Path, whole: bool) -> Result<Option<Self>> {
        let (log, sink) = (work.join("theirs.log"), Sink::start(Mode::Count)?);
        std::fs::write(&log, "")?;
        let pattern = (!whole).then_some(PATTERN);
        let Some(mut daemon) = Rsyslog::new(&work.join("rsyslog"), &log, sink.port(), pattern)? else {
            return Ok(None);
        };
        daemon.start()?;
        Ok(Some(Self { daemon, sink, log }))
    }
}

impl Contender for Theirs {
    fn log(&self) -> PathBuf {
        self.log.clone()
    }

    fn delivered(&mut self) -> Result<u64> {
        self.daemon.check()?;
        Ok(self.sink.lines())
    }

    fn spent(&mut self) -> Result<Spent> {
        let id = self.daemon.id()?;
        Ok(Spent { time: usage::processor_time(id)?, peak: usage::peak_memory(id)? })
    }

    fn end(&mut self) -> Result<()> {
        self.daemon.stop()
    }
}

/// The tailer.
pub(super) struct Tailer {
    program: Process,
    sink: Sink,
    log: PathBuf,
}

impl Tailer {
    pub(super) fn new(work: &Path, whole: bool) -> Result<Self> {
        let (log, sink) = (work.join("tailer.log"), Sink::start(Mode::Acknowledge)?);
        std::fs::write(&log, "")?;
        let mut command = Command::new("python3");
        command.arg(TAILER).arg(&log).arg(work.join("tailer.db")).arg(sink.port().to_string());
        if !whole {
            command.arg(PATTERN);
        }
        let program = Process::start("the tailer", command, &work.join("tailer.out"), None)?;
        Ok(Self { program, sink, log })
    }
}

impl Contender for Tailer {
    fn log(&self) -> PathBuf {
        self.log.clone()
    }

    fn delivered(&mut self) -> Result<u64> {
        self.program.check()?;
        Ok(self.sink.lines())
    }

    fn spent(&mut self) -> Result<Spent> {
        let id = self.program.id();
        Ok(Spent { time: usage::processor_time(id)?, peak: usage::peak_memory(id)? })
    }

    /// It has no way to end well, and needs none: it goes with its owner.
    fn end(&mut self) -> Result<()> {
        self.program.check()
    }
}
