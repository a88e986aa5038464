//! `restic.test-restore`: a backup is worth what comes back from it. A sample of the newest snapshot is restored into
//! scratch space and compared with the live files that have not changed since.
//!
//! The rule: proven is only what was seen: at least one file restored, and none different from its source. Names and
//! contents stay on this box; evidence has counts. A drill must not fill the disk that evidence is written to: only what
//! leaves room there is restored, and what a power cut left behind goes when the executor begins.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    },
    path::{Component, Path, PathBuf},
};

use aws_lc_rs::digest::{Context, SHA256};
use nix::sys::statvfs::statvfs;
use proto::{
    evidence::{Readings, StepResult},
    time::Millis,
};
use serde::Deserialize;

use super::{Limit, beneath, restic::Restic, spawn, unit::not_run};
use crate::{
    files,
    world::{Entropy, StepOutcome, draw},
};

/// How many files are restored.
const SAMPLE: usize = 5;
/// Larger ones are taken only when there is no smaller one.
const LARGE: u64 = 256 << 20;

/// Room that a drill leaves on the disk.
const RESERVE: u64 = 512 << 20;

/// A file of a snapshot, as `ls --json` lists it.
#[derive(Debug, Clone, Deserialize)]
struct Node {
    #[serde(rename = "type")]
    kind: String,
    path: PathBuf,
    #[serde(default)]
    size: u64,
    #[serde(deserialize_with = "super::restic::rfc3339")]
    mtime: jiff::Timestamp,
}

/// What was compared.
#[derive(Debug, Default)]
struct Compared {
    restored: i64,
    same: i64,
    different: i64,
    changed_since: i64,
}

/// One proof of a restore.
pub(super) struct TestRestore<'a> {
    pub(super) restic: Restic<'a>,
    /// Of what the sample is taken; empty: of everything.
    pub(super) sources: &'a [PathBuf],
    /// Made for it, and removed with all that is in it.
    pub(super) scratch: &'a Path,
    pub(super) entropy: &'a dyn Entropy,
    pub(super) now: Millis,
}

impl TestRestore<'_> {
    /// Proves a restore, or says that it could not.
    pub(super) fn run(&self, limit: &Limit<'_>) -> StepOutcome {
        let (mut compared, mut output) = (Compared::default(), Vec::new());
        let result = clear(self.scratch)
            .and_then(|()| self.restore(limit, &mut compared, &mut output))
            .and_then(|result| clear(self.scratch).map(|()| result));
        let result = result.unwrap_or_else(|error| {
            // What was restored is somebody's records: it goes, whatever went wrong.
            let _ = clear(self.scratch);
            limit.over().unwrap_or_else(|| not_run(self.restic.program, &error).result)
        });
        let counts: Readings = [
            ("files_restored", compared.restored),
            ("files_compared", compared.same + compared.different),
            ("files_different", compared.different),
            ("files_changed_since", compared.changed_since),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        StepOutcome { result, counts, output }
    }

    fn restore(
        &self,
        limit: &Limit<'_>,
        compared: &mut Compared,
        output: &mut Vec<u8>,
    ) -> io::Result<StepResult> {
        let not_done = || limit.over().unwrap_or(StepResult::Failed);
        let Some(newest) = self.restic.newest(self.now, limit) else { return Ok(not_done()) };
        let mut sample = Sample::new(self.sources, self.entropy);
        let listed = self
            .restic
            .run(&["ls", "--json", "--no-lock", &newest.id], limit, &mut |line| sample.offer(line))?;
        files::private_folder(self.scratch).map_err(|e| e.source)?;
        let sample = fitting(sample.into_nodes(), room(self.scratch)?);
        if !listed.is_good() || sample.is_empty() {
            *output = listed.output;
            return Ok(not_done());
        }
        let mut command = self.restic.command();
        command.args(["restore", "--no-lock", "--verify", "--target"]).arg(self.scratch);
        for node in &sample {
            command.arg(format!("--include={}", escaped(&node.path)));
        }
        command.arg(&newest.id);
        let restored = spawn::run(command, limit, &mut |_| {})?;
        let is_good = restored.is_good();
        *output = restored.output;
        if !is_good {
            return Ok(not_done());
        }
        let root = beneath::root(self.scratch)?;
        for node in &sample {
            compare(&root, node, limit, compared)?;
        }
        if let Some(result) = limit.over() {
            return Ok(result);
        }
        let proven = compared.restored == i64::try_from(sample.len()).unwrap_or(0) && compared.different == 0;
        Ok(if proven { StepResult::Done } else { StepResult::Failed })
    }
}

