//! The witness as a program: over real sockets, killed between requests, lied to, raced, and one too many.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod answers;
mod asking;
mod lies;
mod log;
#[path = "../common/program.rs"]
mod program;
#[path = "../common/serving.rs"]
mod serving;
#[path = "../common/watcher.rs"]
mod watcher;
