//! Time as an argument: milliseconds, signed time tokens, and what an executor may conclude from them.
//!
//! An appliance's own wall clock proves nothing. A token ties the control plane's time to a nonce of this incarnation;
//! from there on the boot-time clock counts. Without a token since boot nothing is judged expired or fresh.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    charter::Charter,
    dsse::{self, EnvelopeError, Unsigned},
    field::BadField,
    ids::{Incarnation, Nonce},
    keys::SecretKey,
};

/// Milliseconds since the Unix epoch, UTC. Prints as RFC 3339; in JSON it is that text too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub i64);

impl Millis {
    /// Later by `span`, saturating.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Earlier by `span`, saturating.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

crate::text_form!(Millis);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Millis {
    type Err = BadField;
    fn from_str(text: &str) -> Result<Self, BadField> {
        text.parse::<jiff::Timestamp>()
            .map(|time| Self(time.as_millisecond()))
            .map_err(|_| BadField::new("time", "must be RFC 3339 in UTC, such as 2026-11-01T00:00:00.000Z"))
    }
}

/// DSSE payload type of a time token.
pub const TIME_TOKEN_TYPE: &str = "application/vnd.orderly.time.v1+json";

/// Server time, tied to the one who asked and to the question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeToken {
    /// Who asked.
    pub incarnation: Incarnation,
    /// The executor's nonce.
    pub nonce: Nonce,
    /// The server's clock.
    pub at: Millis,
}

impl TimeToken {
    /// What the order key is to sign.
    #[must_use]
    pub fn unsigned(&self) -> Unsigned {
        Unsigned::new(TIME_TOKEN_TYPE, serde_json::to_vec(self).expect("plain data serialises"))
    }

    /// Signs with the order key.
    #[must_use]
    pub fn seal(&self, order_key: &SecretKey) -> Vec<u8> {
        self.unsigned().seal(order_key)
    }
}

/// Why a time token was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not signed by an order key of the charter.
    #[error("time token is not signed by an order key of the charter")]
    Signature(#[source] EnvelopeError),
    /// Signed, but not a token.
    #[error("time token: {0}")]
    Malformed(String),
    /// For another incarnation.
    #[error("time token is for another incarnation")]
    OtherIncarnation,
    /// Answers a question that this executor did not ask, or asked too long ago.
    #[error("time token answers no open question; ask again with the newest nonce")]
    UnknownNonce,
    /// When the charter that vouches for the key does not hold any more: a stolen key must not set the floor for ever.
    #[error(
        "time token says {at}, but the charter whose key signed it ends on {not_after}; a newer charter is needed"
    )]
    BeyondCharter {
        /// What it says.
        at: Millis,
        /// End of the charter.
        not_after: Millis,
    },
    /// Before the floor: a server clock that runs backwards, or an old build with a stolen key.
    #[error("time token says {at}, before the floor {floor}")]
    BelowFloor {
        /// What it says.
        at: Millis,
        /// The newest time already proven.
        floor: Millis,
    },
    /// Far ahead of what the boot-time clock has counted since the first token: a stolen key, or a server clock that jumped.
    #[error(
        "time token says {at}, but the boot-time clock has proven {known}; a clock that jumps is not believed"
    )]
    Ahead {
        /// What it says.
        at: Millis,
        /// The time that the first token and the boot-time clock make.
        known: Millis,
    },
}

/// A question that was asked: the nonce, and when on the boot-time clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The nonce given out.
    pub nonce: Nonce,
    /// Boot-time clock at that moment.
    pub asked: Duration,
}

/// How old an answer may be: beyond it the round trip would blur the time too much.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// How far a token may lie off what the boot-time clock has proven since the first one. It is measured from the first, so
/// that many small lies are no larger than one.
pub const TOKEN_TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// One part in so many is granted on top: clocks drift, and are slewed.
const DRIFT: u32 = 1000;

