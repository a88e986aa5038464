//! The simulation over many seeds: `SEEDS=n` of them, or `SEED=n` alone, and with `TRACE=1` every line of what happened.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use tests::sim::{self, Report};

/// How many seeds are run when nobody says.
const SEEDS: u64 = 50;

/// What must have happened somewhere in that many runs, or they prove less than they seem to.
const SEEN: [&str; 21] = [
    "clock jumps",
    "events dropped",
    "execution: repaired",
    "execution: ineffective",
    "execution: failed",
    "execution: interrupted",
    "execution: interrupted, and yet repaired",
    "full disks",
    "kills: agent",
    "kills: control plane",
    "kills: executor",
    "messages that came twice",
    "order refused by guardrail 2 binding",
    "order refused by guardrail 3 freshness",
    "order refused by guardrail 4 replay",
    "order refused by guardrail 11 precondition",
    "order refused by guardrail 12 hold",
    "partitions",
    "restores",
    "standing order: used",
    "vault outages",
];

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number, is {text:?}")))
}

fn tell(report: &Report) -> String {
    let (seed, events, digest) = (report.seed, report.events, report.digest);
    let wrong = report.wrong.as_deref().unwrap_or("nothing was wrong");
    let replay = format!("SEED={seed} TRACE=1 cargo test -p tests --test simulation whatever -- --nocapture");
    let tail = report.tail.join("\n");
    format!("{tail}\n\nseed {seed}: {wrong}\nafter {events} events, trace {digest}\nreplay: {replay}\n")
}

/// Runs seeds `first..=last` on all processors, by rising seed as far as that goes.
fn run_all(first: u64, last: u64) -> Vec<Report> {
    let next = AtomicU64::new(first);
    let reports = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(|| {
                while let seed = next.fetch_add(1, Relaxed)
                    && seed <= last
                {
                    let report = sim::run(seed);
                    reports.lock().expect("no run panics with the lock held").push(report);
                }
            });
        }
    });
    let mut reports = reports.into_inner().expect("no run panics with the lock held");
    reports.sort_by_key(|report| report.seed);
    reports
}

#[test]
fn whatever_goes_wrong_nothing_is_lost_or_done_twice() {
    let (first, last) = match number("SEED") {
        Some(seed) => (seed, seed),
        None => (1, number("SEEDS").unwrap_or(SEEDS)),
    };
    assert!(first <= last, "SEEDS must be at least 1: no run proves nothing");
    let reports = run_all(first, last);
    let failed: Vec<&Report> = reports.iter().filter(|report| report.wrong.is_some()).collect();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (what, times) in reports.iter().flat_map(|report| &report.counts) {
        *counts.entry(what).or_default() += times;
    }
    println!("{} seeds, {} failed", reports.len(), failed.len());
    for (what, times) in &counts {
        println!("{times:8} {what}");
    }
    if let Some(report) = failed.first() {
        let seeds: Vec<u64> = failed.iter().map(|report| report.seed).collect();
        panic!("\n{}failed seeds: {seeds:?}", tell(report));
    }
    if let [report] = &reports[..] {
        println!("trace {} after {} events", report.digest, report.events);
    }
    if reports.len() as u64 >= SEEDS {
        let unseen: Vec<&str> = SEEN.into_iter().filter(|what| !counts.contains_key(what)).collect();
        assert!(unseen.is_empty(), "in {} runs there was never: {unseen:?}", reports.len());
    }
}

#[test]
fn a_seed_replays_exactly() {
    let seed = number("SEED").unwrap_or(7);
    let (first, again) = (sim::run(seed), sim::run(seed));
    assert_eq!(first.tail, again.tail, "{}", tell(&first));
    assert_eq!((first.digest, first.events, first.counts), (again.digest, again.events, again.counts));
    assert_ne!(first.digest, sim::run(seed + 1).digest, "another seed is another run");
}
