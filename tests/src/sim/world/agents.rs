//! Agents: what the loop around an agent's core does.
//!
//! As the real one: a look every sample, evidence as soon as there is some, one exchange after the other, a call that is
//! held open dropped when there is something to say, and growing pauses after failures. Unlike the real one, answers to
//! calls that nobody waits for any more are absorbed too: the core says that they may come.

use std::time::Duration;

use appliance::{agent::run::backoff, world::Clock as _};
use prost::Message as _;
use proto::{digest::Digest, pb::SyncResponse, sync::Exchange};

use super::{Event, World};
use crate::sim::machine::SAMPLE;

/// How long an answer is waited for, beyond the time that it may be held.
const WAIT: Duration = Duration::from_secs(15);
/// The shortest pause between two exchanges.
const BREATH: Duration = Duration::from_millis(100);
/// How many calls are remembered whose answer may still come.
const CALLS: usize = 6;

impl World {
    /// An agent was started.
    pub(super) fn begin_agent(&mut self, machine: usize) {
        let start = self.machines[machine].agent_starts;
        if self.machines[machine].agent.is_some() {
            let after = self.soon(Duration::from_secs(1));
            self.later(after, Event::Measure(machine, start));
            self.later(after * 2, Event::Talk { machine, start, after: 0 });
        }
    }

    /// An agent is gone.
    pub(super) fn kill_agent(&mut self, machine: usize) {
        if self.machines[machine].agent.take().is_some() {
            self.say(&format!("box {machine}: the agent is killed"));
            self.count("kills: agent");
            self.plan_restart(super::forecast::Process::Agent(machine));
        }
    }

    /// Measuring takes its time, in which the core does other things.
    pub(super) fn measure(&mut self, machine: usize, start: u64) -> anyhow::Result<()> {
        let it = &mut self.machines[machine];
        let Some(agent) = it.agent.as_mut().filter(|_| it.agent_starts == start) else { return Ok(()) };
        let measured = agent.core.measured().clone();
        agent.readings = Some(measured.poll(agent.core.executor()));
        let after = self.soon(Duration::from_secs(5));
        self.later(after, Event::Look(machine, start));
        Ok(())
    }

    pub(super) fn look(&mut self, machine: usize, start: u64) -> anyhow::Result<()> {
        let it = &mut self.machines[machine];
        let Some(agent) = it.agent.as_mut().filter(|_| it.agent_starts == start) else { return Ok(()) };
        let readings = agent.readings.take().unwrap_or_default();
        let collected = agent.core.collect_measured(readings, it.clock.wall());
        let problems: Vec<String> =
            collected.problems.iter().map(|problem| control_plane::core::chain(problem)).collect();
        let dead = agent.life.has_ended();
        if collected.records > 0 || !problems.is_empty() {
            self.say(&format!(
                "box {machine}: looks: {} records; {}",
                collected.records,
                problems.join("; ")
            ));
        }
        self.oracle.after_agent(&self.machines[machine])?;
        if !dead {
            self.later(SAMPLE, Event::Measure(machine, start));
            self.found(machine, start, collected.records);
        }
        Ok(())
    }

    pub(super) fn take_evidence(&mut self, machine: usize, start: u64) -> anyhow::Result<()> {
        let it = &mut self.machines[machine];
        let Some(agent) = it.agent.as_mut().filter(|_| it.agent_starts == start) else { return Ok(()) };
        let taken = agent.core.collect_evidence(it.clock.wall()).unwrap_or_default();
        if taken > 0 && !agent.life.has_ended() {
            self.say(&format!("box {machine}: takes {taken} records of evidence"));
            self.found(machine, start, taken);
        }
        Ok(())
    }

    /// Something new is in the outbox: a call that is held open for nothing is dropped.
    fn found(&mut self, machine: usize, start: u64, records: usize) {
        let Some(agent) = &mut self.machines[machine].agent else { return };
        if let Some((call, false)) = agent.waits_for.filter(|_| records > 0) {
            agent.waits_for = None;
            self.later(Duration::from_millis(1), Event::Talk { machine, start, after: call });
        }
    }

