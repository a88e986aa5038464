//! The agent: collects, detects and syncs, without any privilege.

pub mod core;
pub mod detect;
pub mod executor;
pub mod outbox;
pub mod redact;
pub mod sources;
