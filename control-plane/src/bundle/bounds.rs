//! Bounds: how much of a stranger's bundle is looked at.
//!
//! The rule: whatever is counted is counted before it is read, and a complaint names the bound. An honest bundle of the
//! largest log that is verified here stays well within all of them.

use super::Place;

/// Most files that are looked at.
pub const FILES_MAX: usize = 200_000;
/// Largest file that is read, in bytes.
pub const FILE_MAX: u64 = 64 << 20;
/// Most bytes in all files together.
pub const BYTES_MAX: u64 = 8 << 30;
/// Most records of a log that is verified.
pub const ENTRIES_MAX: u64 = 4_000_000;
/// Most charters, and most catalogues: each of these may have to be held against each of those.
pub const PAPERS_MAX: usize = 256;
/// Most executors: one for each time that a box is set up.
pub const EXECUTORS_MAX: usize = 4096;

const KB: u64 = 1 << 10;
const MB: u64 = 1 << 20;

/// The most bytes that the file at `path` may have.
#[must_use]
pub fn most(path: &str) -> u64 {
    match path.parse() {
        Ok(Place::Manifest) => 32 * MB,
        // An envelope of the largest size, as it lies alone.
        Ok(Place::Evidence(..)) => 64 * KB,
        Ok(Place::Proof(_) | Place::Checkpoint) => 2 * MB,
        Ok(Place::Tile(_)) => 8 * KB,
        // 256 entries of the largest size, each after its length.
        Ok(Place::Entries(_)) => 256 * (64 * KB + 1),
        Ok(Place::Order(_) | Place::Charter(_) | Place::Catalogue(_) | Place::Baseline(_)) => 4 * MB,
        Ok(Place::Appliance(..) | Place::Succession(_) | Place::VerifierKey | Place::Policy) => 64 * KB,
        Ok(_) | Err(_) => FILE_MAX,
    }
}
