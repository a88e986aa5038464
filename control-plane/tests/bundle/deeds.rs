//! Executions for tests: what was measured, done and found.

use proto::evidence::Verdict;

/// What an execution is to come to.
pub struct Deed<'a> {
    pub runbook: &'a str,
    pub target: &'a str,
    pub before: &'a [(&'a str, i64)],
    pub after: &'a [(&'a str, i64)],
    pub counts: &'a [(&'a str, i64)],
    pub verdict: Verdict,
    pub output: Option<&'a [u8]>,
}

pub const PRUNED: Deed<'_> = Deed {
    runbook: "RB-DISK-002",
    target: "uploads",
    before: &[("bytes", 62_400_000), ("limit_bytes", 50_000_000), ("files", 1_310)],
    after: &[("bytes", 44_100_000), ("limit_bytes", 50_000_000), ("files", 904)],
    counts: &[("files_removed", 406)],
    verdict: Verdict::Repaired,
    output: None,
};

pub const BACKED_UP: Deed<'_> = Deed {
    runbook: "RB-BACKUP-001",
    target: "records",
    before: &[("age_seconds", 190_000), ("max_age_seconds", 86_400)],
    after: &[("age_seconds", 30), ("max_age_seconds", 86_400)],
    counts: &[("files_new", 1_204)],
    verdict: Verdict::Repaired,
    output: Some(b"snapshot 1f2e3d4c saved\n"),
};

pub const RESTORED: Deed<'_> = Deed {
    runbook: "RB-RESTORE-001",
    target: "records",
    before: &[("restore_age_seconds", -1), ("restore_every_seconds", 604_800)],
    after: &[("restore_age_seconds", 20), ("restore_every_seconds", 604_800)],
    counts: &[("files_compared", 25)],
    verdict: Verdict::Repaired,
    output: Some(b"25 files restored, all digests equal\n"),
};
