//! Bundles: everything an auditor needs to check a clinic's evidence without asking anyone, as a folder of files.
//!
//! The rule: **nothing in a bundle is trusted because it lies in a bundle.** Keys inside it count only as far as the
//! organization's keys, which the auditor has from elsewhere, vouch for them through a charter. The manifest is an index.
//!
//! ```text
//!  Parts ──export::build──> Bundle ──write──> folder ──Folder::open──> verify::verify ──> Report
//!                             │                                            │
//!                             └── Facts ──> gaps ──> packet (md, pdf) <────┘ built again and compared
//! ```

pub mod bounds;
mod enrolled;
pub mod export;
mod facts;
pub mod findings;
mod folder;
mod gaps;
mod manifest;
mod period;
mod place;
mod previous;
mod purpose;
mod trace;
pub mod verify;

use std::{borrow::Cow, collections::BTreeMap};

pub use bounds::{BYTES_MAX, FILE_MAX, FILES_MAX};
pub use enrolled::Enrolled;
pub use facts::{
    ActFact, Executor, Fact, Facts, LogFacts, MissingOrder, MissingOutput, Permission, RunbookFacts,
};
pub use folder::{Folder, FolderError};
pub use gaps::{Cause, Gap, GapKind, Stretch, StretchKind, Watch, gaps, stretches, watches};
pub use manifest::{FileLine, GENERATOR, Manifest, ManifestError, ProviderSays};
pub use period::{Month, Period, date, day, minute};
pub use place::Place;
pub use previous::PreviousPacket;
pub use trace::{Beat, Sign, Trace};

/// Where a bundle's files come from.
pub trait Source: Sync {
    /// Relative paths of all files, sorted, parts divided by `/`. Also those that [`Source::read`] will refuse.
    fn paths(&self) -> Vec<String>;
    /// The bytes of one file.
    fn read(&self, path: &str) -> Result<Cow<'_, [u8]>, ReadError>;
}

/// Why a file of a bundle was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such file.
    #[error("it is not there")]
    Absent,
    /// A symbolic link, a device, or a name that no bundle has.
    #[error("must be a plain file, is {found}")]
    NotAFile {
        /// What it is.
        found: &'static str,
    },
    /// Larger than anything a bundle holds.
    #[error("must be at most {most} bytes, has {bytes}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// What it may have.
        most: u64,
    },
    /// The disk said no.
    #[error("cannot be read")]
    Disk(#[source] std::io::Error),
}

/// A bundle in memory: path to bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    files: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    /// From paths and contents; of two with one path the later stays.
    #[must_use]
    pub fn new(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        Self { files: files.into_iter().collect() }
    }

    /// Reads all of another source, so that it can be kept or changed.
    pub fn copy_of(source: &dyn Source) -> Result<Self, ReadError> {
        let read = |path: String| source.read(&path).map(|bytes| (path.clone(), bytes.into_owned()));
        Ok(Self { files: source.paths().into_iter().map(read).collect::<Result<_, _>>()? })
    }

    /// Paths and contents, sorted by path.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// The same, by value.
    #[must_use]
    pub fn into_files(self) -> BTreeMap<String, Vec<u8>> {
        self.files
    }

    fn insert(&mut self, place: &Place, bytes: Vec<u8>) {
        self.files.insert(place.to_string(), bytes);
    }
}

impl Source for Bundle {
    fn paths(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    fn read(&self, path: &str) -> Result<Cow<'_, [u8]>, ReadError> {
        let bytes = self.files.get(path).ok_or(ReadError::Absent)?;
        let (length, most) = (bytes.len() as u64, bounds::most(path));
        if length > most {
            return Err(ReadError::TooLarge { bytes: length, most });
        }
        Ok(Cow::Borrowed(bytes))
    }
}
