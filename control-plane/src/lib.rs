//! The service an MSP runs: events in, signed orders out, evidence kept.
//!
//! Decisions are synchronous and pure where they can be; the network is a thin shell around them. Time and randomness
//! are arguments; only [`clock`] asks the machine.

#[cfg(feature = "server")]
pub mod access;
#[cfg(feature = "server")]
pub mod audit;
#[cfg(feature = "server")]
pub mod authorities;
pub mod bundle;
#[cfg(feature = "server")]
pub mod ca;
#[cfg(feature = "server")]
pub mod cli;
pub mod clock;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod copy;
#[cfg(feature = "server")]
pub mod core;
#[cfg(feature = "server")]
pub mod directory;
pub mod files;
#[cfg(feature = "server")]
pub mod init;
pub mod mcp;
#[cfg(feature = "server")]
pub mod metrics;
pub mod mode;
pub mod offline;
pub mod oscal;
pub mod packet;
#[cfg(feature = "server")]
pub mod planner;
#[cfg(feature = "server")]
pub mod serve;
#[cfg(feature = "server")]
pub mod signer;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod telling;
pub mod timestamp;
#[cfg(feature = "server")]
pub mod vault;
#[cfg(feature = "server")]
pub mod witness;
