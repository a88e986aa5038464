//! What the product costs: each bench runs it and the bare work it cannot do without, on this machine, in one run.
//!
//! The rule: figures of two machines, or of two days, are not comparable; ratios of one run are. So ours and theirs
//! take turns (A B A B), and the median of each counts.

mod bare;
mod crowd;
mod events;
mod evidence;
mod exchange;
mod fleet;
mod idle;
mod intake;
mod latency;
mod logs;
mod packets;
mod records;
mod redaction;
mod report;
mod scan;
mod stage;
mod storm;
mod year;

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};

pub use crowd::Part;
pub use report::Row;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Turns of ours and theirs.
    pub rounds: usize,
    /// Events in a turn.
    pub events: usize,
    /// Verifications in a turn.
    pub verifications: usize,
    /// Boxes that send evidence at once.
    pub senders: usize,
    /// Appliances that faults occur on, one after the other.
    pub appliances: usize,
    /// Faults on each; a runbook's budget is 12 an hour.
    pub faults: usize,
    /// Samples of each template of clinical text.
    pub samples: usize,
    /// Lines of a log in a turn.
    pub lines: usize,
    /// Turns of each who follows a log.
    pub turns: usize,
    /// Single lines that are timed.
    pub latencies: usize,
    /// How long an idle appliance is looked at, in seconds.
    pub idle_seconds: u64,
    /// Scans of the baseline.
    pub scans: usize,
    /// Records of a clinic-year.
    pub year: u64,
    /// Packets in a turn.
    pub packets: usize,
    /// Appliances in another process.
    pub crowd: usize,
    /// Exchanges of each in a turn.
    pub exchanges: usize,
    /// New connections in a turn.
    pub connections: usize,
    /// Incidents that an order answers.
    pub orders: usize,
    /// Batches of each while the server is killed.
    pub batches_each: usize,
    /// Appliances that are there and have nothing to say.
    pub fleet: usize,
    /// How long they are looked at, in seconds.
    pub fleet_seconds: u64,
}

impl Effort {
    /// For figures.
    pub const FULL: Self = Self {
        rounds: 5,
        events: 20_000,
        verifications: 10_000,
        senders: 20,
        appliances: 10,
        faults: 10,
        samples: 40,
        lines: 1_000_000,
        turns: 3,
        latencies: 40,
        idle_seconds: 600,
        scans: 5,
        year: 1_000_000,
        packets: 24,
        crowd: 1_000,
        exchanges: 20,
        connections: 2_000,
        orders: 500,
        batches_each: 5,
        fleet: 10_000,
        fleet_seconds: 120,
    };
    /// To see that it works.
    pub const QUICK: Self = Self {
        rounds: 3,
        events: 1_000,
        verifications: 300,
        senders: 3,
        appliances: 1,
        faults: 4,
        samples: 2,
        lines: 20_000,
        turns: 1,
        latencies: 4,
        idle_seconds: 3,
        scans: 1,
        year: 3_000,
        packets: 1,
        crowd: 12,
        exchanges: 3,
        connections: 12,
        orders: 6,
        batches_each: 5,
        fleet: 20,
        fleet_seconds: 2,
    };
}

/// The benches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bench {
    /// Events through outbox, Sync and inbox.
    Events,
    /// Evidence verified, and taken in.
    Evidence,
    /// From fault to evidence.
    Latency,
    /// What redaction leaves, takes, and costs.
    Redaction,
    /// A log of which the lines that match travel.
    Watch,
    /// A log that travels whole.
    Forward,
    /// What an appliance costs that has nothing to do.
    Idle,
    /// What a scan of the baseline costs.
    Scan,
    /// A clinic-year verified offline.
    VerifyYear,
    /// What a packet costs.
    Packets,
    /// What an exchange, a connection and an order cost.
    Exchange,
    /// What ten thousand appliances cost.
    Fleet,
    /// All come back at once.
    Storm,
}

impl Bench {
    const ALL: [Self; 13] = [
        Self::Events,
        Self::Evidence,
        Self::Latency,
        Self::Redaction,
        Self::Watch,
        Self::Forward,
        Self::Idle,
        Self::Scan,
        Self::VerifyYear,
        Self::Packets,
        Self::Exchange,
        Self::Fleet,
        Self::Storm,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Evidence => "evidence",
            Self::Latency => "latency",
            Self::Redaction => "redaction",
            Self::Watch => "watch",
            Self::Forward => "forward",
            Self::Idle => "idle",
            Self::Scan => "scan",
            Self::VerifyYear => "verify-year",
            Self::Packets => "packets",
            Self::Exchange => "exchange",
            Self::Fleet => "fleet",
            Self::Storm => "storm",
        }
    }

    fn rows(self, work: &Path, effort: &Effort) -> Result<Vec<Row>> {
        match self {
            Self::Events => events::run(work, effort),
            Self::Evidence => {
                let mut rows = evidence::run(effort)?;
                rows.extend(intake::run(work, effort)?);
                Ok(rows)
            }
            Self::Latency => latency::run(work, effort),
            Self::Redaction => redaction::run(work, effort),
            Self::Watch => logs::run(work, effort, false),
            Self::Forward => logs::run(work, effort, true),
            Self::Idle => idle::run(effort),
            Self::Scan => scan::run(work, effort),
            Self::VerifyYear => year::run(work, effort),
            Self::Packets => packets::run(effort),
            Self::Exchange => exchange::run(work, effort),
            Self::Fleet => fleet::run(work, effort),
            Self::Storm => storm::run(work, effort),
        }
    }
}

impl std::str::FromStr for Bench {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|bench| bench.name() == text);
        found.ok_or_else(|| format!("must be one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// Runs all benches, or one; prints each as a table and writes it to `folder`.
pub fn run(folder: &Path, only: Option<Bench>, effort: &Effort) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if cfg!(debug_assertions) {
        println!("This is a debug build: it shows that the benches work; its figures mean nothing.");
    }
    let work = fs::canonicalize(folder)?.join("work");
    for bench in Bench::ALL.into_iter().filter(|bench| only.is_none_or(|only| only == *bench)) {
        if work.exists() {
            fs::remove_dir_all(&work).with_context(|| format!("cannot clear {}", work.display()))?;
        }
        // Closed to others, so that all programs run as one user, whoever starts this.
        DirBuilder::new().mode(0o700).create(&work)?;
        println!("\n{} ...", bench.name());
        let rows = bench.rows(&work, effort).with_context(|| format!("bench {}", bench.name()))?;
        report::print(&rows);
        report::write(folder, bench.name(), &rows)?;
        fs::remove_dir_all(&work)?;
    }
    println!("\nwritten to {}/*.json", folder.display());
    Ok(())
}
