//! One file of a log, read in blocks of whole lines from a place that is known again.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use memchr::{memchr, memrchr};
use nix::libc::O_NONBLOCK;
use proto::digest::Digest;
use serde::{Deserialize, Serialize};

use super::LOOK;

/// How much of a file's beginning is remembered, to know it again.
const HEAD: u64 = 256;
/// How much is read at once, at most: what stays in the processor's own memory.
const BLOCK: usize = 256 << 10;

/// Where the next look begins. As a cursor it is JSON; `null` means that there was no file yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) offset: u64,
    /// Whether the beginning of the line at `offset` was looked at before.
    pub(super) inside: bool,
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

/// Takes lines.
pub(super) trait Reader {
    /// Takes whole lines of a file, which begin at `offset`; the last may lack its line feed when more of it will not be
    /// looked at. Says how many bytes of them it took: all, or as many whole lines as it has room for.
    fn take(&mut self, file: u64, offset: u64, lines: &[u8]) -> usize;
}

/// A file that is open.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    device: u64,
    inode: u64,
}

impl Opened {
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        // Not to be held up by a pipe that lies where a log should.
        let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self { device: found.dev(), inode: found.ino(), file })
    }

    pub(super) fn is(&self, place: &Place) -> bool {
        (self.device, self.inode) == (place.device, place.inode)
    }

    pub(super) fn is_empty(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() == 0)
    }

    pub(super) fn beginning(&self) -> Place {
        let head = Head { length: 0, sha256: Digest::of(&[]) };
        Place { device: self.device, inode: self.inode, offset: 0, inside: false, head }
    }

    pub(super) fn end(&self) -> io::Result<Place> {
        let offset = self.file.metadata()?.len();
        let mut last = [b'\n'];
        if offset > 0 {
            // Truncated in this moment: then nothing is read, and the next look will see it.
            let _ = self.file.read_at(&mut last, offset - 1)?;
        }
        Ok(Place { offset, inside: last != [b'\n'], head: self.head(offset)?, ..self.beginning() })
    }

    fn head(&self, offset: u64) -> io::Result<Head> {
        let mut bytes = [0; HEAD as usize];
        let length = usize::try_from(offset.min(HEAD)).unwrap_or(0);
        let read = self.file.read_at(&mut bytes[..length], 0)?; // fewer when it was truncated in this moment
        Ok(Head { length: read as u64, sha256: Digest::of(&bytes[..read]) })
    }

    /// Truncated since, or another file with the same inode.
    pub(super) fn begins_anew(&self, place: &Place) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() < place.offset || self.head(place.head.length)? != place.head)
    }

    /// Hands the whole lines from `place` on to `reader`, and moves it past what was taken, `budget` bytes at most. Says
    /// whether that was all there is.
    pub(super) fn scan(
        &self,
        place: &mut Place,
        budget: &mut u64,
        reader: &mut impl Reader,
    ) -> io::Result<bool> {
        if self.begins_anew(place)? {
            *place = self.beginning();
        }
        let size = self.file.metadata()?.len();
        let at_end = size == place.offset || self.read(place, size, budget, reader)?;
        if place.head.length < place.offset.min(HEAD) {
            place.head = self.head(place.offset)?;
        }
        Ok(at_end)
    }

    fn read(
        &self,
        place: &mut Place,
        size: u64,
        budget: &mut u64,
        reader: &mut impl Reader,
    ) -> io::Result<bool> {
        // Never so small that half a line could be taken for a long one, or a full block for the end.
        let rest = usize::try_from(size - place.offset).unwrap_or(BLOCK);
        let mut buffer = vec![0; rest.saturating_add(1).clamp(2 * LOOK, BLOCK)];
        while *budget > 0 {
            let read = self.file.read_at(&mut buffer, place.offset)?;
            let mut block = &buffer[..read];
            if place.inside {
                let passed = memchr(b'\n', block).map_or(read, |at| at + 1);
                place.inside = passed == 0 || block[passed - 1] != b'\n';
                place.offset += passed as u64;
                *budget = budget.saturating_sub(passed as u64);
                block = &block[passed..];
            }
            let (whole, inside) = match memrchr(b'\n', block) {
                Some(last) => (last + 1, false),
                None if block.len() >= LOOK => (LOOK, true),
                None if read == buffer.len() => continue, // most of the block was passed over
                None => return Ok(true),                  // half a line at most: it waits for its end
            };
            let taken = reader.take(self.inode, place.offset, &block[..whole]);
            place.offset += taken as u64;
            *budget = budget.saturating_sub(taken as u64);
            if taken < whole {
                return Ok(false);
            }
            place.inside = inside;
        }
        Ok(false)
    }

    /// The half line at the end of a file that nobody writes to any more is a line. Says whether it was taken.
    pub(super) fn last_line(&self, place: &Place, reader: &mut impl Reader) -> io::Result<bool> {
        let mut line = [0; LOOK];
        let read = self.file.read_at(&mut line, place.offset)?;
        Ok(place.inside || read == 0 || reader.take(self.inode, place.offset, &line[..read]) > 0)
    }
}
