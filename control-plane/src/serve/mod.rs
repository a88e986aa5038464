//! The network around the core: listeners, TLS, routing, notifications. Nothing is decided here.

pub mod http;
pub mod listener;
pub mod tls;
pub mod webhook;
mod admit;
mod evidence;
mod gate;
mod link;
mod operators;
pub mod run;
mod teller;
mod views;
mod writer;
