//! The whole service: the program, its sockets, its command line, and a box that speaks to it.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod documents;
mod grpc_web;
#[path = "../common/home.rs"]
mod home;
mod packets;
#[path = "../common/program.rs"]
mod program;
mod running;
mod stop;
mod successions;
mod told;
#[path = "../common/watcher.rs"]
mod watcher;
#[path = "../common/wire.rs"]
mod wire;
mod witnesses;
