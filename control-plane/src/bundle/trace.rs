//! Traces: of every record as much as chains and silence are judged by, small enough to keep a year of them.
//!
//! The rule: one trace for each record whose signature holds, and eighty bytes of it. Whole records are kept beside them
//! ([`super::Fact`]), but not the heartbeats of other months than the packet's: they are nearly all there is, and most of
//! them tell nothing but the time.

use std::time::Duration;

use proto::{
    digest::Digest,
    evidence::{Beats, Body, ClockSource, Heartbeat, Record, Synchronised},
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
    /// Whether that clock was kept in step; `None`: it does not say.
    pub synchronised: Option<Synchronised>,
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
    tells: bool,
}

impl Trace {
    /// Of a record that stands at `index` of its clinic's `log`-th log.
    pub(super) fn of(index: u64, digest: Digest, executor: u16, record: &Record, log: u64) -> Self {
        let seen = record.checkpoint.filter(|seen| seen.log == log);
        let sign = match &record.body {
            Body::Enrolment(_) => Sign::Enrolment,
            Body::Heartbeat(beat) => Sign::Heartbeat(Beat::of(beat)),
            Body::Unknown => Sign::Unknown,
            Body::Execution(_)
            | Body::Refusal(_)
            | Body::Hold(_)
            | Body::Scan(_)
            | Body::Document(_)
            | Body::Update(_) => Sign::Deed,
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
            synchronised: record.clock.synchronised,
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
            tells: beat.beats.is_some_and(|beats| tells(&beats)),
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

    /// Its beats tell of something that happened since the one before; then it is kept whole.
    #[must_use]
    pub fn tells(self) -> bool {
        self.tells
    }

    /// The newest charter that it goes by.
    #[must_use]
    pub fn charter(self) -> u64 {
        self.charter.into()
    }
}

/// How long is waited for a beat: 2.5 times as long as until one is due.
pub(super) fn patience_of(beats: &Beats) -> Duration {
    let most = u64::try_from(PROMISE_MAX.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(beats.every_ms.min(most)).mul_f64(2.5)
}

fn tells(beats: &Beats) -> bool {
    let stretch = Duration::from_millis(beats.longest_ms.max(beats.off_ms).max(beats.no_room_ms));
    beats.boots > 0 || beats.clock_steps > 0 || beats.no_room_ms > 0 || stretch > patience_of(beats)
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
