//! What must be true, whatever happened: checked from outside, on what is committed, after every event that could have
//! changed it, and once more when everything has healed.
//!
//! | after every event | when all has healed |
//! | --- | --- |
//! | an order's steps run once, after "started" is on disk, on its own box, before its end | every incident has ended, every order too |
//! | an executor lets go only of evidence that is in the log | every event is at the control plane once, or counted in a gap |
//! | every checkpoint that an executor keeps is a head of the one log | every chain is there, whole, and everything in it is in the log |
//! | a chain and a log only grow | who stepped says so, once; who was escalated was told of |
//! | outboxes, evidence and queues stay within bounds | checkpoints in the vault are heads of the one log |

mod end;
mod log;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail, ensure};
use control_plane::store::{OrderRow, Within};
use proto::{
    digest::Digest,
    ids::{OrderId, TenantId},
    time::Millis,
};

use super::{
    ledger,
    machine::{EVIDENCE_MAX, Machine, OUTBOX},
    server::Server,
};
use log::Log;

/// How far two drifting clocks may lie apart when one says that an order has ended.
const DRIFT: Duration = Duration::from_secs(2);
/// More orders than are ever signed in one turn.
const AT_ONCE: u32 = 50;
/// What the record of a gap may add to a full outbox.
const A_GAP: u64 = 150;

/// What was seen so far.
pub(super) struct Oracle {
    executors: Vec<Seen>,
    logs: BTreeMap<TenantId, Log>,
    /// Steps that really ran, by order.
    ran: BTreeMap<String, (usize, Vec<String>)>,
    /// Every order that was ever signed: a restored database may have forgotten it.
    signed: BTreeMap<OrderId, OrderRow>,
    /// The same of standing orders: box, how many uses, until when.
    standing: BTreeMap<String, (String, u32, i64)>,
    /// Whether the control plane's database was ever restored from a backup: then events since that backup are gone,
    /// and a gap says that batches are missing.
    restored: bool,
    /// Of the control plane's database, as SQLite counts its commits.
    version: i64,
    /// Orders that the control plane has.
    orders: i64,
}

/// What was seen of one executor.
#[derive(Default)]
struct Seen {
    /// Its whole chain.
    chain: Vec<Digest>,
    kept: i64,
    gone: i64,
    checkpoints: i64,
    /// Of the newest checkpoint.
    size: u64,
}

impl Oracle {
    pub(super) fn new(machines: &[Machine]) -> Self {
        let clinics = machines.iter().filter_map(|machine| machine.identity);
        Self {
            executors: machines.iter().map(|_| Seen::default()).collect(),
            logs: clinics.map(|(tenant, _)| (tenant, Log::default())).collect(),
            ran: BTreeMap::new(),
            signed: BTreeMap::new(),
            standing: BTreeMap::new(),
            restored: false,
            version: 0,
            orders: 0,
        }
    }

    /// Steps ran on a machine. Gives the order they belong to.
    pub(super) fn ran(
        &mut self,
        server: &Server,
        machine: &Machine,
        steps: &[String],
    ) -> anyhow::Result<String> {
        let number = machine.number;
        let started = ledger::started(machine.database.eye())?;
        let [order] = &started[..] else {
            bail!(
                "box {number}: {} ran while {} orders are started on its disk",
                steps.join(", "),
                started.len()
            );
        };
        let now = server.now();
        if let Some((id, count)) = order.split_once('#') {
            self.standing_ran(machine, id, count.parse()?, now)?;
        } else {
            self.order_ran(machine, order, now)?;
        }
        if let Some((_, before)) = self.ran.insert(order.clone(), (number, steps.to_vec())) {
            bail!("order {order} ran twice: {before:?}, then {steps:?} on box {number}");
        }
        for (at, step) in steps.iter().enumerate() {
            ensure!(!steps[..at].contains(step), "order {order}: step {step} ran twice");
        }
        Ok(order.clone())
    }

