//! The life of a question to people on one screen: may this order be given? Every question ends, and an approval is good for
//! one order.
//!
//! ```text
//! waiting ──> granted ──> used (the order is signed)
//!    └───────────┴──> rejected, expired or void (what was asked for is not what would be done any more)
//! ```

/// Where a question stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// People are asked.
    Waiting,
    /// As many as are needed have agreed; the order waits for its appliance, or a window.
    Granted,
    /// The order is signed.
    Used,
    /// Somebody said no.
    Rejected,
    /// Its time is over.
    Expired,
    /// Things are not as they were when people were asked.
    Void,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// As many as are needed have agreed.
    Enough,
    /// The order is signed.
    Signed,
    /// Somebody says no.
    No,
    /// Its time is over.
    TooLate,
    /// Box, catalogue, charter or policy changed, or the fault is gone.
    Changed,
}

/// Something happened that cannot happen there; the state stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{input:?} means nothing to an approval that is {}", state.name())]
pub struct Unexpected {
    /// Where it stands.
    pub state: State,
    /// What happened.
    pub input: Input,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Granted, Self::Used, Self::Rejected, Self::Expired, Self::Void];

    /// Its name, as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Granted => "granted",
            Self::Used => "used",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Void => "void",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing more can come of it.
    #[must_use]
    pub fn is_over(self) -> bool {
        match self {
            Self::Waiting | Self::Granted => false,
            Self::Used | Self::Rejected | Self::Expired | Self::Void => true,
        }
    }

    /// The next state. Does not touch anything.
    pub fn on(self, input: Input) -> Result<Self, Unexpected> {
        use Input as I;
        Ok(match (self, input) {
            (Self::Waiting, I::Enough) => Self::Granted,
            (Self::Granted, I::Signed) => Self::Used,
            (Self::Waiting | Self::Granted, I::No) => Self::Rejected,
            (Self::Waiting | Self::Granted, I::TooLate) => Self::Expired,
            (Self::Waiting | Self::Granted, I::Changed) => Self::Void,
            (state, input) => return Err(Unexpected { state, input }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUTS: [Input; 5] = [Input::Enough, Input::Signed, Input::No, Input::TooLate, Input::Changed];

    #[test]
    fn only_what_enough_people_agreed_to_is_used_and_only_once() {
        for state in State::ALL {
            for input in INPUTS {
                let next = state.on(input);
                assert_eq!(next == Ok(State::Used), (state, input) == (State::Granted, Input::Signed));
                assert_eq!(next == Ok(State::Granted), (state, input) == (State::Waiting, Input::Enough));
                assert_eq!(next.is_err() && state.is_over(), state.is_over(), "{state:?}: an end is an end");
            }
        }
    }

    #[test]
    fn whatever_is_open_can_be_refused_run_out_and_become_void() {
        for state in State::ALL {
            for input in [Input::No, Input::TooLate, Input::Changed] {
                assert_eq!(
                    state.on(input).is_ok_and(State::is_over),
                    !state.is_over(),
                    "{state:?} {input:?}"
                );
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
