//! The service an MSP runs: events in, signed orders out, evidence kept.
//!
//! Decisions are synchronous and pure where they can be; the network is a thin shell around them. Time and randomness
//! are arguments; only [`clock`] asks the machine.

pub mod audit;
pub mod bundle;
pub mod ca;
pub mod cli;
pub mod clock;
pub mod config;
pub mod core;
pub mod directory;
pub mod files;
pub mod init;
pub mod oscal;
pub mod packet;
pub mod serve;
pub mod store;
pub mod vault;
pub mod witness;
