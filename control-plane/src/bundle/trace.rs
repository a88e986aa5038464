//! Traces: of every record as much as chains and silence are judged by, small enough to keep a year of them.
//!
//! The rule: one trace for each record whose signature holds, and eighty bytes of it. Whole records are kept beside them
//! ([`super::Fact`]), but not the heartbeats of other months than the packet's: they are nearly all there is, and nothing
//! but their time is ever asked of them.

use std::time::Duration;

use proto::{
    digest::Digest,
    evidence::{Body, ClockSource, Heartbeat, Record},
    time::Millis,
};

/// The longest that a heartbeat may promise for the next.
const PROMISE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Stands for no size of any log.
const UNSEEN: u32 = u32::MAX;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Place in the log.
    pub index: u64,
    /// SHA-256 of the envelope.
    pub digest: Digest,
    /// Whose chain: which one of [`super::Facts::executors`], counted from 0.
    pub(super) executor: u16,
    /// Place in that chain.
    pub chain_index: u64,
    /// When, by the record itself.
    pub at: Millis,
    /// What sign of life it is.
    pub sign: Sign,
    /// How the clock stood.
    pub source: ClockSource,
    /// Size of the log that its executor had seen, or [`UNSEEN`].
    seen: u32,
    /// It names the digest of the one before it, which came before it in the log too.
    pub(super) follows: bool,
}

/// What a record says of its executor's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It began.
    Enrolment,
    /// It runs.
    Heartbeat(Beat),
    /// Something happened.
    Deed,
    /// Only a newer version can say.
    Unknown,
}

/// A heartbeat, in short. Numbers that no appliance has are the largest there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    every_ms: u32,
    up_seconds: u32,
    charter: u32,
}

impl Trace {
    /// Of a record that stands at `index` of its clinic's `log`-th log.
    pub(super) fn of(index: u64, digest: Digest, executor: u16, record: &Record, log: u64) -> Self {
        let seen = record.checkpoint.filter(|seen| seen.log == log);
        let sign = match &record.body {
            Body::Enrolment(_) => Sign::Enrolment,
            Body::Heartbeat(beat) => Sign::Heartbeat(Beat::of(beat)),
            Body::Unknown => Sign::Unknown,
            Body::Execution(_) | Body::Refusal(_) | Body::Hold(_) | Body::Scan(_) | Body::Document(_) => {
                Sign::Deed
            }
        };
        Self {
            index,
            digest,
            executor,
            chain_index: record.chain.index,
            at: record.clock.at,
            sign,
            source: record.clock.source,
            seen: seen.map_or(UNSEEN, |seen| short(seen.size).min(UNSEEN - 1)),
            follows: false,
        }
    }

    /// Size of the log that its executor had seen, as far as one that is verified here can go; `None`: it had seen none.
    #[must_use]
    pub fn seen(&self) -> Option<u64> {
        (self.seen != UNSEEN).then_some(self.seen.into())
    }
}

impl Beat {
    fn of(beat: &Heartbeat) -> Self {
        let most = u64::try_from(PROMISE_MAX.as_millis()).unwrap_or(u64::MAX);
        Self {
            every_ms: short(beat.every_ms.min(most)),
            up_seconds: short(beat.up_ms / 1000),
            charter: short(beat.charter_serial),
        }
    }

    /// When the next one is due. A promise of more than a day is one of a day.
    #[must_use]
    pub fn every(self) -> Duration {
        Duration::from_millis(self.every_ms.into())
    }

    /// Since this boot.
    #[must_use]
    pub fn up(self) -> Duration {
        Duration::from_secs(self.up_seconds.into())
    }

    /// The newest charter that it goes by.
    #[must_use]
    pub fn charter(self) -> u64 {
        self.charter.into()
    }
}

fn short(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_of_them_fits() {
        assert!(size_of::<Trace>() <= 80, "{}", size_of::<Trace>());
    }
}
