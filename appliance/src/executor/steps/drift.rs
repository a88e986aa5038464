//! The baseline on the real machine: looking at all controls, and setting again what has drifted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use baseline::{Baseline, ControlId, Exception, Finding, Repair, Verdict, judge_all};
use proto::{
    evidence::{Readings, StepResult},
    ids::WatchId,
    time::Millis,
};

use runbooks::WatchKind;

use super::{Backup, Limit, SystemHost, WatchEntry};
use crate::{
    executor::probes::{self, Backups, Look, Reapplied},
    world::{HostFacts, Mender, Scanned, StepOutcome},
};

/// How long a look at all controls may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The repositories of the watch list, and what was last read of them.
#[derive(Default)]
pub(super) struct Repositories {
    entries: Mutex<Vec<Backup>>,
    last: Mutex<BTreeMap<WatchId, Readings>>,
}

/// Who can mend what on this box.
#[derive(Default)]
pub(super) struct Menders {
    /// What other runbooks have an entry for.
    kinds: Mutex<BTreeSet<WatchKind>>,
    /// What was set again and did not hold: a person's, until it is seen to hold.
    in_vain: Mutex<BTreeSet<ControlId>>,
    /// What nobody has to mend.
    waived: Mutex<Vec<Exception>>,
}

impl Menders {
    /// From here on, with the entries of this watch list.
    pub(super) fn watch<'e>(&self, entries: impl IntoIterator<Item = &'e WatchEntry>) {
        *self.kinds() = entries.into_iter().map(WatchEntry::kind).collect();
    }

    fn kinds(&self) -> MutexGuard<'_, BTreeSet<WatchKind>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The exceptions, to read or to replace.
    pub(super) fn waived(&self) -> MutexGuard<'_, Vec<Exception>> {
        self.waived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_vain(&self) -> MutexGuard<'_, BTreeSet<ControlId>> {
        self.in_vain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mender(&self, look: &Look<'_>, found: &Finding) -> Mender {
        let Some(control) = Baseline::hipaa_v1().control(found.control) else { return Mender::Person };
        let other = |kind| if self.kinds().contains(&kind) { Mender::Runbook } else { Mender::Person };
        match &control.repair {
            Repair::Drift { reapply } => {
                let is_here = !self.in_vain().contains(&found.control) && probes::can_reapply(look, reapply);
                if is_here { Mender::Here } else { Mender::Person }
            }
            Repair::Backup {} | Repair::Restore {} => other(WatchKind::Backup),
            Repair::Time {} => other(WatchKind::Clock),
            Repair::None { .. } => Mender::Person,
        }
    }
}

impl Repositories {
    /// From here on, those of this watch list.
    pub(super) fn watch<'e>(&self, entries: impl IntoIterator<Item = &'e WatchEntry>) {
        let backup = |entry: &WatchEntry| match entry {
            WatchEntry::Backup(backup) => Some(backup.clone()),
            _ => None,
        };
        *self.entries() = entries.into_iter().filter_map(backup).collect();
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Backup>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.entries().iter().map(one).collect()
    }
}

impl SystemHost {
    /// A scan by hand: without an executor's memory, nobody knows here when a restore was last proven.
    #[must_use]
    pub fn scan_once(&self, now: Millis) -> Vec<Finding> {
        let backups = self.repositories.entries().clone();
        for backup in backups {
            let mut readings = self.measure_backup(&backup, &HostFacts { now, restore_proven: None });
            readings.remove("restore_age_seconds");
            self.repositories.remember(&backup.id, &readings);
        }
        self.scan_baseline(now).findings
    }

    /// What of the baseline shows only from within the machine's own network, as JSON: for this program's `look`.
    pub fn look_from_outside(&self) -> Result<String, serde_json::Error> {
        let limit = self.limit(PATIENCE);
        probes::answer(&Look { root: &self.root, programs: &self.programs, limit: &limit, backups: &[] })
    }

    pub(super) fn scan_baseline(&self, now: Millis) -> Scanned {
        let (limit, backups) = (self.limit(PATIENCE), self.repositories.all());
        let look = Look { root: &self.root, programs: &self.programs, limit: &limit, backups: &backups };
        let baseline = Baseline::hipaa_v1();
        let seen = look.at_all(baseline.probes().into_keys());
        let findings = judge_all(baseline, &seen, &self.menders.waived(), now);
        let drifted: BTreeSet<ControlId> = drifted(&findings).map(|found| found.control).collect();
        self.menders.in_vain().retain(|control| drifted.contains(control));
        Scanned::of(findings, |found| self.menders.mender(&look, found))
    }

    /// Sets again what has drifted and can be set. Whether that was enough, the measurement afterwards says; what did not
    /// hold is a person's from then on, so that it does not stand in the way of what drifts next.
    pub(super) fn reapply_baseline(&self, now: Millis, limit: &Limit<'_>) -> StepOutcome {
        let look = Look { root: &self.root, programs: &self.programs, limit, backups: &[] };
        let scanned = self.scan_baseline(now);
        let here = |found: &&Finding| self.menders.mender(&look, found) == Mender::Here;
        let mendable: Vec<&Finding> = drifted(&scanned.findings).filter(here).collect();
        let not_here = drifted(&scanned.findings).count() - mendable.len();
        let mut reapply = probes::Reapply::new(&look);
        let [mut done, mut failed] = [0, 0];
        let mut over = None;
        for found in &mendable {
            over = limit.over();
            if over.is_some() {
                break;
            }
            match reapply.one(found) {
                Reapplied::Done => done += 1,
                Reapplied::Failed => failed += 1,
            }
        }
        if over.is_none() {
            let now = self.scan_baseline(now);
            let tried = |found: &&Finding| mendable.iter().any(|before| before.control == found.control);
            self.menders.in_vain().extend(drifted(&now.findings).filter(tried).map(|found| found.control));
        }
        // What could not be set shows as broken; it must not make a failure of what was.
        let result = if failed > 0 && done == 0 { StepResult::Failed } else { StepResult::Done };
        let counts = [("failed", failed), ("not_reappliable", not_here), ("reapplied", done)];
        let count = |(name, n): (&str, usize)| (name.to_owned(), i64::try_from(n).unwrap_or(i64::MAX));
        StepOutcome {
            result: over.unwrap_or(result),
            counts: counts.into_iter().map(count).collect(),
            output: Vec::new(),
        }
    }
}

fn drifted(findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    findings.iter().filter(|found| found.verdict == Verdict::Drifted)
}
