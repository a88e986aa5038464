//! Work that needs the network is a systemd unit: the executor starts it, waits, and judges by its result.

use std::{collections::BTreeMap, path::Path, time::Duration};

use proto::{evidence::StepResult, time::Millis};

use super::{Limit, restic::AHEAD, spawn};
use crate::world::StepOutcome;

/// Starts the unit and waits for its end. One that is over its time is told to stop.
pub(super) fn start(systemctl: &Path, unit: &str, limit: &Limit<'_>) -> StepOutcome {
    let mut command = spawn::command(systemctl);
    command.args(["start", "--wait", "--", unit]);
    let ended = match spawn::run(command, limit, &mut |_| {}) {
        Ok(ended) => ended,
        Err(error) => return not_run(systemctl, &error),
    };
    if ended.status.is_err() {
        stop(systemctl, unit, limit);
    }
    StepOutcome {
        result: ended.result(),
        counts: [("exit_code".to_owned(), ended.code())].into(),
        output: ended.output,
    }
}

/// When the unit last ended well, by the wall clock; `None`: it did not, or its last run failed.
pub(super) fn succeeded(systemctl: &Path, unit: &str, limit: &Limit<'_>) -> Option<Millis> {
    let found = properties(systemctl, unit, "Result,ExecMainStatus,ExecMainExitTimestamp", limit)?;
    let is = |key: &str, value: &str| found.get(key).is_some_and(|found| found == value);
    let seconds: i64 = found.get("ExecMainExitTimestamp")?.strip_prefix('@')?.parse().ok()?;
    (is("Result", "success") && is("ExecMainStatus", "0") && seconds > 0)
        .then(|| Millis(seconds.saturating_mul(1000)))
}

/// Properties of a unit by name, times as `@seconds`; `None`: systemd cannot be asked.
pub(super) fn properties(
    systemctl: &Path,
    unit: &str,
    names: &str,
    limit: &Limit<'_>,
) -> Option<BTreeMap<String, String>> {
    let mut command = spawn::command(systemctl);
    command.args(["show", &format!("--property={names}"), "--timestamp=unix", "--", unit]);
    let mut found = BTreeMap::new();
    let mut line = |line: &[u8]| {
        if let Some((name, value)) = String::from_utf8_lossy(line).trim_end().split_once('=') {
            found.insert(name.to_owned(), value.to_owned());
        }
    };
    let ended = spawn::run(command, limit, &mut line).ok()?;
    ended.is_good().then_some(found)
}

/// Restarts a unit and waits until it is up; one that failed too often is given another chance.
pub(super) fn restart(systemctl: &Path, unit: &str, limit: &Limit<'_>) -> StepOutcome {
    // Refused for one that never failed; either way the restart is what counts.
    let _ = run(systemctl, &["reset-failed", "--", unit], limit);
    run(systemctl, &["restart", "--", unit], limit)
}

/// Runs a program of systemd or the like to its end.
pub(super) fn run(program: &Path, args: &[&str], limit: &Limit<'_>) -> StepOutcome {
    let mut command = spawn::command(program);
    command.args(args);
    match spawn::run(command, limit, &mut |_| {}) {
        Ok(ended) => StepOutcome {
            result: ended.result(),
            counts: [("exit_code".to_owned(), ended.code())].into(),
            output: ended.output,
        },
        Err(error) => not_run(program, &error),
    }
}

/// How long ago a unit ended; `None`: further ahead than a clock is off, so nobody can say.
pub(super) fn age(ended: Millis, now: Millis) -> Option<Duration> {
    (ended <= now.plus(AHEAD)).then(|| now.since(ended))
}

fn stop(systemctl: &Path, unit: &str, limit: &Limit<'_>) {
    let mut command = spawn::command(systemctl);
    command.args(["stop", "--no-block", "--", unit]);
    // Its own short time: the step's is over.
    let never = super::Stop::default();
    let ends = limit.clock.boot() + Duration::from_secs(10);
    let brief = Limit { clock: limit.clock, stop: &never, ends };
    if let Err(error) = spawn::run(command, &brief, &mut |_| {}) {
        tracing::warn!("unit {unit} could not be told to stop: {error}");
    }
}

/// A program that is not there, or may not be run.
pub(super) fn not_run(program: &Path, error: &std::io::Error) -> StepOutcome {
    tracing::warn!("cannot run {}: {error}", program.display());
    StepOutcome { result: StepResult::Failed, ..super::failed(-1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_in_the_future_has_no_age() {
        let hour = |n: u64| Millis(0).plus(Duration::from_secs(n * 3600));
        assert_eq!(age(hour(7), hour(10)), Some(Duration::from_secs(3 * 3600)));
        assert_eq!(age(hour(34), hour(10)), Some(Duration::ZERO), "a clock that was set back");
        assert_eq!(age(hour(35), hour(10)), None);
    }
}
