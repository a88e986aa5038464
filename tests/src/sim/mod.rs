//! The simulation: the real control plane and three real appliances in one thread, under a clock, a network and a fate
//! of our own, replayed exactly from a seed.
//!
//! The rule: everything that is not decided by the cores is decided by the seed. Turmoil would put an async runtime under
//! the programs and simulate its sockets; our cores are synchronous, so one thread and one queue of events replay them
//! without a runtime whose scheduling is in the way, and with kills between any two lasting acts instead of at awaits.
//!
//! ```text
//!  weather ──> queue of events ──> world ──> AgentCore ── wire ──> ExecutorCore ──> host
//!                  ^                 │           │                     │
//!                  └── later ────────┘        network                disks, with ledgers
//!                                                │                     │
//!                                    Core of the control plane ──> disk, vault       oracle looks at all of it
//! ```

mod chance;
mod clock;
mod disk;
mod host;
mod ledger;
mod life;
mod machine;
mod network;
mod oracle;
mod organization;
mod queue;
mod server;
mod trace;
mod vault;
mod world;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use proto::digest::Digest;

use world::World;

/// How a run went.
#[derive(Debug)]
pub struct Report {
    /// From what it came.
    pub seed: u64,
    /// Of everything that happened, in order.
    pub digest: Digest,
    /// How many events there were.
    pub events: u64,
    /// How often what happened: kills, verdicts, refusals, ends of incidents.
    pub counts: BTreeMap<String, u64>,
    /// The end of the trace.
    pub tail: Vec<String>,
    /// What must not be, and was.
    pub wrong: Option<String>,
}

/// Runs one seed to its end, or to the first thing that must not be.
#[must_use]
pub fn run(seed: u64) -> Report {
    let mut world = match World::new(seed) {
        Ok(world) => world,
        Err(error) => {
            let wrong = Some(format!("the world does not begin: {error:#}"));
            let (digest, counts) = (Digest::ZERO, BTreeMap::new());
            return Report { seed, digest, events: 0, counts, tail: Vec::new(), wrong };
        }
    };
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    let wrong = match ran {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(panic) => Some(format!("panicked: {}", words(&*panic))),
    };
    let (digest, events) = (world.trace.digest(), world.events);
    Report { seed, digest, events, counts: world.counts, tail: world.trace.into_tail(), wrong }
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}
