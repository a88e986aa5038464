//! Ours: the real agent and executor, over mTLS to a real `control-plane serve`, until acknowledged.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use appliance::agent::outbox::inspect;
use rusqlite::Connection;

use super::{
    super::stage,
    contest::{Contender, Spent},
};
use crate::rig::{Clinic, Provider, Watch, log_text::PATTERNS, usage};

/// An appliance that follows one log.
pub(super) struct Ours {
    provider: Provider,
    clinic: Clinic,
    inbox: Connection,
    log: PathBuf,
}

impl Ours {
    /// Enrolled and running; `whole`: all lines travel, not only those that matter.
    pub(super) fn new(work: &std::path::Path, whole: bool) -> Result<Self> {
        let mut provider = stage::provider(work)?;
        let log = work.join("ours.log");
        std::fs::write(&log, "")?;
        let watch = if whole { Watch::WholeLog(&log, PATTERNS) } else { Watch::Log(&log, PATTERNS) };
        let mut clinic = stage::appliance(&provider, work, "box", &[("log", watch)])?;
        clinic.start_agent()?;
        let inbox = provider.database()?;
        provider.check()?;
        Ok(Self { provider, clinic, inbox, log })
    }
}

impl Contender for Ours {
    fn log(&self) -> PathBuf {
        self.log.clone()
    }

    /// What the control plane has and the agent knows that it has.
    fn delivered(&mut self) -> Result<u64> {
        let taken: i64 = self
            .inbox
            .prepare_cached("SELECT coalesce(sum(taken), 0) FROM lines_account")?
            .query_row([], |row| row.get(0))?;
        Ok(taken.cast_unsigned())
    }

    fn at_rest(&mut self) -> Result<bool> {
        let outbox = inspect(&self.clinic.dir.join("state/agent/outbox.db"))?;
        Ok(outbox.is_some_and(|outbox| outbox.lines == 0 && outbox.on_its_way.is_none()))
    }

    fn spent(&mut self) -> Result<Spent> {
        let (agent, executor) = (self.clinic.agent_id()?, self.clinic.executor_id()?);
        let time: Duration = usage::processor_time(agent)? + usage::processor_time(executor)?;
        Ok(Spent { time, peak: usage::peak_memory(agent)? })
    }

    fn end(&mut self) -> Result<()> {
        let gaps: i64 = self.inbox.query_row("SELECT count(*) FROM gap", [], |row| row.get(0))?;
        ensure!(gaps == 0, "{gaps} gaps were recorded; nothing was too much for any outbox");
        self.clinic.stop()?;
        self.provider.stop()
    }
}
