//! The control plane's side of the network, and its timers.

use std::time::Duration;

use prost::Message as _;
use proto::sync::Exchange;

use super::{Event, World, agents::short, forecast::Process};
use crate::sim::{
    organization,
    server::{Command, Visit},
};

/// Time between two rounds of the watchdog.
const WATCH_EVERY: Duration = Duration::from_secs(30);
/// The most commands and held calls that a control plane may have in hand here.
const LOAD_MAX: usize = 200;

impl World {
    /// The control plane was started.
    pub(super) fn begin_server(&mut self) {
        let start = self.server.starts;
        self.later(Duration::from_millis(500), Event::Watch(start));
    }

    /// The control plane is gone, and every connection with it.
    pub(super) fn kill_server(&mut self) {
        if self.server.process.is_some() {
            self.server.stop();
            self.say("the control plane is killed");
            self.count("kills: control plane");
            self.plan_restart(Process::Server);
        }
    }

    pub(super) fn request(
        &mut self,
        machine: usize,
        start: u64,
        call: u64,
        exchange: Exchange,
    ) -> anyhow::Result<()> {
        let spki = self.machines[machine].spki;
        if self.server.process.is_none() {
            // Nobody listens: that is known at once.
            self.send(machine, || Event::Answer { machine, start, call, response: None });
            return Ok(());
        }
        if self.server.visited(Visit { call, machine, agent_start: start, spki, exchange }) {
            self.plan_turn();
        }
        anyhow::ensure!(
            self.server.load() < LOAD_MAX,
            "the control plane has {} calls in hand",
            self.server.load()
        );
        Ok(())
    }

    fn plan_turn(&mut self) {
        let start = self.server.starts;
        let after = self.soon(Duration::from_millis(40));
        self.later(after, Event::Turn(start));
    }

    fn order(&mut self, command: Command) {
        if self.server.process.is_some() && self.server.put(command) {
            self.plan_turn();
        }
    }

    pub(super) fn turn(&mut self, start: u64) -> anyhow::Result<()> {
        if self.server.starts != start || self.server.process.is_none() {
            return Ok(());
        }
        let turn = self.server.turn();
        for line in &turn.lines {
            self.say(&format!("the control plane {line}"));
        }
        self.oracle.after_server(&self.server)?;
        if let Some(wrong) = turn.wrong {
            anyhow::bail!("the control plane failed although nothing was out of order: {wrong}");
        }
        for (visit, patience) in turn.held {
            self.later(patience, Event::Patience(visit, start));
        }
        for (visit, response) in turn.answers {
            let Visit { call, machine, agent_start: start, .. } = visit;
            let digest =
                response.as_ref().map_or("an error".to_owned(), |response| short(&response.encode_to_vec()));
            self.say(&format!("the control plane answers #{call} of box {machine}: {digest}"));
            self.send(machine, || Event::Answer {
                machine,
                start,
                call,
                response: response.clone().map(Box::new),
            });
        }
        if self.server.has_more() {
            self.plan_turn();
        }
        Ok(())
    }

    pub(super) fn patience(&mut self, visit: u64, start: u64) -> anyhow::Result<()> {
        if self.server.starts == start {
            self.order(Command::Again(visit, true));
        }
        Ok(())
    }

    pub(super) fn watch(&mut self, start: u64) -> anyhow::Result<()> {
        if self.server.starts == start && self.server.process.is_some() {
            let reached = self.time.now() > super::STORM || self.chance.happens(0.7);
            self.bring_charter();
            self.order(Command::Watch);
            self.order(Command::Tell(reached));
            self.later(WATCH_EVERY, Event::Watch(start));
        }
        Ok(())
    }

    /// An operator brings the next charter.
    pub(super) fn renew_charter(&mut self) {
        if self.server.process.is_some() {
            self.charter += 1;
            let envelope = organization::charter(self.charter, self.server.now());
            self.charter_envelope = envelope.clone();
            self.order(Command::Charter(envelope));
        }
    }

    /// The operator brings the newest charter again, as long as it is not in force.
    fn bring_charter(&mut self) {
        let in_force = self.server.process.as_ref().map(|(core, _)| core.charter().serial);
        if in_force.is_some_and(|serial| serial < self.charter) && self.chance.happens(0.2) {
            self.order(Command::Charter(self.charter_envelope.clone()));
        }
    }
}
