//! What cooldown and budget need to know of earlier executions: numbers out of the journal, in active time.

use std::time::Duration;

use proto::{evidence::Verdict, ids::RunbookId};
use runbooks::History;

use super::store::{Past, StoreError, View};

const HOUR: Duration = Duration::from_secs(3600);

/// What happened before `sequence` to this runbook and target, and on this appliance. Below zero, where uses of standing
/// orders stand, everything else happened before: no two run at once.
pub(super) fn read(
    view: &View<'_>,
    key: &(RunbookId, String),
    sequence: u64,
    active: Duration,
) -> Result<History, StoreError> {
    let hour = view.past_since(sequence, active.checked_sub(HOUR))?;
    Ok(count(&hour, &view.past_of(sequence, key)?, key, active))
}

/// `hour`: all of the last hour. `of_key`: all of that key, newest first.
fn count(hour: &[Past], of_key: &[Past], key: &(RunbookId, String), active: Duration) -> History {
    let since = |moment: Duration| active.saturating_sub(moment);
    let all = u32::try_from(hour.len()).unwrap_or(u32::MAX);
    let of_runbook = hour.iter().filter(|past| past.runbook == key.0.as_str()).count();
    // What still runs has no verdict and says nothing about failure.
    let ended = || of_key.iter().filter_map(|past| past.verdict.map(|verdict| (past, verdict)));
    let failures = ended().take_while(|(_, verdict)| !verdict.is_good()).count();
    History {
        since_last: of_key.first().map(|past| since(past.began)),
        runbook_hour: u32::try_from(of_runbook).unwrap_or(u32::MAX),
        appliance_hour: all,
        // An executor knows only its own.
        tenant_hour: all,
        failures_in_a_row: u32::try_from(failures).unwrap_or(u32::MAX),
        since_last_failure: ended()
            .next()
            .filter(|_| failures > 0)
            .and_then(|(past, _)| past.ended)
            .map(since),
        since_ineffective: ended()
            .next()
            .filter(|(_, verdict)| *verdict == Verdict::Ineffective)
            .and_then(|(past, _)| past.ended)
            .map(since),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(target: &str, began: u64, verdict: Option<Verdict>) -> Past {
        Past {
            runbook: "RB-DISK-002".into(),
            target: target.into(),
            began: Duration::from_secs(began),
            ended: verdict.map(|_| Duration::from_secs(began + 1)),
            verdict,
        }
    }

    #[test]
    fn numbers_out_of_the_past() {
        let key = ("RB-DISK-002".parse().unwrap(), "directory=a".to_owned());
        let of_key = [
            past("directory=a", 900, None),
            past("directory=a", 800, Some(Verdict::Failed)),
            past("directory=a", 700, Some(Verdict::Interrupted)),
            past("directory=a", 600, Some(Verdict::Repaired)),
            past("directory=a", 500, Some(Verdict::Failed)),
        ];
        let mut hour = of_key.to_vec();
        hour.push(Past { runbook: "RB-BACKUP-001".into(), ..past("backup=b", 850, None) });
        let history = count(&hour, &of_key, &key, Duration::from_secs(1_000));
        let expected = History {
            since_last: Some(Duration::from_secs(100)),
            runbook_hour: 5,
            appliance_hour: 6,
            tenant_hour: 6,
            failures_in_a_row: 2,
            since_last_failure: Some(Duration::from_secs(199)),
            since_ineffective: None,
        };
        assert_eq!(history, expected);
        assert_eq!(count(&[], &[], &key, Duration::ZERO), History::default());
    }

    #[test]
    fn a_success_closes_the_row_of_failures() {
        let key = ("RB-DISK-002".parse().unwrap(), "directory=a".to_owned());
        let of_key = [
            past("directory=a", 2, Some(Verdict::InterruptedRepaired)),
            past("directory=a", 1, Some(Verdict::Failed)),
        ];
        let history = count(&of_key, &of_key, &key, Duration::from_secs(9));
        assert_eq!((history.failures_in_a_row, history.since_last_failure), (0, None));
    }

    #[test]
    fn only_the_newest_end_says_that_it_was_in_vain() {
        let key = ("RB-DISK-002".parse().unwrap(), "directory=a".to_owned());
        let since = |of_key: &[Past]| count(of_key, of_key, &key, Duration::from_secs(100)).since_ineffective;
        let ended = |began, verdict| past("directory=a", began, Some(verdict));
        let in_vain = ended(9, Verdict::Ineffective);
        assert_eq!(since(std::slice::from_ref(&in_vain)), Some(Duration::from_secs(90)));
        assert_eq!(since(&[past("directory=a", 20, None), in_vain.clone()]), Some(Duration::from_secs(90)));
        for verdict in [Verdict::Repaired, Verdict::Failed, Verdict::InterruptedRepaired] {
            assert_eq!(since(&[ended(20, verdict), in_vain.clone()]), None, "{verdict:?}");
        }
    }
}
