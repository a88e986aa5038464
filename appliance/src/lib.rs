//! The device program: two processes of one binary.
//!
//! The **agent** has no privileges and faces the network: it collects, detects and syncs. The **executor** is
//! privileged and has no network at all: it verifies every order itself from the signed bytes, runs it step by step and
//! signs the evidence. The rule: the executor trusts nothing that the agent says; between them is [`ipc`], and no
//! request in it means "sign this".
//!
//! ```text
//!  control plane <== Sync ==> agent <── Unix socket ──> executor ──> the machine
//!                             outbox                    journal, evidence, keys
//! ```

pub mod agent;
pub mod certificate;
pub mod cli;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod executor;
pub mod files;
pub mod ipc;
pub mod probe;
pub mod redact;
pub mod status;
pub mod trouble;
pub mod world;
