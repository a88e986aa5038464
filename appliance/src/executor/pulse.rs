//! Beats: marks of all clocks on this executor's own disk, every few minutes. A heartbeat rolls up those since the one
//! before it, so that it tells how the time in between went, finer than heartbeats come.
//!
//! The rule: what a power cut leaves is the newest beat. So a stretch without any is as long as it can have been, and no
//! shorter because somebody would like it so.

use std::time::Duration;

use proto::{evidence::Beats, time::Millis};

use super::{ExecutorCore, ExecutorError, time::milliseconds};
use crate::world::BootId;

/// How often a beat is due.
pub(super) const EVERY: Duration = Duration::from_secs(300);
/// A clock that is slewed, or read a moment late, has not jumped.
const STEP: i64 = 2000;

/// A moment by the machine's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Which boot it was in, where the machine says so.
    pub boot_id: Option<BootId>,
    /// Boot-time clock.
    pub boot: Duration,
    /// The machine's own clock.
    pub wall: Millis,
}

/// The newest beat, and all since the last heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pulse {
    /// When the newest was made.
    pub last: Option<Moment>,
    /// What the next heartbeat will say.
    pub beats: Beats,
}

impl Moment {
    /// By the machine's own clock, when its boot-time clock began. Where that jumps, so does this.
    fn began(&self) -> Millis {
        self.wall.minus(self.boot)
    }

    fn is_of_the_boot_of(&self, earlier: &Self) -> bool {
        self.boot_id == earlier.boot_id && self.boot >= earlier.boot
    }
}

impl Pulse {
    /// One more beat. `is_crowded`: a heartbeat is due, and there is no room to sign one.
    #[must_use]
    pub fn beat(&self, now: Moment, is_crowded: bool) -> Self {
        let mut beats = Beats { made: self.beats.made.saturating_add(1), ..self.beats };
        beats.every_ms = milliseconds(EVERY);
        let Some(last) = &self.last else { return Self { last: Some(now), beats } };
        let passed = if now.is_of_the_boot_of(last) {
            let stretch = milliseconds(now.boot.saturating_sub(last.boot));
            if now.began().0.abs_diff(last.began().0) > STEP.unsigned_abs() {
                beats.clock_steps += 1;
            }
            if stretch >= beats.longest_ms {
                (beats.longest_ms, beats.longest_ago_ms) = (stretch, 0);
            } else {
                beats.longest_ago_ms = beats.longest_ago_ms.saturating_add(stretch);
            }
            stretch
        } else {
            let off = milliseconds(now.began().since(last.wall));
            let passed = off.saturating_add(milliseconds(now.boot));
            beats.boots += 1;
            beats.off_ms = beats.off_ms.saturating_add(off);
            // From the machine's start to this, its executor's first beat, there was none either.
            let up = milliseconds(now.boot);
            if up >= beats.longest_ms {
                (beats.longest_ms, beats.longest_ago_ms) = (up, 0);
            } else {
                beats.longest_ago_ms = beats.longest_ago_ms.saturating_add(passed);
            }
            passed
        };
        if is_crowded {
            beats.no_room_ms = beats.no_room_ms.saturating_add(passed);
        }
        Self { last: Some(now), beats }
    }

    /// A run holds up beats for as long as it takes; whoever carried it out was there all the while.
    pub(super) fn was_at_work(&mut self, took: Duration) {
        if let Some(last) = &mut self.last {
            (last.boot, last.wall) = (last.boot + took, last.wall.plus(took));
        }
    }

    /// A heartbeat has told of all of them.
    pub(super) fn told(&self) -> Self {
        Self { beats: Beats::default(), ..*self }
    }
}

impl ExecutorCore {
    /// Makes a beat when one is due: first of all when this session begins.
    pub(super) fn beat_if_due(&mut self, is_crowded: bool) -> Result<(), ExecutorError> {
        let now = self.time.moment();
        if self.pulsed.is_some_and(|at| now.boot < at + EVERY) {
            return Ok(());
        }
        let (pulse, times) = (self.pulse.beat(now, is_crowded), self.time.durable());
        self.store.write(|tx| {
            tx.keep_times(&times)?;
            tx.keep_pulse(&pulse)
        })?;
        (self.pulse, self.pulsed) = (pulse, Some(now.boot));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn at(boot_id: u8, boot: u64, wall: i64) -> Moment {
        let boot = Duration::from_millis(boot);
        Moment { boot_id: Some(BootId([boot_id; 16])), boot, wall: Millis(wall) }
    }

    fn beats(moments: &[Moment]) -> Beats {
        moments.iter().fold(Pulse::default(), |pulse, now| pulse.beat(*now, false)).beats
    }

    #[test]
    fn the_longest_stretch_is_told_with_its_end() {
        let told = beats(&[at(1, 0, 0), at(1, 5000, 5000), at(1, 25_000, 25_000), at(1, 28_000, 28_000)]);
        assert_eq!((told.made, told.longest_ms, told.longest_ago_ms), (4, 20_000, 3000));
        assert_eq!((told.boots, told.off_ms, told.clock_steps, told.no_room_ms), (0, 0, 0, 0));
    }

    #[test]
    fn a_boot_is_counted_and_the_time_before_it_is_at_most_what_the_clock_says() {
        // The machine came up nine minutes after the last beat, and beat a minute later.
        let told = beats(&[at(1, 100 * MINUTE, 0), at(2, MINUTE, 600_000)]);
        assert_eq!((told.boots, told.off_ms, told.longest_ms), (1, 9 * MINUTE, MINUTE));
        // With a clock that came up wrong nothing is made up.
        assert_eq!(beats(&[at(1, 0, 600_000), at(2, 0, 0)]).off_ms, 0);
        // A machine that does not say which boot it is of: a boot-time clock that went back tells.
        let unsaid = |boot, wall| Moment { boot_id: None, ..at(0, boot, wall) };
        assert_eq!(beats(&[unsaid(50_000, 0), unsaid(1000, 31_000)]).off_ms, 30_000);
    }

    #[test]
    fn a_long_run_is_no_stretch_without_beats() {
        let mut pulse = Pulse::default().beat(at(1, 0, 0), false);
        pulse.was_at_work(Duration::from_secs(1200));
        let beats = pulse.beat(at(1, 21 * MINUTE, 1_260_000), false).beats;
        assert_eq!((beats.longest_ms, beats.clock_steps), (MINUTE, 0));
    }

    #[test]
    fn a_clock_that_jumps_is_told_from_one_that_is_slewed() {
        assert_eq!(beats(&[at(1, 0, 0), at(1, 300_000, 300_150)]).clock_steps, 0);
        assert_eq!(beats(&[at(1, 0, 0), at(1, 300_000, 305_000), at(1, 600_000, 5000)]).clock_steps, 2);
    }

    #[test]
    fn time_without_room_is_summed_up_until_a_heartbeat_has_told_of_it() {
        let pulse = Pulse::default().beat(at(1, 0, 0), false).beat(at(1, MINUTE, 60_000), true);
        assert_eq!(pulse.beats.no_room_ms, MINUTE);
        let told = pulse.told();
        assert_eq!((told.beats, told.last), (Beats::default(), pulse.last));
    }
}
