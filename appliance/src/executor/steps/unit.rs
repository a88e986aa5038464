//! Work that needs the network is a systemd unit: the executor starts it, waits, and judges by its result.

use std::path::Path;

use proto::{evidence::StepResult, time::Millis};

use super::{Limit, spawn};
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
    let mut command = spawn::command(systemctl);
    let properties = "--property=Result,ExecMainStatus,ExecMainExitTimestamp";
    command.args(["show", properties, "--timestamp=unix", "--", unit]);
    let mut lines = Vec::new();
    let ended =
        spawn::run(command, limit, &mut |line| lines.push(String::from_utf8_lossy(line).into_owned()))
            .ok()?;
    let value = |key: &str| lines.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let is_good =
        ended.is_good() && value("Result") == Some("success") && value("ExecMainStatus") == Some("0");
    let seconds: i64 = value("ExecMainExitTimestamp")?.strip_prefix('@')?.parse().ok()?;
    (is_good && seconds > 0).then(|| Millis(seconds.saturating_mul(1000)))
}

fn stop(systemctl: &Path, unit: &str, limit: &Limit<'_>) {
    let mut command = spawn::command(systemctl);
    command.args(["stop", "--no-block", "--", unit]);
    // Its own short time: the step's is over.
    let never = super::Stop::default();
    let ends = limit.clock.boot() + std::time::Duration::from_secs(10);
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
