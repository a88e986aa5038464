//! Who may do what, and whose things they see.
//!
//! The rule: a call is let in by one table ([`table`]) that knows every call, role and reach; what it then sees is decided
//! in one place of the core that every look passes ([`crate::core::Core::tenant`] and its neighbours). What is out of
//! sight is answered as what does not exist.

pub mod begun;
mod grant;
pub mod guesses;
mod kept;
pub mod passkeys;
mod person;
pub mod table;

use proto::act::Actor;

pub use grant::{Grant, Role, Scope};
pub use person::{FRESH, PersonState, RECOVERY_MAX, SESSION_IDLE, SESSION_MAX, SIGN_IN_AGAIN, SessionKind};

/// How somebody proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// They administer the server's machine.
    Console,
    /// By an API token: a program, or a person's command line.
    Token,
    /// By signing in.
    Person {
        /// Whether that was a moment ago.
        fresh: bool,
    },
}

/// Whoever calls: proven, not claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// By what name acts call them.
    pub actor: Actor,
    /// How they proved it.
    pub means: Means,
    /// From where: an address, or the server itself.
    pub from: String,
    /// What they may do, and where.
    pub grant: Grant,
}

impl Principal {
    /// The control plane itself: rules and timers.
    #[must_use]
    pub fn control_plane() -> Self {
        let actor = Actor::ControlPlane;
        Self { actor, means: Means::Console, from: "control plane".into(), grant: Grant::everything() }
    }

    /// Whoever may open the admin socket: the user of this number.
    #[must_use]
    pub fn console(uid: u32) -> Self {
        let from = format!("admin socket, user {uid}");
        Self { actor: Actor::Console, means: Means::Console, from, grant: Grant::everything() }
    }

    /// The holder of an API token.
    #[must_use]
    pub fn token(name: String, from: String, grant: Grant) -> Self {
        Self { actor: Actor::Operator(name), means: Means::Token, from, grant }
    }

    /// Somebody who signed in.
    #[must_use]
    pub fn person(name: String, from: String, grant: Grant, fresh: bool) -> Self {
        Self { actor: Actor::Operator(name), means: Means::Person { fresh }, from, grant }
    }
}
