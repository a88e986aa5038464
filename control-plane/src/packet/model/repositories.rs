//! Backup repositories: what orders did with them in the month.

use std::{collections::BTreeMap, time::Duration};

use proto::{evidence::Execution, ids::ApplianceId, time::Millis};

use super::actions::{BACKUP, RESTORE, did};
use crate::bundle::Fact;

/// A backup repository in a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Who watches it.
    pub appliance: ApplianceId,
    /// Its entry in the watch list.
    pub id: String,
    /// Backups made.
    pub backups: u64,
    /// The newest: when, and its record.
    pub last_backup: Option<(Millis, u64)>,
    /// Restores proven.
    pub restores: u64,
    /// The newest: when, its record, and how long it took.
    pub last_restore: Option<(Millis, u64, Duration)>,
    /// Attempts at either that failed.
    pub failures: u64,
    /// The oldest that the newest backup was measured to be, before an order; `None`: never measured.
    pub oldest: Option<Duration>,
}

pub(super) fn repositories<'f>(
    executions: impl Iterator<Item = (&'f Fact, &'f Execution)>,
) -> Vec<Repository> {
    let mut all: BTreeMap<(ApplianceId, String), Repository> = BTreeMap::new();
    for (fact, execution) in executions {
        let tried = |action: &str| execution.steps.iter().any(|step| step.action == action);
        if !tried(BACKUP) && !tried(RESTORE) {
            continue;
        }
        let (appliance, at) = (fact.record.identity.appliance, fact.record.clock.at);
        for watch in execution.order.parameters.values() {
            let id = watch.to_string();
            let repository = all.entry((appliance, id.clone())).or_insert_with(|| Repository {
                appliance,
                id,
                backups: 0,
                last_backup: None,
                restores: 0,
                last_restore: None,
                failures: 0,
                oldest: None,
            });
            let age = execution.before.get("age_seconds").and_then(|age| u64::try_from(*age).ok());
            repository.oldest = repository.oldest.max(age.map(Duration::from_secs));
            // A step that was done counts only when the measurement afterwards agreed.
            if !execution.verdict.is_good() {
                repository.failures += 1;
                continue;
            }
            if did(execution, BACKUP) {
                repository.backups += 1;
                repository.last_backup = Some((at, fact.index));
            }
            if did(execution, RESTORE) {
                repository.restores += 1;
                repository.last_restore = Some((at, fact.index, Duration::from_millis(execution.took_ms)));
            }
        }
    }
    all.into_values().collect()
}
