//! restic, as it is called: for a repository on this machine, with its password in a file and its cache in our state.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use proto::{
    evidence::{Readings, StepResult},
    time::Millis,
};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    Limit,
    spawn::{self, Ended},
    unit::not_run,
};
use crate::world::StepOutcome;

/// A snapshot from further ahead than this is not believed: somebody's clock was wrong, or somebody wants the backup to
/// look fresh for ever.
pub(super) const AHEAD: Duration = Duration::from_secs(24 * 3600);

/// One repository.
pub(super) struct Restic<'a> {
    pub(super) program: &'a Path,
    pub(super) repository: &'a Path,
    pub(super) password_file: &'a Path,
    pub(super) cache: PathBuf,
}

/// What `snapshots --json` says of one.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Snapshot {
    pub(super) id: String,
    #[serde(deserialize_with = "rfc3339")]
    time: jiff::Timestamp,
}

impl Snapshot {
    pub(super) fn time(&self) -> Millis {
        Millis(self.time.as_millisecond())
    }
}

/// The last line of `backup --json`.
#[derive(Debug, Default, Deserialize)]
struct Summary {
    files_new: i64,
    files_changed: i64,
    data_added: i64,
    total_bytes_processed: i64,
    snapshot_id: String,
}

impl Restic<'_> {
    /// The command, without its verb.
    pub(super) fn command(&self) -> Command {
        let mut command = spawn::command(self.program);
        command
            .arg("--repo")
            .arg(self.repository)
            .arg("--password-file")
            .arg(self.password_file)
            .env("RESTIC_CACHE_DIR", &self.cache);
        command
    }

    /// Runs `arguments`, handing on every line.
    pub(super) fn run(
        &self,
        arguments: &[&str],
        limit: &Limit<'_>,
        line: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Ended> {
        let mut command = self.command();
        command.args(arguments);
        spawn::run(command, limit, line)
    }

    /// All snapshots; `None`: the repository cannot be read.
    pub(super) fn snapshots(&self, limit: &Limit<'_>) -> Option<Vec<Snapshot>> {
        let mut snapshots = None;
        let ended = self
            .run(&["snapshots", "--json", "--no-lock"], limit, &mut |line| {
                snapshots = snapshots.take().or_else(|| serde_json::from_slice(line).ok());
            })
            .ok()?;
        // An empty repository lists `null` in some versions.
        ended.is_good().then(|| snapshots.unwrap_or_default())
    }

    /// Checks its structure, and reads one of so many parts of its data.
    pub(super) fn check(&self, part: u64, of: u64, limit: &Limit<'_>) -> StepResult {
        let subset = format!("--read-data-subset={part}/{of}");
        match self.run(&["check", "--no-lock", "--no-cache", "--quiet", &subset], limit, &mut |_| {}) {
            Ok(ended) => ended.result(),
            Err(error) => not_run(self.program, &error).result,
        }
    }

    /// The newest snapshot that is not from the future.
    pub(super) fn newest(&self, now: Millis, limit: &Limit<'_>) -> Option<Snapshot> {
        let latest = now.plus(AHEAD);
        self.snapshots(limit)?.into_iter().filter(|s| s.time() <= latest).max_by_key(Snapshot::time)
    }

    /// `restic.backup`: a new snapshot of `sources`, seen in the repository afterwards.
    pub(super) fn backup(&self, sources: &[PathBuf], now: Millis, limit: &Limit<'_>) -> StepOutcome {
        // Locks of processes that are gone; a power cut leaves them. What cannot be unlocked, backup will say.
        let _ = self.run(&["unlock", "--quiet"], limit, &mut |_| {});
        let mut command = self.command();
        command.args(["backup", "--json", "--tag", "orderly"]);
        if let Some(time) = restic_time(now) {
            command.arg("--time").arg(time);
        }
        command.arg("--").args(sources);
        let mut summary = None;
        let ended = spawn::run(command, limit, &mut |line| {
            if let Ok(found) = serde_json::from_slice::<Summary>(line) {
                summary = Some(found);
            }
        });
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => return not_run(self.program, &error),
        };
        let summary = summary.unwrap_or_default();
        let mut result = ended.result();
        // A backup is what can be seen in the repository, not what a program says that it did.
        if result == StepResult::Done && !self.has(&summary.snapshot_id, limit) {
            result = limit.over().unwrap_or(StepResult::Failed);
        }
        let counts: Readings = [
            ("exit_code", ended.code()),
            ("files_new", summary.files_new),
            ("files_changed", summary.files_changed),
            ("bytes_added", summary.data_added),
            ("bytes_processed", summary.total_bytes_processed),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        StepOutcome { result, counts, output: ended.output }
    }

    fn has(&self, id: &str, limit: &Limit<'_>) -> bool {
        let snapshots = self.snapshots(limit).unwrap_or_default();
        id.len() >= 8 && snapshots.iter().any(|snapshot| snapshot.id.starts_with(id))
    }
}

/// Reads a time as restic writes it, to the nanosecond.
pub(super) fn rfc3339<'de, D: Deserializer<'de>>(deserializer: D) -> Result<jiff::Timestamp, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// The snapshot's time by our best clock, as restic reads it; our commands run in UTC.
fn restic_time(now: Millis) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(now.0).ok()?;
    Some(time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_restic_reads_them() {
        let at = "2026-11-01T22:08:41.999Z".parse().unwrap();
        assert_eq!(restic_time(at).unwrap(), "2026-11-01 22:08:41");
        assert_eq!(restic_time(Millis(i64::MAX)), None);
    }
}
