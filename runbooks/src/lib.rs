//! The catalogue of pre-approved procedures, and the guardrails that decide whether one of them may run.
//!
//! Pure and the same on both sides: the control plane clears an order with the functions with which the appliance admits
//! it. No clock, no network, no disk (the `yaml` feature reads a folder for whoever builds a catalogue). A runbook is
//! data out of closed vocabularies: there is no shell step, and none is to be added.
//!
//! ```text
//!  YAML --from_yaml--> Runbook --Catalogue::build--> canonical JSON --2 of 3 release keys--> Catalogue::open
//!                                                                                                 |
//!  envelope --verify (1)--> Verified<Order> --admit (2..10, 12)--> Admitted --confirm (11)--> Confirmed: may run
//! ```

pub mod catalogue;
pub mod fault;
pub mod guardrails;
pub mod hours;
pub mod patch;
pub mod policy;
pub mod runbook;
pub mod step;
pub mod window;
#[cfg(feature = "yaml")]
pub mod yaml;

pub use catalogue::{CATALOGUE_TYPE, Catalogue, CatalogueError, Entry, succession};
pub use fault::{Fault, WatchKind};
pub use guardrails::{
    Admitted, Confirmed, Facts, Guardrail, History, Presence, Refusal, admit, admit_standing, clear, derive,
    draw, explain, fits, history_key, verify, verify_standing,
};
pub use hours::{AtWork, ClinicHours};
pub use patch::{Patch, Setting};
pub use policy::{Mode, POLICY_TYPE, Policy, PolicyError};
pub use runbook::{Collect, Condition, Expect, Limits, OnFailure, Risk, Runbook};
pub use step::{Action, Step};
pub use window::{Day, TimeOfDay, Window, Windows};
#[cfg(feature = "yaml")]
pub use yaml::{BadRunbook, from_yaml, read_folder, sources};
