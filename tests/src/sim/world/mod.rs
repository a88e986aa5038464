//! The world of one run: who is there, what happens next, and the loop that makes it happen.

mod agents;
mod executors;
mod forecast;
mod servers;
mod setup;
mod weather;

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use proto::{pb::SyncResponse, sync::Exchange};

use super::{
    chance::Chance,
    clock::Time,
    machine::Machine,
    network::{Fate, Network},
    oracle::Oracle,
    queue::Queue,
    server::Server,
    trace::Trace,
};
use forecast::Weather;

/// How long misfortunes happen.
pub(super) const STORM: Duration = Duration::from_secs(3_600);
/// How long it takes at least until everything has healed after them.
const CALM: Duration = Duration::from_secs(300);
/// By when everything must have healed.
const END: Duration = Duration::from_secs(STORM.as_secs() + 2_400);
/// How often it is looked whether everything has healed.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// The most events that may be to come: more is a loop that feeds itself.
const QUEUE_MAX: usize = 2_000;

/// Something that happens. What is meant for one process names its start, and passes a later one by.
pub(super) enum Event {
    /// The agent measures everything.
    Measure(usize, u64),
    /// The agent takes what was measured, and looks at the rest.
    Look(usize, u64),
    /// The agent takes evidence that the executor made.
    TakeEvidence(usize, u64),
    /// The agent begins an exchange, unless one was begun since this was planned.
    Talk { machine: usize, start: u64, after: u64 },
    /// The agent waits no longer for that answer.
    GiveUp { machine: usize, start: u64, call: u64 },
    /// An answer reaches the agent; `None`: an error.
    Answer { machine: usize, start: u64, call: u64, response: Option<Box<SyncResponse>> },
    /// The executor looks for something to do, and again later.
    Work(usize, u64),
    /// The executor was nudged.
    Nudge(usize, u64),
    /// The executor's work is done.
    Conclude(usize, u64),
    /// A request reaches the control plane.
    Request { machine: usize, start: u64, call: u64, exchange: Box<Exchange> },
    /// The control plane's writer takes its turn.
    Turn(u64),
    /// A call has been held open long enough.
    Patience(u64, u64),
    /// The watchdog's round, and telling people.
    Watch(u64),
    /// Something goes wrong, or is mended.
    Weather(Weather),
}

/// How often what happened in a run.
pub(super) type Counts = BTreeMap<String, u64>;

/// What reached a line that was cut, to be let through when it is whole again.
type Limbo = Vec<(usize, Event)>;

/// Everything there is.
pub(super) struct World {
    pub(super) time: Time,
    queue: Queue<Event>,
    limbo: Limbo,
    chance: Chance,
    network: Network,
    pub(super) server: Server,
    pub(super) machines: Vec<Machine>,
    oracle: Oracle,
    pub(super) trace: Trace,
    calls: u64,
    charter: u64,
    charter_envelope: Vec<u8>,
    pub(super) events: u64,
    /// How often what happened.
    pub(super) counts: Counts,
}

impl World {
    /// Runs to the end, or to the first thing that must not be.
    pub(super) fn run(&mut self) -> anyhow::Result<()> {
        while self.time.now() < STORM + CALM {
            self.happen()?;
        }
        let mut ask = self.time.now();
        loop {
            self.happen()?;
            if self.time.now() < ask {
                continue;
            }
            ask += ASK_EVERY;
            let unsettled = self.oracle.unsettled(&self.server, &self.machines)?;
            match unsettled {
                None => break,
                Some(what) if self.time.now() > END => anyhow::bail!("it does not heal: {what}"),
                Some(_) => {}
            }
        }
        self.trace.say(self.time.now(), "everything has healed");
        let heads = self.oracle.at_the_end(&self.server, &self.machines)?;
        self.trace.say(self.time.now(), &heads);
        self.oracle.count(&self.server, &mut self.counts)?;
        Ok(())
    }

    /// The next event.
    fn happen(&mut self) -> anyhow::Result<()> {
        let (at, event) = self.queue.take().context("nothing happens any more")?;
        self.time.advance_to(at);
        self.events += 1;
        anyhow::ensure!(self.queue.len() < QUEUE_MAX, "{} events are to come", self.queue.len());
        match event {
            Event::Measure(machine, start) => self.measure(machine, start),
            Event::Look(machine, start) => self.look(machine, start),
            Event::TakeEvidence(machine, start) => self.take_evidence(machine, start),
            Event::Talk { machine, start, after } => self.talk(machine, start, after),
            Event::GiveUp { machine, start, call } => self.give_up(machine, start, call),
            Event::Answer { machine, start, call, response } => self.answer(machine, start, call, response),
            Event::Work(machine, start) => self.work(machine, start, true),
            Event::Nudge(machine, start) => self.work(machine, start, false),
            Event::Conclude(machine, start) => self.conclude(machine, start),
            Event::Request { machine, start, call, exchange } => {
                self.request(machine, start, call, *exchange)
            }
            Event::Turn(start) => self.turn(start),
            Event::Patience(visit, start) => self.patience(visit, start),
            Event::Watch(start) => self.watch(start),
            Event::Weather(weather) => self.change(weather),
        }?;
        self.bury_the_dead()
    }

    fn say(&mut self, line: &str) {
        self.trace.say(self.time.now(), line);
    }

    fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    fn later(&mut self, after: Duration, event: Event) {
        self.queue.put(self.time.now() + after, event);
    }

    fn soon(&mut self, most: Duration) -> Duration {
        self.chance.span(Duration::from_millis(1), most)
    }

    /// Gives a message to the network.
    fn send(&mut self, machine: usize, event: impl Fn() -> Event) {
        match self.network.fate(machine) {
            Fate::Waits => self.limbo.push((machine, event())),
            Fate::Arrives(times) => {
                if times.len() > 1 {
                    self.count("messages that came twice");
                }
                times.into_iter().for_each(|after| self.later(after, event()));
            }
        }
    }

    /// A line is whole again.
    fn mend_line(&mut self, machine: usize) {
        self.network.mend(machine);
        let (through, still): (Limbo, Limbo) =
            std::mem::take(&mut self.limbo).into_iter().partition(|(line, _)| *line == machine);
        self.limbo = still;
        for (_, event) in through {
            let after = self.soon(Duration::from_secs(20));
            self.later(after, event);
        }
    }

    /// Whoever was killed in the middle of something is dropped now, and started again later.
    fn bury_the_dead(&mut self) -> anyhow::Result<()> {
        for machine in 0..self.machines.len() {
            if self.machines[machine].agent.as_ref().is_some_and(|agent| agent.life.has_ended()) {
                self.kill_agent(machine);
            }
            if self.machines[machine].executor.life().is_some_and(|life| life.has_ended()) {
                self.kill_executor(machine)?;
            }
        }
        if self.server.process.as_ref().is_some_and(|(_, life)| life.has_ended()) {
            self.kill_server();
        }
        Ok(())
    }
}
