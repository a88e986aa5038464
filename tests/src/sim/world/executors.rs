//! Executors: what the threads around an executor's core do.
//!
//! Work is done at one moment, but concluded only when its time has passed: in between the executor answers, or is killed.

use std::time::Duration;

use appliance::executor::{Next, Work};

use super::{Event, World, forecast::Process};

/// How often an executor looks for something to do when nobody nudges it: less often than the real one, to save time.
const LOOK_EVERY: Duration = Duration::from_secs(45);
/// How many things are done in a row at one moment.
const AT_ONCE: usize = 8;

impl World {
    /// An executor was started.
    pub(super) fn begin_executor(&mut self, machine: usize) {
        let start = self.machines[machine].executor_starts;
        let after = self.soon(Duration::from_secs(1));
        self.later(after, Event::Work(machine, start));
    }

    /// An executor is gone.
    pub(super) fn kill_executor(&mut self, machine: usize) -> anyhow::Result<()> {
        if self.machines[machine].executor.life().is_some() {
            self.machines[machine].stop_executor();
            self.say(&format!("box {machine}: the executor is killed"));
            self.count("kills: executor");
            self.oracle.after_executor(&self.machines[machine])?;
            self.plan_restart(Process::Executor(machine));
        }
        Ok(())
    }

    /// There may be something to do.
    pub(super) fn nudge(&mut self, machine: usize) {
        let start = self.machines[machine].executor_starts;
        let after = self.soon(Duration::from_millis(200));
        self.later(after, Event::Nudge(machine, start));
    }

    /// Does what there is to do; `again`: and looks again later.
    pub(super) fn work(&mut self, machine: usize, start: u64, again: bool) -> anyhow::Result<()> {
        let it = &self.machines[machine];
        if it.executor_starts != start || it.executor.life().is_none() {
            return Ok(());
        }
        for _ in 0..AT_ONCE {
            if self.machines[machine].work.is_some() {
                break;
            }
            match self.machines[machine].executor.with(|core, _| core.next_work()) {
                None | Some(Ok(Next::Idle(_))) => break,
                Some(Err(error)) => {
                    let error = control_plane::core::chain(&error);
                    self.complain(machine, &format!("cannot go on: {error}"))?;
                    break;
                }
                Some(Ok(Next::Progress)) => {}
                Some(Ok(Next::Work(work))) => self.perform(machine, work)?,
            }
        }
        self.made_something(machine)?;
        if again {
            self.later(LOOK_EVERY, Event::Work(machine, start));
        }
        Ok(())
    }

    /// Does a piece of work, and plans its end.
    fn perform(&mut self, machine: usize, work: Work) -> anyhow::Result<()> {
        let it = &mut self.machines[machine];
        let start = it.executor_starts;
        let done = work.perform();
        let took = it.clock.catch_up();
        it.work = Some(done);
        let ran = it.host.take_ran();
        if !ran.is_empty() {
            let order = self.oracle.ran(&self.server, &self.machines[machine], &ran)?;
            self.say(&format!("box {machine}: order {order}: {} within {took:?}", ran.join(", ")));
        }
        let after = took + self.soon(Duration::from_millis(500));
        self.later(after, Event::Conclude(machine, start));
        Ok(())
    }

    pub(super) fn conclude(&mut self, machine: usize, start: u64) -> anyhow::Result<()> {
        let it = &mut self.machines[machine];
        if it.executor_starts != start {
            return Ok(());
        }
        let Some(done) = it.work.take() else { return Ok(()) };
        let concluded = it.executor.with(|core, _| core.conclude(done));
        if it.executor.life().is_some_and(|life| life.has_ended()) {
            it.host.work_was_cut_off();
            return Ok(());
        }
        it.host.work_is_over();
        match concluded {
            None => {}
            Some(Err(error)) => {
                let error = control_plane::core::chain(&error);
                self.complain(machine, &format!("cannot conclude: {error}"))?;
            }
            Some(Ok(Some(more))) => self.perform(machine, more)?,
            Some(Ok(None)) => self.nudge(machine),
        }
        self.made_something(machine)
    }

    /// An executor may only fail when it is being killed, or its disk is full.
    fn complain(&mut self, machine: usize, problem: &str) -> anyhow::Result<()> {
        self.say(&format!("box {machine}: the executor {problem}"));
        let it = &self.machines[machine];
        let dead = it.executor.life().is_none_or(|life| life.has_ended());
        anyhow::ensure!(dead || it.database.is_full(), "box {machine}: the executor {problem}");
        Ok(())
    }

    /// There may be new evidence: it is checked, and the agent that waits for it hears of it.
    fn made_something(&mut self, machine: usize) -> anyhow::Result<()> {
        if self.oracle.after_executor(&self.machines[machine])? {
            let start = self.machines[machine].agent_starts;
            let after = self.soon(Duration::from_secs(1));
            self.later(after, Event::TakeEvidence(machine, start));
        }
        Ok(())
    }
}
