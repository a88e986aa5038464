//! A log file, followed through its rotations: every line is looked at once.
//!
//! The rule: where to go on is (device, inode, offset), so that a renamed file is finished before its successor is
//! begun; and memory is bounded whatever stands in the file: only the first 4 KB of a line are looked at, the rest of it
//! is passed over. What is passed on of a line is redacted first (`chunks.rs`).
//!
//! What cannot be seen: lines written between copying and truncating (copytruncate), and a file that came and went
//! while nobody looked. That the file of the last look is gone is seen, and counts as wrong.
//!
//! A log may be followed twice. The watcher judges every line, whatever becomes of what it passes on; the forwarder, of
//! a log that travels whole, rests while there is no room: its lines are safe in the file.

mod chunks;
mod file;
mod matches;

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path, sync::Arc};

use proto::{sync::Lines, time::Millis};
use runbooks::Fault;

use self::{
    chunks::Chunks,
    file::{Opened, Place, Reader},
    matches::{Matches, Patterns},
};
use super::{Observation, Produced};
use crate::{
    agent::redact,
    config::{Forward, Log},
};

/// How much of a line is looked at, in bytes.
pub const LOOK: usize = 4096;
/// How much one look of a watcher reads at most, in bytes; the next goes on from there.
pub const READ_MAX: u64 = 16 << 20;
/// The same of a forwarder, to whom every line is work.
const FORWARD_MAX: u64 = 4 << 20;
/// How many packed bytes a watcher's look passes on at most; what comes after waits for the next.
const MATCHING_MAX: usize = 2 << 20;

/// The source.
#[derive(Debug)]
pub struct LogFile {
    log: Log,
    job: Job,
    /// The file of the last look: it can be finished even after it was removed. Only a help, never needed.
    held: Option<Opened>,
}

#[derive(Debug)]
enum Job {
    Watch(Arc<Patterns>),
    Forward,
}

/// Where a look came to.
struct Looked {
    /// Where the next begins; `None`: there is no file yet.
    place: Option<Place>,
    /// No file, and never was one.
    missing: bool,
    /// The file of the last look is gone, and nobody knows what else it held.
    lost: bool,
    /// Whether there may be more to read now.
    more: bool,
}

impl LogFile {
    /// Watches `log`.
    #[must_use]
    pub fn watcher(log: Log) -> Self {
        Self { job: Job::Watch(Arc::new(Patterns::new(&log.raise))), log, held: None }
    }

    /// Forwards `log`, where that is wanted of the whole of it.
    #[must_use]
    pub fn forwarder(log: Log) -> Option<Self> {
        (log.forward == Forward::All).then_some(Self { log, job: Job::Forward, held: None })
    }

    /// The name of its cursor.
    #[must_use]
    pub fn name(&self) -> String {
        match self.job {
            Job::Watch(_) => format!("log:{}", self.log.id),
            Job::Forward => format!("lines:{}", self.log.id),
        }
    }

    /// Whether it rests while there is no room for lines.
    #[must_use]
    pub fn is_forwarder(&self) -> bool {
        matches!(self.job, Job::Forward)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.log.path
    }

    /// Looks at what was written since `cursor`. Without one it begins at the end: what is old is no news. `room`: how many
    /// bytes of packed lines there is room for; the last record may go beyond it.
    pub fn poll(&mut self, cursor: Option<&[u8]>, now: Millis, room: usize) -> Produced {
        // A cursor that cannot be read is like none: nothing better is known.
        let known = cursor.and_then(|bytes| serde_json::from_slice::<Option<Place>>(bytes).ok());
        let id = self.log.id.clone();
        match &self.job {
            Job::Forward => {
                let mut chunks = Chunks::new(&id, now, room);
                match self.follow(known, FORWARD_MAX, &mut chunks) {
                    Ok(looked) => produced(looked, Vec::new(), chunks.finish()),
                    // The watcher says what is wrong with the file.
                    Err(_) => Produced::default(),
                }
            }
            Job::Watch(patterns) => {
                let patterns = Arc::clone(patterns);
                let passed_on = self.log.forward == Forward::Matching;
                let chunks = passed_on.then(|| Chunks::new(&id, now, room.min(MATCHING_MAX)));
                let mut matches = Matches::new(&patterns, chunks);
                match self.follow(known, READ_MAX, &mut matches) {
                    Ok(looked) => {
                        let seen = self.observation(&looked, &matches);
                        produced(looked, vec![seen], matches.chunks.map_or_else(Vec::new, Chunks::finish))
                    }
                    Err(problem) => self.unreadable(problem.kind()),
                }
            }
        }
    }