/// Bytes that may be written to a folder's file system.
fn room(folder: &Path) -> io::Result<u64> {
    let status = statvfs(folder)?;
    Ok(status.blocks_available().saturating_mul(status.fragment_size()).saturating_sub(RESERVE))
}

/// Those of a sample that fit into `room` together.
fn fitting(sample: Vec<Node>, mut room: u64) -> Vec<Node> {
    let fits = |node: &Node| {
        let left = room.checked_sub(node.size);
        room = left.unwrap_or(room);
        left.is_some()
    };
    let mut sample = sample;
    sample.retain(fits);
    sample
}

fn compare(scratch: &OwnedFd, node: &Node, limit: &Limit<'_>, compared: &mut Compared) -> io::Result<()> {
    let relative = node.path.strip_prefix("/").unwrap_or(&node.path);
    let Ok(restored) = beneath::file(scratch, relative) else { return Ok(()) };
    let (size, digest) = digest(File::from(restored), limit)?;
    if size != node.size {
        return Ok(());
    }
    compared.restored += 1;
    match live(node, limit) {
        Some(live) if live == digest => compared.same += 1,
        Some(_) => compared.different += 1,
        None => compared.changed_since += 1,
    }
    Ok(())
}

/// Digest of the live file, if it is the one that was backed up; read without following a symlink.
fn live(node: &Node, limit: &Limit<'_>) -> Option<Vec<u8>> {
    let unchanged = |file: &File| {
        let status = file.metadata().ok()?;
        let mtime = i128::from(status.mtime()) * 1_000_000_000 + i128::from(status.mtime_nsec());
        (status.is_file() && status.size() == node.size && mtime == node.mtime.as_nanosecond()).then_some(())
    };
    let parent = beneath::root(node.path.parent()?).ok()?;
    let file = File::from(beneath::file(parent, node.path.file_name()?).ok()?);
    unchanged(&file)?;
    let (_, digest) = digest(file.try_clone().ok()?, limit).ok()?;
    // Written to while it was read: not the one that was backed up any more.
    unchanged(&file).map(|()| digest)
}

fn digest(mut file: File, limit: &Limit<'_>) -> io::Result<(u64, Vec<u8>)> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 128 * 1024];
    let mut size = 0;
    loop {
        if limit.over().is_some() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match file.read(&mut buffer)? {
            0 => return Ok((size, context.finish().as_ref().to_vec())),
            read => {
                size += read as u64;
                context.update(&buffer[..read]);
            }
        }
    }
}

/// A random choice of files out of a listing of unknown length (reservoir sampling), without keeping the listing.
struct Sample<'a> {
    sources: &'a [PathBuf],
    entropy: &'a dyn Entropy,
    seen: u64,
    nodes: Vec<Node>,
    /// The smallest of the large ones, should there be no other.
    large: Option<Node>,
}

impl<'a> Sample<'a> {
    fn new(sources: &'a [PathBuf], entropy: &'a dyn Entropy) -> Self {
        Self { sources, entropy, seen: 0, nodes: Vec::new(), large: None }
    }

    fn offer(&mut self, line: &[u8]) {
        // Other lines describe the snapshot itself.
        let Ok(node) = serde_json::from_slice::<Node>(line) else { return };
        if node.kind != "file" || !self.is_ours(&node.path) {
            return;
        }
        if node.size > LARGE {
            if self.large.as_ref().is_none_or(|kept| node.size < kept.size) {
                self.large = Some(node);
            }
            return;
        }
        self.seen += 1;
        if self.nodes.len() < SAMPLE {
            self.nodes.push(node);
            return;
        }
        let place = u64::from_le_bytes(draw(self.entropy)) % self.seen;
        if let Some(slot) = usize::try_from(place).ok().and_then(|place| self.nodes.get_mut(place)) {
            *slot = node;
        }
    }

    /// Of what is backed up here, and nameable: restic replaces bytes that are no UTF-8.
    fn is_ours(&self, path: &Path) -> bool {
        let plain = path.components().all(|part| !matches!(part, Component::ParentDir));
        let named = path.to_str().is_some_and(|text| !text.contains('\u{fffd}') && !text.contains('\n'));
        let below = self.sources.is_empty() || self.sources.iter().any(|source| path.starts_with(source));
        path.is_absolute() && plain && named && below
    }

