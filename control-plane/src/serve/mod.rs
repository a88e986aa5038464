//! The network around the core: listeners, TLS, routing, notifications. Nothing is decided here.

mod admit;
mod evidence;
mod gate;
pub mod http;
mod link;
pub mod listener;
mod operators;
pub mod run;
mod teller;
pub mod tls;
mod views;
pub mod webhook;
pub mod writer;
