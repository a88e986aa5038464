//! True time, and what each machine's clocks make of it.
//!
//! The rule: only the scheduler moves time; a machine sees it through a wall clock that is off and drifts, and a boot
//! clock that drifts and begins anew with every boot.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use appliance::world::{BootId, Clock};
use proto::time::Millis;

/// The true time at which every run begins.
pub(super) const BEGIN: &str = "2026-12-01T00:00:00Z";

/// True time since the beginning.
#[derive(Clone, Default)]
pub(super) struct Time(Arc<AtomicU64>);

impl Time {
    pub(super) fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Relaxed))
    }

    pub(super) fn advance_to(&self, now: Duration) {
        self.0.store(micros(now), Relaxed);
    }
}

/// The clocks of one machine.
pub(super) struct MachineClock {
    time: Time,
    begin: Millis,
    /// Parts in a million by which both clocks run too fast.
    drift: i64,
    /// By how much the wall clock is off, in milliseconds.
    off: AtomicI64,
    booted: AtomicU64,
    /// Time that passes inside a call, for work that takes long: seen by this machine alone.
    ahead: AtomicU64,
}

impl MachineClock {
    pub(super) fn new(time: &Time, drift: i64, off: i64) -> Arc<Self> {
        Arc::new(Self {
            time: time.clone(),
            begin: BEGIN.parse().expect("a constant"),
            drift,
            off: AtomicI64::new(off),
            booted: AtomicU64::new(0),
            ahead: AtomicU64::new(0),
        })
    }

    /// What the wall clock shows, give or take what it is off.
    pub(super) fn set_off(&self, off: i64) {
        self.off.store(off, Relaxed);
    }

    /// The box boots: its boot clock begins anew.
    pub(super) fn reboot(&self) {
        self.booted.store(micros(self.time.now()), Relaxed);
    }

    /// Time passes inside a call.
    pub(super) fn pass(&self, span: Duration) {
        self.ahead.fetch_add(micros(span), Relaxed);
    }

    /// The call is over; how long it took.
    pub(super) fn catch_up(&self) -> Duration {
        Duration::from_micros(self.ahead.swap(0, Relaxed))
    }

    fn run_for(&self, since: u64) -> i64 {
        let passed = micros(self.time.now()).saturating_sub(since) + self.ahead.load(Relaxed);
        let passed = passed.cast_signed();
        passed + passed / 1_000_000 * self.drift
    }
}

impl Clock for MachineClock {
    fn wall(&self) -> Millis {
        Millis(self.begin.0 + self.off.load(Relaxed) + self.run_for(0) / 1000)
    }

    fn boot(&self) -> Duration {
        Duration::from_micros(self.run_for(self.booted.load(Relaxed)).unsigned_abs())
    }

    fn boot_id(&self) -> Option<BootId> {
        Some(BootId(u128::from(self.booted.load(Relaxed)).to_be_bytes()))
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_off_drift_and_begin_anew() {
        let time = Time::default();
        let clock = MachineClock::new(&time, 100, -3_600_000);
        let begin: Millis = BEGIN.parse().unwrap();
        assert_eq!(clock.wall(), Millis(begin.0 - 3_600_000));
        time.advance_to(Duration::from_secs(10_000));
        assert_eq!(clock.boot(), Duration::from_secs(10_001));
        clock.reboot();
        clock.pass(Duration::from_secs(5));
        assert_eq!(clock.boot(), Duration::from_micros(5_000_500));
        assert_eq!((clock.catch_up(), clock.boot()), (Duration::from_secs(5), Duration::ZERO));
    }
}
