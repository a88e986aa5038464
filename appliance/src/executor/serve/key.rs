//! A key at the box that holds all orders: pressed once, nothing runs; pressed again, orders run again (guardrail 12).
//!
//! The rule: what was pressed is on disk before anything else happens, so that a power cut releases nothing. A keyboard
//! that is pulled out is waited for; meanwhile what was pressed last holds.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    mem::size_of,
    path::{Path, PathBuf},
    sync::mpsc,
    thread::Builder,
    time::Duration,
};

use nix::libc::input_event;

use crate::{
    config::HoldKey,
    files::{self, FileError},
};

/// `EV_KEY` (linux/input-event-codes.h).
const KEY: u16 = 1;
/// Down; 0 is up, 2 that it is kept down.
const PRESSED: i32 = 1;
/// How long until a device that went away is looked for again.
const AGAIN: Duration = Duration::from_secs(2);
/// Type, code and value stand at the end of an event, after its time (linux/input.h).
const EVENT: usize = size_of::<input_event>();

/// Watches the key on a thread of its own. `marker` is there while orders are held by it; `pressed` is called after.
pub(super) fn watch(key: HoldKey, marker: PathBuf, pressed: impl Fn() + Send + 'static) -> io::Result<()> {
    let watch = move || {
        loop {
            let ended = follow(&key, || {
                match toggle(&marker) {
                    Ok(held) => {
                        let now = if held { "held" } else { "released" };
                        tracing::warn!(held, "the hold key was pressed: all orders are {now}");
                    }
                    Err(error) => {
                        tracing::error!("the hold key was pressed, and could not be heard: {error}")
                    }
                }
                pressed();
            });
            if let Err(problem) = ended {
                tracing::debug!("hold key {}: {problem}", key.device.display());
            }
            pause(AGAIN);
        }
    };
    Builder::new().name("hold-key".into()).spawn(watch).map(drop)
}

/// Reads the device until it goes away.
fn follow(key: &HoldKey, mut pressed: impl FnMut()) -> io::Result<()> {
    let mut device = File::open(&key.device)?;
    let mut event = [0; EVENT];
    loop {
        device.read_exact(&mut event)?;
        if is_press(&event, key.code) {
            pressed();
        }
    }
}

fn is_press(event: &[u8; EVENT], wanted: u16) -> bool {
    let (_, [a, b, c, d, value @ ..]) =
        event.split_last_chunk::<8>().expect("an event is longer than its end");
    let (kind, code) = (u16::from_ne_bytes([*a, *b]), u16::from_ne_bytes([*c, *d]));
    (kind, code, i32::from_ne_bytes(*value)) == (KEY, wanted, PRESSED)
}

/// Holds or releases; says which.
fn toggle(marker: &Path) -> Result<bool, FileError> {
    let failed = |source| FileError { doing: "remove", path: marker.to_owned(), source };
    match fs::remove_file(marker) {
        Ok(()) => files::sync_parent(marker).map(|()| false),
        Err(e) if e.kind() == io::ErrorKind::NotFound => files::create_private(marker, b"").map(|()| true),
        Err(e) => Err(failed(e)),
    }
}

fn pause(time: Duration) {
    let (_kept, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u16, code: u16, value: i32) -> [u8; EVENT] {
        let mut event = [7; EVENT];
        event[EVENT - 8..EVENT - 6].copy_from_slice(&kind.to_ne_bytes());
        event[EVENT - 6..EVENT - 4].copy_from_slice(&code.to_ne_bytes());
        event[EVENT - 4..].copy_from_slice(&value.to_ne_bytes());
        event
    }

    #[test]
    fn only_the_press_of_that_key_counts() {
        assert!(is_press(&event(1, 116, 1), 116));
        for other in [event(1, 116, 0), event(1, 116, 2), event(1, 115, 1), event(2, 116, 1), event(0, 0, 0)]
        {
            assert!(!is_press(&other, 116));
        }
    }

    #[test]
    fn a_second_press_releases() {
        let dir = tempfile::tempdir().unwrap();
        let marker = dir.path().join("held");
        assert!(toggle(&marker).unwrap() && marker.exists());
        assert!(!toggle(&marker).unwrap() && !marker.exists());
    }
}
