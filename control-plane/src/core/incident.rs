//! The life of an incident on one screen. It ends `resolved`, `escalated` or `withdrawn`; none is forgotten.
//!
//! ```text
//! open ──> planned ──> ordered ──> resolved
//!   │         │ ^─(held, run out)─┤
//!   └─────────┴───────────────────┴──> escalated (a person is told) or withdrawn (the fault went by itself)
//!                                         └─(evidence says so late)─> resolved; (the silent box is back)─> withdrawn
//! ```

use proto::act::End;

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Just seen.
    Open,
    /// A runbook is chosen; the order waits for its appliance, a window, an approval.
    Planned,
    /// An order is out.
    Ordered,
    /// Evidence says that the fault is gone.
    Resolved,
    /// It is a person's now.
    Escalated,
    /// The fault went away before anything was done.
    Withdrawn,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// The planner named a runbook.
    RunbookChosen,
    /// The planner could not.
    NoRunbook,
    /// People were asked whether the order may be given, and somebody said no.
    Rejected,
    /// They were asked, and not enough agreed in time.
    Unapproved,
    /// Somebody named a runbook for what is a person's.
    Proposed,
    /// An order was signed.
    OrderSigned,
    /// A guardrail says "not now".
    HeldBack,
    /// A guardrail says no.
    Refused,
    /// The order ran out and nothing was heard; there are tries left.
    RunOut,
    /// It ran out once too often.
    OutOfTries,
    /// Evidence: the fault is gone.
    Repaired,
    /// Evidence: it is not.
    NotRepaired,
    /// Evidence: it was gone before the first step.
    GoneBefore,
    /// The agent reports that the fault is gone.
    Cleared,
    /// Nothing moved for too long.
    Stalled,
    /// A box that was silent is heard again.
    Returned,
}

/// Something happened that cannot happen there; the state stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{input:?} means nothing to an incident that is {}", state.name())]
pub struct Unexpected {
    /// Where it stands.
    pub state: State,
    /// What happened.
    pub input: Input,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Open, Self::Planned, Self::Ordered, Self::Resolved, Self::Escalated, Self::Withdrawn];

    /// Its name, as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Planned => "planned",
            Self::Ordered => "ordered",
            Self::Resolved => "resolved",
            Self::Escalated => "escalated",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// How it ended, when it has.
    #[must_use]
    pub fn end(self) -> Option<End> {
        match self {
            Self::Open | Self::Planned | Self::Ordered => None,
            Self::Resolved => Some(End::Resolved),
            Self::Escalated => Some(End::Escalated),
            Self::Withdrawn => Some(End::Withdrawn),
        }
    }

    /// Whether nothing more is done by itself.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Resolved | Self::Escalated | Self::Withdrawn)
    }

    /// The next state. Does not touch anything.
    pub fn on(self, input: Input) -> Result<Self, Unexpected> {
        use Input as I;
        Ok(match (self, input) {
            (Self::Open, I::RunbookChosen) => Self::Planned,
            (Self::Open, I::NoRunbook | I::Stalled) => Self::Escalated,
            (Self::Open, I::Cleared) => Self::Withdrawn,

            (Self::Planned, I::OrderSigned) => Self::Ordered,
            (Self::Planned, I::HeldBack) => Self::Planned,
            (Self::Planned, I::Refused | I::Rejected | I::Unapproved | I::Stalled) => Self::Escalated,
            (Self::Planned, I::Cleared) => Self::Withdrawn,

            (Self::Ordered, I::HeldBack | I::RunOut) => Self::Planned,
            (Self::Ordered, I::Refused | I::OutOfTries | I::Stalled) => Self::Escalated,
            (Self::Ordered, I::Cleared) => Self::Ordered, // evidence will say how

            (Self::Escalated, I::Proposed) => Self::Planned,

            // Evidence may come late: after its order ran out, or after a person was called.
            (Self::Planned | Self::Ordered | Self::Escalated, I::Repaired) => Self::Resolved,
            (Self::Planned | Self::Ordered, I::NotRepaired) => Self::Escalated,
            (Self::Planned | Self::Ordered, I::GoneBefore) => Self::Withdrawn,

            // Silence needs no repair to be over.
            (Self::Escalated, I::Returned) => Self::Withdrawn,

            (state, input) => return Err(Unexpected { state, input }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUTS: [Input; 16] = [
        Input::Proposed,
        Input::RunbookChosen,
        Input::NoRunbook,
        Input::Rejected,
        Input::Unapproved,
        Input::OrderSigned,
        Input::HeldBack,
        Input::Refused,
        Input::RunOut,
        Input::OutOfTries,
        Input::Repaired,
        Input::NotRepaired,
        Input::GoneBefore,
        Input::Cleared,
        Input::Stalled,
        Input::Returned,
    ];

    #[test]
    fn whatever_has_not_ended_ends_when_it_stalls() {
        for state in State::ALL {
            assert_eq!(state.on(Input::Stalled) == Ok(State::Escalated), !state.has_ended(), "{state:?}");
        }
    }

    #[test]
    fn an_end_stays_an_end_but_for_late_good_news_and_what_a_person_proposes() {
        for state in State::ALL.into_iter().filter(|s| s.has_ended()) {
            for input in INPUTS {
                match state.on(input) {
                    Ok(next) => {
                        let goes_on = match input {
                            Input::Repaired => State::Resolved,
                            Input::Proposed => State::Planned,
                            Input::Returned => State::Withdrawn,
                            _ => panic!("{state:?} {input:?}"),
                        };
                        assert_eq!((state, next), (State::Escalated, goes_on));
                    }
                    Err(unexpected) => assert_eq!(unexpected, Unexpected { state, input }),
                }
            }
        }
    }

    #[test]
    fn only_evidence_resolves() {
        for state in State::ALL {
            for input in INPUTS.into_iter().filter(|i| *i != Input::Repaired) {
                assert_ne!(state.on(input), Ok(State::Resolved), "{state:?} {input:?}");
            }
        }
    }

    #[test]
    fn people_can_say_no_until_the_order_is_signed() {
        for state in State::ALL {
            for input in [Input::Rejected, Input::Unapproved] {
                assert_eq!(state.on(input).ok(), (state == State::Planned).then_some(State::Escalated));
            }
        }
    }

    #[test]
    fn names_read_back() {
        for state in State::ALL {
            assert_eq!(State::named(state.name()), Some(state));
        }
    }
}
