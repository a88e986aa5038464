//! Turns readings into events: one fault is one Raised and one Cleared, however often it is looked at.
//!
//! Pure: a state machine per fault and watch-list entry, whose state lies in the outbox and is committed together with
//! the events that it made. What cannot be judged changes nothing.
//!
//! ```text
//!            holds: Raised                       holds, not said for a while: Ongoing
//!   quiet ──────────────────> raised ──────────────────────────────────────────────────> raised
//!     ^                          │
//!     └──────────────────────────┘  has not held for as long as the fault lingers: Cleared
//! ```

use std::time::Duration;

use proto::{ids::WatchId, sync::Phase, time::Millis};
use runbooks::Fault;

/// How often an event that goes on is said again, at most.
pub const SAY_AGAIN: Duration = Duration::from_secs(600);

/// Which detector: one fault of one entry of the watch list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What can be wrong.
    pub fault: Fault,
    /// With which entry.
    pub watch: WatchId,
}

/// How a detector stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// Whether the fault was raised and not yet cleared.
    pub raised: bool,
    /// When something was last said about it.
    pub said: Millis,
    /// When it was last seen to hold.
    pub held: Millis,
}

/// How long a fault must be gone before it counts as cleared.
///
/// What is measured is gone when the reading says so. A log line says nothing about when its cause went away, and a load
/// sways around its limit: those linger, or every swing would be an incident.
#[must_use]
pub fn lingers(fault: Fault) -> Duration {
    match fault {
        Fault::DirectoryOverLimit
        | Fault::BackupStale
        | Fault::RestoreDue
        | Fault::UnitDown
        | Fault::UnitCrashing
        | Fault::FilesystemFull
        | Fault::FilesystemInodesUsed
        | Fault::DriveFailing
        | Fault::ClockUnsynchronised
        | Fault::CertificateExpiring
        | Fault::CertificateWrong
        | Fault::StoreDamaged
        | Fault::OutboxDamaged
        | Fault::BackupDamaged
        | Fault::BaselineDrifted
        | Fault::BaselineBroken => Duration::ZERO,
        Fault::MetricOverLimit
        | Fault::ProcessorPressed
        | Fault::MemoryPressed
        | Fault::SensorHot
        | Fault::ServiceUnreachable
        | Fault::UplinkLost
        | Fault::FootprintOverLimit => Duration::from_secs(120),
        Fault::LogMatch | Fault::JournalMatch => Duration::from_secs(600),
    }
}

/// The one next step: the state from here on, and what is to be said, if anything.
#[must_use]
pub fn step(fault: Fault, state: State, holds: Option<bool>, now: Millis) -> (State, Option<Phase>) {
    // A wall clock that was set back must not silence a fault until it has caught up.
    let state = State { said: state.said.min(now), held: state.held.min(now), ..state };
    match (state.raised, holds) {
        (_, None) | (false, Some(false)) => (state, None),
        (false, Some(true)) => (State { raised: true, said: now, held: now }, Some(Phase::Raised)),
        (true, Some(true)) if now.since(state.said) >= SAY_AGAIN => {
            (State { said: now, held: now, ..state }, Some(Phase::Ongoing))
        }
        // A fault that does not linger needs no memory of when it last held, and its state no write to disk.
        (true, Some(true)) if lingers(fault).is_zero() => (state, None),
        (true, Some(true)) => (State { held: now, ..state }, None),
        (true, Some(false)) if now.since(state.held) >= lingers(fault) => {
            (State { raised: false, said: now, ..state }, Some(Phase::Cleared))
        }
        (true, Some(false)) => (state, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000;

    #[test]
    fn a_measured_fault_begins_goes_on_and_ends() {
        let mut state = State::default();
        let mut said = Vec::new();
        for (minute, holds) in [
            (0, Some(false)),
            (1, Some(true)),
            (2, Some(true)),
            (3, None),
            (11, Some(true)),
            (12, Some(true)),
            (13, Some(false)),
            (14, Some(false)),
        ] {
            let (next, phase) = step(Fault::DirectoryOverLimit, state, holds, Millis(minute * MINUTE));
            state = next;
            said.extend(phase.map(|phase| (minute, phase)));
        }
        assert_eq!(said, [(1, Phase::Raised), (11, Phase::Ongoing), (13, Phase::Cleared)]);
    }

    #[test]
    fn a_log_match_lingers() {
        let at = |minute: i64| Millis(minute * MINUTE);
        let (state, phase) = step(Fault::LogMatch, State::default(), Some(true), at(0));
        assert_eq!(phase, Some(Phase::Raised));
        let (state, phase) = step(Fault::LogMatch, state, Some(false), at(9));
        assert_eq!(phase, None);
        assert_eq!(step(Fault::LogMatch, state, Some(false), at(10)).1, Some(Phase::Cleared));
    }

    #[test]
    fn a_clock_set_back_silences_nothing_for_long() {
        let now = Millis(1_000 * MINUTE);
        let (state, _) = step(Fault::BackupStale, State::default(), Some(true), now);
        let back = Millis(10 * MINUTE);
        let (state, phase) = step(Fault::BackupStale, state, Some(true), back);
        assert_eq!(phase, None);
        assert_eq!(step(Fault::BackupStale, state, Some(true), back.plus(SAY_AGAIN)).1, Some(Phase::Ongoing));
    }

    proptest! {
        #[test]
        fn phases_alternate_and_are_not_said_too_often(
            fault in prop::sample::select(Fault::ALL),
            looks in prop::collection::vec((0_i64..20 * MINUTE, prop::option::of(any::<bool>())), 0..80),
        ) {
            let (mut now, mut state) = (Millis(0), State::default());
            let (mut open, mut last) = (false, None::<Millis>);
            for (pause, holds) in looks {
                now = Millis(now.0 + pause);
                let (next, phase) = step(fault, state, holds, now);
                match phase {
                    None => prop_assert!(open || holds != Some(true), "a fault went unsaid"),
                    Some(Phase::Raised) => {
                        prop_assert!(!open && holds == Some(true));
                        open = true;
                    }
                    Some(Phase::Ongoing) => {
                        prop_assert!(open && holds == Some(true));
                        prop_assert!(now.since(last.expect("raised before")) >= SAY_AGAIN);
                    }
                    Some(Phase::Cleared) => {
                        prop_assert!(open && holds == Some(false));
                        open = false;
                    }
                }
                last = phase.map(|_| now).or(last);
                state = next;
                prop_assert_eq!(state.raised, open);
            }
        }
    }
}
