//! What happened, line by line: a digest over all of it, to compare two runs, and the end of it, for whoever must
//! understand a failure.

use std::{collections::VecDeque, time::Duration};

use proto::digest::Digest;

/// How many lines are kept.
const TAIL: usize = 80;

/// The lines so far.
pub(super) struct Trace {
    digest: Digest,
    tail: VecDeque<String>,
    /// Whether every line is printed at once: `TRACE=1`.
    aloud: bool,
}

impl Trace {
    pub(super) fn new() -> Self {
        Self { digest: Digest::ZERO, tail: VecDeque::new(), aloud: std::env::var_os("TRACE").is_some() }
    }

    pub(super) fn say(&mut self, at: Duration, line: &str) {
        let seconds = at.as_secs();
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        let line = format!("{hours}:{minutes:02}:{:02}.{:03} {line}", seconds % 60, at.subsec_millis());
        if self.aloud {
            println!("{line}");
        }
        self.digest = Digest::of(&[&self.digest.0[..], line.as_bytes()].concat());
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn into_tail(self) -> Vec<String> {
        self.tail.into()
    }
}
