//! What there is to say of somebody who signs in, and of a session.

use std::time::Duration;

use proto::time::Millis;

/// A session that was not used for this long has ended.
pub const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);
/// A session ends this long after it began, however much it is used.
pub const SESSION_MAX: Duration = Duration::from_secs(12 * 3600);
/// The same of one that only lets a new passkey be made.
pub const RECOVERY_MAX: Duration = Duration::from_secs(15 * 60);
/// How long after proving who they are somebody may give access, be it to themselves or to others.
pub const FRESH: Duration = Duration::from_secs(15 * 60);
/// What is said after that.
pub const SIGN_IN_AGAIN: &str =
    "first sign in anew: you did a while ago, or your organization's sign-in did not ask you then";

proto::vocabulary! {
    /// Where somebody stands.
    pub enum PersonState as "state" {
        /// Has an invitation, and has not come yet.
        Invited = "invited",
        /// Has signed in once.
        Active = "active",
        /// Was shut out for good.
        Ended = "ended",
    }
}

proto::vocabulary! {
    /// What a session is good for.
    pub enum SessionKind as "kind" {
        /// All that its owner may do.
        Full = "full",
        /// To make a new passkey, and nothing else: it began with a recovery code.
        Recovery = "recovery",
    }
}

impl SessionKind {
    /// Whether a session of this kind still holds, by when it began and when it was used last.
    #[must_use]
    pub fn holds(self, began: Millis, used: Millis, now: Millis) -> bool {
        let most = match self {
            Self::Full => SESSION_MAX,
            Self::Recovery => RECOVERY_MAX,
        };
        now < began.plus(most) && now < used.plus(SESSION_IDLE)
    }
}