    fn follow(
        &mut self,
        known: Option<Option<Place>>,
        mut budget: u64,
        reader: &mut impl Reader,
    ) -> io::Result<Looked> {
        let current = match Opened::at(&self.log.path) {
            Ok(current) => Some(current),
            // Between a rename and the first line after it there is no file; one that never was is a mistake.
            Err(e) if e.kind() == io::ErrorKind::NotFound && matches!(known, Some(Some(_))) => None,
            // Its first line counts, whenever it comes.
            Err(e) if e.kind() == io::ErrorKind::NotFound && known.is_none() => {
                return Ok(Looked { place: None, missing: true, lost: false, more: false });
            }
            Err(e) => return Err(e),
        };
        let mut place = match (known, &current) {
            (None, Some(current)) => current.end()?,
            (Some(None), Some(current)) => current.beginning(),
            (Some(Some(place)), _) => place,
            (None | Some(None), None) => return Err(io::ErrorKind::NotFound.into()),
        };
        let here = |place, lost, more| Ok(Looked { place: Some(place), missing: false, lost, more });
        let mut lost = false;
        if current.as_ref().is_none_or(|current| !current.is(&place)) {
            if let Some(rotated) = self.rotated(&place)? {
                // The writer has moved on once the successor has content; until then it may still write here.
                let finished = match &current {
                    Some(current) => !current.is_empty()?,
                    None => false,
                };
                let at_end = rotated.scan(&mut place, &mut budget, reader)?;
                if !(finished && at_end && rotated.last_line(&place, reader)?) {
                    self.held = Some(rotated);
                    return here(place, false, !at_end);
                }
            } else {
                lost = current.is_some();
            }
            let Some(current) = &current else { return here(place, false, false) };
            place = current.beginning();
        }
        let Some(current) = current else { return here(place, lost, false) };
        // While it is held open nobody else is given its inode; afterwards another file may stand in for it.
        lost |= self.held.is_none() && current.begins_anew(&place)?;
        let at_end = current.scan(&mut place, &mut budget, reader)?;
        self.held = Some(current);
        here(place, lost, !at_end)
    }

    /// The file of `place` under whatever name it now has.
    fn rotated(&mut self, place: &Place) -> io::Result<Option<Opened>> {
        if let Some(held) = self.held.take_if(|held| held.is(place)) {
            return Ok(Some(held));
        }
        let folder = self.log.path.parent().unwrap_or(Path::new("/"));
        for entry in fs::read_dir(folder)?.flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.is_file() && (found.dev(), found.ino()) == (place.device, place.inode) {
                return match Opened::at(&entry.path()) {
                    Ok(rotated) if rotated.is(place) => Ok(Some(rotated)),
                    _ => Ok(None), // gone in this moment
                };
            }
        }
        Ok(None)
    }

    fn observation(&self, looked: &Looked, matches: &Matches<'_>) -> Observation {
        if looked.missing {
            return self.seen(-1, "there is no log yet".to_owned());
        }
        let mut notes = vec![redact::line(&matches.by_pattern())];
        if looked.lost {
            notes.push("the log was rotated away; what was last written to it could not be read".to_owned());
        }
        notes.retain(|note| !note.is_empty());
        let lines = i64::try_from(matches.lines).unwrap_or(i64::MAX);
        self.seen(if looked.lost { -1 } else { lines }, redact::note(&notes.join("; ")))
    }

    /// What cannot be read counts as wrong: silence is not health. The next look begins where this one should have.
    fn unreadable(&self, problem: io::ErrorKind) -> Produced {
        let note = redact::note(&format!("the log cannot be read: {problem}"));
        Produced { observations: vec![self.seen(-1, note)], ..Produced::default() }
    }

    fn seen(&self, lines: i64, note: String) -> Observation {
        Observation {
            watch: self.log.id.clone(),
            fault: Fault::LogMatch,
            readings: [("lines".to_owned(), lines)].into(),
            note,
        }
    }
}

fn produced(looked: Looked, observations: Vec<Observation>, lines: Vec<Lines>) -> Produced {
    let cursor = Some(serde_json::to_vec(&looked.place).expect("numbers and digests serialise"));
    Produced { observations, cursor, lines, more: looked.more }
}
