//! The network around the core: listeners, TLS, routing, notifications. Nothing is decided here.

mod access;
mod admit;
mod compliance;
pub mod crowd;
mod documents;
mod evidence;
pub mod gate;
pub mod http;
pub mod link;
pub mod listener;
pub mod mail;
pub mod mcp;
pub mod monthly;
pub mod open;
pub mod operators;
mod pace;
mod packets;
mod presence;
pub mod review;
pub mod run;
pub mod stamp;
pub mod submit;
pub mod teller;
pub mod tls;
mod views;
pub mod webhook;
pub mod writer;
