//! The control plane: its real core, and around it what the network shell does — grouping commands into transactions,
//! holding calls open, waking them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use appliance::world::Clock as _;
use control_plane::{
    core::{
        Answer, Core, CoreError, Keys, Settings, chain,
        ports::{NoOthers, Ports},
        seed,
    },
    store::{Document, Store},
    telling,
};
use proto::{digest::Digest, ids::ApplianceId, pb::SyncResponse, sync::Exchange, time::Millis};

use super::{
    chance::{Chance, Entropy, Handle},
    clock::{MachineClock, Time},
    disk::Disk,
    life::Life,
    machine::{begin, off, survivor},
    organization,
    vault::Storage,
};

/// How people are told.
const CHANNEL: &str = "webhook";
/// How long an order lives.
const ORDER_LIFETIME: Duration = Duration::from_secs(90);
/// How long an incident may stand still.
const STALL_AFTER: Duration = Duration::from_secs(900);

/// A request that arrived, with whom to answer.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) call: u64,
    pub(super) machine: usize,
    pub(super) agent_start: u64,
    pub(super) spki: Digest,
    pub(super) exchange: Exchange,
}

/// What the writer is to do.
#[expect(clippy::large_enum_variant, reason = "a handful live at a time")]
pub(super) enum Command {
    /// A request, under the number of the visit.
    Sync(u64, Visit),
    /// Another look at a call that is held open; the last, or not.
    Again(u64, bool),
    /// The watchdog's round.
    Watch,
    /// Telling people; whether they can be reached.
    Tell(bool),
    /// An operator brings a charter.
    Charter(Vec<u8>),
}

/// What a turn of the writer came to.
#[derive(Default)]
pub(super) struct Turn {
    /// Answers that leave; `None`: an error.
    pub(super) answers: Vec<(Visit, Option<SyncResponse>)>,
    /// Visits that are held open from here on, and for how long.
    pub(super) held: Vec<(u64, Duration)>,
    /// For the trace.
    pub(super) lines: Vec<String>,
    /// What went wrong although nothing was out of order.
    pub(super) wrong: Option<String>,
}

/// The control plane.
pub(super) struct Server {
    pub(super) clock: Arc<MachineClock>,
    pub(super) disk: Disk,
    pub(super) storage: Storage,
    backup: Option<Disk>,
    pub(super) vault_is_out: bool,
    pub(super) process: Option<(Core, Arc<Life>)>,
    pub(super) starts: u64,
    /// What is committed, for those who check.
    pub(super) eye: Store,
    waiting: Vec<Command>,
    held: BTreeMap<u64, (Visit, ApplianceId)>,
    visits: u64,
    entropy: Arc<Entropy>,
}

#[expect(clippy::large_enum_variant, reason = "a handful live at a time")]
enum Outcome {
    Done,
    Answer(u64, Visit, Answer, bool),
    Failed(Option<Visit>, CoreError),
}

impl Server {
    /// A control plane as `init` leaves it, started.
    pub(super) fn new(number: u64, time: &Time) -> anyhow::Result<Self> {
        let mut chance = Chance::new(number, "server");
        let drift = i64::try_from(chance.number(0, 201))? - 100;
        let clock = MachineClock::new(time, drift, off(&mut chance));
        let disk = Disk::new()?;
        let now = clock.wall();
        let store = Store::with(disk.open(&Life::new())?)?;
        seed(&store, Document::Charter, 1, &organization::charter(1, now), now)?;
        seed(&store, Document::Catalogue, 1, &organization::catalogue(1, now)?, now)?;
        let mut server = Self {
            clock,
            eye: Store::with(disk.open_to_look()?)?,
            disk,
            storage: Storage::default(),
            backup: None,
            vault_is_out: false,
            process: None,
            starts: 0,
            waiting: Vec::new(),
            held: BTreeMap::new(),
            visits: 0,
            entropy: Arc::new(Entropy::new(number, "entropy of the server")),
        };
        server.start(None)?;
        Ok(server)
    }

    /// Starts it; it is killed after so many acts, if any.
    pub(super) fn start(&mut self, acts: Option<u64>) -> anyhow::Result<()> {
        self.starts += 1;
        let life = begin(acts);
        let settings = Settings {
            organization: organization::NAME.to_owned(),
            address: "https://127.0.0.1:1".to_owned(),
            order_lifetime: ORDER_LIFETIME,
            approval: Duration::from_secs(4 * 3600),
            stall_after: STALL_AFTER,
            retention: Duration::from_secs(6 * 365 * 86_400),
            events_hour: 2000,
            // In a simulation whole days pass between two rounds, and boxes are away for most of them.
            silent_after: Duration::from_secs(365 * 86_400),
            running: Default::default(),
            telling: telling::Rules::at_once([(CHANNEL.to_owned(), Vec::new())].into()),
            mail: control_plane::core::deliveries::Mailing::Off,
            model: None,
        };
        let open = || -> Result<Core, CoreError> {
            let ports = Ports {
                entropy: Box::new(Handle(self.entropy.clone())),
                vault: self.storage.of(&life),
                issuer: Box::new(
                    organization::Issuer::new().map_err(|e| CoreError::Precondition(e.to_string()))?,
                ),
            };
            let keys = Keys {
                order: Arc::new(organization::order_key()),
                log: organization::log_key(),
                ring: Box::new(NoOthers),
            };
            let store = Store::with(self.disk.open(&life).map_err(control_plane::store::StoreError::from)?)?;
            Core::open(store, ports, keys, settings, organization::trust(), self.clock.wall())
        };
        let opened = open();
        // Without its vault it does not start, and systemd tries again.
        let opened = if self.is_impaired() { Ok(opened.ok()) } else { survivor(opened, &life) };
        self.process = opened.context("the control plane does not open")?.map(|core| (core, life));
        Ok(())
    }

