//! What the weather does to the world.

use std::{sync::Arc, time::Duration};

use control_plane::store::Within;
use proto::local::{self, request::Call};

use super::{
    Event, STORM, World,
    forecast::{Process, Weather},
};
use crate::sim::{
    disk::Disk,
    host::{Mood, Thing},
    life::Life,
    machine::LIMIT,
    network::Quality,
    organization::BOXES,
};

const SECOND: Duration = Duration::from_secs(1);

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
            Weather::Line(machine, false) => {
                self.network.cut(machine);
                self.count("partitions");
            }
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
            Weather::Vault(out) => {
                self.set_vault(out);
                if out {
                    self.count("vault outages");
                }
            }
            Weather::Full(process, full) => {
                self.disk_of(process).set_full(full);
                if full {
                    self.count("full disks");
                }
            }
            Weather::Jump(machine, off) => {
                self.machines[machine].clock.set_off(off);
                self.count("clock jumps");
            }
            Weather::Charter => self.renew_charter(),
            Weather::Stray(machine, order) => self.hand_over(machine, order)?,
            Weather::Backup => self.server.back_up()?,
            Weather::Restore => self.restore_server()?,
            Weather::Calm => self.calm()?,
        }
        Ok(())
    }

    fn life_of(&self, process: Process) -> Option<Arc<Life>> {
        match process {
            Process::Agent(machine) => self.machines[machine].agent.as_ref().map(|agent| agent.life.clone()),
            Process::Executor(machine) => self.machines[machine].executor.life(),
            Process::Server => self.server.process.as_ref().map(|(_, life)| life.clone()),
        }
    }

    fn disk_of(&self, process: Process) -> &Disk {
        match process {
            Process::Agent(machine) => &self.machines[machine].outbox,
            Process::Executor(machine) => &self.machines[machine].database,
            Process::Server => &self.server.disk,
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

    fn restore_server(&mut self) -> anyhow::Result<()> {
        if let Some(life) = self.life_of(Process::Server) {
            life.end();
            self.kill_server();
        }
        if self.server.restore()? {
            // Whoever puts a backup back takes longer than any buffer keeps a request.
            let lasts = |event: &Event| !matches!(event, Event::Request { .. });
            self.queue.retain(lasts);
            self.limbo.retain(|(_, event)| lasts(event));
            self.count("restores");
            self.oracle.restored();
        }
        Ok(())
    }

    fn hand_over(&mut self, machine: usize, order: usize) -> anyhow::Result<()> {
        let orders = self.server.eye.orders(Within::default(), 100)?;
        // Often a new one: an old one has ended, and is refused for that alone.
        let among = if order.is_multiple_of(2) { 4 } else { 100 };
        let Some(row) = orders.get(order % orders.len().clamp(1, among)) else { return Ok(()) };
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
        self.later(after, Event::Weather(Weather::Restart(process)));
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
            self.disk_of(process).set_full(false);
            if let Some(life) = self.life_of(process) {
                life.spare();
            }
            self.restart(process)?;
        }
        Ok(())
    }
}
