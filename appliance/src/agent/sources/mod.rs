//! Where the agent looks: log files, the journal, the network and metrics by itself, directories and backups through the executor's eyes, and the
//! executor's evidence.
//!
//! The rule: a source keeps nothing in memory that it could not lose. Where it goes on is its cursor, which the outbox
//! commits together with what was found.

pub mod evidence;
pub mod journal;
pub mod log_file;
pub mod metrics;
pub mod readings;

use proto::{evidence::Readings, ids::WatchId, sync::Lines};
use runbooks::Fault;

/// How one fault of one entry stands, as just seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// With what.
    pub watch: WatchId,
    /// Which fault.
    pub fault: Fault,
    /// What was measured; the fault is judged by it.
    pub readings: Readings,
    /// For people, redacted.
    pub note: String,
}

/// What one look came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Produced {
    /// What was seen.
    pub observations: Vec<Observation>,
    /// Where the next look begins; `None`: this source has no place to keep.
    pub cursor: Option<Vec<u8>>,
    /// Lines of a log that are to be sent, redacted.
    pub lines: Vec<Lines>,
    /// Whether another look would find more now.
    pub more: bool,
}
