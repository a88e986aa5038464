//! The simulation over many seeds; one of them again with `SEED=n`, its whole trace with `TRACE=1`.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use tests::sim::{self, Report};

const SEEDS: u64 = 50;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number, is {text:?}")))
}

fn tell(report: &Report) -> String {
    let wrong = report.wrong.as_deref().unwrap_or("nothing was wrong");
    format!(
        "{}\n\nseed {}: {wrong}\nafter {} events, trace {}\nreplay: SEED={} cargo test -p tests --test simulation -- --nocapture\n",
        report.tail.join("\n"),
        report.seed,
        report.events,
        report.digest,
        report.seed
    )
}

#[test]
fn whatever_goes_wrong_nothing_is_lost_or_done_twice() {
    let (first, last) = match number("SEED") {
        Some(seed) => (seed, seed),
        None => (1, number("SEEDS").unwrap_or(SEEDS)),
    };
    let next = AtomicU64::new(first);
    let (failed, counts) = (Mutex::new(Vec::new()), Mutex::new(BTreeMap::new()));
    let workers = thread::available_parallelism().map_or(1, |n| n.get());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed > last {
                        return;
                    }
                    let report = sim::run(seed);
                    for (what, times) in &report.counts {
                        *counts.lock().unwrap().entry(what.clone()).or_insert(0) += times;
                    }
                    if report.wrong.is_some() {
                        failed.lock().unwrap().push(report);
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort_by_key(|report| report.seed);
    println!("{} seeds, {} failed", last + 1 - first, failed.len());
    for (what, times) in counts.into_inner().unwrap() {
        println!("{times:8} {what}");
    }
    if let Some(report) = failed.first() {
        let seeds: Vec<u64> = failed.iter().map(|report| report.seed).collect();
        panic!("{}failed seeds: {seeds:?}", tell(report));
    }
}

#[test]
fn a_seed_replays_exactly() {
    let seed = number("SEED").unwrap_or(7);
    let (first, again) = (sim::run(seed), sim::run(seed));
    assert_eq!(first.tail, again.tail, "{}", tell(&first));
    assert_eq!((first.digest, first.events, first.lines), (again.digest, again.events, again.lines));
    assert_ne!(first.digest, sim::run(seed + 1).digest);
}
