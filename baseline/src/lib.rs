//! What a compliant appliance looks like, stated once: controls, what looks at them, and the verdict.
//!
//! Pure: no clock, no network, no disk. A control is data out of closed vocabularies; its probe is a name for a reader that
//! stands elsewhere, and its expectation a typed predicate on what that reader may say. The Security Rule that all rooms
//! cite from is here too.
//!
//! ```text
//!  hipaa-v1.yaml --yaml::baseline--> Baseline --canonical--> hipaa-v1.json --2 of 3 release keys--> Baseline::open
//!                                                                                                        |
//!  probes() --the executor's readers--> Looked --judge(control, exceptions, now)--> Finding: compliant, drifted,
//!                                                                                    excepted or not evaluable
//! ```

pub mod control;
pub mod document;
pub mod exception;
pub mod expect;
pub mod judge;
pub mod map;
#[cfg(feature = "oscal")]
pub mod oscal;
pub mod probe;
pub mod reading;
pub mod rule;
pub mod tree;
#[cfg(feature = "yaml")]
pub mod yaml;

pub use control::{Area, Binding, Control, ControlId, NixValue, Nixos, Reapply, Repair, Severity};
pub use document::{BASELINE_TYPE, Baseline, BaselineError, HIPAA_V1};
pub use exception::Exception;
pub use expect::{Expect, Met, Predicate};
pub use judge::{Finding, Verdict, judge, judge_all};
pub use probe::{Kind, Probe};
pub use reading::{Blind, Looked, Reading, ReadingValue, Word};
pub use rule::{Designation, Paragraph};
pub use tree::BadSource;
