//! Relieving the processor or memory: the hungriest unit is found by its cgroup, and held back or restarted if its owner
//! has allowed that.

use std::{collections::BTreeMap, fs, path::Path, sync::mpsc, time::Duration};

use super::{Limit, Programs, failed, unit};
use crate::{config::Pressure, world::StepOutcome};

/// How long processor time is watched to see who uses it.
const WATCH: Duration = Duration::from_secs(1);

/// Holds back the hungriest unit that may be held back, until the next boot; else restarts the hungriest that may be restarted.
pub(super) fn processor(
    programs: &Programs,
    root: &Path,
    entry: &Pressure,
    limit: &Limit<'_>,
) -> StepOutcome {
    let all: Vec<&String> = entry.may_throttle.iter().chain(&entry.may_restart).collect();
    let before = usages(programs, root, &all, limit);
    // Nobody sends: receiving with a limit is the pause.
    let (_never, pause) = mpsc::channel::<()>();
    let _ = pause.recv_timeout(WATCH.min(limit.left()));
    let after = usages(programs, root, &all, limit);
    let used = |unit: &String| Some(after.get(unit)?.saturating_sub(*before.get(unit)?));
    let hungriest = |units: &[String]| hungriest(units, used);
    match (hungriest(&entry.may_throttle), hungriest(&entry.may_restart)) {
        (Some((at, usec)), _) => {
            let quota = format!("CPUQuota={}%", entry.throttle_percent);
            let name = &entry.may_throttle[at];
            let args = ["set-property", "--runtime", "--", name, &quota];
            told(unit::run(&programs.systemctl, &args, limit), "throttled", at, ("used_us", usec))
        }
        (None, Some((at, usec))) => {
            let outcome = unit::restart(&programs.systemctl, &entry.may_restart[at], limit);
            told(outcome, "restarted", at, ("used_us", usec))
        }
        (None, None) => failed(-1),
    }
}

/// Restarts the largest unit that may be restarted.
pub(super) fn memory(programs: &Programs, root: &Path, entry: &Pressure, limit: &Limit<'_>) -> StepOutcome {
    let resident = |unit: &String| resident_kb(root, &cgroup(programs, root, unit, limit)?);
    match hungriest(&entry.may_restart, resident) {
        Some((at, kb)) => {
            let outcome = unit::restart(&programs.systemctl, &entry.may_restart[at], limit);
            told(outcome, "restarted", at, ("resident_kb", kb))
        }
        None => failed(-1),
    }
}

/// Waits until `is_over`, or until there is no time left: an average falls slowly.
pub(super) fn settle(limit: &Limit<'_>, is_over: impl Fn() -> bool) {
    let (_never, pause) = mpsc::channel::<()>();
    while limit.over().is_none() && !is_over() {
        let _ = pause.recv_timeout(WATCH.min(limit.left()));
    }
}

/// Evidence names a unit by its place in the owner's list, counted from 0.
fn told(mut outcome: StepOutcome, what: &str, at: usize, (name, value): (&str, u64)) -> StepOutcome {
    outcome.counts.insert(what.to_owned(), i64::try_from(at).unwrap_or(i64::MAX));
    outcome.counts.insert(name.to_owned(), i64::try_from(value).unwrap_or(i64::MAX));
    outcome
}

fn hungriest(units: &[String], used: impl Fn(&String) -> Option<u64>) -> Option<(usize, u64)> {
    let each = units.iter().enumerate().filter_map(|(at, unit)| Some((at, used(unit)?)));
    each.filter(|(_, used)| *used > 0).max_by_key(|(_, used)| *used)
}

fn usages(programs: &Programs, root: &Path, units: &[&String], limit: &Limit<'_>) -> BTreeMap<String, u64> {
    let usage = |unit: &String| {
        let stat = fs::read_to_string(cgroup(programs, root, unit, limit)?.join("cpu.stat")).ok()?;
        stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?.trim().parse().ok()
    };
    units.iter().filter_map(|unit| Some(((*unit).clone(), usage(unit)?))).collect()
}

fn cgroup(programs: &Programs, root: &Path, unit: &str, limit: &Limit<'_>) -> Option<std::path::PathBuf> {
    let found = unit::properties(&programs.systemctl, unit, "ControlGroup", limit)?;
    let group = found.get("ControlGroup").filter(|group| group.len() > 1)?;
    Some(root.join("sys/fs/cgroup").join(group.trim_start_matches('/')))
}

/// Memory of the group's processes. Not `memory.current`: that is only kept where the controller is on, and counts caches.
fn resident_kb(root: &Path, group: &Path) -> Option<u64> {
    let processes = fs::read_to_string(group.join("cgroup.procs")).ok()?;
    let resident = |process: &str| -> Option<u64> {
        let status = fs::read_to_string(root.join("proc").join(process).join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(processes.lines().filter_map(resident).sum())
}
