//! What the HIPAA Security Rule asks, as data that every other room cites from.
//!
//! The controls of the baseline (one line each: setting, probe, citation) will stand here too; today it holds the rule.

pub mod rule;

pub use rule::{Designation, Paragraph};
