//! The journal, by patterns and priority: every entry is looked at once, by journalctl's own hand.
//!
//! The rule: where to go on is journald's cursor, committed together with what was found; and when entries were removed
//! before they were read, that is said, with the time that it covers. Nothing of an entry is passed on, only which of the
//! configured patterns it held, and how often.
//!
//! ```text
//!  journalctl --follow ──> thread: patterns, counts, newest cursor ──take, with each look──> outbox
//! ```
//!
//! What cannot be seen: what a message says beyond 4 KB. journalctl then leaves it out, because it could need any amount
//! of memory; such entries are counted as `unread`.

mod entry;
mod follow;

use std::{io, path::PathBuf, time::Duration};

use proto::{evidence::Readings, time::Millis};
use runbooks::Fault;
use serde::{Deserialize, Serialize};

use self::follow::{Follow, Found, first_entry};
use super::{Observation, Produced};
use crate::{agent::redact, config};

/// What was written this shortly before a look may still be on its way to us, in microseconds.
const ON_ITS_WAY: u64 = 60_000_000;
/// How long journalctl must stay before it counts as one that works, though the journal is quiet.
const PROVEN_AFTER: Duration = Duration::from_secs(60);
/// How often a quiet journal's place is moved on, in microseconds: the disk of an idle box is to sleep.
const MOVE_ON: u64 = 3_600_000_000;

/// Where the next look begins. As a cursor it is JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    /// Of the last entry that was looked at, or of the newest there was at first.
    cursor: String,
    /// Everything that was written before was looked at: microseconds, by journald's clock.
    until: u64,
}

/// The source.
pub struct Journal {
    journal: config::Journal,
    program: PathBuf,
    follow: Option<Follow>,
    /// What the last look gave: when it was not committed, this begins anew from what was.
    given: Option<Vec<u8>>,
    /// When journalctl was started.
    begun: Millis,
    /// Whether the one before ended before it showed anything; forgotten once this one has proven itself.
    failed: bool,
}

/// Entries that were removed before they were read, in microseconds.
struct Gap {
    from: u64,
    to: u64,
}

impl Journal {
    /// Follows what `journal` names, with the `journalctl` at `program`.
    #[must_use]
    pub fn new(journal: config::Journal, program: PathBuf) -> Self {
        Self { journal, program, follow: None, given: None, begun: Millis(0), failed: false }
    }

    /// The name of its cursor.
    #[must_use]
    pub fn name(&self) -> String {
        format!("journal:{}", self.journal.id)
    }

    /// Looks at what was written since `cursor`. Without one it begins at the end: what is old is no news.
    pub fn poll(&mut self, cursor: Option<&[u8]>, now: Millis) -> Produced {
        // A cursor that cannot be read is like none: nothing better is known.
        let known = cursor.and_then(|bytes| serde_json::from_slice::<Place>(bytes).ok());
        let Some(mut place) = known else {
            let newest = first_entry(&self.program, &["--lines=1"]);
            return match newest {
                Ok(newest) => {
                    let place = Place { cursor: newest.cursor, until: newest.written };
                    self.produced(Some(&place), &Found::default(), None)
                }
                Err(problem) => self.unreadable(problem.kind()),
            };
        };
        let mut gap = None;
        let is_fresh = self.follow.is_none() || self.given.as_deref() != cursor;
        if is_fresh {
            self.follow = None;
            let oldest = match first_entry(&self.program, &["--lines=all"]) {
                Ok(oldest) => oldest,
                Err(problem) => return self.unreadable(problem.kind()),
            };
            if oldest.written > place.until {
                gap = Some(Gap { from: place.until, to: oldest.written });
                place.until = oldest.written;
            }
            self.follow = Follow::start(&self.program, &self.journal, &place.cursor).ok();
            self.begun = now;
        }
        let Some(follow) = &self.follow else { return self.unreadable(io::ErrorKind::NotFound) };
        let found = follow.take();
        if found.ended {
            self.follow = None;
        }
        // journald or somebody may end it now and then; one that ends again and again is of no use.
        let failed = found.ended && found.last.is_none();
        if failed && self.failed && gap.is_none() {
            return self.unreadable(io::ErrorKind::BrokenPipe);
        }
        // One that has only just begun has proven nothing.
        let is_proven = found.last.is_some() || now.since(self.begun) >= PROVEN_AFTER;
        self.failed = failed || (self.failed && !is_proven);
        let now = u64::try_from(now.0).unwrap_or(0).saturating_mul(1000).saturating_sub(ON_ITS_WAY);
        if let Some((cursor, written)) = &found.last {
            place = Place { cursor: cursor.clone(), until: place.until.max(*written) };
        } else if !is_fresh && !found.ended && now > place.until.saturating_add(MOVE_ON) {
            place.until = now;
        }
        self.produced(Some(&place), &found, gap)
    }

    fn produced(&mut self, place: Option<&Place>, found: &Found, gap: Option<Gap>) -> Produced {
        self.given = place.map(|place| serde_json::to_vec(place).expect("text and numbers serialise"));
        let lines = if gap.is_some() { -1 } else { number(found.lines) };
        let mut notes = vec![redact::line(&found.matches)];
        if found.urgent > 0 {
            notes.push(format!("priority in {} lines", found.urgent));
        }
        if let Some(Gap { from, to }) = &gap {
            let at = |micros: &u64| Millis(number(micros / 1000));
            notes.push(format!(
                "what was written from {} to {} was removed from the journal before it was read",
                at(from),
                at(to)
            ));
        }
        notes.retain(|note| !note.is_empty());
        let mut readings: Readings = [("lines".to_owned(), lines)].into();
        if found.unread > 0 {
            readings.insert("unread".to_owned(), number(found.unread));
        }
        let observation = self.observation(readings, redact::note(&notes.join("; ")));
        Produced { observations: vec![observation], cursor: self.given.clone(), ..Produced::default() }
    }

    /// What cannot be read counts as wrong: silence is not health. The next look begins where this one should have.
    fn unreadable(&self, problem: io::ErrorKind) -> Produced {
        let note = redact::note(&format!("the journal cannot be read: {problem}"));
        let observation = self.observation([("lines".to_owned(), -1)].into(), note);
        Produced { observations: vec![observation], ..Produced::default() }
    }

    fn observation(&self, readings: Readings, note: String) -> Observation {
        Observation { watch: self.journal.id.clone(), fault: Fault::JournalMatch, readings, note }
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
