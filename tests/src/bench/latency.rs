//! Time from a fault to its repair's evidence in the log, the repair's own steps excluded: real processes throughout.
//!
//! A runbook runs once in 300 s on one directory and 12 times an hour on one appliance, so faults occur on directory
//! after directory of appliance after appliance.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use control_plane::store::Store;
use proto::{
    evidence::{self, Body, Execution, Verdict},
    ids::{TenantId, WatchId},
};

use super::{
    Effort,
    report::{Row, quantile},
    stage,
};
use crate::{
    clock,
    rig::{Clinic, Provider, Watch, wait},
};

/// Time between two looks of the agent: what a fault waits for, whatever the rest costs.
const SAMPLE_MS: f64 = 100.0;
const LIMIT_BYTES: u64 = 10_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything after the look takes at most three times as long as the wait for it.
const GOAL: f64 = 0.25;

pub(super) fn run(work: &Path, effort: &Effort) -> Result<Vec<Row>> {
    let mut provider = stage::provider(work)?;
    let mut log = Log::open(&provider)?;
    let mut times = Vec::new();
    for number in 1..=effort.appliances {
        times.extend(faults(&mut provider, &mut log, work, &format!("box-{number}"), effort.faults)?);
    }
    provider.stop()?;
    let what = |which: &str| {
        format!(
            "{which} of {} faults: directory over its limit until the evidence of its repair is in the log (seen, sent, order \
             signed, verified, run, sealed, sent, stored); the step's own time is taken off, waiting for the look is not",
            times.len()
        )
    };
    let (middle, far) = (what("median"), what("p99"));
    let half = "half the sampling interval of 100 ms: what a fault waits on average before anybody looks";
    let whole = "the sampling interval of 100 ms: what a fault waits at most before anybody looks";
    Ok(vec![
        Row::of_times(middle, "ms", half, (quantile(&mut times, 0.5), SAMPLE_MS / 2.0), GOAL),
        Row::of_times(far, "ms", whole, (quantile(&mut times, 0.99), SAMPLE_MS), GOAL),
    ])
}

/// One appliance, one fault on each of its directories; gives the times in milliseconds.
fn faults(provider: &mut Provider, log: &mut Log, work: &Path, name: &str, count: usize) -> Result<Vec<f64>> {
    let ids: Vec<String> = (0..count).map(|number| format!("{name}-{number}")).collect();
    let directories: Vec<PathBuf> = ids.iter().map(|id| work.join("watched").join(id)).collect();
    directories.iter().try_for_each(fs::create_dir_all)?;
    let watch: Vec<(&str, Watch<'_>)> = ids
        .iter()
        .zip(&directories)
        .map(|(id, path)| (id.as_str(), Watch::Directory(path, LIMIT_BYTES)))
        .collect();
    let mut clinic = stage::appliance(provider, work, name, &watch)?;
    sample_faster(&clinic)?;
    clinic.start_agent()?;
    let watches = |watch: &BTreeMap<WatchId, String>| watch.keys().any(|id| id.as_str() == ids[0]);
    log.wait("its first heartbeat", |body| match body {
        Body::Heartbeat(beat) if watches(&beat.watch) => Some(()),
        _ => None,
    })?;
    let mut times = Vec::new();
    for (number, (id, directory)) in (1..).zip(ids.iter().zip(&directories)) {
        // Spread over the interval: the last answer must not decide how long the next fault waits for a look.
        let phase = (f64::from(number) * 0.618_034).fract();
        wait::pause(Duration::from_secs_f64((2.0 + phase) * SAMPLE_MS / 1000.0));
        times.push(fault(provider, &mut clinic, log, id, directory)?);
    }
    clinic.stop()?;
    Ok(times)
}

/// Puts a directory over its limit at once, and waits until the repair's evidence is stored.
fn fault(
    provider: &mut Provider,
    clinic: &mut Clinic,
    log: &mut Log,
    id: &str,
    directory: &Path,
) -> Result<f64> {
    let aside = directory.with_extension("aside");
    fs::write(&aside, vec![b'x'; usize::try_from(2 * LIMIT_BYTES)?])?;
    let start = clock::instant();
    fs::rename(&aside, directory.join("scan.bin"))?;
    let execution = log.wait(&format!("the repair of {id}"), |body| match body {
        Body::Execution(run) if run.order.parameters.values().any(|watch| watch.as_str() == id) => {
            Some((**run).clone())
        }
        _ => None,
    });
    let took = clock::since(start);
    provider.check()?;
    clinic.check()?;
    let Execution { verdict, steps, .. } = execution?;
    ensure!(verdict == Verdict::Repaired, "{id} was not repaired: {verdict:?}");
    let steps = Duration::from_millis(steps.iter().map(|step| step.took_ms).sum());
    Ok(took.saturating_sub(steps).as_secs_f64() * 1000.0)
}

/// The rig's appliances look twice a second, which is right for everything but this.
fn sample_faster(clinic: &Clinic) -> Result<()> {
    let path = clinic.dir.join("config.toml");
    let text = fs::read_to_string(&path)?;
    let faster = text.replace("sample_seconds = 0.5\n", "sample_seconds = 0.1\n");
    ensure!(faster != text, "the rig's sample_seconds is not 0.5 any more; say so here");
    Ok(fs::write(path, faster)?)
}

/// The clinic's log, looked at beside the server.
struct Log {
    store: Store,
    tenant: TenantId,
    next: u64,
}

impl Log {
    fn open(provider: &Provider) -> Result<Self> {
        let store = Store::open_reader(&provider.dir.join("control-plane.db"))?;
        let tenants = store.tenants()?;
        let tenant = tenants.first().context("there is a tenant")?.id;
        Ok(Self { store, tenant, next: 0 })
    }

    /// Looks every millisecond, at each record once, until `found` has something.
    fn wait<T>(&mut self, what: &str, mut found: impl FnMut(&Body) -> Option<T>) -> Result<T> {
        let start = clock::instant();
        let mut passed = BTreeSet::new();
        loop {
            for row in self.store.evidence(self.tenant, self.next, 1)? {
                self.next = row.log_index + 1;
                if row.appliance.is_none() {
                    continue; // an act of the control plane
                }
                let record = evidence::peek(&row.envelope)?;
                if let Some(found) = found(&record.body) {
                    return Ok(found);
                }
                passed.insert(row.summary);
            }
            if clock::since(start) > PATIENCE {
                bail!(
                    "waited {} s in vain for {what}; the log says meanwhile: {passed:?}",
                    PATIENCE.as_secs()
                );
            }
            wait::pause(Duration::from_millis(1));
        }
    }
}
