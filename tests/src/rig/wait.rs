//! Waiting for something to become true, with a limit and a name.

use std::{sync::mpsc, time::Duration};

use anyhow::{Result, bail};

use crate::clock;

/// Asks again and again until there is an answer; fails with `what` after `limit`.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = clock::instant();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if clock::since(start) > limit {
            bail!("waited {} s in vain: {what}", limit.as_secs());
        }
        pause(Duration::from_millis(40));
    }
}

/// Lets time pass: between two questions to another process there is nothing here to wait on; and where how long others
/// are left alone is itself what a test chooses. Never in place of a condition.
pub fn pause(time: Duration) {
    let (_kept, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}