    fn into_nodes(self) -> Vec<Node> {
        if self.nodes.is_empty() { self.large.into_iter().collect() } else { self.nodes }
    }
}

/// A path as a pattern that matches nothing else (Go's `filepath.Match`).
fn escaped(path: &Path) -> String {
    let text = String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned();
    text.chars().flat_map(|c| ['\\'].into_iter().filter(move |_| "*?[\\".contains(c)).chain([c])).collect()
}

/// Removes what was restored.
pub(super) fn clear(scratch: &Path) -> io::Result<()> {
    match fs::remove_dir_all(scratch) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::SystemEntropy;

    fn line(path: &str, size: u64) -> Vec<u8> {
        format!(r#"{{"name":"x","type":"file","path":"{path}","size":{size},"mtime":"2026-11-01T00:00:00Z","struct_type":"node"}}"#).into_bytes()
    }

    #[test]
    fn a_sample_is_of_our_files_and_no_larger_than_asked() {
        let sources = [PathBuf::from("/srv/records")];
        let mut sample = Sample::new(&sources, &SystemEntropy);
        for at in 0..100 {
            sample.offer(&line(&format!("/srv/records/{at}"), 1));
        }
        for other in ["/srv/records-2/a", "/etc/shadow", "/srv/records/../../etc/shadow", "relative"] {
            sample.offer(&line(other, 1));
        }
        sample.offer(br#"{"time":"2026-11-01T00:00:00Z","struct_type":"snapshot"}"#);
        sample.offer(b"garbage");
        let nodes = sample.into_nodes();
        assert_eq!(nodes.len(), SAMPLE);
        assert!(nodes.iter().all(|node| node.path.starts_with("/srv/records/")));
    }

    #[test]
    fn every_file_can_be_chosen() {
        let sources = [];
        let mut chosen = std::collections::BTreeSet::new();
        for _ in 0..400 {
            let mut sample = Sample::new(&sources, &SystemEntropy);
            (0..12).for_each(|at| sample.offer(&line(&format!("/{at}"), 1)));
            chosen.extend(sample.into_nodes().into_iter().map(|node| node.path));
        }
        assert_eq!(chosen.len(), 12);
    }

    #[test]
    fn a_large_file_is_better_than_none() {
        let sources = [];
        let mut sample = Sample::new(&sources, &SystemEntropy);
        sample.offer(&line("/larger", LARGE * 3));
        sample.offer(&line("/large", LARGE * 2));
        assert_eq!(sample.into_nodes()[0].path, Path::new("/large"));
    }

    #[test]
    fn only_what_fits_is_restored() {
        let sources = [];
        let mut sample = Sample::new(&sources, &SystemEntropy);
        for (path, size) in [("/a", 60), ("/b", 50), ("/c", 40), ("/d", 1)] {
            sample.offer(&line(path, size));
        }
        let names = |nodes: Vec<Node>| nodes.into_iter().map(|node| node.path).collect::<Vec<_>>();
        let nodes = sample.into_nodes();
        assert_eq!(names(fitting(nodes.clone(), 100)), ["/a", "/c"].map(PathBuf::from));
        assert!(fitting(nodes, 0).is_empty());
        // What is free, less the reserve.
        let free = statvfs("/").unwrap();
        assert!(room(Path::new("/")).unwrap() < free.blocks() * free.fragment_size());
    }

    #[test]
    fn a_digest_ends_with_the_limit() {
        let stop = super::super::Stop::default();
        let clock = crate::clock::SystemClock;
        let limit = Limit { clock: &clock, stop: &stop, ends: Duration::MAX };
        let file = || File::open("/dev/zero").unwrap();
        stop.stop();
        assert_eq!(digest(file(), &limit).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let limit = Limit { clock: &clock, stop: &super::super::Stop::default(), ends: Duration::ZERO };
        assert_eq!(digest(file(), &limit).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn patterns_match_only_their_path() {
        assert_eq!(escaped(Path::new("/a/b c")), "/a/b c");
        assert_eq!(escaped(Path::new("/a*[1]?\\x")), "/a\\*\\[1]\\?\\\\x");
    }
}
