//! Events durable per second: outbox, Sync and inbox, against a bare SQLite loop that commits the same rows.
//!
//! Ours is the agent's real outbox and link, over mTLS to a real `control-plane serve`. While an exchange is under way
//! the next looks are committed, as the agent's sampler does; so batches are as large as the product makes them.

use std::{path::Path, pin::pin};

use anyhow::{Context as _, Result, ensure};
use appliance::{
    agent::{
        authorities::Authorities,
        core::VERSION,
        credentials::Folder,
        executor::{self, Reconnecting},
        link::{GrpcLink, Identity, Link as _, Pins},
        outbox::{Intake, Limits, Outbox},
    },
    world::draw,
};
use control_plane::store::Store;
use proto::{
    ids::StreamId,
    pb,
    sync::{Ack, Batch, unpack},
};
use tokio::runtime::{Builder, Runtime};

use super::{
    Effort,
    bare::{Bare, rows},
    records,
    report::{Row, in_turn, rate},
    stage,
};
use crate::{
    clock,
    rig::{Clinic, Watch},
};

/// Room for everything a turn may leave waiting.
const LIMITS: Limits = Limits { telemetry: 256 << 20, evidence: 1 << 20, lines: 0 };

/// Each event is committed twice, crosses TLS and two processes, is checked and becomes an incident; theirs only commits.
const GOAL: f64 = 0.1;

pub(super) fn run(work: &Path, effort: &Effort) -> Result<Vec<Row>> {
    let mut provider = stage::provider(work)?;
    let watched = work.join("watched");
    std::fs::create_dir(&watched)?;
    let mut clinic =
        stage::appliance(&provider, work, "box", &[("watched", Watch::Directory(&watched, 1 << 30))])?;
    // The I/O driver gets its turn after every commit, however many wait.
    let runtime = Builder::new_current_thread().enable_all().event_interval(1).build()?;
    let address = stage::address(&work.join("box.ticket.json"))?;
    let mut agent = Agent::new(work, &clinic, &address, &runtime)?;
    let mut bare = Bare::new(work)?;
    let mut batches = Vec::new();
    let figures = in_turn(
        effort.rounds,
        || {
            let looks = records::looks(effort.events)?;
            let rows = rows(&looks)?;
            let intakes = looks.into_iter().map(records::intake).collect();
            let (figure, sizes) = rate(effort.events, || runtime.block_on(agent.send(intakes)))?;
            ensure!(
                sizes.iter().sum::<usize>() == effort.events,
                "the outbox sent something else than it took"
            );
            batches.extend(sizes.iter().copied());
            Ok((figure, (rows, sizes)))
        },
        |(rows, sizes)| Ok(rate(effort.events, || bare.keep(&rows, &sizes))?.0),
    )?;
    let kept = Store::open_reader(&provider.dir.join("control-plane.db"))?.count_events(None)?;
    let sent = effort.rounds * effort.events;
    ensure!(kept == sent as u64, "{sent} events were sent, the inbox has {kept}");
    clinic.stop()?;
    provider.stop()?;
    let mean = sent / batches.len();
    let what = format!(
        "events durable per second through the real outbox (FULL, {} a commit), Sync over mTLS (on average {mean} a batch) \
         and inbox (planned, one incident per fault)",
        records::LOOK
    );
    let against = "a bare SQLite loop (WAL, FULL, one process) that commits the same rows into two tables, in the same groups";
    Ok(vec![Row::of_rates(what, "events/s", against, figures, GOAL)])
}

/// The parts of an agent that an event passes through.
struct Agent {
    outbox: Outbox,
    link: GrpcLink,
    executor: Reconnecting,
}

impl Agent {
    fn new(work: &Path, clinic: &Clinic, address: &str, runtime: &Runtime) -> Result<Self> {
        let world = appliance::clock::system();
        let stream = StreamId(draw(world.entropy.as_ref()));
        let pins = Pins {
            authorities: Authorities::pinned(clinic.dir.join("ca.pem")),
            identity: Identity::Folder(Folder::at(clinic.dir.join("state/agent"))),
            clock: world.clock,
        };
        let _inside = runtime.enter();
        Ok(Self {
            outbox: Outbox::open(&work.join("outbox.db"), LIMITS, stream)?,
            link: GrpcLink::new(address, pins)?,
            executor: Reconnecting::new(clinic.socket()),
        })
    }

    /// Takes all looks and sends them, until the last is acknowledged. Gives the sizes of the batches.
    async fn send(&mut self, looks: Vec<Intake>) -> Result<Vec<usize>> {
        let (mut looks, mut sizes) = (looks.into_iter(), Vec::new());
        loop {
            let Some(batch) = self.outbox.freeze()? else {
                let Some(look) = looks.next() else { return Ok(sizes) };
                self.outbox.commit(&look, clock::now())?;
                continue;
            };
            sizes.push(unpack(&batch.records)?.len());
            let request = self.request(batch)?;
            let mut answer = pin!(self.link.sync(request));
            let response = loop {
                tokio::select! {
                    biased;
                    response = &mut answer => break response?,
                    () = tokio::task::yield_now(), if looks.len() > 0 => {
                        if let Some(look) = looks.next() {
                            self.outbox.commit(&look, clock::now())?;
                        }
                    }
                }
            };
            let ack = response.ack.with_context(|| format!("not acknowledged: {}", response.quarantine))?;
            ensure!(
                self.outbox.acknowledge(&Ack::try_from(ack)?)?,
                "the acknowledgement is for another batch"
            );
        }
    }

    /// As the agent's core asks.
    fn request(&mut self, batch: Batch) -> Result<pb::SyncRequest> {
        let description = executor::describe(&mut self.executor)?;
        Ok(pb::SyncRequest {
            batch: Some(batch.into()),
            incarnation: description.incarnation,
            nonce: description.nonce,
            checkpoint_size: description.checkpoint_size,
            order_high: description.order_high,
            charter_serial: description.charter_serial,
            catalogue_version: description.catalogue_version,
            policy_serial: description.policy_serial,
            version: VERSION.to_owned(),
            ..pb::SyncRequest::default()
        })
    }
}
