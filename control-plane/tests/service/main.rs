//! The whole service: the program, its sockets, its command line, and a box that speaks to it.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod certificates;
#[path = "../common/chromium.rs"]
mod chromium;
mod documents;
mod grpc_web;
#[path = "../common/home.rs"]
mod home;
mod liar;
mod logs;
mod mcp;
mod monitoring;
mod packets;
#[path = "../common/program.rs"]
mod program;
mod provider;
#[path = "../common/receiver.rs"]
#[expect(dead_code, reason = "what came is read by other tests")]
mod receiver;
mod rotation;
mod running;
mod secrets;
#[path = "../common/serving.rs"]
mod serving;
mod sign_in;
mod stop;
mod successions;
mod timestamps;
mod told;
mod transit;
#[path = "../common/tsa.rs"]
mod tsa;
#[path = "../common/watcher.rs"]
mod watcher;
mod web;
#[path = "../common/wire.rs"]
mod wire;
mod witnesses;
