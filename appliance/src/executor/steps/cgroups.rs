//! Who uses the machine, by its control groups: all of them, not only those that somebody has named
//! (Linux, Documentation/admin-guide/cgroup-v2.rst).

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// More groups than any clinic's box has; a walk does not take longer because somebody makes them.
const GROUPS_MAX: usize = 4096;

/// Something by group, as a path below the root of all groups: `system.slice/portal.service`.
pub(super) type ByGroup = BTreeMap<String, u64>;

/// Processor time that each group has used, with all that is below it, in microseconds.
pub(super) fn used(root: &Path) -> ByGroup {
    let usage = |folder: &Path| -> Option<u64> {
        let stat = fs::read_to_string(folder.join("cpu.stat")).ok()?;
        stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?.trim().parse().ok()
    };
    each(root, &usage)
}

/// The unit that has used the most between two looks, and how much; `None`: nobody used anything.
pub(super) fn hungriest(before: &ByGroup, after: &ByGroup) -> Option<(String, u64)> {
    let risen = |group: &String, now: &u64| now.saturating_sub(before.get(group).copied().unwrap_or(*now));
    let all: ByGroup = after.iter().map(|(group, now)| (group.clone(), risen(group, now))).collect();
    let own = |group: &String, used: u64| {
        let prefix = if group.is_empty() { String::new() } else { format!("{group}/") };
        let child = |other: &&String| {
            other.strip_prefix(&prefix).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
        };
        let below: u64 = all.keys().filter(child).map(|child| all[child]).sum();
        used.saturating_sub(below)
    };
    most(all.iter().map(|(group, used)| (unit_of(group), own(group, *used))))
}

/// The unit whose processes hold the most memory, and how much, in KiB.
pub(super) fn largest(root: &Path) -> Option<(String, u64)> {
    let resident = |folder: &Path| resident_kb(root, folder);
    most(each(root, &resident).into_iter().map(|(group, kb)| (unit_of(&group), kb)))
}

/// Memory of a group's own processes. Not `memory.current`: that is only kept where the controller is on, and counts
/// caches.
pub(super) fn resident_kb(root: &Path, group: &Path) -> Option<u64> {
    let processes = fs::read_to_string(group.join("cgroup.procs")).ok()?;
    let resident = |process: &str| -> Option<u64> {
        let status = fs::read_to_string(root.join("proc").join(process).join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(processes.lines().filter_map(resident).sum())
}

/// The innermost unit that a group belongs to; one that belongs to none speaks for itself.
fn unit_of(group: &str) -> String {
    let parts: Vec<&str> = group.split('/').collect();
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    match parts.iter().rposition(is_unit) {
        Some(at) => parts[..=at].join("/"),
        None if group.is_empty() => "/".to_owned(),
        None => group.to_owned(),
    }
}

fn most(each: impl Iterator<Item = (String, u64)>) -> Option<(String, u64)> {
    let mut sums = ByGroup::new();
    for (unit, amount) in each {
        *sums.entry(unit).or_default() += amount;
    }
    sums.into_iter().filter(|(_, amount)| *amount > 0).max_by_key(|(_, amount)| *amount)
}

fn each(root: &Path, read: &dyn Fn(&Path) -> Option<u64>) -> ByGroup {
    let top = root.join("sys/fs/cgroup");
    let mut pending: Vec<(String, PathBuf)> = vec![(String::new(), top)];
    let mut found = ByGroup::new();
    while let Some((group, folder)) = pending.pop() {
        if let Some(amount) = read(&folder) {
            found.insert(group.clone(), amount);
        }
        let below = fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
        for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let name = if group.is_empty() { name } else { format!("{group}/{name}") };
            if found.len() + pending.len() < GROUPS_MAX {
                pending.push((name, entry.path()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(of: &[(&str, u64)]) -> ByGroup {
        of.iter().map(|(group, used)| ((*group).to_owned(), *used)).collect()
    }

    #[test]
    fn what_a_unit_used_counts_once_and_is_the_innermost_units() {
        let before = groups(&[("", 0), ("system.slice", 0), ("system.slice/a.service", 0)]);
        let mut after = groups(&[
            ("", 400),
            ("system.slice", 310),
            ("system.slice/a.service", 300),
            ("system.slice/b.service", 9000),
            ("user.slice", 0),
        ]);
        // `b` was not there before: nobody knows since when it runs.
        assert_eq!(hungriest(&before, &after), Some(("system.slice/a.service".into(), 300)));
        let before = groups(&[("s", 0), ("s/b.service", 0), ("s/b.service/one", 0), ("s/b.service/two", 0)]);
        after = groups(&[("s", 100), ("s/b.service", 90), ("s/b.service/one", 40), ("s/b.service/two", 50)]);
        assert_eq!(hungriest(&before, &after), Some(("s/b.service".into(), 90)));
        assert_eq!(hungriest(&after, &after), None);
    }

    #[test]
    fn the_kernels_files_are_read() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("sys/fs/cgroup/system.slice/a.service");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cpu.stat"), "usage_usec 77\nuser_usec 70\nsystem_usec 7\n").unwrap();
        let me = std::process::id();
        fs::write(group.join("cgroup.procs"), format!("{me}\n")).unwrap();
        fs::create_dir_all(root.path().join(format!("proc/{me}"))).unwrap();
        fs::write(root.path().join(format!("proc/{me}/status")), "Name:\tit\nVmRSS:\t  123 kB\n").unwrap();
        assert_eq!(used(root.path()), groups(&[("system.slice/a.service", 77)]));
        assert_eq!(largest(root.path()), Some(("system.slice/a.service".to_owned(), 123)));
    }
}
