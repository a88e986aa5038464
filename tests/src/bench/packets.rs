//! What a packet costs: one of a month of 10,000 records, and many at once on all cores.

use std::{
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use control_plane::{
    bundle::{Fact, Facts, GENERATOR, LogFacts, Month, ProviderSays},
    packet,
};
use proto::{
    digest::Digest,
    evidence::{
        Beats, Body, Clock, ClockSource, ControlFinding, Head, Heartbeat, Identity, Record, Scan, Standing,
        Synchronised,
    },
    identity::KeyProtection,
    ids::{ApplianceId, Incarnation, TenantId},
    log::Hash,
    time::Millis,
};

use super::{
    Effort,
    records::execution,
    report::{Row, in_turn, rate},
    stage::ORGANIZATION,
};

/// Records of a month, about: heartbeats of three boxes every quarter of an hour, a scan a day, and 1,400 orders.
const RECORDS: usize = 10_000;
const BOXES: usize = 3;
const CONTROLS: usize = 56;
const QUARTER: Duration = Duration::from_secs(15 * 60);
/// Of one month's packet, in milliseconds.
const GOAL: f64 = 2_000.0;
/// Of what as many cores as there are would make of one's rate. Setting one packet already uses a second core at times.
const GOAL_ALL: f64 = 0.8;

pub(super) fn run(effort: &Effort) -> Result<Vec<Row>> {
    let month: Month = "2026-11".parse()?;
    let whole = facts(month)?;
    ensure!(whole.records.len() >= RECORDS, "{} records are no month", whole.records.len());
    let small = small(&whole, month);
    // Where figures mean nothing, a debug build must not take minutes for them.
    let rounds = effort.rounds.min(effort.packets);
    let facts = if rounds > 1 { whole } else { small.clone() };
    let mut took = Vec::new();
    for _ in 0..rounds {
        let (each, made) = rate(1, || Ok(packet::build(&facts, month)?))?;
        ensure!(made.pdf.is_some(), "there is no PDF: control-plane was built without the feature `pdf`");
        took.push(1000.0 / each);
    }
    let what = format!(
        "one packet, Markdown and PDF, from the facts of a month of {} records and {BOXES} appliances",
        facts.records.len()
    );
    let figure = super::report::quantile(&mut took, 0.5);
    let one = Row::of_times(what, "ms", "the goal", (figure, GOAL), 1.0);

    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let figures = in_turn(
        rounds,
        || rate(effort.packets, || many(&small, month, effort.packets, cores)),
        |()| Ok(cores_of(cores) * rate(effort.packets, || many(&small, month, effort.packets, 1))?.0),
    )?;
    let what = format!(
        "{} packets of a clinic with one appliance ({} records), on all {cores} cores",
        effort.packets,
        small.records.len()
    );
    let against = format!("{cores} times the rate of one after the other");
    Ok(vec![one, Row::of_rates(what, "packets/s", &against, figures, GOAL_ALL)])
}

#[expect(clippy::cast_precision_loss, reason = "no machine has 2^52 cores")]
fn cores_of(cores: usize) -> f64 {
    cores as f64
}

/// Makes `count` packets with so many workers.
fn many(facts: &Facts, month: Month, count: usize, workers: usize) -> Result<()> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let work = || -> Result<()> {
            while next.fetch_add(1, Ordering::Relaxed) < count {
                packet::build(facts, month)?;
            }
            Ok(())
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })
}

fn appliance(n: usize, now: Millis) -> ApplianceId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    ApplianceId::new(now, random)
}

/// A month as its facts: what a bundle comes to once it was read.
fn facts(month: Month) -> Result<Facts> {
    let (begin, end) = (month.begin(), month.end());
    let tenant = TenantId::new(begin, [1; 10]);
    let boxes: Vec<ApplianceId> = (0..BOXES).map(|n| appliance(n, begin)).collect();
    let mut chains = [Head::default(); BOXES];
    let mut records: Vec<Fact> = Vec::new();
    let mut at = begin;
    let mut quarters = 0;
    while at < end {
        for (n, appliance) in boxes.iter().enumerate() {
            let mut bodies = vec![Body::Heartbeat(heartbeat())];
            if quarters % 96 == 0 {
                bodies.push(Body::Scan(scan(quarters)?));
            }
            if quarters % 6 == 0 {
                bodies.push(Body::Execution(Box::new(execution(records.len() as u64, at)?)));
            }
            for body in bodies {
                let index = records.len() as u64;
                let digest = Digest::of(&index.to_be_bytes());
                let incarnation = Incarnation([u8::try_from(n)?; 16]);
                let record = Record {
                    chain: chains[n].link(incarnation),
                    identity: Identity {
                        organization: ORGANIZATION.to_owned(),
                        tenant,
                        appliance: *appliance,
                    },
                    clock: Clock {
                        at,
                        source: ClockSource::Token,
                        wall_offset_ms: 3,
                        floor: at,
                        synchronised: Some(Synchronised::Yes),
                    },
                    checkpoint: None,
                    key_protection: KeyProtection::Tpm,
                    body,
                };
                chains[n] = chains[n].after(digest);
                records.push(Fact { index, digest, record });
            }
        }
        at = at.plus(QUARTER);
        quarters += 1;
    }
    let size = records.len() as u64;
    let said = ProviderSays {
        clinic: "Northside Family Practice".to_owned(),
        appliances: boxes.iter().map(|id| (*id, "Front desk".to_owned())).collect(),
        period: month.until(end),
        made_at: end,
        generator: GENERATOR.to_owned(),
        packet: Some(month),
        brand: Default::default(),
    };
    let mut facts = Facts::new(said);
    ORGANIZATION.clone_into(&mut facts.organization);
    facts.tenant = Some(tenant);
    let origin = format!("evidence.{ORGANIZATION}/{tenant}");
    facts.log = Some(LogFacts { origin, size, root: Hash([7; 32]) });
    facts.records = records;
    Ok(facts)
}

/// The same of one box, and without most of its heartbeats.
fn small(facts: &Facts, month: Month) -> Facts {
    let first = appliance(0, month.begin());
    let mut small = facts.clone();
    small.records.retain(|fact| {
        fact.record.identity.appliance == first
            && (fact.index % 4 == 0 || !matches!(fact.record.body, Body::Heartbeat(_)))
            && (fact.index % 8 == 0 || !matches!(fact.record.body, Body::Execution(_)))
    });
    small
}

fn heartbeat() -> Heartbeat {
    Heartbeat {
        charter_serial: 1,
        catalogue_version: 1,
        policy_serial: 1,
        order_high: 1,
        every_ms: u64::try_from(QUARTER.as_millis()).unwrap_or(u64::MAX),
        watch: std::collections::BTreeMap::new(),
        hold: None,
        refusals_not_signed: 0,
        version: "0.1.0".to_owned(),
        up_ms: 40 * 24 * 3600 * 1000,
        footprint: None,
        sealing_key: None,
        beats: Some(Beats { made: 3, every_ms: 300_000, longest_ms: 300_040, ..Beats::default() }),
    }
}

fn scan(quarter: usize) -> Result<Scan> {
    let found = |n: usize| {
        let standing = if (n + quarter).is_multiple_of(29) { Standing::Drifted } else { Standing::Compliant };
        let finding = ControlFinding { standing, reading: [].into(), blind: None, exception: None };
        Ok((format!("NXH-{n:03}").try_into()?, finding))
    };
    Ok(Scan {
        baseline: Digest::of(b"baseline"),
        watch: [].into(),
        readings: [].into(),
        findings: (1..=CONTROLS).map(found).collect::<Result<_>>()?,
    })
}
