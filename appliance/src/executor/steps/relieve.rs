//! Relieving the processor or memory: the hungriest unit is found by its cgroup, and held back or restarted if its owner
//! has allowed that.

use std::{collections::BTreeMap, fs, path::Path, sync::mpsc, time::Duration};

use proto::evidence::StepResult;

use super::{Limit, Programs, cgroups, failed, manager, names::Names, unit};
use crate::{config::Pressure, world::StepOutcome};

/// How long processor time is watched to see who uses it.
const WATCH: Duration = Duration::from_secs(1);
/// The same where only somebody is to be told.
const GLANCE: Duration = Duration::from_millis(200);
/// How long a unit must stay up to count as started: one that cannot work ends soon.
const STAYS: Duration = Duration::from_secs(5);

/// What is to be done, to which unit of the owner's list, and what that unit takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// It is held back until the next boot.
    Throttle(usize, u64),
    /// It is restarted.
    Restart(usize, u64),
    /// Nothing is allowed to anybody who takes anything.
    Nobody,
}

/// Who takes the most, of all that run: a unit, and how much.
type Culprit = Option<(String, u64)>;

/// Chooses the hungriest unit that may be held back, else the hungriest that may be restarted; and names whoever takes most.
pub(super) fn choose_by_processor(
    programs: &Programs,
    root: &Path,
    entry: &Pressure,
    limit: &Limit<'_>,
) -> (Choice, Culprit) {
    let all: Vec<&String> = entry.may_throttle.iter().chain(&entry.may_restart).collect();
    let (before, all_before) = (usages(programs, root, &all, limit), cgroups::used(root));
    pause(WATCH, limit);
    let (after, all_after) = (usages(programs, root, &all, limit), cgroups::used(root));
    let used = |unit: &String| Some(after.get(unit)?.saturating_sub(*before.get(unit)?));
    let hungriest = |units: &[String]| hungriest(units, used);
    let choice = match (hungriest(&entry.may_throttle), hungriest(&entry.may_restart)) {
        (Some((at, usec)), _) => Choice::Throttle(at, usec),
        (None, Some((at, usec))) => Choice::Restart(at, usec),
        (None, None) => Choice::Nobody,
    };
    (choice, cgroups::hungriest(&all_before, &all_after))
}

/// Chooses the largest unit that may be restarted; and names whoever is largest.
pub(super) fn choose_by_memory(
    programs: &Programs,
    root: &Path,
    entry: &Pressure,
    limit: &Limit<'_>,
) -> (Choice, Culprit) {
    let resident = |unit: &String| cgroups::resident_kb(root, &cgroup(programs, root, unit, limit)?);
    let choice = match hungriest(&entry.may_restart, resident) {
        Some((at, kb)) => Choice::Restart(at, kb),
        None => Choice::Nobody,
    };
    (choice, cgroups::largest(root))
}

/// Does what was chosen, by what the processor is used for.
pub(super) fn processor(
    programs: &Programs,
    root: &Path,
    entry: &Pressure,
    names: Option<&Names>,
    limit: &Limit<'_>,
) -> StepOutcome {
    let (choice, culprit) = choose_by_processor(programs, root, entry, limit);
    let mut outcome = carry_out(choice, programs, entry, "used_us", limit);
    name(&mut outcome, names, culprit, "hungriest_used_us");
    outcome
}

/// Does what was chosen, by what is held in memory.
pub(super) fn memory(
    programs: &Programs,
    root: &Path,
    entry: &Pressure,
    names: Option<&Names>,
    limit: &Limit<'_>,
) -> StepOutcome {
    let (choice, culprit) = choose_by_memory(programs, root, entry, limit);
    let mut outcome = carry_out(choice, programs, entry, "resident_kb", limit);
    name(&mut outcome, names, culprit, "largest_resident_kb");
    outcome
}

fn carry_out(
    choice: Choice,
    programs: &Programs,
    entry: &Pressure,
    what: &str,
    limit: &Limit<'_>,
) -> StepOutcome {
    match choice {
        Choice::Throttle(at, amount) => {
            let quota = format!("CPUQuota={}%", entry.throttle_percent);
            let args = ["set-property", "--runtime", "--", &entry.may_throttle[at], &quota];
            told(unit::run(&programs.systemctl, &args, limit), "throttled", at, (what, amount))
        }
        Choice::Restart(at, amount) => {
            let outcome = unit::restart(&programs.systemctl, &entry.may_restart[at], limit);
            told(outcome, "restarted", at, (what, amount))
        }
        Choice::Nobody => failed(-1),
    }
}

/// Names whoever it was, in evidence by a keyed digest: whether or not anything may be done to him.
fn name(outcome: &mut StepOutcome, names: Option<&Names>, culprit: Culprit, what: &str) {
    let Some((group, amount)) = culprit else { return };
    outcome.counts.insert(what.to_owned(), i64::try_from(amount).unwrap_or(i64::MAX));
    if let Some(names) = names {
        outcome.counts.insert("group_digest".to_owned(), names.digest(&group));
    }
}

/// For people: who uses the processor most, now.
pub(super) fn who_burns(root: &Path, limit: &Limit<'_>) -> String {
    let before = cgroups::used(root);
    let began = limit.clock.boot();
    pause(GLANCE, limit);
    let took = limit.clock.boot().saturating_sub(began).as_micros().max(1);
    match cgroups::hungriest(&before, &cgroups::used(root)) {
        Some((group, used)) => {
            format!("most processor time goes to {group}: {} % of one core", u128::from(used) * 100 / took)
        }
        None => String::new(),
    }
}

/// For people: who holds the most memory.
pub(super) fn who_holds(root: &Path) -> String {
    let told = |(group, kb)| format!("most memory is held by {group}: {} MiB", kb / 1024);
    cgroups::largest(root).map(told).unwrap_or_default()
}

/// Watches a unit that was just started: one that ends within a few seconds, or has to be started again, was not mended.
pub(super) fn stays_up(root: &Path, unit: &str, limit: &Limit<'_>, mut outcome: StepOutcome) -> StepOutcome {
    if outcome.result != StepResult::Done {
        return outcome;
    }
    let watch = Limit { ends: limit.ends.min(limit.clock.boot() + STAYS), ..*limit };
    let restarts = manager::unit(root, unit, limit).map_or(0, |state| state.restarts);
    let mut again = 0;
    settle(&watch, || match manager::unit(root, unit, limit) {
        Ok(state) => {
            again = state.restarts.saturating_sub(restarts);
            again > 0 || !state.is_up()
        }
        Err(_) => true,
    });
    if again > 0 {
        outcome.result = StepResult::Failed;
    }
    outcome.counts.insert("restarted_again".to_owned(), i64::from(again));
    outcome
}

/// Waits until `is_over`, or until there is no time left: an average falls slowly.
pub(super) fn settle(limit: &Limit<'_>, mut is_over: impl FnMut() -> bool) {
    while limit.over().is_none() && !is_over() {
        pause(WATCH, limit);
    }
}

/// Nobody sends: receiving with a limit is the pause.
fn pause(span: Duration, limit: &Limit<'_>) {
    let (_never, pause) = mpsc::channel::<()>();
    let _ = pause.recv_timeout(span.min(limit.left()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hungriest_that_takes_anything_is_chosen() {
        let units = ["calm", "hog", "idle", "gone"].map(String::from);
        let used = |unit: &String| match unit.as_str() {
            "calm" => Some(3),
            "hog" => Some(100),
            "idle" => Some(0),
            _ => None,
        };
        assert_eq!(hungriest(&units, used), Some((1, 100)));
        assert_eq!(hungriest(&units[2..], used), None);
    }
}
