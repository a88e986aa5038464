//! A clinic-year verified offline, by the program that an auditor is given, against the signatures and hashes alone.

use std::{
    fs,
    hint::black_box,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use proto::{
    evidence::peek,
    keys::{PublicKey, SecretKey},
    log::{Bundle, bundles, leaf_hash},
};

use super::{
    Effort,
    evidence::Signed,
    report::{Row, in_turn, megabytes, rate},
};
use crate::{
    rig::{binary, usage::peak_memory, wait},
    year::{self, Plan},
};

/// Most records that the bare loop goes round over.
const SAMPLE: u64 = 20_000;
/// What a bundle's files cost besides: reading them, JSON, chains, the tree.
const GOAL: f64 = 0.7;
/// Most memory, in MB.
const MEMORY: f64 = 200.0;
const PATIENCE: Duration = Duration::from_secs(3600);

pub(super) fn run(work: &Path, effort: &Effort) -> Result<Vec<Row>> {
    let bundle = work.join("bundle");
    let plan = Plan { records: effort.year, appliances: 10, together: true, packet: None };
    let known = year::write(&bundle, plan)?;
    let sample = sample(&bundle, effort.year.min(SAMPLE))?;
    let count = usize::try_from(effort.year)?;
    let mut peak = 0.0_f64;
    let figures = in_turn(
        effort.rounds.min(3),
        || {
            let (figure, megabytes) = rate(count, || verify(&bundle))?;
            peak = peak.max(megabytes);
            Ok((figure, ()))
        },
        |()| Ok(rate(count, || bare(&sample, count))?.0),
    )?;
    let cores = thread::available_parallelism()?;
    let what = format!(
        "a bundle of {} records by 10 appliances until {}, verified by orderly-verify on {cores} cores",
        effort.year, known.now
    );
    let against =
        "the bare verification of as many Ed25519 signatures, and SHA-256 of as many envelopes, on all cores";
    let memory = format!("memory that it had at most, in MB, for {} records", effort.year);
    Ok(vec![
        Row::of_rates(what, "records/s", against, figures, GOAL),
        Row::of_times(memory, "MB", "what it may have", (peak, MEMORY), 1.0),
    ])
}

/// Runs the verifier; gives its memory's peak in MB.
fn verify(bundle: &Path) -> Result<f64> {
    let mut child = Command::new(binary("orderly-verify")?)
        .arg("--trust")
        .arg(bundle.with_extension("trust.json"))
        .arg(bundle)
        .stdout(Stdio::null())
        .spawn()?;
    let mut peak = 0;
    let ended = wait::until("the bundle is verified", PATIENCE, || {
        // Once it has ended there is nothing to read any more.
        peak = peak.max(peak_memory(child.id()).unwrap_or_default());
        Ok(child.try_wait()?)
    })?;
    ensure!(ended.success(), "the verifier ended with {ended}");
    Ok(megabytes(peak))
}

/// One record, as the bare loop takes it.
struct Taken {
    signed: Signed,
    key: PublicKey,
    envelope: Vec<u8>,
}

fn sample(bundle: &Path, count: u64) -> Result<Vec<Taken>> {
    let mut all = Vec::new();
    for entries in bundles(count) {
        // The last one is wider in the bundle, unless it is the log's last.
        let full = Bundle::new(entries.index(), 256)?;
        let read =
            |entries: Bundle| Some((entries, fs::read(bundle.join("log").join(entries.to_string())).ok()?));
        let (entries, bytes) = read(entries).or_else(|| read(full)).context("a file of entries")?;
        for envelope in entries.decode(&bytes)? {
            // The keys of `year` are made of a number for each box.
            let number = peek(envelope)?.chain.incarnation.0[0];
            let key = SecretKey::ed25519([100 + number; 32]);
            all.push(Taken {
                signed: Signed::of(envelope, &key)?,
                key: key.public(),
                envelope: envelope.to_vec(),
            });
        }
    }
    Ok(all)
}

fn bare(sample: &[Taken], count: usize) -> Result<()> {
    let cores = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        let one = |first: usize| {
            for n in (first..count).step_by(cores) {
                let taken = &sample[n % sample.len()];
                taken.signed.verify(&taken.key)?;
                black_box(leaf_hash(&taken.envelope));
            }
            Ok(())
        };
        let all: Vec<_> = (0..cores).map(|first| scope.spawn(move || one(first))).collect();
        all.into_iter()
            .try_for_each(|core| core.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
