//! A log file, followed through its rotations: every line is looked at once.
//!
//! The rule: where to go on is (device, inode, offset), so that a renamed file is finished before its successor is
//! begun; and memory is bounded whatever stands in the file: only the first 4 KB of a line are looked at, the rest of it
//! is passed over in chunks.
//!
//! What cannot be seen: lines written between copying and truncating (copytruncate), and a file that came and went
//! while nobody looked. That the file of the last look is gone is seen, and counts as wrong.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use nix::libc::O_NONBLOCK;
use proto::digest::Digest;
use runbooks::Fault;
use serde::{Deserialize, Serialize};

use super::{Observation, Produced};
use crate::{agent::redact, config::Log};

/// How much of a line is looked at, in bytes.
pub const LOOK: usize = 4096;
/// How much one look reads at most, in bytes; the next goes on from there.
pub const READ_MAX: u64 = 64 << 20;
/// How much of a file's beginning is remembered, to know it again.
const HEAD: u64 = 256;
const CHUNK: usize = 64 << 10;

/// Where the next look begins. As a cursor it is JSON; `null` means that there was no file yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    device: u64,
    inode: u64,
    offset: u64,
    /// Whether the beginning of the line at `offset` was looked at before.
    inside: bool,
    head: Head,
}

/// The first bytes of a file: an inode is given to another file soon after the first is gone, and a truncated file can
/// have grown past the offset again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    length: u64,
    sha256: Digest,
}

/// The source.
#[derive(Debug)]
pub struct LogFile {
    log: Log,
    /// The file of the last look: it can be finished even after it was removed. Only a help, never needed.
    held: Option<Opened>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    device: u64,
    inode: u64,
}

impl LogFile {
    /// Follows `log`.
    #[must_use]
    pub fn new(log: Log) -> Self {
        Self { log, held: None }
    }

    /// The name of its cursor.
    #[must_use]
    pub fn name(&self) -> String {
        format!("log:{}", self.log.id)
    }

    /// Looks at what was written since `cursor`. Without one it begins at the end: what is old is no news.
    pub fn poll(&mut self, cursor: Option<&[u8]>) -> Produced {
        // A cursor that cannot be read is like none: nothing better is known.
        let known = cursor.and_then(|bytes| serde_json::from_slice::<Option<Place>>(bytes).ok());
        match self.follow(known) {
            Ok((place, found)) => self.produced(place.as_ref(), &found),
            Err(problem) => self.unreadable(problem.kind()),
        }
    }

    fn follow(&mut self, known: Option<Option<Place>>) -> io::Result<(Option<Place>, Found)> {
        let mut found = Found::new(&self.log.raise);
        let current = match Opened::at(&self.log.path) {
            Ok(current) => Some(current),
            // Between a rename and the first line after it there is no file; one that never was is a mistake.
            Err(e) if e.kind() == io::ErrorKind::NotFound && matches!(known, Some(Some(_))) => None,
            // Its first line counts, whenever it comes.
            Err(e) if e.kind() == io::ErrorKind::NotFound && known.is_none() => {
                found.missing = true;
                return Ok((None, found));
            }
            Err(e) => return Err(e),
        };
        let mut place = match (known, &current) {
            (None, Some(current)) => current.end()?,
            (Some(None), Some(current)) => current.beginning(),
            (Some(Some(place)), _) => place,
            (None | Some(None), None) => return Err(io::ErrorKind::NotFound.into()),
        };
        if current.as_ref().is_none_or(|current| !current.is(&place)) {
            let Some(rotated) = self.rotated(&place)? else {
                let Some(current) = current else { return Ok((Some(place), found)) };
                found.lost = true;
                return self.scan(current, None, found);
            };
            // The writer has moved on once the successor has content; until then it may still write here.
            let finished = match &current {
                Some(current) => current.file.metadata()?.len() > 0,
                None => false,
            };
            let at_end = rotated.scan(&mut place, &mut found)?;
            match current {
                Some(current) if finished && at_end => {
                    rotated.last_line(&place, &mut found)?;
                    return self.scan(current, None, found);
                }
                _ => self.held = Some(rotated),
            }
            return Ok((Some(place), found));
        }
        match current {
            Some(current) => {
                // While it is held open nobody else is given its inode; afterwards another file may stand in for it.
                found.lost = self.held.is_none() && current.begins_anew(&place)?;
                self.scan(current, Some(place), found)
            }
            None => Ok((Some(place), found)),
        }
    }

