//! Findings: what scans found not to be so, what was waived, and how each paragraph of the Security Rule stands.
//!
//! The rule: whoever reports on a clinic asks here, so that packet and OSCAL cannot say two things of one record. Pure: all
//! of it follows from [`Facts`](super::Facts) and a time.

mod citations;
mod drifts;
mod waivers;

use proto::time::Millis;

use super::Fact;

pub use citations::{CitationResult, Seen as Counted, Standing as CitationStanding, citations};
pub use drifts::{Drift, Ended, drifts};
pub use waivers::{Source, Waiver, waivers};

/// A record, and when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// By the clock of the box.
    pub at: Millis,
    /// Log index.
    pub record: u64,
}

impl Moment {
    fn of(fact: &Fact) -> Self {
        Self { at: fact.record.clock.at, record: fact.index }
    }
}
