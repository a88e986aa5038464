//! Misfortunes: which, when, and how they end. All of it follows from the seed before the first event.
//!
//! Each run leaves some kinds out and does others more often, so that fifty runs are not fifty times the same mixture.

use std::time::Duration;

use proto::local::{self, request::Call};

use super::{STORM, World};
use crate::sim::{
    chance::Chance,
    host::{Mood, Thing},
    machine::{LIMIT, off},
    network::Quality,
    organization::BOXES,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Something that can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Process {
    Agent(usize),
    Executor(usize),
    Server,
}

/// Something that goes wrong, or is mended.
#[derive(Debug, Clone)]
pub(in crate::sim) enum Weather {
    /// kill -9, between two events.
    Kill(Process),
    /// kill -9, after so many lasting acts more.
    KillAfter(Process, u64),
    /// systemd starts it again.
    Restart(Process),
    /// A power cut, and its end.
    Power(usize, bool),
    /// The line of a box is cut, or whole again.
    Line(usize, bool),
    /// The network is like this from now on.
    Network(Quality),
    /// Something watched goes wrong.
    Fault(usize, usize),
    /// It mends itself.
    Vanish(usize, usize),
    /// No repair of it works any more.
    Break(usize, usize),
    /// Repairs are like this from now on.
    Repairs(usize, Mood),
    /// Somebody holds all orders at the box, or lets them go.
    Hold(usize, bool),
    /// The control plane's vault is out of reach, or there again.
    Vault(bool),
    /// The wall clock of a box jumps.
    Jump(usize, i64),
    /// An operator brings a new charter.
    Charter,
    /// An agent that somebody owns hands over an order: another box's, or an old one.
    Stray(usize, usize),
    /// The storm is over.
    Calm,
}

/// The kinds of misfortune, with how often each happens where it happens.
const KINDS: [(Kind, u64); 13] = [
    (Kind::Fault, 30),
    (Kind::Kill, 14),
    (Kind::KillAfter, 20),
    (Kind::Power, 5),
    (Kind::Line, 6),
    (Kind::Network, 4),
    (Kind::Break, 1),
    (Kind::Repairs, 5),
    (Kind::Hold, 2),
    (Kind::Vault, 2),
    (Kind::Jump, 3),
    (Kind::Charter, 1),
    (Kind::Stray, 4),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fault,
    Kill,
    KillAfter,
    Power,
    Line,
    Network,
    Break,
    Repairs,
    Hold,
    Vault,
    Jump,
    Charter,
    Stray,
}

/// Everything that will go wrong in a run.
pub(super) fn forecast(chance: &mut Chance) -> Vec<(Duration, Weather)> {
    let mut kinds = Vec::new();
    for (kind, weight) in KINDS {
        // Faults are what the rest is about.
        let weight = if kind == Kind::Fault || chance.happens(0.75) { weight } else { 0 };
        kinds.extend((0..weight).map(|_| kind));
    }
    let mut all = vec![(STORM, Weather::Calm)];
    let mut at = SECOND;
    loop {
        at += chance.span(SECOND, 120 * SECOND);
        if at >= STORM {
            break;
        }
        let kind = *chance.one_of(&kinds);
        let (begins, ends) = misfortune(kind, chance);
        all.push((at, begins));
        all.extend(ends.map(|(after, weather)| (at + after, weather)).filter(|(end, _)| *end < STORM));
    }
    all
}

/// What happens, and what ends it after a while.
fn misfortune(kind: Kind, chance: &mut Chance) -> (Weather, Option<(Duration, Weather)>) {
    let machine = usize::try_from(chance.number(0, BOXES as u64)).unwrap_or_default();
    let thing = usize::try_from(chance.number(0, 100)).unwrap_or_default();
    let process = *chance.one_of(&[
        Process::Agent(machine),
        Process::Executor(machine),
        Process::Executor(machine),
        Process::Server,
    ]);
    match kind {
        Kind::Kill => (Weather::Kill(process), None),
        Kind::KillAfter => (Weather::KillAfter(process, chance.number(0, 9)), None),
        Kind::Power => (
            Weather::Power(machine, false),
            Some((chance.span(SECOND, 15 * MINUTE), Weather::Power(machine, true))),
        ),
        Kind::Line => (
            Weather::Line(machine, false),
            Some((chance.span(SECOND, 40 * MINUTE), Weather::Line(machine, true))),
        ),
        Kind::Network => (Weather::Network(quality(chance)), None),
        Kind::Fault => {
            let vanishes = chance.happens(0.2);
            let after = chance.span(SECOND, 20 * MINUTE);
            (Weather::Fault(machine, thing), vanishes.then_some((after, Weather::Vanish(machine, thing))))
        }
        Kind::Break => (Weather::Break(machine, thing), Some((SECOND, Weather::Fault(machine, thing)))),
        Kind::Repairs => {
            let mut likelihood = || if chance.happens(0.5) { 0.4 } else { 0.0 };
            let mood = Mood { fails: likelihood(), in_vain: likelihood(), slow: likelihood() };
            (Weather::Repairs(machine, mood), None)
        }
        Kind::Hold => (
            Weather::Hold(machine, true),
            Some((chance.span(SECOND, 15 * MINUTE), Weather::Hold(machine, false))),
        ),
        Kind::Vault => (Weather::Vault(true), Some((chance.span(SECOND, 5 * MINUTE), Weather::Vault(false)))),
        Kind::Jump => (Weather::Jump(machine, off(chance)), None),
        Kind::Charter => (Weather::Charter, None),
        Kind::Stray => (Weather::Stray(machine, thing), None),
    }
}

fn quality(chance: &mut Chance) -> Quality {
    Quality {
        loss: *chance.one_of(&[0.0, 0.02, 0.2]),
        twice: *chance.one_of(&[0.0, 0.05, 0.3]),
        slow: *chance.one_of(&[0.0, 0.05, 0.3]),
    }
}

impl World {
    /// The weather changes.
    pub(super) fn change(&mut self, weather: Weather) -> anyhow::Result<()> {
        self.say(&format!("weather: {weather:?}"));
        match weather {
            Weather::Kill(process) => {
                if let Some(life) = self.life_of(process) {
                    life.end();
                    self.count("kills: between two events");
                }
            }
            Weather::KillAfter(process, acts) => {
                if let Some(life) = self.life_of(process) {
                    life.end_after(acts);
                }
            }
            Weather::Restart(process) => self.restart(process)?,
            Weather::Power(machine, on) => self.switch(machine, on)?,
            Weather::Line(machine, false) => self.network.cut(machine),
            Weather::Line(machine, true) => self.mend_line(machine),
            Weather::Network(quality) => self.network.quality = quality,
            Weather::Fault(machine, thing) => self.set(machine, thing, true),
            Weather::Vanish(machine, thing) => self.set(machine, thing, false),
            Weather::Break(machine, thing) => {
                let watched = self.machines[machine].watched();
                self.machines[machine].host.break_for_good(&watched[thing % watched.len()]);
            }
            Weather::Repairs(machine, mood) => self.machines[machine].host.set_mood(mood),
            Weather::Hold(machine, held) => self.machines[machine].host.set_held(held),
            Weather::Vault(out) => self.set_vault(out),
            Weather::Jump(machine, off) => self.machines[machine].clock.set_off(off),
            Weather::Charter => self.renew_charter(),
            Weather::Stray(machine, order) => self.hand_over(machine, order)?,
            Weather::Calm => self.calm()?,
        }
        Ok(())
    }

    fn life_of(&self, process: Process) -> Option<std::sync::Arc<crate::sim::life::Life>> {
        match process {
            Process::Agent(machine) => self.machines[machine].agent.as_ref().map(|agent| agent.life.clone()),
            Process::Executor(machine) => self.machines[machine].executor.life(),
            Process::Server => self.server.process.as_ref().map(|(_, life)| life.clone()),
        }
    }

    fn set(&mut self, machine: usize, thing: usize, wrong: bool) {
        let it = &self.machines[machine];
        let watched = it.watched();
        let id = &watched[thing % watched.len()];
        let now = i64::try_from(self.time.now().as_secs()).unwrap_or(i64::MAX);
        let thing = match (it.is_directory(id), wrong) {
            (true, wrong) => Thing::Directory(if wrong { LIMIT * 3 } else { LIMIT / 4 }),
            (false, wrong) => Thing::Repository(if wrong { now - 100_000 } else { now }),
        };
        it.host.set(id, thing);
    }

    fn hand_over(&mut self, machine: usize, order: usize) -> anyhow::Result<()> {
        let orders = self.server.eye.orders(None, 100)?;
        let Some(row) = orders.get(order % orders.len().max(1)) else { return Ok(()) };
        let deliver = local::Deliver { orders: vec![row.envelope.clone()], ..local::Deliver::default() };
        let request = local::Request { call: Some(Call::Deliver(deliver)) };
        self.machines[machine].executor.with(|core, life| (!life.has_ended()).then(|| core.handle(request)));
        self.nudge(machine);
        Ok(())
    }

    fn set_vault(&mut self, out: bool) {
        self.server.vault_is_out = out;
        self.server.storage.set_out_of_reach(out);
    }

    /// Whoever was killed is started again by and by.
    pub(super) fn plan_restart(&mut self, process: Process) {
        let most = if self.time.now() < STORM { 240 * SECOND } else { SECOND };
        let after = self.chance.span(SECOND / 10, most);
        self.later(after, super::Event::Weather(Weather::Restart(process)));
    }

    fn restart(&mut self, process: Process) -> anyhow::Result<()> {
        let stormy = self.time.now() < STORM;
        let acts = (stormy && self.chance.happens(0.2)).then(|| self.chance.number(0, 9));
        match process {
            _ if self.life_of(process).is_some() => return Ok(()),
            Process::Agent(machine) | Process::Executor(machine) if !self.machines[machine].on => {
                return Ok(());
            }
            Process::Agent(machine) => {
                self.machines[machine].start_agent(acts)?;
                self.begin_agent(machine);
            }
            Process::Executor(machine) => {
                self.machines[machine].start_executor(acts)?;
                self.begin_executor(machine);
            }
            Process::Server => {
                self.server.start(acts)?;
                self.begin_server();
            }
        }
        if self.life_of(process).is_none() {
            self.plan_restart(process);
        }
        Ok(())
    }

    fn switch(&mut self, machine: usize, on: bool) -> anyhow::Result<()> {
        if self.machines[machine].on == on {
            return Ok(());
        }
        self.machines[machine].on = on;
        if on {
            self.machines[machine].clock.reboot();
            self.restart(Process::Executor(machine))?;
            return self.restart(Process::Agent(machine));
        }
        self.count("power cuts");
        self.kill_agent(machine);
        self.kill_executor(machine)
    }

    /// From here on nothing goes wrong any more; what is broken for good stays broken.
    fn calm(&mut self) -> anyhow::Result<()> {
        self.network.quality = Quality::GOOD;
        self.set_vault(false);
        for machine in 0..BOXES {
            self.mend_line(machine);
            self.switch(machine, true)?;
            self.machines[machine].host.set_mood(Mood::GOOD);
            self.machines[machine].host.set_held(false);
        }
        let all = (0..BOXES).flat_map(|machine| [Process::Agent(machine), Process::Executor(machine)]);
        for process in all.chain([Process::Server]) {
            if let Some(life) = self.life_of(process) {
                life.spare();
            }
            self.restart(process)?;
        }
        Ok(())
    }
}