    fn scan(
        &mut self,
        current: Opened,
        place: Option<Place>,
        mut found: Found,
    ) -> io::Result<(Option<Place>, Found)> {
        let mut place = place.unwrap_or_else(|| current.beginning());
        current.scan(&mut place, &mut found)?;
        self.held = Some(current);
        Ok((Some(place), found))
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

    fn produced(&self, place: Option<&Place>, found: &Found) -> Produced {
        let mut notes = vec![redact::line(&found.matches)];
        if found.missing {
            notes.push("there is no log yet".to_owned());
        }
        if found.lost {
            notes.push("the log was rotated away; what was last written to it could not be read".to_owned());
        }
        notes.retain(|note| !note.is_empty());
        let lines = i64::try_from(found.lines).unwrap_or(i64::MAX);
        let lines = if found.missing || found.lost { -1 } else { lines };
        Produced {
            observations: vec![self.observation(lines, redact::note(&notes.join("; ")))],
            cursor: Some(serde_json::to_vec(&place).expect("numbers and digests serialise")),
        }
    }

    /// What cannot be read counts as wrong: silence is not health. The next look begins where this one should have.
    fn unreadable(&self, problem: io::ErrorKind) -> Produced {
        let note = redact::note(&format!("the log cannot be read: {problem}"));
        Produced { observations: vec![self.observation(-1, note)], cursor: None }
    }

    fn observation(&self, lines: i64, note: String) -> Observation {
        Observation {
            watch: self.log.id.clone(),
            fault: Fault::LogMatch,
            readings: [("lines".to_owned(), lines)].into(),
            note,
        }
    }
}

/// What the lines of one look held.
struct Found {
    /// Lines that held a pattern.
    lines: u64,
    /// How many held each.
    matches: Vec<(String, u64)>,
    /// Bytes that this look may still read.
    budget: u64,
    missing: bool,
    /// The file of the last look is gone, and nobody knows what else it held.
    lost: bool,
}

impl Found {
    fn new(patterns: &[String]) -> Self {
        let matches = patterns.iter().map(|pattern| (pattern.clone(), 0)).collect();
        Self { lines: 0, matches, budget: READ_MAX, missing: false, lost: false }
    }

    fn look(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let mut any = false;
        for (pattern, lines) in &mut self.matches {
            if line.contains(pattern.as_str()) {
                *lines += 1;
                any = true;
            }
        }
        self.lines += u64::from(any);
    }
}

impl Opened {
    fn at(path: &Path) -> io::Result<Self> {
        // Not to be held up by a pipe that lies where a log should.
        let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self { device: found.dev(), inode: found.ino(), file })
    }

    fn is(&self, place: &Place) -> bool {
        (self.device, self.inode) == (place.device, place.inode)
    }

    fn beginning(&self) -> Place {
        let head = Head { length: 0, sha256: Digest::of(&[]) };
        Place { device: self.device, inode: self.inode, offset: 0, inside: false, head }
    }

    fn end(&self) -> io::Result<Place> {
        let offset = self.file.metadata()?.len();
        let mut last = [b'\n'];
        if offset > 0 {
            // Truncated in this moment: then nothing is read, and the next look will see it.
            let _ = self.file.read_at(&mut last, offset - 1)?;
        }
        Ok(Place { offset, inside: last != [b'\n'], head: self.head(offset)?, ..self.beginning() })
    }

    fn head(&self, offset: u64) -> io::Result<Head> {
        let mut bytes = vec![0; usize::try_from(offset.min(HEAD)).unwrap_or(0)];
        let read = self.file.read_at(&mut bytes, 0)?; // fewer when it was truncated in this moment
        bytes.truncate(read);
        Ok(Head { length: bytes.len() as u64, sha256: Digest::of(&bytes) })
    }

    /// Truncated since, or another file with the same inode.
    fn begins_anew(&self, place: &Place) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() < place.offset || self.head(place.head.length)? != place.head)
    }

    /// Looks at the whole lines from `place` on and moves it past them. Says whether that was all there is.
    fn scan(&self, place: &mut Place, found: &mut Found) -> io::Result<bool> {
        if self.begins_anew(place)? {
            *place = self.beginning();
        }
        let mut reader = BufReader::with_capacity(CHUNK, &self.file);
        reader.seek(SeekFrom::Start(place.offset))?;
        let mut line = Vec::with_capacity(LOOK);
        let at_end = loop {
            if found.budget == 0 {
                break false;
            }
            let (read, ended) = if place.inside {
                pass_over(&mut reader, found.budget)?
            } else {
                line.clear();
                let read = reader.by_ref().take(LOOK as u64).read_until(b'\n', &mut line)?;
                let ended = line.last() == Some(&b'\n');
                if !ended && read < LOOK {
                    break true; // half a line: it waits for its end
                }
                found.look(&line);
                (read as u64, ended)
            };
            place.offset += read;
            place.inside = !ended;
            if read == 0 {
                break true;
            }
            found.budget = found.budget.saturating_sub(read);
        };
        if place.head.length < place.offset.min(HEAD) {
            place.head = self.head(place.offset)?;
        }
        Ok(at_end)
    }

    /// The half line at the end of a file that nobody writes to any more is a line.
    fn last_line(&self, place: &Place, found: &mut Found) -> io::Result<()> {
        let mut line = Vec::new();
        let mut rest = &self.file;
        rest.seek(SeekFrom::Start(place.offset))?;
        rest.take(LOOK as u64).read_to_end(&mut line)?;
        if !place.inside && !line.is_empty() {
            found.look(&line);
        }
        Ok(())
    }
}

/// Reads past the end of the line, or `most` bytes and a chunk. Says how many, and whether the line ended.
fn pass_over(reader: &mut BufReader<&File>, most: u64) -> io::Result<(u64, bool)> {
    let mut passed = 0;
    while passed < most {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        // `contains` and `skip_until` are the library's own fast search; a loop over bytes is not, in a debug build.
        if chunk.contains(&b'\n') {
            return Ok((passed + reader.skip_until(b'\n')? as u64, true));
        }
        let length = chunk.len();
        reader.consume(length);
        passed += length as u64;
    }
    Ok((passed, false))
}