    /// It is gone, and with it every call that was held open.
    pub(super) fn stop(&mut self) {
        self.process = None;
        self.waiting.clear();
        self.held.clear();
    }

    /// A backup of its database is made.
    pub(super) fn back_up(&mut self) -> anyhow::Result<()> {
        self.backup = Some(self.disk.backup()?);
        Ok(())
    }

    /// The backup takes the place of its database, which nobody works with; the vault stays. Whether there was one.
    pub(super) fn restore(&mut self) -> anyhow::Result<bool> {
        let Some(backup) = self.backup.take() else { return Ok(false) };
        self.disk.restore(&backup)?;
        Ok(true)
    }

    /// Whether it has a reason to fail.
    fn is_impaired(&self) -> bool {
        self.vault_is_out || self.disk.is_full()
    }

    pub(super) fn now(&self) -> Millis {
        self.clock.wall()
    }

    /// How many calls and commands it has in hand.
    pub(super) fn load(&self) -> usize {
        self.waiting.len() + self.held.len()
    }

    /// Puts something to do; whether a turn must be called for it.
    pub(super) fn put(&mut self, command: Command) -> bool {
        self.waiting.push(command);
        self.waiting.len() == 1
    }

    /// A request arrives.
    pub(super) fn visited(&mut self, visit: Visit) -> bool {
        self.visits += 1;
        let number = self.visits;
        self.put(Command::Sync(number, visit))
    }

    /// One turn of the writer: everything that waits, in one transaction.
    pub(super) fn turn(&mut self) -> Turn {
        let mut turn = Turn::default();
        let impaired = self.is_impaired();
        let Some((core, life)) = &mut self.process else { return turn };
        let now = self.clock.wall();
        let commands = std::mem::take(&mut self.waiting);
        let held = &self.held;
        let begun = core.begin().map_err(CoreError::from);
        let outcomes: Vec<Outcome> =
            commands.into_iter().map(|command| obey(core, command, held, now, &mut turn.lines)).collect();
        let durable = begun.and_then(|()| core.commit(now));
        let wakes = core.take_wakes();
        if !life.act() {
            return Turn::default();
        }
        if let Err(error) = &durable {
            turn.lines.push(format!("not durable: {}", chain(error)));
            turn.note_failure(error, impaired);
        }
        for outcome in outcomes {
            match outcome {
                Outcome::Done => {}
                Outcome::Failed(visit, error) => {
                    turn.lines.push(format!("failed: {}", chain(&error)));
                    turn.note_failure(&error, impaired);
                    turn.answers.extend(visit.map(|visit| (visit, None)));
                }
                Outcome::Answer(number, visit, ..) if durable.is_err() => {
                    self.held.remove(&number);
                    turn.answers.push((visit, None));
                }
                Outcome::Answer(number, visit, answer, last) => {
                    if last || !answer.idle || visit.exchange.hold_ms == 0 {
                        self.held.remove(&number);
                        turn.answers.push((visit, Some(answer.response)));
                    } else {
                        let hold = Duration::from_millis(visit.exchange.hold_ms.into());
                        self.held.entry(number).or_insert_with(|| {
                            turn.held.push((number, hold));
                            (visit, answer.appliance)
                        });
                    }
                }
            }
        }
        for (number, (_, appliance)) in &self.held {
            if wakes.contains(appliance) {
                self.waiting.push(Command::Again(*number, false));
            }
        }
        turn
    }

    /// Whether another turn is due at once.
    pub(super) fn has_more(&self) -> bool {
        !self.waiting.is_empty()
    }
}

fn obey(
    core: &mut Core,
    command: Command,
    held: &BTreeMap<u64, (Visit, ApplianceId)>,
    now: Millis,
    lines: &mut Vec<String>,
) -> Outcome {
    let done = |outcome: Result<(), CoreError>| match outcome {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Failed(None, error),
    };
    match command {
        Command::Sync(number, visit) => {
            match core.attempt(|core| core.sync(visit.spki, &visit.exchange, now)) {
                Ok(answer) => Outcome::Answer(number, visit, answer, false),
                Err(error) => Outcome::Failed(Some(visit), error),
            }
        }
        Command::Again(number, last) => {
            let Some((visit, _)) = held.get(&number).cloned() else { return Outcome::Done };
            match core.attempt(|core| core.answer(visit.spki, &visit.exchange, now)) {
                Ok(answer) => Outcome::Answer(number, visit, answer, last),
                Err(error) => Outcome::Failed(Some(visit), error),
            }
        }
        Command::Watch => done(core.attempt(|core| core.watch(now))),
        Command::Tell(reached) => done(core.attempt(|core| {
            for letter in core.to_tell(CHANNEL, now)? {
                let (row, news) = (&letter.row, letter.row.news);
                lines.push(format!("tells of incident {}, {news}: {reached}", row.incident));
                let outcome = match reached {
                    true => telling::Outcome::Taken(telling::ticket::Change::None),
                    false => telling::Outcome::Later("nobody answers".to_owned(), None),
                };
                core.told(row, &outcome, now)?;
            }
            Ok(())
        })),
        Command::Charter(envelope) => done(core.attempt(|core| core.publish_charter(&envelope, now))),
    }
}

impl Turn {
    /// Without its vault, or with a full disk, it may fail; else it may not.
    fn note_failure(&mut self, error: &CoreError, impaired: bool) {
        if !impaired && self.wrong.is_none() {
            self.wrong = Some(chain(error));
        }
    }
}
