//! How many files and sockets this process may have open: one for each appliance that is there.
//!
//! The rule: the process takes what it may have, and appliances get no more of it than leaves the database, the vault and
//! people theirs. Without that a full house of appliances would close the door on the operator who looks why.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The most appliances that are connected at once, however many files there may be: each costs memory, too.
const APPLIANCES_MAX: usize = 16_384;
/// What is there where nobody says.
const USUAL: u64 = 1024;

/// Raises the limit of open files as far as that needs no privilege, and says what it is now. Whoever starts a program gives
/// it 1024 for the sake of those that call select(2), and lets it raise that itself.
#[must_use]
pub fn raise() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((USUAL, USUAL));
    let now = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_or(soft, |()| hard);
    usize::try_from(now).unwrap_or(usize::MAX)
}

/// How many connections of appliances go with so many files.
#[must_use]
pub fn for_appliances(files: usize) -> usize {
    (files / 4 * 3).min(APPLIANCES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_what_this_process_may_have() {
        let now = raise() as u64;
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!((soft, hard), (now, now));
    }

    #[test]
    fn appliances_leave_something_for_others() {
        assert_eq!([1024, 20_000, 524_288].map(for_appliances), [768, 15_000, 16_384]);
    }
}
