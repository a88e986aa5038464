//! What ten thousand appliances cost that have nothing to say: each connected, each with a call that is held for a minute.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    Effort,
    crowd::{Ask, Beside, Part, Told, enrol},
    report::{Row, megabytes},
    stage,
};
use crate::{
    clock,
    rig::{
        usage::{peak_memory, processor_time},
        wait,
    },
};

/// A quarter of the machine may go to appliances that are well, and 100 kB to each connection.
const SHARE: f64 = 25.0;
const MEMORY_OF_ONE: f64 = 0.1;
/// And what the server needs by itself.
const MEMORY: f64 = 100.0;
/// How long appliances take to come, so that they come back as they came.
const SPREAD: Duration = Duration::from_secs(60);

pub(super) fn run(work: &Path, effort: &Effort) -> Result<Vec<Row>> {
    let mut provider = stage::installed(work)?;
    let members = enrol(&provider.dir, effort.fleet)?;
    provider.start()?;
    let mut crowd = Beside::start(Part::Crowd, &members)?;
    let time = Duration::from_secs(effort.fleet_seconds);
    let spread = u64::try_from(SPREAD.min(time).as_millis())?;
    crowd.ask(&Ask::Rhythm(provider.appliances, spread))?;
    // Whoever came last is greeted by then.
    let greeted = wait::until("everybody is there", Duration::from_secs(600), || {
        let (answered, failed) = counted(&mut crowd)?;
        ensure!(failed == 0, "{failed} exchanges failed");
        Ok((answered >= effort.fleet).then_some(answered))
    })?;
    let server = provider.id()?;
    let (before, start) = (processor_time(server)?, clock::instant());
    wait::pause(time);
    let (used, over) = (processor_time(server)?.saturating_sub(before), clock::since(start));
    let (answered, failed) = counted(&mut crowd)?;
    ensure!(failed == 0, "{failed} exchanges failed");
    provider.check()?;
    let memory = megabytes(peak_memory(server)?);
    provider.stop()?;
    let cores = f64::from(u32::try_from(std::thread::available_parallelism()?.get())?);
    let share = used.as_secs_f64() / over.as_secs_f64() / cores * 100.0;
    let of = format!(
        "{} appliances that have nothing to say, each on its own connection with a call that is held for 60 s ({} were answered \
         in {} s)",
        effort.fleet,
        answered - greeted,
        over.as_secs()
    );
    let fleet = f64::from(u32::try_from(effort.fleet)?);
    Ok(vec![
        Row::of_times(
            format!("{of}: the server's share of {cores} cores"),
            "%",
            "what it may take",
            (share.max(0.001), SHARE),
            1.0,
        ),
        Row::of_times(
            format!(
                "the same: the server's resident memory, at most, in MB ({:.0} kB each)",
                memory / fleet * 1e3
            ),
            "MB",
            "100 MB, and 100 kB for each of them",
            (memory, MEMORY + fleet * MEMORY_OF_ONE),
            1.0,
        ),
    ])
}

fn counted(crowd: &mut Beside) -> Result<(usize, usize)> {
    match crowd.ask(&Ask::Count).context("how many were answered?")? {
        Told::Count(answered, failed) => Ok((answered, failed)),
        other => bail!("no count, but {other:?}"),
    }
}
