//! The threads that look: one by the clock, one as soon as a log grows, one as soon as the executor has new evidence.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use proto::local;

use super::{Shared, wakes::Wakes};
use crate::{
    agent::{chain, core::AgentError, executor, sources::readings::observations},
    probe::background::Probes,
    world::Executor,
};

/// How long the executor may let us wait for evidence in one question.
const WAIT_MS: u32 = 20_000;
/// Between two looks at logs that have more: whoever else waits for the core gets it.
const BREATH: Duration = Duration::from_millis(1);
/// Between two looks at logs that grow: lines that come one after the other travel together.
const GATHER: Duration = Duration::from_millis(50);
/// How long to rest when it cannot be waited for, or there is no room.
const REST: Duration = Duration::from_secs(2);

/// Looks at everything, at once and then every `sample`, until the other end of `until` is gone.
pub(super) fn sample(
    shared: Arc<Shared>,
    mut measurer: Box<dyn Executor>,
    probes: Probes,
    sample: Duration,
    until: Receiver<()>,
) -> io::Result<JoinHandle<()>> {
    Builder::new().name("sampler".to_owned()).spawn(move || {
        let measured = shared.core().measured().clone();
        let mut known = Vec::new();
        loop {
            let mut readings = measured.poll(measurer.as_mut());
            for (entry, found) in probes.poll() {
                readings.0.observations.extend(observations(entry.id(), entry.kind(), &found));
            }
            let now = shared.world.clock.wall();
            let collected = shared.look(|core| core.collect_measured(readings, now));
            shared.looks.ended(shared.world.clock.boot());
            if collected.records > 0 {
                shared.found_something();
            }
            if collected.more {
                shared.bell.ring();
            }
            report(&mut known, &collected.problems);
            if until.recv_timeout(sample) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    })
}

/// Looks at logs whenever one changes, for as long as the process lives.
pub(super) fn follow_logs(shared: Arc<Shared>, mut wakes: Wakes, sample: Duration) -> io::Result<()> {
    if shared.core().log_files().is_empty() {
        return Ok(());
    }
    Builder::new().name("logs".to_owned()).spawn(move || {
        // Nobody sends: receiving with a limit is the pause.
        let (_never, rest) = channel::<()>();
        while wakes.wait(sample).is_ok() {
            loop {
                let now = shared.world.clock.wall();
                let collected = shared.look(|core| core.collect_logs(now));
                // The sampler meets the same problems, and says so.
                if collected.records > 0 {
                    shared.found_something();
                }
                if !collected.more {
                    break;
                }
                let _ = rest.recv_timeout(BREATH);
            }
            let _ = rest.recv_timeout(GATHER);
        }
    })?;
    Ok(())
}

/// Says what is wrong when it begins to be, and not with every look again.
fn report(known: &mut Vec<String>, problems: &[AgentError]) {
    let problems: Vec<String> = problems.iter().map(|problem| chain(problem)).collect();
    for problem in problems.iter().filter(|problem| !known.contains(problem)) {
        tracing::warn!("not everything could be looked at: {problem}");
    }
    *known = problems;
}

/// Waits for evidence, for as long as the process lives.
pub(super) fn await_evidence(
    shared: Arc<Shared>,
    mut waiter: Box<dyn Executor>,
) -> io::Result<JoinHandle<()>> {
    Builder::new().name("evidence".to_owned()).spawn(move || {
        // Nobody sends: receiving with a limit is the pause.
        let (_never, rest) = channel::<()>();
        loop {
            if !matches!(wait_and_take(&shared, waiter.as_mut()), Ok(true)) {
                // The sampler meets the same problem, and says so.
                let _ = rest.recv_timeout(REST);
            }
        }
    })
}

/// Whether to go on at once: something was taken, or nothing came while we waited.
fn wait_and_take(shared: &Shared, waiter: &mut dyn Executor) -> Result<bool, AgentError> {
    let from = shared.core().evidence_place()?.next;
    // One byte: what it is does not matter here, only that it is there.
    let ask = local::Collect { from, wait_ms: WAIT_MS, most_bytes: 1 };
    if executor::collect(waiter, ask)?.is_empty() {
        return Ok(true);
    }
    let taken = shared.core().collect_evidence(shared.world.clock.wall())?;
    if taken > 0 {
        shared.found_something();
    }
    // The sampler may have been quicker.
    Ok(taken > 0 || shared.core().evidence_place()?.next > from)
}
