//! A user of the machine, by name or by number.

use std::fmt;

use nix::{
    errno::Errno,
    unistd::{Gid, Uid, User as Account},
};
use serde::Deserialize;

/// A user, as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "must be a user's name or number")]
pub enum User {
    /// By number.
    Number(u32),
    /// By name.
    Name(String),
}

/// The machine has no such user.
#[derive(Debug, thiserror::Error)]
pub enum UnknownUser {
    /// The user database has no such name.
    #[error("there is no user {0:?} on this machine; name an existing one, or give its number")]
    Missing(String),
    /// The user database cannot be asked.
    #[error("cannot look up user {name:?}")]
    Lookup {
        /// Whom.
        name: String,
        /// Why.
        #[source]
        source: Errno,
    },
}

impl User {
    /// The numbers of this user and of its main group. A number that has no name has the group of the same number.
    pub fn resolve(&self) -> Result<(Uid, Gid), UnknownUser> {
        let (name, found) = match self {
            Self::Number(number) => {
                let uid = Uid::from_raw(*number);
                let known = Account::from_uid(uid).ok().flatten();
                return Ok((uid, known.map_or(Gid::from_raw(*number), |account| account.gid)));
            }
            Self::Name(name) => (name, Account::from_name(name)),
        };
        match found {
            Ok(Some(account)) => Ok((account.uid, account.gid)),
            Ok(None) => Err(UnknownUser::Missing(name.clone())),
            Err(source) => Err(UnknownUser::Lookup { name: name.clone(), source }),
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}
