//! The baseline on the real machine: looking at all controls, and setting again what has drifted.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use baseline::{Baseline, Finding, Verdict, judge_all};
use proto::{
    evidence::{Readings, StepResult},
    ids::WatchId,
    time::Millis,
};

use super::{Backup, Limit, SystemHost, WatchEntry};
use crate::{
    executor::probes::{self, Backups, Look, Reapplied},
    world::{HostFacts, StepOutcome},
};

/// How long a look at all controls may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The repositories of the watch list, and what was last read of them.
#[derive(Default)]
pub(super) struct Repositories {
    entries: Vec<Backup>,
    last: Mutex<BTreeMap<WatchId, Readings>>,
}

impl Repositories {
    /// Those of a watch list.
    pub(super) fn of<'e>(entries: impl IntoIterator<Item = &'e WatchEntry>) -> Self {
        let backup = |entry: &WatchEntry| match entry {
            WatchEntry::Backup(backup) => Some(backup.clone()),
            _ => None,
        };
        Self { entries: entries.into_iter().filter_map(backup).collect(), last: Mutex::default() }
    }

    /// Keeps what was just read, for the next scan.
    pub(super) fn remember(&self, id: &WatchId, readings: &Readings) {
        if let Ok(mut last) = self.last.lock() {
            last.insert(id.clone(), readings.clone());
        }
    }

    fn all(&self) -> Vec<Backups> {
        let last = self.last.lock().map(|last| last.clone()).unwrap_or_default();
        let one = |backup: &Backup| Backups {
            readings: last.get(&backup.id).cloned(),
            password: backup.password_file.clone(),
        };
        self.entries.iter().map(one).collect()
    }
}

/// What a fault is judged by.
pub(in crate::executor) fn readings(findings: &[Finding]) -> Readings {
    let of = |verdict| findings.iter().filter(|found| found.verdict == verdict).count();
    let count = |name: &str, n: usize| (name.to_owned(), i64::try_from(n).unwrap_or(i64::MAX));
    Readings::from([
        count("controls", findings.len()),
        count("drifted", of(Verdict::Drifted)),
        count("excepted", of(Verdict::Excepted)),
        count("not_evaluable", of(Verdict::NotEvaluable)),
    ])
}

impl SystemHost {
    /// A scan by hand: without an executor's memory, nobody knows here when a restore was last proven.
    #[must_use]
    pub fn scan_once(&self, now: Millis) -> Vec<Finding> {
        for backup in self.repositories.entries.iter() {
            let mut readings = self.measure_backup(backup, &HostFacts { now, restore_proven: None });
            readings.remove("restore_age_seconds");
            self.repositories.remember(&backup.id, &readings);
        }
        self.scan_baseline(now)
    }

    /// What of the baseline shows only from within the machine's own network, as JSON: for this program's `look`.
    pub fn look_from_outside(&self) -> Result<String, serde_json::Error> {
        let limit = self.limit(PATIENCE);
        probes::answer(&Look { root: &self.root, programs: &self.programs, limit: &limit, backups: &[] })
    }

    pub(super) fn scan_baseline(&self, now: Millis) -> Vec<Finding> {
        let (limit, backups) = (self.limit(PATIENCE), self.repositories.all());
        let look = Look { root: &self.root, programs: &self.programs, limit: &limit, backups: &backups };
        let baseline = Baseline::hipaa_v1();
        judge_all(baseline, &look.at_all(baseline.probes().into_keys()), &[], now)
    }

    /// Sets again what has drifted and can be set. Whether that was enough, the measurement afterwards says.
    pub(super) fn reapply_baseline(&self, now: Millis, limit: &Limit<'_>) -> StepOutcome {
        let look = Look { root: &self.root, programs: &self.programs, limit, backups: &[] };
        let baseline = Baseline::hipaa_v1();
        let [mut done, mut failed, mut not_here] = [0, 0, 0];
        let mut result = StepResult::Done;
        for found in self.scan_baseline(now).iter().filter(|found| found.verdict == Verdict::Drifted) {
            if let Some(over) = limit.over() {
                result = over;
                break;
            }
            let Some(control) = baseline.control(found.control) else { continue };
            match probes::reapply(&look, control, found) {
                Reapplied::Done => done += 1,
                Reapplied::Failed => failed += 1,
                Reapplied::NotHere => not_here += 1,
            }
        }
        if result == StepResult::Done && failed > 0 {
            result = StepResult::Failed;
        }
        let counts = [("failed", failed), ("not_reappliable", not_here), ("reapplied", done)];
        StepOutcome {
            result,
            counts: counts.into_iter().map(|(name, n)| (name.to_owned(), n)).collect(),
            output: Vec::new(),
        }
    }
}
