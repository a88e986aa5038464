//! The agent: collects, detects and syncs, without any privilege.
//!
//! The rule: nobody has to trust it. Whoever owns this process can tell lies about what it saw and hold things up; it can
//! give no order, sign no evidence and lose none.
//!
//! ```text
//!  sources ─> detect ─> outbox ─┐                ┌─ link <══ Sync ══> control plane
//!  executor's evidence ─────────┴─> core <─ run ─┤
//!  executor <── orders, proofs ──────┘           └─ renew
//! ```

pub mod authorities;
pub mod confine;
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

/// An error and its causes, on one line. Some libraries repeat their cause in their own words; once is enough.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text += ": ";
            text += &said;
        }
        source = cause.source();
    }
    text
}
