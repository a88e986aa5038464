//! What systemd is told: ready, still alive, ending. Without `NOTIFY_SOCKET` nobody is told anything.

use std::{
    io,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::Builder,
};

use sd_notify::NotifyState;

use super::service::Heart;

/// Until it is dropped, systemd's watchdog is fed.
pub(super) struct Notifier {
    _until: Sender<()>,
}

/// Says that the executor is ready, and from then on that it is alive.
pub(super) fn begin(status: &str, heart: Heart) -> io::Result<Notifier> {
    let (until, gone) = channel();
    if let Some(within) = sd_notify::watchdog_enabled() {
        let feed = move || {
            // The lock is held for moments only; one that cannot be had is what a watchdog is for.
            while gone.recv_timeout(within / 2) == Err(RecvTimeoutError::Timeout) && heart.beats() {
                tell(&[NotifyState::Watchdog]);
            }
        };
        Builder::new().name("watchdog".into()).spawn(feed)?;
    }
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    Ok(Notifier { _until: until })
}

impl Notifier {
    /// Says that the executor is ending.
    pub(super) fn ending(self) {
        tell(&[NotifyState::Stopping]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("systemd was not told: {error}");
    }
}
