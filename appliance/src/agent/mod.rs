//! The agent: collects, detects and syncs, without any privilege.

pub mod contact;
pub mod core;
pub mod credentials;
pub mod detect;
pub mod enroll;
pub mod executor;
pub mod link;
pub mod outbox;
pub mod redact;
pub mod renew;
pub mod run;
pub mod sources;
