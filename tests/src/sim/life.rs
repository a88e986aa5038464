//! The life of a process, counted in what it does that lasts: so that it can be killed between any two of those.
//!
//! The rule: code cannot be stopped in the middle of a call, but what a dead process still "does" must reach nobody. So
//! every commit, every write to the vault, every step on the machine and every message asks here first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether a process lives, and how many lasting acts it has left.
pub(super) struct Life(Mutex<Left>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Unlimited,
    Acts(u64),
    Dead,
}

impl Life {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Left::Unlimited)))
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before something lasting: whether it still happens.
    pub(super) fn act(&self) -> bool {
        let mut left = self.left();
        *left = match *left {
            Left::Unlimited => Left::Unlimited,
            Left::Acts(0) | Left::Dead => Left::Dead,
            Left::Acts(acts) => Left::Acts(acts - 1),
        };
        *left != Left::Dead
    }

    /// It will be killed after so many more acts.
    pub(super) fn end_after(&self, acts: u64) {
        let mut left = self.left();
        if *left != Left::Dead {
            *left = Left::Acts(acts);
        }
    }

    /// It will not be killed after all.
    pub(super) fn spare(&self) {
        let mut left = self.left();
        if *left != Left::Dead {
            *left = Left::Unlimited;
        }
    }

    /// It is killed now.
    pub(super) fn end(&self) {
        *self.left() = Left::Dead;
    }

    pub(super) fn has_ended(&self) -> bool {
        *self.left() == Left::Dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_done_and_nothing_after_it() {
        let life = Life::new();
        assert!(life.act());
        life.end_after(2);
        assert_eq!(
            [life.act(), life.act(), life.has_ended(), life.act(), life.act()],
            [true, true, false, false, false]
        );
        life.end_after(9);
        assert!(life.has_ended() && !life.act());
    }
}