/// What an executor knows about time. Only moves forward, until a charter that withdraws a key takes it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedTime {
    floor: Millis,
    anchor: Option<(Millis, Duration)>,
    first: Option<First>,
}

/// The first token since boot: between which times the truth lay, and the boot-time clock then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct First {
    earliest: Millis,
    latest: Millis,
    since: Duration,
}

impl TrustedTime {
    /// Starts after boot from the durable floor (at least the build time); there is no anchor yet.
    #[must_use]
    pub fn from_floor(floor: Millis) -> Self {
        Self { floor, anchor: None, first: None }
    }

    /// The newest time that is certainly past; after a token it goes on with the boot-time clock.
    #[must_use]
    pub fn floor(&self, boot: Duration) -> Millis {
        self.bounds(boot).0
    }

    /// The earliest and the latest time that a token may say now; no latest before the first.
    #[must_use]
    pub fn bounds(&self, boot: Duration) -> (Millis, Option<Millis>) {
        let Some(first) = self.first else { return (self.floor, None) };
        let passed = boot.saturating_sub(first.since);
        let slack = TOKEN_TOLERANCE + passed / DRIFT;
        let earliest = first.earliest.plus(passed).minus(slack);
        (self.floor.max(earliest), Some(first.latest.plus(passed).plus(slack)))
    }

    /// Begins anew from a floor that the organization has signed. `newer` follows `older`; only where it withdraws a key
    /// that may have said what time it is, and its own date is before the floor, is there anything to take back. Says the
    /// new floor, which must be made durable.
    pub fn withdrawn(&mut self, older: &Charter, newer: &Charter, build: Millis) -> Option<Millis> {
        let from = newer.issued.max(build);
        if older.order_keys.is_subset(&newer.order_keys) || from >= self.floor {
            return None;
        }
        *self = Self::from_floor(from);
        Some(from)
    }

    /// The time now, given the boot-time clock; `None` until a token anchored it since boot.
    #[must_use]
    pub fn now(&self, boot: Duration) -> Option<Millis> {
        self.anchor.map(|(at, since)| at.plus(boot.saturating_sub(since)))
    }

    /// Takes a token in answer to `question`. The server read its clock somewhere between question and answer; the
    /// latest possible moment is assumed, so that nothing expired is taken for fresh.
    pub fn accept(
        &mut self,
        token: &[u8],
        charter: &Charter,
        incarnation: Incarnation,
        question: Question,
        boot: Duration,
    ) -> Result<(), TimeError> {
        let verified =
            dsse::open(token, TIME_TOKEN_TYPE, &charter.order_keys, 1).map_err(TimeError::Signature)?;
        let token: TimeToken =
            serde_json::from_slice(verified.value()).map_err(|e| TimeError::Malformed(e.to_string()))?;
        if token.incarnation != incarnation {
            return Err(TimeError::OtherIncarnation);
        }
        if token.nonce != question.nonce || boot.saturating_sub(question.asked) > ANSWER_WITHIN {
            return Err(TimeError::UnknownNonce);
        }
        if !charter.holds_at(token.at) {
            return Err(TimeError::BeyondCharter { at: token.at, not_after: charter.not_after });
        }
        let (floor, most) = self.bounds(boot);
        if token.at < floor {
            return Err(TimeError::BelowFloor { at: token.at, floor });
        }
        if let (Some(known), true) = (self.now(boot), most.is_some_and(|most| token.at > most)) {
            return Err(TimeError::Ahead { at: token.at, known });
        }
        let latest = token.at.plus(boot.saturating_sub(question.asked));
        // Every answer gives an interval that holds the truth; the upper ends may only tighten.
        let now = self.now(boot).map_or(latest, |known| known.min(latest).max(token.at));
        self.floor = token.at;
        self.anchor = Some((now, boot));
        self.first.get_or_insert(First { earliest: token.at, latest, since: boot });
        Ok(())
    }
}
