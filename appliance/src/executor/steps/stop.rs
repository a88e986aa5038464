//! A switch that ends a running step early, for SIGTERM.

use std::{
    io::Write as _,
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, PoisonError},
};

/// Once stopped, for good. Clones are the same switch.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    wakers: Vec<UnixStream>,
}

impl Stop {
    /// Ends what runs: it is evidence, as interrupted.
    pub fn stop(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.stopped = true;
        for mut waker in state.wakers.drain(..) {
            // Whoever does not listen any more need not be woken.
            let _ = waker.write(b"s");
        }
    }

    /// Whether it was stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).stopped
    }

    /// Writes a byte to `waker` when it is stopped; one watcher at a time, the next takes the place of the last.
    pub(super) fn watch(&self, mut waker: UnixStream) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.stopped {
            let _ = waker.write(b"s");
        }
        // Those whose other end is gone are let go.
        state.wakers.retain(|kept| kept.peer_is_there());
        state.wakers.push(waker);
    }
}

trait PeerIsThere {
    fn peer_is_there(&self) -> bool;
}

impl PeerIsThere for UnixStream {
    fn peer_is_there(&self) -> bool {
        use std::os::fd::AsFd as _;

        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLOUT)];
        let polled = poll(&mut fds, PollTimeout::ZERO);
        polled.is_ok()
            && !fds[0]
                .revents()
                .unwrap_or(PollFlags::empty())
                .intersects(PollFlags::POLLHUP | PollFlags::POLLERR)
    }
}