    /// A use of a standing order: on its own box, before its end, and no more of them than it permits.
    fn standing_ran(&self, machine: &Machine, id: &str, count: u32, now: Millis) -> anyhow::Result<()> {
        let number = machine.number;
        let known = self.standing.get(id);
        let (appliance, most, expires) = known
            .with_context(|| format!("box {number}: standing order {id} was never signed, and was used"))?;
        let own = machine.identity.is_some_and(|(_, own)| own.to_string() == *appliance);
        ensure!(own, "standing order {id} is for appliance {appliance}, and was used on box {number}");
        ensure!((1..=*most).contains(&count), "box {number}: use {count} of standing order {id} of {most}");
        let in_time = now < Millis(*expires).plus(DRIFT);
        ensure!(in_time, "box {number}: standing order {id} ended {}, and was used {now}", Millis(*expires));
        Ok(())
    }

    fn order_ran(&self, machine: &Machine, order: &str, now: Millis) -> anyhow::Result<()> {
        let number = machine.number;
        let known = self.signed.get(&order.parse()?);
        let row = known.with_context(|| format!("box {number}: order {order} was never signed, and ran"))?;
        let own = machine.identity.is_some_and(|(_, appliance)| appliance == row.appliance);
        ensure!(own, "order {order} is for appliance {}, and ran on box {number}", row.appliance);
        ensure!(
            now < row.expires.plus(DRIFT),
            "box {number}: order {order} ended {}, and ran {now}",
            row.expires
        );
        ensure!(
            row.issued < now.plus(DRIFT),
            "box {number}: order {order} begins {}, and ran {now}",
            row.issued
        );
        Ok(())
    }

    /// An executor did something. Says whether there is new evidence.
    pub(super) fn after_executor(&mut self, machine: &Machine) -> anyhow::Result<bool> {
        let (number, db) = (machine.number, machine.database.eye());
        let (tenant, _) = machine.identity.context("every box is enrolled")?;
        let log = self.logs.get(&tenant).context("every clinic has a log")?;
        let seen = &mut self.executors[number];
        let before = seen.chain.len();
        for (line, index, digest) in ledger::kept(db, seen.kept)? {
            let next = seen.chain.len() as u64;
            ensure!(index == next, "box {number}: evidence {index} was appended where {next} is next");
            seen.chain.push(digest);
            seen.kept = line;
        }
        for (line, digest) in ledger::gone(db, seen.gone)? {
            ensure!(log.has(digest), "box {number}: evidence {digest} was let go and is not in the log");
            seen.gone = line;
        }
        for (line, size, root) in ledger::checkpoints(db, seen.checkpoints)? {
            let known = log.root(size);
            ensure!(
                known == Some(root),
                "box {number}: checkpoint {size} {root} was kept, the log's is {known:?}"
            );
            ensure!(size >= seen.size, "box {number}: checkpoint {size} was kept after {}", seen.size);
            (seen.checkpoints, seen.size) = (line, size);
        }
        ensure!(!ledger::fork_alarm(db)?, "box {number}: the executor believes that the log was forked");
        let bytes = ledger::evidence_bytes(db)?;
        ensure!(bytes <= EVIDENCE_MAX, "box {number}: the executor holds {bytes} bytes of evidence");
        Ok(seen.chain.len() > before)
    }

    /// An agent did something.
    pub(super) fn after_agent(&mut self, machine: &Machine) -> anyhow::Result<()> {
        let (telemetry, evidence) = ledger::outbox_bytes(machine.outbox.eye())?;
        let within = telemetry <= OUTBOX.telemetry + A_GAP && evidence <= OUTBOX.evidence;
        let number = machine.number;
        ensure!(
            within,
            "box {number}: the outbox holds {telemetry} bytes of telemetry, {evidence} of evidence"
        );
        Ok(())
    }

    /// The control plane did something.
    pub(super) fn after_server(&mut self, server: &Server) -> anyhow::Result<()> {
        let version = server.disk.eye().pragma_query_value(None, "data_version", |row| row.get(0))?;
        if std::mem::replace(&mut self.version, version) == version {
            return Ok(());
        }
        for (tenant, log) in &mut self.logs {
            log.follow(&server.eye, *tenant)?;
        }
        let count = ledger::orders(server.disk.eye())?;
        if std::mem::replace(&mut self.orders, count) != count {
            let newest = server.eye.orders(Within::default(), AT_ONCE)?;
            self.signed.extend(newest.into_iter().map(|row| (row.id, row)));
            self.standing.extend(ledger::standing(server.disk.eye())?);
        }
        Ok(())
    }

    /// The control plane's database was restored from a backup.
    pub(super) fn restored(&mut self) {
        self.restored = true;
        self.version = 0;
    }
}