    /// Begins an exchange. `after`: the call that this was planned after; a later one makes it void.
    pub(super) fn talk(&mut self, machine: usize, start: u64, after: u64) -> anyhow::Result<()> {
        let it = &mut self.machines[machine];
        let Some(agent) = it.agent.as_mut().filter(|_| it.agent_starts == start) else { return Ok(()) };
        let newest = agent.calls.keys().next_back().copied().unwrap_or_default();
        if agent.waits_for.is_some() || newest > after {
            return Ok(());
        }
        self.calls += 1;
        let call = self.calls;
        let asked = match agent.core.next_request() {
            Ok(asked) => asked,
            Err(error) => {
                let error = control_plane::core::chain(&error);
                self.say(&format!("box {machine}: has no request: {error}"));
                self.pause_after_failure(machine, start, after);
                return Ok(());
            }
        };
        if !agent.life.act() {
            return Ok(());
        }
        let batch = asked.request.batch.as_ref().map(|batch| batch.number);
        agent.waits_for = Some((call, batch.is_some()));
        agent.calls.insert(call, asked.clone());
        if agent.calls.len() > CALLS {
            agent.calls.pop_first();
        }
        let hold = Duration::from_millis(asked.request.hold_ms.into());
        let digest = short(&asked.request.encode_to_vec());
        self.say(&format!("box {machine}: asks #{call}, batch {batch:?}, {digest}"));
        let exchange = Exchange::try_from(asked.request)?;
        self.later(hold + WAIT, Event::GiveUp { machine, start, call });
        self.send(machine, || Event::Request { machine, start, call, exchange: Box::new(exchange.clone()) });
        Ok(())
    }

    pub(super) fn give_up(&mut self, machine: usize, start: u64, call: u64) -> anyhow::Result<()> {
        let it = &mut self.machines[machine];
        let Some(agent) = it.agent.as_mut().filter(|_| it.agent_starts == start) else { return Ok(()) };
        if agent.waits_for.is_some_and(|(waits_for, _)| waits_for == call) {
            agent.waits_for = None;
            self.say(&format!("box {machine}: gives up on #{call}"));
            self.pause_after_failure(machine, start, call);
        }
        Ok(())
    }

    pub(super) fn answer(
        &mut self,
        machine: usize,
        start: u64,
        call: u64,
        response: Option<Box<SyncResponse>>,
    ) -> anyhow::Result<()> {
        let it = &mut self.machines[machine];
        let Some(agent) = it.agent.as_mut().filter(|_| it.agent_starts == start) else { return Ok(()) };
        let Some(asked) = agent.calls.get(&call).cloned() else { return Ok(()) };
        let waited_for = agent.waits_for.is_some_and(|(waits_for, _)| waits_for == call);
        if waited_for {
            agent.waits_for = None;
        }
        let sent = asked.request.batch.is_some();
        let absorbed = response.map(|response| {
            let digest = short(&response.encode_to_vec());
            (digest, agent.core.absorb(&asked, *response))
        });
        if agent.life.has_ended() {
            return Ok(());
        }
        let failed = match absorbed {
            None => {
                self.say(&format!("box {machine}: #{call} is answered by an error"));
                true
            }
            Some((digest, Err(error))) => {
                let error = control_plane::core::chain(&error);
                self.say(&format!("box {machine}: cannot absorb {digest}, answer to #{call}: {error}"));
                true
            }
            Some((digest, Ok(absorbed))) => {
                let refused = absorbed.outcomes.iter().filter(|o| !o.accepted).map(|o| o.refusal.as_str());
                let notes: Vec<&str> = refused.chain(absorbed.problems.iter().map(String::as_str)).collect();
                self.say(&format!(
                    "box {machine}: absorbs {digest}, answer to #{call}: acknowledged {}, {} orders, moved back {:?}, {:?} {}",
                    absorbed.acknowledged, absorbed.outcomes.len(), absorbed.moved_back_to, absorbed.quarantine, notes.join("; ")
                ));
                sent && !absorbed.acknowledged
            }
        };
        self.nudge(machine);
        self.oracle.after_executor(&self.machines[machine])?;
        if !waited_for {
            return Ok(());
        }
        if failed {
            self.pause_after_failure(machine, start, call);
        } else if let Some(agent) = &mut self.machines[machine].agent {
            agent.failures = 0;
            self.later(BREATH, Event::Talk { machine, start, after: call });
        }
        Ok(())
    }

    fn pause_after_failure(&mut self, machine: usize, start: u64, after: u64) {
        let random = self.machines[machine].draw();
        let Some(agent) = &mut self.machines[machine].agent else { return };
        agent.failures += 1;
        let pause = backoff(agent.failures, random);
        self.later(pause, Event::Talk { machine, start, after });
    }
}

/// The beginning of a digest, for the trace.
pub(super) fn short(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()[..8].to_owned()
}
